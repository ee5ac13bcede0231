//! How to reach a Kafka cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::auth::TokenSource;
use super::properties;
use super::scrubber::Scrubber;
use crate::secret::Secret;

/// Everything about the connection to a cluster. Made with [`KafkaConfig::new`], then fields are set.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `bootstrap.servers`: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// `client.id`: how this process shows up in the broker's logs and quotas.
    pub client_id: String,
    /// Encryption and authentication. Plaintext unless said otherwise.
    pub security: Security,
    /// `session.timeout.ms`: how long a dead host's partitions wait. The broker's floor is 6 s. Default 10 s.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: members learn of a rebalance by their next heartbeat, so a hand-over takes this long.
    /// Default 500 ms.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long a stream thread may be away from polling. Default 5 min.
    pub max_poll_interval: Duration,
    /// `transaction.timeout.ms`: how long a transaction may stay open before the broker aborts it. Default 10 s.
    pub transaction_timeout: Duration,
    /// How long a request to the cluster may take in all, retries included, before it is an error. Default 30 s.
    pub request_timeout: Duration,
    /// How many partitions one consumer is expected to own: 64 MiB of fetched records are shared out among them, at least
    /// 1 MiB and at most 16 MiB each. Default 16.
    pub partitions_per_consumer: usize,
    /// Any other property of librdkafka, by its own name, for all clients; see [`check_property`].
    pub properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// A plaintext connection with the defaults.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "millpond".into(),
            security: Security::Plaintext,
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_millis(500),
            max_poll_interval: Duration::from_mins(5),
            transaction_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            partitions_per_consumer: 16,
            properties: BTreeMap::new(),
        }
    }

    /// Removes this configuration's secrets from texts.
    pub(super) fn scrubber(&self) -> Scrubber {
        let passed = self.properties.iter().filter(|(name, _)| properties::is_secret(name));
        let passed = passed.map(|(_, value)| Secret::new(value.as_str()));
        Scrubber::new(self.security.secrets().into_iter().chain(passed))
    }
}

/// Shows everything but secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&String, &String)| {
            (name.clone(), if properties::is_secret(name) { "***".to_owned() } else { value.clone() })
        };
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("security", &self.security)
            .field("session_timeout", &self.session_timeout)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("partitions_per_consumer", &self.partitions_per_consumer)
            .field("properties", &self.properties.iter().map(shown).collect::<BTreeMap<_, _>>())
            .finish()
    }
}

/// Encryption and authentication.
#[derive(Debug, Clone, Default)]
pub enum Security {
    /// Neither: for a broker on the same host or network only.
    #[default]
    Plaintext,
    /// Encrypted; the broker shows its certificate, and we ours when one is given.
    Tls(Tls),
    /// Authenticated over a connection that is not encrypted: for tests and private networks.
    SaslPlaintext(Sasl),
    /// Authenticated and encrypted.
    SaslTls(Sasl, Tls),
}

impl Security {
    /// The mechanism, if there is one.
    pub(super) const fn sasl(&self) -> Option<&Sasl> {
        match self {
            Self::SaslPlaintext(sasl) | Self::SaslTls(sasl, _) => Some(sasl),
            Self::Plaintext | Self::Tls(_) => None,
        }
    }

    /// The encryption, if there is one.
    pub(super) const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) | Self::SaslTls(_, tls) => Some(tls),
            Self::Plaintext | Self::SaslPlaintext(_) => None,
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        let password = match self.sasl() {
            Some(
                Sasl::Plain { password, .. } | Sasl::ScramSha256 { password, .. } | Sasl::ScramSha512 { password, .. },
            ) => Some(password.clone()),
            Some(Sasl::OAuthBearer(_)) | None => None,
        };
        password.into_iter().chain(self.tls().and_then(|tls| tls.key_password.clone())).collect()
    }
}

/// TLS. The broker's host name is always checked against its certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, for mutual TLS.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of our private key.
    pub key_file: Option<PathBuf>,
    /// Pass phrase of the private key.
    pub key_password: Option<Secret>,
}

/// A SASL mechanism with its credentials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Sasl {
    /// `PLAIN`: the password goes to the broker as it is; use it over TLS only.
    Plain {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `SCRAM-SHA-256`.
    ScramSha256 {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `SCRAM-SHA-512`.
    ScramSha512 {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `OAUTHBEARER` with tokens from a source, such as a [`TokenFile`](super::TokenFile) or MSK IAM's.
    OAuthBearer(Arc<dyn TokenSource>),
}

pub use properties::{PropertyRefused, check_property};
