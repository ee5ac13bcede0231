//! A PostgreSQL that lets the loader in by a password, and over TLS by a certificate besides.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use millpond_harness::{Postgres, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::canary::secret;
use super::shop::LIMIT;

/// Whoever comes over TLS needs both.
const RULES: &str = "hostssl all loader 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostnossl all loader 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
";

/// The server, and the files that a client needs.
pub(crate) struct Database {
    pub(crate) server: Postgres,
    /// With the password, in plain text.
    pub(crate) url: String,
    port: String,
    dir: PathBuf,
}

impl Database {
    pub(crate) fn open(dir: &Path) -> Self {
        let server = Postgres::start(dir).unwrap();
        for sql in [
            &format!("CREATE ROLE loader LOGIN PASSWORD '{}'", secret("database")),
            "CREATE DATABASE shop OWNER loader",
        ] {
            server.query("postgres", sql).unwrap();
        }
        let port = server.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
        let database = Self { server, url: String::new(), port, dir: dir.to_owned() };
        database.speaks_tls();
        let plain = |password: &str| database.plain(&format!("loader:{password}"), "shop");
        // The server reads its rules in a moment of its own.
        let asks = || database.server.query(&plain("none"), "SELECT 1").is_err();
        wait_for(LIMIT, "the database asks for a password", asks).unwrap();
        Self { url: plain(&secret("database")), ..database }
    }

    /// A database by its name, without TLS.
    pub(crate) fn plain(&self, user: &str, name: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// The shop's, over TLS, with the certificate and that key of the loader, and without the password.
    pub(crate) fn verified(&self, key: &str) -> String {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let (ca, certificate, key) = (file("ca.pem"), file("loader.pem"), file(key));
        let files = format!("sslrootcert={ca}&sslcert={certificate}&sslkey={key}");
        format!("postgres://loader@localhost:{}/shop?sslmode=verify-full&{files}", self.port)
    }

    /// A file of that name which only its owner may read.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// The password in a file, for those whose URL has none.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.file("pgpass", &format!("localhost:{}:shop:loader:{}\n", self.port, secret("database")))
    }

    /// Beside a key may stand what one likes: readers begin at its first line.
    fn speaks_tls(&self) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let issue = |common: &str, names: Vec<String>| {
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, common);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
        };
        let (certificate, key) = issue("server", vec!["localhost".to_owned()]);
        self.put("root.crt", &authority.pem());
        self.put("server.crt", &certificate);
        self.put("server.key", &key);
        self.put("pg_hba.conf", RULES);
        let (certificate, key) = issue("loader", Vec::new());
        self.file("ca.pem", &authority.pem());
        self.file("loader.pem", &certificate);
        self.file("loader.key", &format!("{}\n{key}", secret("sslkey")));
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        self.file("broken.key", &format!("{begin}\n{}\n{end}\n", secret("sslkey")));
        for sql in ["ALTER SYSTEM SET ssl_ca_file = 'root.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]
        {
            self.server.query("postgres", sql).unwrap();
        }
        let encrypted = format!("{}?sslmode=require", self.server.url());
        let speaks = || self.server.query(&encrypted, "SELECT 1").is_ok();
        wait_for(LIMIT, "the database speaks TLS", speaks).unwrap();
    }

    /// A file of the server's own.
    fn put(&self, name: &str, text: &str) {
        let data = self.dir.join("data");
        let (file, owner) = (data.join(name), fs::metadata(&data).unwrap());
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}
