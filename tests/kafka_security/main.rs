//! Encrypted and authenticated connections to a real Kafka, and what happens when it refuses them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod applications;
mod renewal;
mod silence;

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millpond::aws::{DefaultChain, Renewed, Variables};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig, MskIam, Sasl, Security, Tls, Token, TokenError, TokenSource};
use millpond::broker::{
    Broker, BrokerError, BrokerErrorKind, ChangelogReader, Consumer, MemberConfig, NewTopic, Polled, Producer,
    Rebalance,
};
use millpond::error::Recovery;
use millpond::record::{Headers, Offset, Partition, ProducerRecord, TopicPartition};
use millpond::runtime::config::{Flag, Sources, StreamsConfig};
use millpond::time::Timestamp;
use millpond_harness::{KEY_PASSWORD, Kafka, KafkaOptions, Scratch, Secured, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// A refusal must be told long before any time-out.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
const PASSWORD: &str = "canary-4e1d9c";

/// `host:port` of its listener without any security.
static PLAIN_LISTENER: OnceLock<String> = OnceLock::new();

/// One broker with secured listeners for all tests here.
fn secured() -> &'static Secured {
    static KAFKA: OnceLock<(Scratch, Kafka)> = OnceLock::new();
    let (_, kafka) = KAFKA.get_or_init(|| {
        let scratch = Scratch::new("security").unwrap();
        let users = vec![("alice".to_owned(), PASSWORD.to_owned())];
        let security = Some(millpond_harness::Security { users });
        let options = KafkaOptions { security, ..KafkaOptions::default() };
        let kafka = Kafka::start_with(scratch.path(), options).unwrap();
        PLAIN_LISTENER.set(kafka.bootstrap_servers().to_owned()).unwrap();
        (scratch, kafka)
    });
    kafka.secured().unwrap()
}

fn tls() -> Tls {
    Tls { ca_file: Some(secured().ca.clone()), ..Tls::default() }
}

fn connect(bootstrap: &str, security: Security) -> KafkaBroker {
    let mut config = KafkaConfig::new(bootstrap);
    config.security = security;
    KafkaBroker::connect(config).unwrap()
}

fn sasl(sasl: Sasl) -> KafkaBroker {
    connect(&secured().sasl_ssl, Security::SaslTls(sasl, tls()))
}

fn member(name: &str) -> MemberConfig {
    MemberConfig { group_id: name.into(), group_instance_id: format!("{name}-0-0") }
}

/// Every kind of client works: topics, a transaction, a group member, a changelog reader.
fn works(broker: &KafkaBroker, name: &str) {
    let topic = NewTopic { name: name.into(), partitions: 1, replication_factor: -1, configs: BTreeMap::new() };
    broker.create_topic(&topic).unwrap();
    let at = TopicPartition::new(name, Partition(0));
    let mut producer = broker.producer(name).unwrap();
    producer.begin().unwrap();
    let value = Some("secured".into());
    let timestamp = Timestamp::from_millis(1);
    producer.send(ProducerRecord { target: at.clone(), timestamp, key: None, value, headers: Headers::new() }).unwrap();
    producer.commit(LIMIT).unwrap();

    let mut reader = broker.reader().unwrap();
    reader.assign(&BTreeMap::from([(at.clone(), Offset(0))])).unwrap();
    let (begun, mut records) = (Instant::now(), 0);
    while reader.position(&at) < Some(Offset(2)) {
        assert!(begun.elapsed() < LIMIT);
        records += reader.poll(POLL).unwrap().len();
    }
    assert_eq!(records, 1);

    let mut consumer = broker.consumer(&member(name)).unwrap();
    consumer.subscribe(&[name.into()]).unwrap();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LIMIT);
        match consumer.poll(POLL).unwrap() {
            Polled::Rebalance(change) => {
                assert_eq!(change, Rebalance::Assign(vec![at.clone()]));
                consumer.acknowledge().unwrap();
                consumer.start_at(&at, Offset(0)).unwrap();
            }
            Polled::Records(records) => {
                assert_eq!(records.len(), 1);
                break;
            }
            Polled::Idle => {}
        }
    }
    consumer.close(true).unwrap();
}

