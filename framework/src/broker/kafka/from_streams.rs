//! From the application's configuration to the connection's.

use std::sync::Arc;

use super::config::{KafkaConfig, Sasl, Security, Tls};
use super::token_file::TokenFile;
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
            let file = config.sasl_oauthbearer_token_file.as_ref();
            let file = file.ok_or_else(|| missing("sasl.oauthbearer.token.file (or auth = msk-iam for Amazon MSK)"))?;
            Ok(Sasl::OAuthBearer(Arc::new(TokenFile::new(file))))
        }
        _ => Err(missing("sasl.mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER)")),
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
    Ok(Sasl::OAuthBearer(Arc::new(token)))
}

#[cfg(not(feature = "msk-iam"))]
fn msk_iam(_: &SecurityConfig) -> Result<Sasl, BrokerError> {
    let reason = "this program was built without the feature msk-iam";
    Err(BrokerError::new("connect", BrokerErrorKind::Configuration, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::config::{Flag, Sources};

    /// The security of an application with these keys, as it shows itself.
    fn security_of(keys: &[(&str, &str)]) -> Result<Security, String> {
        let minimal = [("application.id", "shop"), ("bootstrap.servers", "b:1"), ("state.dir", "/s")];
        let flag = |&(key, value): &(&str, &str)| Flag { flag: "--set".into(), key: key.into(), value: value.into() };
        let flags = minimal.iter().chain(keys).map(flag).collect();
        let config =
            StreamsConfig::load(&Sources { flags, ..Sources::default() }).map_err(|error| error.to_string())?;
        KafkaConfig::of(&config).map(|kafka| kafka.security).map_err(|error| error.to_string())
    }

    fn tls() -> Tls {
        Tls { ca_file: Some("ca.pem".into()), ..Tls::default() }
    }

    fn by_password(protocol: &str, mechanism: &str) -> Result<Security, String> {
        security_of(&[
            ("security.protocol", protocol),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "alice"),
            ("sasl.password", "canary"),
        ])
    }

    #[test]
    fn without_sasl_there_is_tls_or_nothing() {
        assert!(matches!(security_of(&[]), Ok(Security::Plaintext)));
        let files = [
            ("security.protocol", "SSL"),
            ("ssl.ca.location", "ca.pem"),
            ("ssl.certificate.location", "client.pem"),
            ("ssl.key.location", "client.key"),
            ("ssl.key.password", "canary"),
        ];
        let Ok(Security::Tls(mutual)) = security_of(&files) else { panic!("TLS") };
        let whole = Tls {
            certificate_file: Some("client.pem".into()),
            key_file: Some("client.key".into()),
            key_password: Some("canary".into()),
            ..tls()
        };
        assert_eq!(mutual, whole);
    }

    #[test]
    fn each_mechanism_with_a_password_has_its_name_user_and_password() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            for protocol in ["SASL_PLAINTEXT", "SASL_SSL"] {
                let security = by_password(protocol, mechanism).unwrap();
                assert_eq!(security.tls().is_some(), protocol == "SASL_SSL");
                let (name, username, password) = match security.sasl().unwrap() {
                    Sasl::Plain { username, password } => ("PLAIN", username, password),
                    Sasl::ScramSha256 { username, password } => ("SCRAM-SHA-256", username, password),
                    Sasl::ScramSha512 { username, password } => ("SCRAM-SHA-512", username, password),
                    Sasl::OAuthBearer(_) => panic!("no token was said"),
                };
                assert_eq!((name, username.as_str(), password.expose()), (mechanism, "alice", "canary"));
                assert!(!format!("{security:?}").contains("canary"));
            }
        }
    }

    #[test]
    fn oauthbearer_reads_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "canary-token").unwrap();
        for protocol in ["SASL_PLAINTEXT", "SASL_SSL"] {
            let security = security_of(&[
                ("security.protocol", protocol),
                ("sasl.mechanism", "OAUTHBEARER"),
                ("sasl.oauthbearer.token.file", file.path().to_str().unwrap()),
            ]);
            let security = security.unwrap();
            let Some(Sasl::OAuthBearer(source)) = security.sasl() else { panic!("{security:?}") };
            assert_eq!(source.token().unwrap().value.expose(), "canary-token");
            assert_eq!(security.tls().is_some(), protocol == "SASL_SSL");
            assert!(!format!("{security:?}").contains("canary"));
        }
    }

    #[cfg(feature = "msk-iam")]
    #[test]
    fn msk_iam_is_over_tls_in_its_region_with_or_without_a_role() {
        let msk = [("auth", "msk-iam"), ("aws.region", "eu-west-1"), ("ssl.ca.location", "ca.pem")];
        let role = "arn:aws:iam::123456789012:role/shop";
        for more in [None, Some(("aws.role.arn", role))] {
            let keys: Vec<_> = msk.into_iter().chain(more).collect();
            let Ok(Security::SaslTls(Sasl::OAuthBearer(source), files)) = security_of(&keys) else {
                panic!("{more:?}")
            };
            assert_eq!(files, tls());
            let shown = format!("{source:?}");
            assert!(shown.contains("MskIam") && shown.contains("eu-west-1"), "{shown}");
            assert_eq!(shown.contains(role), more.is_some(), "{shown}");
        }
    }

    #[test]
    fn what_a_program_left_out_is_named() {
        let mut config = StreamsConfig::new("shop", "b:1", "/s");
        config.security.protocol = SecurityProtocol::SaslSsl;
        for (mechanism, said) in [
            (None, "sasl.mechanism"),
            (Some("PLAIN"), "sasl.username"),
            (Some("OAUTHBEARER"), "sasl.oauthbearer.token.file"),
        ] {
            config.security.sasl_mechanism = mechanism.map(str::to_owned);
            let error = KafkaConfig::of(&config).unwrap_err();
            assert!(error.kind == BrokerErrorKind::Configuration && error.reason.contains(said), "{error}");
        }
    }
}
