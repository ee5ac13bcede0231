//! How to reach the brokers: encryption and authentication.

use std::path::PathBuf;

pub(super) use crate::secret::MASK;
pub use crate::secret::Secret;

/// True when a key of that name may hold a secret. Wide on purpose: masking too much costs nothing.
pub(super) fn is_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let words =
        ["passw", "pasw", "pwd", "secret", "token", "credential", "jaas", "private", "pem", "oauthbearer.config"];
    words.iter().any(|word| key.contains(word)) || key.rsplit(['.', '_', '-']).next() == Some("key")
}

/// A value as it may be shown: masked when the key says so, and without the password of a URL.
pub(super) fn masked(key: &str, value: &str) -> String {
    if is_secret_name(key) {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        // What was meant as a URL and is none may hold a password anywhere.
        let meant = key.to_ascii_lowercase().ends_with("url") || (value.contains('=') && is_secret_name(value));
        return if meant { MASK.to_owned() } else { value.to_owned() };
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    // The last @ of the authority ends the user's part, whatever stands in the password.
    let Some((user, host)) = authority.rsplit_once('@') else { return mask_query(value) };
    let user = user.split_once(':').map_or(user, |(name, _)| name);
    mask_query(&format!("{scheme}://{user}:{MASK}@{host}{path}"))
}

/// A URL whose query names a secret loses its whole query.
fn mask_query(url: &str) -> String {
    match url.split_once('?') {
        Some((before, query)) if is_secret_name(query) => format!("{before}?{MASK}"),
        _ => url.to_owned(),
    }
}

/// `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS; with a client certificate also authentication.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's names, in the order of the variants.
    pub(super) const NAMES: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

    /// Kafka's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// True with SASL.
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// True with TLS.
    pub const fn is_ssl(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(super) fn parse(name: &str) -> Self {
        match name {
            "SSL" => Self::Ssl,
            "SASL_PLAINTEXT" => Self::SaslPlaintext,
            "SASL_SSL" => Self::SaslSsl,
            _ => Self::Plaintext,
        }
    }
}

/// Shorthands for authentication that need more than properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `auth = "msk-iam"`: OAUTHBEARER over TLS with a token signed by the machine's AWS credentials.
    MskIam,
}

/// Encryption and authentication, by Kafka's names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityConfig {
    /// `security.protocol`.
    pub protocol: SecurityProtocol,
    /// `ssl.ca.location`: a PEM file; the system's authorities when absent.
    pub ssl_ca_location: Option<PathBuf>,
    /// `ssl.certificate.location`: the client's certificate, PEM.
    pub ssl_certificate_location: Option<PathBuf>,
    /// `ssl.key.location`: the client's private key, PEM.
    pub ssl_key_location: Option<PathBuf>,
    /// `ssl.key.password`.
    pub ssl_key_password: Option<Secret>,
    /// `sasl.mechanism`: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    pub sasl_mechanism: Option<String>,
    /// `sasl.username`.
    pub sasl_username: Option<String>,
    /// `sasl.password`.
    pub sasl_password: Option<Secret>,
    /// `sasl.oauthbearer.token.file`: holds the token for `OAUTHBEARER`.
    pub sasl_oauthbearer_token_file: Option<PathBuf>,
    /// `auth`.
    pub auth: Option<Auth>,
    /// `aws.region`: where the MSK cluster, or the database on RDS, is.
    pub aws_region: Option<String>,
    /// `aws.role.arn`: the role to take on with the machine's own AWS credentials.
    pub aws_role_arn: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_and_under_telling_names_are_masked() {
        assert_eq!(masked("database.url", "postgres://u:p@h:5432/d"), "postgres://u:***@h:5432/d");
        assert_eq!(masked("database.url", "postgres://u:p@x@h/d"), "postgres://u:***@h/d");
        assert_eq!(masked("database.url", "postgres://h/d?user=u&password=p"), "postgres://h/d?***");
        assert_eq!(masked("url", "http://127.0.0.1:1/a@b"), "http://127.0.0.1:1/a@b");
        assert_eq!(masked("database_url", "host=h user=u password=p dbname=d"), MASK);
        assert_eq!(masked("database_url", "postgres//u:p@h/d"), MASK);
        assert_eq!(masked("connection", "host=h password=p"), MASK);
        assert_eq!(masked("ssl.ca.location", "/etc/ca.pem"), "/etc/ca.pem");
        assert_eq!(masked("hmac_key", "abc"), MASK);
        assert_eq!(masked("sasl.password", "abc"), MASK);
        assert_eq!(masked("sasl.username", "abc"), "abc");
    }
}
