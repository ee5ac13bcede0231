//! Whether clients can be made of a configuration, before there is a broker to ask.

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::BaseProducer;

use super::config::KafkaConfig;
use super::error;
use super::link::{Link, Listener};
use super::properties::{PropertyRefused, Role, check_property, client_config};
use crate::broker::{BrokerError, BrokerErrorKind};

/// A name for groups and transactions that nobody joins or begins.
const NOBODY: &str = "check";

impl KafkaConfig {
    /// Makes each client that a stream thread has, without a broker that it could connect to, and gives it back: what librdkafka
    /// refuses in its properties, and files for TLS that it cannot read, are found here. No token is asked for.
    ///
    /// # Errors
    /// [`BrokerError`] of kind `Configuration` that names the property: correct it.
    pub fn check(&self) -> Result<(), BrokerError> {
        self.check_properties()?;
        for role in [
            Role::Member { group_id: NOBODY, group_instance_id: NOBODY },
            Role::Reader,
            Role::Producer { transactional_id: NOBODY },
            Role::Admin,
        ] {
            let mut client = client_config(self, role);
            client.remove("bootstrap.servers");
            let link = Link::new(format!("{}/check", self.client_id), self.scrubber(), None);
            made(&client, role, link).map_err(|error| error::of_creation("connect", &error))?;
        }
        Ok(())
    }

    /// Refuses properties that are not the user's to set.
    pub(super) fn check_properties(&self) -> Result<(), BrokerError> {
        let refused =
            |refused: PropertyRefused| BrokerError::new("connect", BrokerErrorKind::Configuration, refused.to_string());
        self.properties.keys().try_for_each(|name| check_property(name).map_err(refused))
    }
}

/// Makes the client and gives it back.
fn made(client: &ClientConfig, role: Role<'_>, link: Link) -> KafkaResult<()> {
    let listener = Listener(link.into());
    match role {
        Role::Member { .. } | Role::Reader => {
            client.create_with_context::<_, BaseConsumer<Listener>>(listener).map(drop)
        }
        Role::Producer { .. } | Role::Admin => {
            client.create_with_context::<_, BaseProducer<Listener>>(listener).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::auth::{Token, TokenError, TokenSource};
    use super::super::config::{Sasl, Security, Tls};
    use super::*;

    #[derive(Debug)]
    struct NotAsked;

    impl TokenSource for NotAsked {
        fn token(&self) -> Result<Token, TokenError> {
            panic!("a check connects to nobody, and asks nobody for a token");
        }
    }

    /// Nobody listens there; a check must not find out.
    fn config(security: Security) -> KafkaConfig {
        KafkaConfig { security, ..KafkaConfig::new("127.0.0.1:1") }
    }

    fn refused(config: &KafkaConfig) -> String {
        let error = config.check().unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::Configuration, "{error}");
        error.to_string()
    }

    #[test]
    fn a_configuration_of_each_kind_is_right() {
        for security in [
            Security::Plaintext,
            Security::Tls(Tls::default()),
            Security::SaslPlaintext(Sasl::ScramSha512 { username: "alice".into(), password: "canary".into() }),
            Security::SaslTls(Sasl::OAuthBearer(Arc::new(NotAsked)), Tls::default()),
        ] {
            config(security).check().unwrap();
        }
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_named_without_its_value() {
        for property in ["lingre.ms", "linger.ms"] {
            let mut config = config(Security::Plaintext);
            config.properties.insert(property.into(), "canary".into());
            let error = refused(&config);
            assert!(error.contains(property) && !error.contains("canary"), "{error}");
        }
        let mut config = config(Security::Plaintext);
        config.properties.insert("acks".into(), "0".into());
        assert!(refused(&config).contains("the property acks cannot be set"));
    }

    #[test]
    fn a_file_that_is_missing_or_is_no_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        for path in ["/nowhere/ca.pem".into(), file.path().to_path_buf()] {
            let error = refused(&config(Security::Tls(Tls { ca_file: Some(path), ..Tls::default() })));
            assert!(error.contains("ssl.ca.location"), "{error}");
        }
        let missing = Tls {
            certificate_file: Some("/nowhere/client.pem".into()),
            key_file: Some("/nowhere/client.key".into()),
            ..Tls::default()
        };
        let error = refused(&config(Security::Tls(missing)));
        assert!(error.contains("ssl.certificate.location"), "{error}");
    }
}
