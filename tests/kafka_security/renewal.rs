//! Tokens that end in the middle of a transaction.

use super::*;

/// Of the token that a transaction begins with.
const SECONDS: i64 = 5;

fn record(topic: &str) -> ProducerRecord {
    ProducerRecord {
        target: TopicPartition::new(topic, Partition(0)),
        timestamp: Timestamp::from_millis(1),
        key: None,
        value: Some("x".into()),
        headers: Headers::new(),
    }
}

fn create(broker: &KafkaBroker, name: &str) {
    let topic = NewTopic { name: name.into(), partitions: 1, replication_factor: -1, configs: BTreeMap::new() };
    broker.create_topic(&topic).unwrap();
}

/// Waits until the token that there was now has ended.
fn outlive_the_token() {
    let begun = Instant::now();
    let ended = || begun.elapsed() > Duration::from_secs(SECONDS.unsigned_abs() + 1);
    wait_for(LIMIT, "the token of the beginning has ended", ended).unwrap();
}

#[test]
fn a_token_is_renewed_in_the_middle_of_a_transaction() {
    let source = Arc::new(Unsigned::living(SECONDS));
    let broker = sasl(Sasl::OAuthBearer(Arc::clone(&source) as _));
    create(&broker, "renewed");
    let mut producer = broker.producer("renewed").unwrap();
    producer.begin().unwrap();
    producer.send(record("renewed")).unwrap();
    let given = *source.given.lock().unwrap();
    outlive_the_token();
    producer.send(record("renewed")).unwrap();
    producer.commit(LIMIT).unwrap();
    assert!(*source.given.lock().unwrap() > given, "another was asked for");
}

/// A broker that holds clients to the end of their tokens (`connections.max.reauth.ms`), and a source that has none any more: the
/// transaction ends in time and commits nothing, and who goes on hears the source's words. With the source mended it goes on.
#[test]
fn a_renewal_that_fails_in_the_middle_of_a_transaction_commits_nothing_and_is_named_to_the_next() {
    let scratch = Scratch::new("renewal").unwrap();
    let reauth = "listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms".to_owned();
    let options = KafkaOptions {
        security: Some(millpond_harness::Security::default()),
        properties: vec![(reauth, "3600000".to_owned())],
        ..KafkaOptions::default()
    };
    let kafka = Kafka::start_with(scratch.path(), options).unwrap();
    let there = kafka.secured().unwrap();
    let tls = Tls { ca_file: Some(there.ca.clone()), ..Tls::default() };
    let source = Arc::new(Unsigned::living(SECONDS));
    let broker = connect(&there.sasl_ssl, Security::SaslTls(Sasl::OAuthBearer(Arc::clone(&source) as _), tls));
    create(&broker, "unrenewed");
    let mut producer = broker.producer("unrenewed").unwrap();
    producer.begin().unwrap();
    producer.send(record("unrenewed")).unwrap();
    source.fails.store(true, Ordering::Relaxed);
    outlive_the_token();
    let begun = Instant::now();
    let sent = producer.send(record("unrenewed"));
    let error = sent.and_then(|()| producer.commit(LIMIT)).unwrap_err();
    assert!(begun.elapsed() < LIMIT, "{:?}: {error}", begun.elapsed());
    assert_eq!(error.kind, BrokerErrorKind::Abortable, "{error}");
    drop(producer);
    let begun = Instant::now();
    let error = broker.producer("unrenewed").unwrap_err();
    assert!(begun.elapsed() < REFUSED_WITHIN, "{:?}: {error}", begun.elapsed());
    assert_eq!((error.kind, error.recovery()), (BrokerErrorKind::Unauthorized, Recovery::Shutdown), "{error}");
    assert!(error.to_string().contains("the token source of the test"), "{error}");
    source.fails.store(false, Ordering::Relaxed);
    // The next one of that name ends what was left open.
    let mut producer = broker.producer("unrenewed").unwrap();
    producer.begin().unwrap();
    producer.send(record("unrenewed")).unwrap();
    producer.commit(LIMIT).unwrap();
    assert_eq!(kafka.client().read_committed("unrenewed").unwrap().len(), 1);
}
