//! The contract that the core expects of a broker, held by a real Kafka: the simulated broker is held to the same facts in
//! the framework's own tests, so that the simulation cannot drift into a lie.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::broker::{Broker, NewTopic};
use millpond::record::{ConsumedRecord, Offset, Partition, ProducerRecord, TopicPartition};
use millpond::testing::contract::{self, Fixture, Limits};
use millpond::time::Timestamp;
use millpond_harness::{Kafka, KafkaOptions, Outgoing, Scratch};

/// Facts that run side by side; more only wait for each other's processor time.
const THREADS: usize = 4;
/// Short enough for the facts that wait for them, long enough for a busy machine.
const SESSION: Duration = Duration::from_secs(4);
const MAX_POLL: Duration = Duration::from_secs(5);
const TRANSACTION: Duration = Duration::from_secs(5);
/// How seldom the coordinator looks for transactions that are open for too long.
const ABORT_INTERVAL: Duration = Duration::from_millis(500);

/// How seldom the broker looks for what to compact, and what retention takes.
const CLEANING_INTERVAL: Duration = Duration::from_millis(300);

/// A real cluster. Clients are made as an application makes them, with shorter limits.
struct RealKafka<'a> {
    kafka: &'a Kafka,
    names: &'a AtomicU64,
}

impl Fixture for RealKafka<'_> {
    type Broker = KafkaBroker;

    fn broker(&mut self, group_id: &str) -> KafkaBroker {
        let mut config = KafkaConfig::new(self.kafka.bootstrap_servers());
        group_id.clone_into(&mut config.client_id);
        config.session_timeout = SESSION;
        config.max_poll_interval = MAX_POLL;
        config.transaction_timeout = TRANSACTION;
        // Five minutes otherwise: how soon a member sees that its topic has grown, or is gone.
        config.properties.insert("topic.metadata.refresh.interval.ms".to_owned(), "1000".to_owned());
        KafkaBroker::connect(config).unwrap()
    }

    fn unique(&mut self, stem: &str) -> String {
        format!("{stem}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn create_topic(&mut self, topic: &str, partitions: i32) {
        let topic = NewTopic { name: topic.into(), partitions, replication_factor: -1, configs: BTreeMap::new() };
        self.broker("fixture").create_topic(&topic).unwrap();
    }

    fn delete_topic(&mut self, topic: &str) {
        self.kafka.client().delete_topics(&[topic]).unwrap();
        let broker = self.broker("fixture");
        let begun = Instant::now();
        while !broker.describe_topics(&[topic.into()]).unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{topic} is not deleted");
        }
    }

    fn grow_topic(&mut self, topic: &str, partitions: i32) {
        self.kafka.client().grow_topic(topic, partitions).unwrap();
    }

    fn compact(&mut self, _topic: &str, _old_deletions: bool) {
        // It does so by itself: see the properties of the broker below.
    }

    fn expire(&mut self, _topic: &str, _before: Timestamp) {
        // This, too.
    }

    fn append(&mut self, records: Vec<ProducerRecord>) {
        let mut by_topic = BTreeMap::<_, Vec<Outgoing>>::new();
        for record in records {
            by_topic.entry(record.target.topic.clone()).or_default().push(outgoing(&record));
        }
        for (topic, records) in by_topic {
            self.kafka.client().produce(&topic, records).unwrap();
        }
    }

    fn read_committed(&mut self, topic: &str) -> Vec<ConsumedRecord> {
        let received = self.kafka.client().read_committed(topic).unwrap();
        let consumed = received.into_iter().map(|record| ConsumedRecord {
            source: TopicPartition::new(topic, Partition(record.partition)),
            offset: Offset(record.offset),
            timestamp: Timestamp::from_millis(record.timestamp_ms),
            key: record.key.map(Bytes::from),
            value: record.value.map(Bytes::from),
            headers: record.headers.into_iter().map(|(name, value)| (name, value.map(Bytes::from))).collect(),
        });
        consumed.collect()
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn pass(&mut self, time: Duration) {
        // Facts are waited for; this is the pause between two looks, and how the time-outs of a real broker pass.
        std::thread::sleep(time);
    }

    fn limits(&self) -> Limits {
        Limits { transaction: TRANSACTION + 2 * ABORT_INTERVAL, max_poll_interval: MAX_POLL }
    }
}

fn outgoing(record: &ProducerRecord) -> Outgoing {
    Outgoing {
        partition: Some(record.target.partition.0),
        key: record.key.as_deref().map(<[u8]>::to_vec),
        value: record.value.as_deref().map(<[u8]>::to_vec),
        timestamp_ms: Some(record.timestamp.as_millis()),
        headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.map(|v| v.to_vec()))).collect(),
    }
}

#[test]
fn a_real_kafka_keeps_every_fact() {
    let scratch = Scratch::new("contract").unwrap();
    let properties = [
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", ABORT_INTERVAL),
        ("log.cleaner.backoff.ms", CLEANING_INTERVAL),
        ("log.retention.check.interval.ms", CLEANING_INTERVAL),
        ("log.initial.task.delay.ms", CLEANING_INTERVAL),
    ];
    let properties = properties.map(|(name, interval)| (name.to_owned(), interval.as_millis().to_string())).to_vec();
    let kafka = Kafka::start_with(scratch.path(), KafkaOptions { properties, ..KafkaOptions::default() }).unwrap();
    let names = AtomicU64::new(0);
    let facts = contract::all::<RealKafka<'_>>();
    let count = facts.len();
    let waiting = Mutex::new(facts.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut fixture = RealKafka { kafka: &kafka, names: &names };
                loop {
                    let Some((name, fact)) = waiting.lock().unwrap().next() else { return };
                    let begun = Instant::now();
                    let kept = catch_unwind(AssertUnwindSafe(|| fact(&mut fixture))).is_ok();
                    println!("{} {name}: {:?}", if kept { "kept  " } else { "BROKEN" }, begun.elapsed());
                    if !kept {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} facts do not hold on a real Kafka: {failed:?}", failed.len());
    assert!(count > 45, "the list of facts is {count} long");
}
