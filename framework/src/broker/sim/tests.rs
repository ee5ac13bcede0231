//! What the contract suite cannot reach on a real broker: faults, delays, crashes, the clock, operators.

mod copy;
mod faults;
mod membership;
mod model;
mod outside;

use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, CommittedOffset, Consumer, MemberConfig, Polled, Rebalance};
use crate::record::{Headers, Offset, Partition, ProducerRecord, TopicPartition};
use crate::time::Timestamp;

use super::{Isolation, SimBroker, SimConsumer};

const NO_WAIT: Duration = Duration::ZERO;

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn record(target: &TopicPartition, value: &str) -> ProducerRecord {
    ProducerRecord {
        target: target.clone(),
        timestamp: Timestamp::EPOCH,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

fn next(offset: i64) -> CommittedOffset {
    CommittedOffset { next: Offset(offset), metadata: String::new() }
}

/// Values of a topic's records, by partition and offset.
fn values(broker: &SimBroker, topic: &str, isolation: Isolation) -> Vec<String> {
    let text = |value: Option<Bytes>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
    broker.records(topic, isolation).into_iter().map(|record| text(record.value)).collect()
}

fn committed(broker: &SimBroker, topic: &str) -> Vec<String> {
    values(broker, topic, Isolation::ReadCommitted)
}

fn subscribe(broker: &SimBroker, instance: &str, topic: &str) -> SimConsumer {
    let config = MemberConfig { group_id: "app".to_owned(), group_instance_id: instance.to_owned() };
    let mut consumer = broker.consumer(&config).unwrap();
    consumer.subscribe(&[topic.into()]).unwrap();
    consumer
}

/// Polls, and confirms the rebalance that must come.
fn confirmed(consumer: &mut SimConsumer) -> Rebalance {
    match consumer.poll(NO_WAIT).unwrap() {
        Polled::Rebalance(change) => {
            consumer.acknowledge().unwrap();
            change
        }
        other => panic!("no rebalance: {other:?}"),
    }
}

/// A cluster with an input and an output topic of two partitions each, and a member that owns the input.
fn with_member() -> (SimBroker, SimConsumer) {
    let broker = SimBroker::new();
    broker.add_topic("in", 2);
    broker.add_topic("out", 2);
    let mut consumer = subscribe(&broker, "a", "in");
    assert_eq!(confirmed(&mut consumer), Rebalance::Assign(vec![at("in", 0), at("in", 1)]));
    (broker, consumer)
}