/// Every kind of client names the refusal, in time, without a secret, as a reason to stop.
fn is_refused(broker: &KafkaBroker, name: &str) {
    let begun = Instant::now();
    let mut errors = vec![broker.describe_topics(&[name.into()]).unwrap_err()];
    errors.push(broker.producer(name).unwrap_err());
    let mut consumer = broker.consumer(&member(name)).unwrap();
    consumer.subscribe(&[name.into()]).unwrap();
    let mut reader = broker.reader().unwrap();
    reader.assign(&BTreeMap::from([(TopicPartition::new(name, Partition(0)), Offset(0))])).unwrap();
    errors.push(first_error(|| consumer.poll(POLL).map(drop)));
    errors.push(first_error(|| reader.poll(POLL).map(drop)));
    consumer.close(false).unwrap();
    for error in errors {
        assert_eq!((error.kind, error.recovery()), (BrokerErrorKind::Unauthorized, Recovery::Shutdown), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert!(begun.elapsed() < 4 * REFUSED_WITHIN, "{:?}", begun.elapsed());
}

fn first_error<E>(mut call: impl FnMut() -> Result<(), E>) -> E {
    let begun = Instant::now();
    loop {
        match call() {
            Err(error) => return error,
            Ok(()) => assert!(begun.elapsed() < REFUSED_WITHIN, "no error within {REFUSED_WITHIN:?}"),
        }
    }
}

fn scram(password: &str) -> Sasl {
    Sasl::ScramSha512 { username: "alice".into(), password: password.into() }
}

#[test]
fn tls_with_and_without_a_certificate_of_our_own() {
    works(&connect(&secured().ssl, Security::Tls(tls())), "tls");
    let mutual = Tls {
        certificate_file: Some(secured().client_certificate.clone()),
        key_file: Some(secured().client_key.clone()),
        ..tls()
    };
    works(&connect(&secured().ssl, Security::Tls(mutual)), "mutual-tls");
}

#[test]
fn a_broker_of_another_authority_is_not_trusted() {
    // Our own leaf certificate is no authority for the broker's.
    let stranger = Tls { ca_file: Some(secured().client_certificate.clone()), ..Tls::default() };
    let broker = connect(&secured().ssl, Security::Tls(stranger));
    is_refused(&broker, "stranger");
    says(&broker, "ssl.ca.location must hold the authority that signed it");
}

/// Lets connections to another address of this machine through to `to`.
fn forwarded(to: &str) -> String {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = to.to_owned();
    // The threads end with the process.
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(broker) = TcpStream::connect(&to) else { continue };
            for (mut from, mut into) in [(client.try_clone().unwrap(), broker.try_clone().unwrap()), (broker, client)] {
                std::thread::spawn(move || {
                    io::copy(&mut from, &mut into).ok();
                    into.shutdown(Shutdown::Both).ok();
                });
            }
        }
    });
    address
}

#[test]
fn a_broker_under_a_name_that_its_certificate_lacks_is_not_trusted() {
    let broker = connect(&forwarded(&secured().ssl), Security::Tls(tls()));
    is_refused(&broker, "wrong-host");
    says(&broker, "its names must have the host of bootstrap.servers");
}

/// A broker whose certificate is good in these years only.
fn certified(name: &str, years: (i32, i32)) -> (Scratch, Kafka) {
    let scratch = Scratch::new(name).unwrap();
    let dir = scratch.path().join("tls");
    std::fs::create_dir_all(&dir).unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap().pem();
    // The harness makes its own only where none are.
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("server.pem", key.serialize_pem() + &certificate),
        ("client.pem", certificate),
        ("client.key", key.serialize_pem()),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let security = Some(millpond_harness::Security::default());
    let kafka = Kafka::start_with(scratch.path(), KafkaOptions { security, ..KafkaOptions::default() }).unwrap();
    (scratch, kafka)
}

/// A certificate that is not good yet is what a clock that is behind makes of a new one.
#[test]
fn a_certificate_of_other_years_is_not_trusted() {
    for (name, years) in [("expired", (2020, 2021)), ("not-yet", (2090, 2091))] {
        let (_scratch, kafka) = certified(name, years);
        let secured = kafka.secured().unwrap();
        let tls = Tls { ca_file: Some(secured.ca.clone()), ..Tls::default() };
        let broker = connect(&secured.ssl, Security::Tls(tls));
        is_refused(&broker, name);
        says(&broker, "today must lie within its dates by this machine's clock");
    }
}

