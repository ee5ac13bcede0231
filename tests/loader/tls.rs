//! What each mode of TLS asks of the server, and a client that proves by a certificate who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loader::postgres::{Database, Error, Limits};
use millpond_harness::wait_for;

use crate::connecting::{connect, refused};
use crate::server::{Server, authority, client};

const LIMIT: Duration = Duration::from_secs(20);

/// Whether the connection of the loader is encrypted, and for whom: as the server sees it.
fn seen(server: &Server) -> Vec<Vec<String>> {
    let sql = "SELECT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'loader'";
    server.postgres.query("postgres", sql).unwrap()
}

/// A connection that was dropped ends in a moment of the server's own.
fn alone(server: &Server) {
    wait_for(LIMIT, "the loader's connections are gone", || seen(server).is_empty()).unwrap();
}

/// By the server, as a log-in, with its words and without the password.
fn refused_by_server(url: &str, said: &str) {
    let error = connect(url).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::LogIn { sqlstate, .. } if sqlstate == "28000"), "{text}");
    assert!(text.contains(said) && !text.contains("first"), "{text}");
}

/// `require` asks nobody who the server is, `verify-ca` asks an authority, `verify-full` for the name as well.
#[test]
fn each_mode_of_tls_asks_as_much_of_the_server_as_it_says() {
    let server = Server::start();
    // Plain text is no way in.
    server.admit("hostssl all loader 127.0.0.1/32 scram-sha-256\nhostnossl all loader 127.0.0.1/32 reject");
    let (_, stranger) = authority(server.scratch.path(), "stranger");
    let url = |host: &str, mode: &str| format!("{}?sslmode={mode}", server.plain_url("loader:first", host));
    let plain = url("127.0.0.1", "disable");
    wait_for(LIMIT, "the rules are read", || connect(&plain).is_err()).unwrap();
    refused_by_server(&plain, "rejects connection");

    let with = |mode: &str, ca: &Path| format!("{mode}&sslrootcert={}", ca.display());
    for (host, mode) in [
        ("127.0.0.1", "require".to_owned()),
        ("localhost", "require".to_owned()),
        // The certificate is for localhost alone.
        ("127.0.0.1", with("verify-ca", &server.ca)),
        ("localhost", with("verify-ca", &server.ca)),
        ("localhost", with("verify-full", &server.ca)),
    ] {
        alone(&server);
        let mut database = Database::new(&url(host, &mode), Limits::default()).unwrap();
        assert_eq!(database.connect(), Ok(()), "{host} {mode}");
        assert_eq!(seen(&server), [["t", ""]], "{host} {mode}");
    }
    for (host, mode, said) in [
        ("127.0.0.1", with("verify-ca", &stranger), "UnknownIssuer"),
        ("localhost", with("verify-ca", &stranger), "UnknownIssuer"),
        ("127.0.0.1", "verify-ca".to_owned(), "UnknownIssuer"),
        ("127.0.0.1", with("verify-full", &server.ca), "by a name that its certificate has"),
    ] {
        let error = refused(&url(host, &mode));
        assert!(error.contains(said), "{host} {mode}: {error}");
    }
}

#[test]
fn a_client_logs_in_with_its_certificate_and_is_refused_with_that_of_somebody_else() {
    let server = Server::start();
    server.admit("hostssl all loader 127.0.0.1/32 cert");
    let dir = server.scratch.path();
    let (own, other) = (client(dir, &server.issuer, "loader"), client(dir, &server.issuer, "somebody"));
    let verified = server.url("loader", "localhost", &server.ca);
    let with = |(certificate, key): &(PathBuf, PathBuf)| {
        format!("{verified}&sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    wait_for(LIMIT, "the rules are read", || connect(&verified).is_err() && connect(&with(&own)).is_ok()).unwrap();
    alone(&server);
    let mut database = Database::new(&with(&own), Limits::default()).unwrap();
    assert_eq!(database.connect(), Ok(()));
    assert_eq!(seen(&server), [["t", "/CN=loader"]]);
    // A password, even the right one, is none.
    for url in [&verified, &server.url("loader:first", "localhost", &server.ca)] {
        refused_by_server(url, "requires a valid client certificate");
    }
    refused_by_server(&with(&other), "certificate authentication failed for user \"loader\"");
    // Signed by nobody whom the server knows. Where in the connection it says so is TLS's own affair.
    let (stranger, _) = authority(dir, "stranger");
    std::fs::create_dir_all(dir.join("forged")).unwrap();
    let forged = client(&dir.join("forged"), &stranger, "loader");
    assert!(connect(&with(&forged)).is_err(), "a certificate of another authority");
    // Half of a pair means nothing.
    let half = format!("{verified}&sslcert={}", own.0.display());
    assert!(connect(&half).is_err(), "a certificate without its key");
    let error = Database::new(&format!("{verified}&sslkey=/nowhere/key.pem"), Limits::default()).unwrap_err();
    assert!(matches!(&error, Error::File { what: "sslkey", .. }), "{error}");
}
