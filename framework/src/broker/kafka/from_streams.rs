//! From the application's configuration to the connection's.

use super::config::{KafkaConfig, Sasl, Security, Tls};
use crate::broker::{BrokerError, BrokerErrorKind};
use crate::runtime::config::{Auth, SecurityConfig, SecurityProtocol, StreamsConfig};

impl KafkaConfig {
    /// The connection that an application's configuration describes.
    ///
    /// # Errors
    /// [`BrokerError`] of kind `Configuration`: credentials that the mechanism needs are missing, or this build cannot
    /// make its tokens.
    pub fn of(config: &StreamsConfig) -> Result<Self, BrokerError> {
        Ok(Self {
            client_id: config.application_id.clone(),
            security: security(&config.security)?,
            session_timeout: config.session_timeout,
            heartbeat_interval: config.heartbeat_interval,
            max_poll_interval: config.max_poll_interval,
            transaction_timeout: config.transaction_timeout,
            properties: config.kafka.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..Self::new(config.bootstrap_servers.clone())
        })
    }
}

fn security(config: &SecurityConfig) -> Result<Security, BrokerError> {
    let tls = || Tls {
        ca_file: config.ssl_ca_location.clone(),
        certificate_file: config.ssl_certificate_location.clone(),
        key_file: config.ssl_key_location.clone(),
        key_password: config.ssl_key_password.clone(),
    };
    if let Some(Auth::MskIam) = config.auth {
        // MSK offers IAM over TLS only.
        return Ok(Security::SaslTls(msk_iam(config)?, tls()));
    }
    Ok(match config.protocol {
        SecurityProtocol::Plaintext => Security::Plaintext,
        SecurityProtocol::Ssl => Security::Tls(tls()),
        SecurityProtocol::SaslPlaintext => Security::SaslPlaintext(sasl(config)?),
        SecurityProtocol::SaslSsl => Security::SaslTls(sasl(config)?, tls()),
    })
}

fn sasl(config: &SecurityConfig) -> Result<Sasl, BrokerError> {
    let missing =
        |what: &str| BrokerError::new("connect", BrokerErrorKind::Configuration, format!("{what} is missing"));
    let username = || config.sasl_username.clone().ok_or_else(|| missing("sasl.username"));
    let password = || config.sasl_password.clone().ok_or_else(|| missing("sasl.password"));
    match config.sasl_mechanism.as_deref() {
        Some("PLAIN") => Ok(Sasl::Plain { username: username()?, password: password()? }),
        Some("SCRAM-SHA-256") => Ok(Sasl::ScramSha256 { username: username()?, password: password()? }),
        Some("SCRAM-SHA-512") => Ok(Sasl::ScramSha512 { username: username()?, password: password()? }),
        Some("OAUTHBEARER") => {
            let reason = "OAUTHBEARER needs a source of tokens; say auth = \"msk-iam\" for Amazon MSK";
            Err(BrokerError::new("connect", BrokerErrorKind::Configuration, reason))
        }
        _ => Err(missing("sasl.mechanism (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512)")),
    }
}

#[cfg(feature = "msk-iam")]
fn msk_iam(config: &SecurityConfig) -> Result<Sasl, BrokerError> {
    let Some(region) = &config.aws_region else {
        return Err(BrokerError::new("connect", BrokerErrorKind::Configuration, "aws.region is missing"));
    };
    let token = match &config.aws_role_arn {
        Some(role) => super::msk_iam::MskIam::assuming(region, role),
        None => super::msk_iam::MskIam::new(region),
    };
    Ok(Sasl::OAuthBearer(std::sync::Arc::new(token)))
}

#[cfg(not(feature = "msk-iam"))]
fn msk_iam(_: &SecurityConfig) -> Result<Sasl, BrokerError> {
    let reason = "this program was built without the feature msk-iam";
    Err(BrokerError::new("connect", BrokerErrorKind::Configuration, reason))
}