/// The error says what to do.
fn says(broker: &KafkaBroker, advice: &str) {
    let error = broker.describe_topics(&["any".into()]).unwrap_err().to_string();
    assert!(error.contains(advice), "{advice}: {error}");
}

#[test]
fn a_broker_that_wants_a_certificate_refuses_whoever_has_none_or_a_strangers() {
    let scratch = Scratch::new("mutual").unwrap();
    let wanted = ("listener.name.ssl.ssl.client.auth".to_owned(), "required".to_owned());
    let security = Some(millpond_harness::Security::default());
    let options = KafkaOptions { security, properties: vec![wanted], ..KafkaOptions::default() };
    let kafka = Kafka::start_with(scratch.path(), options).unwrap();
    let ours = kafka.secured().unwrap();
    let with = |certificate: Option<&PathBuf>, key: Option<&PathBuf>| {
        let (certificate_file, key_file) = (certificate.cloned(), key.cloned());
        let tls = Tls { ca_file: Some(ours.ca.clone()), certificate_file, key_file, ..Tls::default() };
        connect(&ours.ssl, Security::Tls(tls))
    };
    works(&with(Some(&ours.client_certificate), Some(&ours.client_key)), "mutual");
    let locked = Tls {
        ca_file: Some(ours.ca.clone()),
        certificate_file: Some(ours.client_certificate.clone()),
        key_file: Some(ours.locked_client_key.clone()),
        key_password: Some(KEY_PASSWORD.into()),
    };
    works(&connect(&ours.ssl, Security::Tls(locked)), "mutual-locked");
    let strangers = secured();
    for (name, broker) in [
        ("no-certificate", with(None, None)),
        ("a-strangers-certificate", with(Some(&strangers.client_certificate), Some(&strangers.client_key))),
    ] {
        is_refused(&broker, name);
        says(&broker, "say ssl.certificate.location and ssl.key.location");
    }
}

