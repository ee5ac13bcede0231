//! A peer that takes connections and never says a word.

use super::*;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn a_peer_that_never_answers_is_told_within_the_time_limit() {
    // The system takes connections for it; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for security in [
        Security::Plaintext,
        Security::Tls(tls()),
        Security::SaslTls(scram("canary-silent"), tls()),
        Security::SaslPlaintext(scram("canary-silent")),
    ] {
        let mut config = KafkaConfig::new(address.as_str());
        config.security = security;
        config.request_timeout = PATIENCE;
        let shown = format!("{config:?}");
        let broker = KafkaBroker::connect(config).unwrap();
        let describe = || broker.describe_topics(&["any".into()]).map(drop);
        let produce = || broker.producer("any").map(drop);
        let asks: [&dyn Fn() -> Result<(), BrokerError>; 2] = [&describe, &produce];
        for ask in asks {
            let begun = Instant::now();
            let error = ask().unwrap_err();
            assert_eq!(error.recovery(), Recovery::Retry, "{error}: {shown}");
            assert!(begun.elapsed() < PATIENCE + Duration::from_secs(3), "{:?}: {error}", begun.elapsed());
            let told = error.to_string();
            let is_named = told.contains("Timed out") || told.contains("TimedOut");
            assert!(is_named && told.contains("look at the broker and at bootstrap.servers"), "{told}: {shown}");
            assert!(!told.contains("canary"), "{told}");
        }
    }
}
