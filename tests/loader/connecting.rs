//! Connections that the loader refuses or is refused, each named in time; and passwords that do not last.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loader::postgres::{Database, Error, Limits, PasswordSource, rds_tokens};
use millpond::aws::{DefaultChain, Renewed};
use millpond::error::Recovery;
use millpond::runtime::config::Secret;
use millpond_harness::{Kafka, Launch, built, wait_for};

use crate::server::{Server, authority};

/// A refusal is told long before any time-out.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn connect(url: &str) -> Result<(), Error> {
    Database::new(url, Limits::default())?.connect()
}

/// The error, in time, and as one that a person must look at.
pub(crate) fn refused(url: &str) -> String {
    let begun = Instant::now();
    let error = connect(url).unwrap_err();
    assert!(begun.elapsed() < REFUSED_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(error.recovery(), Recovery::Shutdown, "{error}");
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    error.to_string()
}

#[test]
fn tls_that_is_not_to_be_trusted_is_named_with_what_to_do() {
    let server = Server::start();
    assert_eq!(connect(&server.url("postgres", "localhost", &server.ca)), Ok(()));
    let (_, stranger) = authority(server.scratch.path(), "stranger");
    let error = refused(&server.url("postgres", "localhost", &stranger));
    assert!(error.contains("UnknownIssuer") && error.contains("as sslrootcert"), "{error}");
    let error = refused(&server.url("postgres", "127.0.0.1", &server.ca));
    assert!(error.contains("by a name that its certificate has"), "{error}");
    // The second is what a clock that is behind makes of a new certificate.
    for (years, said) in [((2020, 2021), "expired"), ((2090, 2091), "not valid yet")] {
        server.certify(years);
        // The server takes the new files in a moment of its own.
        let url = server.url("postgres", "localhost", &server.ca);
        let is_told = || connect(&url).is_err_and(|error| error.to_string().contains(said));
        wait_for(Duration::from_secs(20), format!("the certificate of {years:?} is shown"), is_told).unwrap();
        let error = refused(&url);
        assert!(error.contains("renew its certificate, or set this machine's clock"), "{error}");
    }
}

/// The loader itself, on a real Kafka.
#[test]
fn a_loader_ends_at_a_server_whose_certificate_is_of_another_authority_host_or_time() {
    let server = Server::start();
    let kafka = Kafka::shared().unwrap();
    kafka.client().create_topics(&["certified-processed", "certified-attributed"], 1, &[]).unwrap();
    let ends = |name: &str, url: &str, said: &str| {
        let log = server.scratch.path().join(format!("{name}.log"));
        let launch = Launch::new(built("loader").unwrap(), log).env("MILLPOND_APP_DATABASE_URL", url);
        let launch = launch.args(["--http=none", "--input=certified-processed,certified-attributed"]);
        let launch = launch.arg(format!("--application-id=certified-{name}"));
        let launch = launch.arg(format!("--bootstrap-servers={}", kafka.bootstrap_servers()));
        let launch = launch.arg(format!("--state-dir={}", server.scratch.path().join(name).display()));
        let mut loader = launch.start().unwrap();
        let ended =
            loader.wait(Duration::from_secs(30)).unwrap_or_else(|error| panic!("{error}: {}", loader.log_tail()));
        let log = loader.log();
        assert_eq!(ended.code(), Some(1), "{name}: {log}");
        let (_, told) = log.split_once("error[").unwrap_or_else(|| panic!("{name}: {log}"));
        assert!(told.contains(said) && told.contains("\n  fix: "), "{name}: {said}: {log}");
        assert!(!log.contains("canary"), "{name}: {log}");
    };
    let (_, stranger) = authority(server.scratch.path(), "stranger");
    ends("authority", &server.url("loader:canary", "localhost", &stranger), "UnknownIssuer");
    ends("host", &server.url("loader:canary", "127.0.0.1", &server.ca), "by a name that its certificate has");
    server.certify((2020, 2021));
    let url = server.url("loader:canary", "localhost", &server.ca);
    let is_shown = || connect(&url).is_err_and(|error| error.to_string().contains("expired"));
    wait_for(Duration::from_secs(20), "the old certificate is shown", is_shown).unwrap();
    ends("expired", &url, "expired");
}

#[test]
fn a_server_without_tls_is_not_spoken_to_in_plain_text() {
    let url = crate::fixture::database();
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refused(&format!("{url}?sslmode={mode}"));
        assert!(error.contains("does not support TLS") && error.contains("no way back to plain text"), "{error}");
    }
}