/// Neither side waits for the other to change its mind, and nobody falls back to plain text.
#[test]
fn a_listener_of_another_protocol_is_named_within_the_time_limit() {
    let plain = {
        secured();
        PLAIN_LISTENER.get().unwrap().clone()
    };
    for (bootstrap, security, said) in [
        (&plain, Security::Tls(tls()), "PLAINTEXT"),
        (&plain, Security::SaslTls(scram("canary-wrong"), tls()), "PLAINTEXT"),
        (&secured().ssl, Security::Plaintext, "security.protocol"),
        (&secured().sasl_ssl, Security::SaslPlaintext(scram("canary-wrong")), "security.protocol"),
    ] {
        let mut config = KafkaConfig::new(bootstrap.as_str());
        config.security = security;
        config.request_timeout = Duration::from_secs(4);
        let shown = format!("{config:?}");
        let broker = KafkaBroker::connect(config).unwrap();
        let begun = Instant::now();
        for error in [broker.describe_topics(&["any".into()]).unwrap_err(), broker.producer("any").unwrap_err()] {
            assert!(error.to_string().contains(said), "{said}: {error}: {shown}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(begun.elapsed() < REFUSED_WITHIN + Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_mechanism_that_the_listener_lacks_is_named() {
    let (_scratch, kafka) = {
        let scratch = Scratch::new("mechanisms").unwrap();
        let only = ("listener.name.sasl_ssl.sasl.enabled.mechanisms".to_owned(), "SCRAM-SHA-256".to_owned());
        let security = Some(millpond_harness::Security::default());
        let options = KafkaOptions { security, properties: vec![only], ..KafkaOptions::default() };
        let kafka = Kafka::start_with(scratch.path(), options).unwrap();
        (scratch, kafka)
    };
    let there = kafka.secured().unwrap();
    let tls = Tls { ca_file: Some(there.ca.clone()), ..Tls::default() };
    let broker = connect(&there.sasl_ssl, Security::SaslTls(scram(PASSWORD), tls));
    is_refused(&broker, "mechanism");
    says(&broker, "say a sasl.mechanism that this listener of the broker has");
}

#[test]
fn a_missing_file_is_named() {
    let mut config = KafkaConfig::new("localhost:1");
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    config.security = Security::Tls(Tls { ca_file, ..Tls::default() });
    let error = KafkaBroker::connect(config).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::Configuration);
    assert!(error.reason.contains("ca"), "{error}");
}

#[test]
fn scram_of_both_lengths() {
    works(&sasl(scram(PASSWORD)), "scram-512");
    works(&sasl(Sasl::ScramSha256 { username: "alice".into(), password: PASSWORD.into() }), "scram-256");
}

/// SCRAM never sends the password, so that a network of one's own may do without TLS.
#[test]
fn scram_without_tls() {
    let scratch = Scratch::new("sasl-plaintext").unwrap();
    let map = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_PLAINTEXT,PROXIED:PLAINTEXT";
    let unencrypted = ("listener.security.protocol.map".to_owned(), map.to_owned());
    let security = Some(millpond_harness::Security { users: vec![("alice".to_owned(), PASSWORD.to_owned())] });
    let options = KafkaOptions { security, properties: vec![unencrypted], ..KafkaOptions::default() };
    let kafka = Kafka::start_with(scratch.path(), options).unwrap();
    let listener = &kafka.secured().unwrap().sasl_ssl;
    works(&connect(listener, Security::SaslPlaintext(scram(PASSWORD))), "sasl-plaintext");
    let broker = connect(listener, Security::SaslPlaintext(scram("canary-wrong")));
    is_refused(&broker, "sasl-plaintext-wrong");
    says(&broker, "correct sasl.username and sasl.password");
}

#[test]
fn a_wrong_password_is_an_error_and_not_a_hang() {
    let wrong = Sasl::Plain { username: "alice".into(), password: "canary-wrong".into() };
    for (name, sasl) in [("wrong-password", scram("canary-wrong")), ("wrong-plain", wrong)] {
        let broker = self::sasl(sasl);
        is_refused(&broker, name);
        says(&broker, "correct sasl.username and sasl.password");
    }
}

#[test]
fn a_password_goes_as_it_is_over_tls() {
    works(&sasl(Sasl::Plain { username: "alice".into(), password: PASSWORD.into() }), "plain");
}

/// Unsigned tokens, which the test broker accepts.
#[derive(Debug)]
struct Unsigned {
    given: Mutex<u32>,
    fails: AtomicBool,
    seconds: i64,
    /// How far the clock that they are made by is ahead.
    ahead: i64,
}

impl Unsigned {
    fn living(seconds: i64) -> Self {
        Self { given: Mutex::new(0), fails: AtomicBool::new(false), seconds, ahead: 0 }
    }
}

impl TokenSource for Unsigned {
    fn token(&self) -> Result<Token, TokenError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(TokenError::NoCredentials("the token source of the test".into()));
        }
        *self.given.lock().unwrap() += 1;
        Ok(Token {
            value: unsigned(now() + self.ahead, self.seconds).into(),
            principal: "alice".into(),
            expires_at_ms: (now() + self.seconds) * 1000,
        })
    }
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A token that is good for so many seconds from then on.
fn unsigned(issued: i64, seconds: i64) -> String {
    let claims = format!(r#"{{"sub":"alice","iat":{issued},"exp":{}}}"#, issued + seconds);
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims))
}

