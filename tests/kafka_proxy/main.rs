//! Requests that arrive late, twice or never, between a real client and a real Kafka.
//!
//! librdkafka repeats `EndTxn` when a connection breaks, and knows no epoch per transaction (KIP-890). The first copy may
//! still be on its way, and ends whatever transaction is open when it arrives (librdkafka#5423):
//!
//! ```text
//! client  EndTxn(1) ──────────╮ the connection breaks     begin(2) b1                    b2 abort(2)
//! retry   EndTxn(1) ▶ commits a
//! late                        ╰────────────────────────────────────▶ commits b1: half of a transaction
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod application;
mod cases;
mod known;
mod matrix;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use millpond::broker::kafka::{KafkaBroker, KafkaConfig, KafkaConsumer};
use millpond::broker::{Broker, BrokerErrorKind, Consumer, MemberConfig, Polled, Producer, Rebalance};
use millpond::record::{Headers, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond_harness::proxy::{Action, Api, Rule};
use millpond_harness::{Client, Kafka, KafkaOptions, Proxy, Scratch, wait_for};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const LIMIT: Duration = Duration::from_secs(30);
/// How seldom the coordinator looks for transactions that are open for too long.
const ABORT_INTERVAL: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(100);
/// `INVALID_PRODUCER_EPOCH` and `PRODUCER_FENCED`.
const FENCED: [i16; 2] = [47, 90];

/// The broker and the proxy that the tests of this file share, one after the other: a proxy has one list of rules.
fn kafka() -> (&'static Kafka, &'static Proxy, MutexGuard<'static, ()>) {
    static SHARED: OnceLock<(Kafka, Proxy)> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (kafka, proxy) = SHARED.get_or_init(|| {
        let proxy = Proxy::start().unwrap();
        let interval = ABORT_INTERVAL.as_millis().to_string();
        let properties = vec![("transaction.abort.timed.out.transaction.cleanup.interval.ms".to_owned(), interval)];
        let options = KafkaOptions { proxied: Some(proxy.address().to_owned()), properties, ..KafkaOptions::default() };
        let kafka = Kafka::start_with(Scratch::new("proxied").unwrap().path(), options).unwrap();
        proxy.forward_to(kafka.behind_proxy());
        (kafka, proxy)
    });
    (kafka, proxy, turn)
}

fn committed(client: &Client, topic: &str) -> Vec<String> {
    client.read_committed(topic).unwrap().iter().map(millpond_harness::Received::text).collect()
}

/// A producer as librdkafka's users write it.
fn plain(bootstrap_servers: &str, id: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("transactional.id", id);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer
}

fn write(producer: &BaseProducer, topic: &str, value: &str) -> Result<(), KafkaError> {
    let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).payload(value.as_bytes());
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(LIMIT)
}

