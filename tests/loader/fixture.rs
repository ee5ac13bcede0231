//! What the suites share: records, tables and a loader that is driven step by step.

use std::time::{Duration, Instant};

use bytes::Bytes;
use loader::{Loader, LoaderConfig, LoaderStatus, Routes, SharedStatus};
use millpond::broker::sim::{Isolation, SimBroker, SimConfig};
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond_harness::Postgres;

pub(crate) const LIMIT: Duration = Duration::from_mins(1);
pub(crate) const APP: &str = "loader";
pub(crate) const EVENTS: &str = "processed_events";
pub(crate) const ATTRIBUTIONS: &str = "attributions";
pub(crate) const DEAD_LETTERS: &str = "loader-dead-letters";

/// An empty database of its own.
pub(crate) fn database() -> String {
    Postgres::shared().unwrap().create_database().unwrap()
}

pub(crate) fn query(url: &str, sql: &str) -> Vec<Vec<String>> {
    Postgres::shared().unwrap().query(url, sql).unwrap()
}

pub(crate) fn count(url: &str, sql: &str) -> u64 {
    query(url, sql)[0][0].parse().unwrap()
}

/// A cluster with the default routes' topics.
pub(crate) fn broker(partitions: usize) -> SimBroker {
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    assert!(broker.add_topic(EVENTS, partitions) && broker.add_topic(ATTRIBUTIONS, partitions));
    broker
}

pub(crate) fn config(url: &str, instance: &str) -> LoaderConfig {
    let mut config = LoaderConfig::new(APP, instance, url, Routes::defaults().unwrap());
    config.display_interval = Duration::ZERO;
    config.give_up_after = LIMIT;
    config
}

pub(crate) fn event(user: &str) -> String {
    format!(r#"{{"user_id":"{user}","event_name":"visit","page":"/","unknown":1}}"#)
}

pub(crate) fn attribution(order: &str, channel: &str) -> String {
    format!(r#"{{"user_id":"u","order_id":"{order}","marketing_channel":"{channel}"}}"#)
}

pub(crate) fn record(topic: &str, partition: i32, at_ms: i64, value: impl Into<Bytes>) -> ProducerRecord {
    ProducerRecord {
        target: TopicPartition::new(topic, Partition(partition)),
        timestamp: Timestamp::from_millis(at_ms),
        key: None,
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

pub(crate) fn append(broker: &SimBroker, topic: &str, partition: i32, value: impl Into<Bytes>) -> Offset {
    broker.append(record(topic, partition, 1_700_000_000_000, value)).unwrap()
}

/// Appends events of users `from..to`, spread over the partitions.
pub(crate) fn append_events(broker: &SimBroker, users: std::ops::Range<usize>) {
    let partitions = broker.partitions(EVENTS).len();
    for user in users {
        append(broker, EVENTS, i32::try_from(user % partitions).unwrap(), event(&format!("u{user}")));
    }
}

/// A consumed record, for suites without a broker.
pub(crate) fn consumed(topic: &str, offset: i64, value: &str) -> ConsumedRecord {
    ConsumedRecord {
        source: TopicPartition::new(topic, Partition(0)),
        offset: Offset(offset),
        timestamp: Timestamp::from_millis(1_700_000_000_123),
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

/// A loader, its status, and whatever it reads.
pub(crate) struct Driven {
    pub(crate) loader: Loader<SimBroker>,
    pub(crate) status: SharedStatus,
}

impl Driven {
    pub(crate) fn new(config: LoaderConfig, broker: &SimBroker) -> Self {
        let status = SharedStatus::default();
        let mut loader = Loader::new(config, broker.clone(), status.clone()).unwrap();
        loader.join().unwrap();
        Self { loader, status }
    }

    pub(crate) fn status(&self) -> LoaderStatus {
        self.status.get()
    }

    /// Runs rounds until a fact holds.
    pub(crate) fn until(&mut self, what: &str, fact: impl Fn(&LoaderStatus) -> bool) {
        let begin = Instant::now();
        while !fact(&self.status()) {
            self.loader.run_once().unwrap();
            assert!(begin.elapsed() < LIMIT, "{what}: {:?}", self.status());
        }
    }

    /// Runs rounds until the group's offsets are the end offsets.
    pub(crate) fn drain(&mut self, broker: &SimBroker) {
        let begin = Instant::now();
        while !drained(broker) {
            self.loader.run_once().unwrap();
            assert!(begin.elapsed() < LIMIT, "lag {:?}, {:?}", broker.lag(APP), self.status());
        }
    }
}

/// Lag zero, markers included, on every partition.
pub(crate) fn drained(broker: &SimBroker) -> bool {
    let lag = broker.lag(APP);
    !lag.is_empty() && lag.values().all(|lag| *lag == 0)
}

/// `(topic, partition, offset)` of every committed record, as rows of text.
pub(crate) fn positions(broker: &SimBroker, topic: &str) -> Vec<Vec<String>> {
    let records = broker.records(topic, Isolation::ReadCommitted);
    let position = |r: &ConsumedRecord| vec![r.source.partition.to_string(), r.offset.to_string()];
    records.iter().map(position).collect()
}

/// The same of the table `events`.
pub(crate) fn loaded_positions(url: &str) -> Vec<Vec<String>> {
    query(url, "SELECT source_partition, source_offset FROM events ORDER BY 1, 2")
}
