use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{Client, Error};

/// The key of every client's certificate: the same each time, because nothing here can lock one.
const CLIENT_KEY: &str = include_str!("client.key");
/// The same key, locked.
const LOCKED_CLIENT_KEY: &str = include_str!("client.locked.key");

/// The pass phrase of [`Secured::locked_client_key`], for `ssl.key.password`; a text that a search for secrets finds.
pub const KEY_PASSWORD: &str = "cnrySecretX7-key-cnrySecretX7";

/// What the secured listeners of a broker accept.
///
/// `SSL` takes clients with a certificate of the broker's own authority or with none. `SASL_SSL` takes PLAIN, SCRAM-SHA-256
/// and SCRAM-SHA-512 of these users, and OAUTHBEARER with unsigned tokens.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Names and passwords, made known when the storage is formatted: later changes have no effect.
    pub users: Vec<(String, String)>,
}

/// The addresses and files of a broker's secured listeners.
#[derive(Debug, Clone)]
pub struct Secured {
    /// `host:port` for `security.protocol=SSL`.
    pub ssl: String,
    /// `host:port` for `security.protocol=SASL_SSL`.
    pub sasl_ssl: String,
    /// The certificate of the authority, in PEM, for `ssl.ca.location`.
    pub ca: PathBuf,
    /// A client's certificate, in PEM, for `ssl.certificate.location`.
    pub client_certificate: PathBuf,
    /// Its key, in PEM, for `ssl.key.location`.
    pub client_key: PathBuf,
    /// The same key under [`KEY_PASSWORD`].
    pub locked_client_key: PathBuf,
}

impl Secured {
    /// A client of the `SSL` listener that shows its certificate.
    pub fn ssl_client(&self) -> Client {
        Client::new(&self.ssl)
            .property("security.protocol", "SSL")
            .property("ssl.ca.location", &self.ca.display().to_string())
            .property("ssl.certificate.location", &self.client_certificate.display().to_string())
            .property("ssl.key.location", &self.client_key.display().to_string())
    }

    /// A client of the `SASL_SSL` listener; `mechanism` is `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub fn scram_client(&self, mechanism: &str, user: &str, password: &str) -> Client {
        self.sasl_client(mechanism).property("sasl.username", user).property("sasl.password", password)
    }

    /// A client of the `SASL_SSL` listener that shows an unsigned token.
    pub fn oauthbearer_client(&self, principal: &str) -> Client {
        self.sasl_client("OAUTHBEARER")
            .property("enable.sasl.oauthbearer.unsecure.jwt", "true")
            .property("sasl.oauthbearer.config", &format!("principal={principal}"))
    }

    fn sasl_client(&self, mechanism: &str) -> Client {
        Client::new(&self.sasl_ssl)
            .property("security.protocol", "SASL_SSL")
            .property("ssl.ca.location", &self.ca.display().to_string())
            .property("sasl.mechanism", mechanism)
    }

    /// The listeners at these addresses, with the certificates in `dir`, which are made if they are not there.
    pub(super) fn listen(dir: &Path, ssl: String, sasl_ssl: String) -> Result<Self, Error> {
        let file = |name: &str| dir.join(name);
        let secured = Self {
            ssl,
            sasl_ssl,
            ca: file("ca.pem"),
            client_certificate: file("client.pem"),
            client_key: file("client.key"),
            locked_client_key: file("client.locked.key"),
        };
        if !secured.client_key.is_file() {
            fs::create_dir_all(dir).map_err(Error::io("make the directory", dir))?;
            secured.make_certificates(dir)?;
        }
        Ok(secured)
    }

    fn make_certificates(&self, dir: &Path) -> Result<(), Error> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "millpond test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let issue = |name: &str, key: &KeyPair| -> Result<String, Error> {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            Ok(params.signed_by(key, &authority)?.pem())
        };
        let (server_key, client_key) = (KeyPair::generate()?, KeyPair::from_pem(CLIENT_KEY)?);
        let (server_certificate, client_certificate) = (issue("broker", &server_key)?, issue("client", &client_key)?);
        let write = |path: &Path, text: String| fs::write(path, text).map_err(Error::io("write a certificate", path));
        write(&self.ca, authority.pem())?;
        write(&dir.join("server.pem"), server_key.serialize_pem() + &server_certificate)?;
        write(&self.client_certificate, client_certificate)?;
        write(&self.locked_client_key, LOCKED_CLIENT_KEY.to_owned())?;
        // Last: this file says that the others are there.
        write(&self.client_key, CLIENT_KEY.to_owned())
    }

    /// The broker properties of both listeners.
    pub(super) fn properties(&self, security: &Security) -> Vec<(String, String)> {
        let keys = self.ca.with_file_name("server.pem").display().to_string();
        let authority = self.ca.display().to_string();
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let bearer = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"broker\";";
        let users = security.users.iter().map(|(name, password)| format!(" user_{name}=\"{password}\""));
        let plain = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required{};",
            users.collect::<Vec<_>>().concat()
        );
        let mut properties = vec![
            ("listener.name.sasl_ssl.plain.sasl.jaas.config", plain.as_str()),
            ("listener.name.sasl_ssl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
            ("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", scram),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", scram),
            ("listener.name.sasl_ssl.oauthbearer.sasl.jaas.config", bearer),
            ("listener.name.ssl.ssl.client.auth", "requested"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.truststore.type", "PEM"),
        ];
        properties.extend([("ssl.keystore.location", keys.as_str()), ("ssl.truststore.location", &authority)]);
        properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}
