//! What only a real Kafka shows of the Kafka edge: speed of a commit, batches, positions behind markers, refused
//! credentials, encryption, brokers that go away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod members;
mod operating;
mod reading;
mod restoring;
mod streams;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond::broker::kafka::{KafkaBroker, KafkaConfig, KafkaConsumer, KafkaProducer};
use millpond::broker::{
    Broker, BrokerErrorKind, ChangelogReader, CommittedOffset, Consumer, MemberConfig, Membership, NewTopic, Polled,
    Producer, Rebalance, TransactionEnd,
};
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond_harness::{Kafka, KafkaOptions, Scratch};

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

fn broker() -> KafkaBroker {
    KafkaBroker::connect(KafkaConfig::new(Kafka::shared().unwrap().bootstrap_servers())).unwrap()
}

fn create(broker: &KafkaBroker, name: &str, partitions: i32) {
    let configs = BTreeMap::from([("cleanup.policy".to_owned(), "delete".to_owned())]);
    broker.create_topic(&NewTopic { name: name.into(), partitions, replication_factor: -1, configs }).unwrap();
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn record(target: &TopicPartition, value: impl Into<Bytes>) -> ProducerRecord {
    ProducerRecord {
        target: target.clone(),
        timestamp: Timestamp::from_millis(1_000),
        key: None,
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

/// Sends the values in one transaction and commits it.
fn commit(producer: &mut KafkaProducer, target: &TopicPartition, values: &[&str]) {
    producer.begin().unwrap();
    for value in values {
        producer.send(record(target, value.as_bytes().to_vec())).unwrap();
    }
    producer.commit(LIMIT).unwrap();
}

fn member(group: &str, instance: &str) -> MemberConfig {
    MemberConfig { group_id: group.into(), group_instance_id: format!("{group}-{instance}") }
}

/// Polls until a rebalance comes; records before it are an error of the test.
fn next_rebalance(consumer: &mut KafkaConsumer) -> Rebalance {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        match consumer.poll(POLL).unwrap() {
            Polled::Rebalance(change) => return change,
            Polled::Records(records) => panic!("{} records before the rebalance", records.len()),
            Polled::Idle => {}
        }
    }
    panic!("no rebalance within {LIMIT:?}");
}

/// A consumer that owns all partitions of `topic`, none of them started.
fn joined(broker: &KafkaBroker, member: &MemberConfig, topic: &str) -> (KafkaConsumer, Vec<TopicPartition>) {
    let mut consumer = broker.consumer(member).unwrap();
    consumer.subscribe(&[topic.into()]).unwrap();
    let Rebalance::Assign(partitions) = next_rebalance(&mut consumer) else { panic!("the first rebalance assigns") };
    consumer.acknowledge().unwrap();
    (consumer, partitions)
}

/// Polls until `count` records came.
fn read(consumer: &mut KafkaConsumer, count: usize) -> Vec<ConsumedRecord> {
    let begun = Instant::now();
    let mut records = Vec::new();
    while records.len() < count && begun.elapsed() < LIMIT {
        match consumer.poll(POLL).unwrap() {
            Polled::Records(more) => records.extend(more),
            Polled::Rebalance(change) => panic!("an unexpected rebalance: {change:?}"),
            Polled::Idle => {}
        }
    }
    assert_eq!(records.len(), count);
    records
}

fn texts(records: &[ConsumedRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()).collect()
}

fn offsets(partition: &TopicPartition, next: i64, metadata: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
    BTreeMap::from([(partition.clone(), CommittedOffset { next: Offset(next), metadata: metadata.into() })])
}

#[test]
fn a_recreated_topic_has_another_id() {
    let broker = broker();
    let names = ["ids".into(), "ids-missing".into()];
    create(&broker, "ids", 3);
    create(&broker, "ids", 5);
    let before = broker.describe_topics(&names).unwrap();
    assert_eq!(before.keys().map(|name| &**name).collect::<Vec<_>>(), ["ids"]);
    assert_eq!(before["ids"].partitions, 3, "a topic that exists is left as it is");
    Kafka::shared().unwrap().client().delete_topics(&["ids"]).unwrap();
    let begun = Instant::now();
    while !broker.describe_topics(&names).unwrap().is_empty() {
        assert!(begun.elapsed() < LIMIT);
    }
    create(&broker, "ids", 3);
    let after = broker.describe_topics(&names).unwrap();
    assert_ne!(before["ids"].id, after["ids"].id);
    assert_ne!(after["ids"].id.0, [0; 16]);
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_and_not_a_hang() {
    let mut config = KafkaConfig::new("127.0.0.1:1");
    config.request_timeout = Duration::from_secs(2);
    let broker = KafkaBroker::connect(config).unwrap();
    let begun = Instant::now();
    let described = broker.describe_topics(&["t".into()]).unwrap_err();
    let producer = broker.producer("nobody").unwrap_err();
    assert_eq!((described.kind, producer.kind), (BrokerErrorKind::Retriable, BrokerErrorKind::Retriable));
    let mut consumer = broker.consumer(&member("nobody", "0")).unwrap();
    consumer.subscribe(&["t".into()]).unwrap();
    assert!(matches!(consumer.poll(POLL).unwrap(), Polled::Idle));
    assert!(!consumer.membership().is_fencing());
    consumer.close(true).unwrap();
    drop(broker.reader().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
