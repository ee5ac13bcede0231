//! A PostgreSQL that speaks TLS, and the certificates of both sides.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use millpond_harness::{Postgres, Scratch, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

const LIMIT: Duration = Duration::from_secs(20);

/// The years of a certificate that is good.
const GOOD: (i32, i32) = (2020, 2090);

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority, and the file that says so.
pub(crate) fn authority(dir: &Path, name: &str) -> (Issuer, PathBuf) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = dir.join(format!("{name}.pem"));
    fs::write(&file, issuer.pem()).unwrap();
    (issuer, file)
}

/// A server that speaks TLS as `localhost`, and wants a password of `loader`, which is `first`.
pub(crate) struct Server {
    pub(crate) scratch: Scratch,
    pub(crate) postgres: Postgres,
    pub(crate) issuer: Issuer,
    /// The file of the authority that has signed its certificate.
    pub(crate) ca: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new("connecting").unwrap();
        let (issuer, ca) = authority(scratch.path(), "authority");
        let postgres = Postgres::start(scratch.path().join("postgres")).unwrap();
        postgres.query("postgres", "CREATE ROLE loader LOGIN PASSWORD 'first'").unwrap();
        let server = Self { scratch, postgres, issuer, ca };
        server.put_certificate(GOOD);
        // By what it knows certificates of clients; it asks for one, and takes those who have none.
        server.put("root.crt", &server.issuer.pem());
        server.put_rule("host all loader 127.0.0.1/32 scram-sha-256");
        for sql in ["ALTER SYSTEM SET ssl_ca_file = 'root.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]
        {
            server.postgres.query("postgres", sql).unwrap();
        }
        // The server reads its files in a moment of its own.
        let url = format!("{}?sslmode=require", server.postgres.url());
        let encrypted = || server.postgres.query(&url, "SELECT 1").is_ok();
        wait_for(LIMIT, "the server speaks TLS", encrypted).unwrap();
        server
    }

    /// Shows a certificate of these years from its next look at its files on.
    pub(crate) fn certify(&self, years: (i32, i32)) {
        self.put_certificate(years);
        self.reload();
    }

    /// For `localhost` alone.
    fn put_certificate(&self, years: (i32, i32)) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        self.put("server.crt", &params.signed_by(&key, &self.issuer).unwrap().pem());
        self.put("server.key", &key.serialize_pem());
    }

    fn reload(&self) {
        self.postgres.query("postgres", "SELECT pg_reload_conf()").unwrap();
    }

    /// Admits the user `loader` by this rule from its next look on.
    pub(crate) fn admit(&self, rule: &str) {
        self.put_rule(rule);
        self.reload();
    }

    fn put_rule(&self, rule: &str) {
        self.put("pg_hba.conf", &format!("{rule}\nhost all postgres 127.0.0.1/32 trust\n"));
    }

    /// A file of the server's own.
    fn put(&self, name: &str, text: &str) {
        let data = self.scratch.path().join("postgres/data");
        let (file, owner) = (data.join(name), fs::metadata(&data).unwrap());
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// Of a database `postgres`, without a mode.
    pub(crate) fn plain_url(&self, user: &str, host: &str) -> String {
        self.postgres.url().replace("postgres@127.0.0.1", &format!("{user}@{host}"))
    }

    pub(crate) fn url(&self, user: &str, host: &str, ca: &Path) -> String {
        format!("{}?sslmode=verify-full&sslrootcert={}", self.plain_url(user, host), ca.display())
    }
}

/// Certificate and key of a client of that name, as files.
pub(crate) fn client(dir: &Path, issuer: &Issuer, name: &str) -> (PathBuf, PathBuf) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let file = |kind: &str, text: String| {
        let file = dir.join(format!("{name}.{kind}"));
        fs::write(&file, text).unwrap();
        file
    };
    (file("crt", params.signed_by(&key, issuer).unwrap().pem()), file("key", key.serialize_pem()))
}