/// The password as it is now, and how often it was asked for.
#[derive(Debug)]
struct Current(Mutex<(String, usize)>);

impl Current {
    fn new(password: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new((password.to_owned(), 0))))
    }
}

impl PasswordSource for Current {
    fn password(&self) -> Result<Secret, Error> {
        let mut current = self.0.lock().unwrap();
        current.1 += 1;
        Ok(Secret::new(current.0.as_str()))
    }
}

#[test]
fn each_connection_has_a_password_of_its_own() {
    let server = Server::start();
    let source = Current::new("first");
    let database = Database::new(&server.url("loader", "localhost", &server.ca), Limits::default()).unwrap();
    let mut database = database.with_passwords(Arc::clone(&source) as _).unwrap();
    for _ in 0..2 {
        assert_eq!(database.connect(), Ok(()), "asked for once, while the connection lasts");
    }
    server.postgres.query("postgres", "ALTER ROLE loader PASSWORD 'second'").unwrap();
    database.disconnect();
    let error = database.connect().unwrap_err();
    assert!(matches!(&error, Error::LogIn { sqlstate, .. } if sqlstate == "28P01"), "{error}");
    assert!(!error.to_string().contains("first"), "{error}");
    source.0.lock().unwrap().0 = "second".to_owned();
    assert_eq!(database.connect(), Ok(()));
    assert_eq!(source.0.lock().unwrap().1, 3);
}

/// Log-in errors come in time, name user and remedy, and not the password.
fn is_refused_as_log_in(error: &Error) {
    assert!(matches!(error, Error::LogIn { .. }), "{error}");
    assert_eq!(error.recovery(), Recovery::Shutdown, "{error}");
    let text = error.to_string();
    assert!(text.contains("loader") && text.contains("correct user and password"), "{text}");
    assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{text}");
}

#[test]
fn a_wrong_password_and_a_token_of_another_time_are_named_in_time() {
    let server = Server::start();
    let begun = Instant::now();
    is_refused_as_log_in(&connect(&server.url("loader:canary-1", "localhost", &server.ca)).unwrap_err());
    // To the server a token is a password: one of a wrong clock is a wrong one.
    let chain = DefaultChain::with_variables(
        "eu-west-1",
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "canary-2"), ("AWS_SESSION_TOKEN", "canary-3")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
    );
    let url = server.url("loader", "localhost", &server.ca);
    let tokens = rds_tokens(&url, "eu-west-1", Arc::new(Renewed::new(chain))).unwrap();
    let database = Database::new(&url, Limits::default()).unwrap();
    let error = database.with_passwords(Arc::new(tokens)).unwrap().connect().unwrap_err();
    is_refused_as_log_in(&error);
    assert!(error.to_string().contains("clock"), "{error}");
    assert!(begun.elapsed() < 2 * REFUSED_WITHIN, "{:?}", begun.elapsed());
}

/// What is under way goes on with the connection that it has; the next connection asks anew.
#[test]
fn a_password_that_changes_in_the_middle_of_a_transaction_does_not_end_it() {
    let server = Server::start();
    let source = Current::new("first");
    let database = Database::new(&server.url("loader", "localhost", &server.ca), Limits::default()).unwrap();
    let mut database = database.with_passwords(Arc::clone(&source) as _).unwrap();
    let transaction = database.begin().unwrap();
    server.postgres.query("postgres", "ALTER ROLE loader PASSWORD 'second'").unwrap();
    source.0.lock().unwrap().0 = "second".to_owned();
    transaction.commit().unwrap();
    assert_eq!(source.0.lock().unwrap().1, 1, "not asked for while the connection lasts");
    database.disconnect();
    assert_eq!(database.connect(), Ok(()));
    assert_eq!(source.0.lock().unwrap().1, 2);
}

#[test]
fn a_server_that_never_answers_is_told_within_the_time_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { connect: Duration::from_secs(1), ..Limits::default() };
    let url = format!("postgres://loader:canary@{}/d?sslmode=require", silent.local_addr().unwrap());
    let begun = Instant::now();
    let error = Database::new(&url, limits).unwrap().connect().unwrap_err();
    assert!(begun.elapsed() < REFUSED_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(error.recovery(), Recovery::Retry);
    assert!(error.to_string().contains("no answer within the time limit"), "{error}");
}