fn record(topic: &str, value: &'static str) -> ProducerRecord {
    ProducerRecord {
        target: TopicPartition::new(topic, Partition(0)),
        timestamp: Timestamp::from_millis(1_000),
        key: None,
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

#[test]
fn a_client_without_a_guard_commits_half_a_transaction() {
    let ((kafka, proxy, _turn), topic) = (kafka(), "unguarded");
    let client = kafka.client();
    client.create_topics(&[topic], 1, &[]).unwrap();
    let producer = plain(proxy.address(), topic);
    proxy.set_rules([Rule::once(Api::EndTxn, Action::HoldAndCut).of(topic)]);
    producer.begin_transaction().unwrap();
    write(&producer, topic, "a").unwrap();
    producer.commit_transaction(LIMIT).unwrap();
    assert_eq!((proxy.hits(), proxy.held()), (vec![1], 1), "the first copy is on its way, the second has committed");

    producer.begin_transaction().unwrap();
    write(&producer, topic, "b1").unwrap();
    assert_eq!(proxy.release().unwrap(), [0], "the broker takes it for the end of this transaction");
    // The answer comes before the marker; what is written in between belongs to the half that is committed.
    wait_for(LIMIT, "b1 is committed", || committed(&client, topic).len() == 2).unwrap();
    let _ = write(&producer, topic, "b2");
    let _ = producer.abort_transaction(LIMIT);
    assert_eq!(committed(&client, topic), ["a", "b1"], "half of a transaction that was given up");
}

#[test]
fn ours_is_replaced_and_the_late_request_is_fenced() {
    let ((kafka, proxy, _turn), topic) = (kafka(), "guarded");
    let client = kafka.client();
    client.create_topics(&[topic], 1, &[]).unwrap();
    let broker = KafkaBroker::connect(KafkaConfig::new(proxy.address())).unwrap();
    let mut producer = broker.producer(topic).unwrap();
    proxy.set_rules([Rule::once(Api::EndTxn, Action::HoldAndCut).of(topic)]);
    producer.begin().unwrap();
    producer.send(record(topic, "a")).unwrap();
    producer.commit(LIMIT).unwrap();
    assert_eq!(proxy.held(), 1);
    assert!(producer.taint().is_some(), "a broken connection during the commit was not noticed");

    // As the runtime does with a tainted producer.
    drop(producer);
    let mut producer = broker.producer(topic).unwrap();
    producer.begin().unwrap();
    producer.send(record(topic, "b1")).unwrap();
    let answers = proxy.release().unwrap();
    assert!(answers.iter().all(|answer| FENCED.contains(answer)), "{answers:?}");
    producer.send(record(topic, "b2")).unwrap();
    producer.commit(LIMIT).unwrap();
    assert_eq!(committed(&client, topic), ["a", "b1", "b2"]);
}

/// Polls until the assignment changes, and confirms it.
fn changed(member: &mut KafkaConsumer, what: &str) -> Rebalance {
    let mut change = None;
    let seen = wait_for(LIMIT, what, || {
        if let Polled::Rebalance(rebalance) = member.poll(POLL).unwrap() {
            change = Some(rebalance);
        }
        change.is_some()
    });
    seen.unwrap();
    member.acknowledge().unwrap();
    change.unwrap()
}

/// Polls until the member is fenced.
fn fenced(member: &mut KafkaConsumer) -> BrokerErrorKind {
    let mut error = None;
    let fenced = wait_for(LIMIT, "the member is fenced", || {
        error = member.poll(POLL).err();
        error.is_some()
    });
    fenced.unwrap();
    error.unwrap().kind
}

/// librdkafka can fence its own member when a broker comes back (#3437): after its session has ended. Without that the same
/// answer means a twin, and is final. Of two twins one stays, whoever had lost its session.
#[test]
fn a_member_that_is_fenced_after_its_session_had_ended_joins_again_and_another_one_does_not() {
    let ((kafka, proxy, _turn), topic) = (kafka(), "fenced");
    kafka.client().create_topics(&[topic], 1, &[]).unwrap();
    let member = MemberConfig { group_id: topic.into(), group_instance_id: "fenced-0".into() };
    let join = |bootstrap_servers: &str| {
        let config = KafkaConfig { session_timeout: Duration::from_secs(6), ..KafkaConfig::new(bootstrap_servers) };
        let mut consumer = KafkaBroker::connect(config).unwrap().consumer(&member).unwrap();
        consumer.subscribe(&[topic.into()]).unwrap();
        assert!(matches!(changed(&mut consumer, "it is assigned"), Rebalance::Assign(_)));
        consumer
    };
    let mut first = join(proxy.address());
    proxy.set_rules([Rule::every(1, Api::Heartbeat, Action::CutRequest).of(topic)]);
    assert!(matches!(changed(&mut first, "its session ends"), Rebalance::Lost(_)));
    proxy.set_rules([]);
    assert!(matches!(changed(&mut first, "it has joined again"), Rebalance::Assign(_)));

    let mut second = join(kafka.bootstrap_servers());
    assert_eq!(fenced(&mut first), BrokerErrorKind::MemberFenced, "its own session had ended just before");
    drop(first);
    let mut first = join(kafka.bootstrap_servers());
    assert_eq!(fenced(&mut second), BrokerErrorKind::InstanceFenced, "it has a twin, and ends");
    assert!(matches!(first.poll(POLL), Ok(Polled::Idle)), "one of the two stays");
}

/// No time-out, no broken connection: nothing that a guard could see. The transaction is torn, and its second half is
/// refused, so that whoever goes on has to look at what was committed.
#[test]
fn a_copy_that_nobody_noticed_is_told_by_the_broker() {
    let ((kafka, proxy, _turn), topic) = (kafka(), "unnoticed");
    let client = kafka.client();
    client.create_topics(&[topic], 1, &[]).unwrap();
    let broker = KafkaBroker::connect(KafkaConfig::new(proxy.address())).unwrap();
    let mut producer = broker.producer(topic).unwrap();
    proxy.set_rules([Rule::once(Api::EndTxn, Action::Copy).of(topic)]);
    producer.begin().unwrap();
    producer.send(record(topic, "a")).unwrap();
    producer.commit(LIMIT).unwrap();
    assert_eq!(producer.taint(), None);

    producer.begin().unwrap();
    producer.send(record(topic, "b1")).unwrap();
    wait_for(LIMIT, "b1 is in the log", || client.read_uncommitted(topic).unwrap().len() == 2).unwrap();
    assert_eq!(proxy.release().unwrap(), [0]);
    // The answer comes before the marker; what is written in between belongs to the half that is committed.
    wait_for(LIMIT, "b1 is committed", || committed(&client, topic).len() == 2).unwrap();
    producer.send(record(topic, "b2")).unwrap();
    let error = producer.commit(LIMIT).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::Abortable, "{error}");
    assert_eq!(committed(&client, topic), ["a", "b1"]);
}