/// Connects as an application does whose configuration names this file.
fn by_token_file(file: &Path) -> KafkaBroker {
    let flag = |(key, value): (&str, &str)| Flag { flag: "--set".into(), key: key.into(), value: value.into() };
    let flags = [
        ("application.id", "token-file"),
        ("bootstrap.servers", &secured().sasl_ssl),
        ("state.dir", "/nowhere"),
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.file", file.to_str().unwrap()),
        ("ssl.ca.location", secured().ca.to_str().unwrap()),
    ];
    let sources = Sources { flags: flags.map(flag).into(), ..Sources::default() };
    KafkaBroker::connect(KafkaConfig::of(&StreamsConfig::load(&sources).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_token_is_read_from_its_file_and_a_renewed_file_is_taken() {
    let scratch = Scratch::new("token-file").unwrap();
    let file = scratch.path().join("token");
    // As Kubernetes does it: the new file is in its place at once.
    let write = |text: &str| {
        std::fs::write(scratch.path().join("new"), text).unwrap();
        std::fs::rename(scratch.path().join("new"), &file).unwrap();
    };
    says(&by_token_file(&file), "mend the source of tokens");
    write(&format!("{}\n", unsigned(now(), 8)));
    let broker = by_token_file(&file);
    broker.describe_topics(&["token-file".into()]).unwrap();
    // The client that is there goes on when its token ends, and those that are made later begin with what then is in the file.
    write(&unsigned(now(), 120));
    let begun = Instant::now();
    wait_for(LIMIT, "the token of the beginning has ended", || begun.elapsed() > Duration::from_secs(9)).unwrap();
    works(&broker, "token-file");

    let ended = "the token in the file of sasl.oauthbearer.token.file ended";
    for (text, said) in [(String::new(), "is empty"), (unsigned(now() - 120, 60), ended)] {
        write(&text);
        let broker = by_token_file(&file);
        is_refused(&broker, "token-file-refused");
        says(&broker, said);
    }
    write(&unsigned(now(), 60));
    works(&by_token_file(&file), "token-file-mended");
}

#[test]
fn tokens_come_from_their_source() {
    let source = Arc::new(Unsigned::living(60));
    works(&sasl(Sasl::OAuthBearer(Arc::clone(&source) as _)), "bearer");
    assert!(*source.given.lock().unwrap() >= 4, "each client asks for its own");
}

#[test]
fn a_token_source_that_fails_is_named() {
    let broker = sasl(Sasl::OAuthBearer(Arc::new(Unsigned { fails: true.into(), ..Unsigned::living(60) })));
    let begun = Instant::now();
    let error = broker.describe_topics(&["t".into()]).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::Unauthorized, "{error}");
    assert!(error.reason.contains("the token source of the test"), "{error}");
    assert!(begun.elapsed() < REFUSED_WITHIN);
}

/// What MSK would take is no token for this broker: the way there is the same, and the refusal as well.
#[test]
fn a_token_that_is_refused_is_named_without_the_token() {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "canary-secret"),
        ("AWS_SESSION_TOKEN", "canary-token"),
    ];
    let variables: Variables = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let chain = DefaultChain::with_variables("eu-west-1", variables);
    let tokens = MskIam::with_credentials("eu-west-1", Arc::new(Renewed::new(chain)));
    let broker = sasl(Sasl::OAuthBearer(Arc::new(tokens)));
    is_refused(&broker, "refused-token");
    says(&broker, "the broker refuses the token");
}

/// Whoever makes a token knows its end by the same clock: only the broker can tell that it is wrong.
#[test]
fn a_token_by_a_clock_that_is_off_is_named_with_the_clock() {
    for (name, ahead) in [("clock-behind", -3600), ("clock-ahead", 3600)] {
        let source = Unsigned { ahead, ..Unsigned::living(60) };
        let broker = sasl(Sasl::OAuthBearer(Arc::new(source)));
        is_refused(&broker, name);
        says(&broker, "set this machine's clock");
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every log line of librdkafka at its most talkative, of good and of refused connections.
#[test]
fn no_secret_reaches_a_log() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    subscriber.init();
    let mut config = KafkaConfig::new(&secured().sasl_ssl);
    let key_password = Some("canary-key".into());
    config.security = Security::SaslTls(scram(PASSWORD), Tls { key_password, ..tls() });
    config.properties.insert("debug".into(), "all".into());
    works(&KafkaBroker::connect(config.clone()).unwrap(), "quiet");
    config.security = Security::SaslTls(scram("canary-wrong"), tls());
    is_refused(&KafkaBroker::connect(config).unwrap(), "quiet");
    let logged = String::from_utf8_lossy(&buffer.0.lock().unwrap()).into_owned();
    assert!(logged.lines().count() > 1_000, "librdkafka's debug lines are there");
    assert!(logged.contains("SASL"), "its authentication is in them");
    if let Some(line) = logged.lines().find(|line| line.contains("canary")) {
        panic!("a secret in the log: {line}");
    }
}
