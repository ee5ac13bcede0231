//! Failures at awkward moments, from adversarial readings of the core: what must hold when members, topics, states,
//! transactions, clocks and records misbehave.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: helpers fail it where they stand"
)]

mod age;
mod ahead;
mod edge;
mod logs;
mod members;
mod membership;
mod memory;
mod outputs;
mod queries;
mod records;
mod refusals;
mod repartition;
mod reset;
mod slow;
mod spans;
mod starts;
mod state;
mod topics;
mod transactions;
mod waits;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::Broker;
use millpond::broker::sim::{Isolation, SimBroker, SimConfig};
use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::{Headers, Partition, ProducerRecord, Record, TaskId, TopicPartition};
use millpond::runtime::{Application, Error, StreamThread, ThreadConfig, Topics};
use millpond::serde::{Nullable, Utf8};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);
const CHANGES: Topic<String, Option<String>> = Topic::new("changes", &Utf8, &Nullable(&Utf8));
const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(0) };

/// Does something for each record, and passes it on.
struct First(fn(&mut Context<'_, String, String>));

impl Processor for First {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        (self.0)(context);
        context.forward(record)
    }
}

/// A copy that does something first for each record.
fn copy_with(first: fn(&mut Context<'_, String, String>)) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&IN).process("first", &(), move |()| First(first)).to(&OUT);
    builder.build().unwrap()
}

fn copy() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&IN).to(&OUT);
    builder.build().unwrap()
}

/// A table; its changes go nowhere, so that a transaction opens with the commit only.
fn table() -> Topology {
    let builder = StreamsBuilder::new();
    let _table = builder.table(&IN, Materialized::persistent("table", &Utf8, &Utf8));
    builder.build().unwrap()
}

fn table_with_output() -> Topology {
    let builder = StreamsBuilder::new();
    builder.table(&IN, Materialized::persistent("table", &Utf8, &Utf8)).to_stream().to(&CHANGES);
    builder.build().unwrap()
}

fn broker(partitions: usize) -> SimBroker {
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    for topic in ["in", "out", "changes"] {
        broker.add_topic(topic, partitions);
    }
    broker
}

fn eager(instance: &str) -> ThreadConfig {
    ThreadConfig {
        commit_interval: Duration::ZERO,
        poll_timeout: Duration::ZERO,
        restored_bytes_max: 4 << 20,
        ..ThreadConfig::new("app", instance)
    }
}

/// Commits ten times a second, so that a transaction stays open for some rounds.
fn patient(instance: &str) -> ThreadConfig {
    ThreadConfig { commit_interval: Duration::from_millis(100), ..eager(instance) }
}

fn start<B: Broker + Clone>(
    broker: &B,
    topology: Topology,
    directory: &MemoryDirectory,
    config: ThreadConfig,
    now: Timestamp,
) -> StreamThread<B> {
    let topology = Arc::new(topology);
    let letters = config.errors.topic.as_ref().map(|(topic, _)| topic.clone());
    let topics = Arc::new(Topics::prepare(broker, &topology, "app", 1, letters.as_ref()).unwrap());
    let application = Application { topology, topics, directory: Rc::new(directory.clone()) };
    StreamThread::start(broker.clone(), config, application, now).unwrap()
}

fn rounds<B: Broker>(thread: &mut StreamThread<B>, count: usize, now: Timestamp) -> Result<(), Error> {
    for _ in 0..count {
        thread.run_once(now)?;
    }
    Ok(())
}

/// Rounds while time passes, a second each.
fn seconds<B: Broker>(thread: &mut StreamThread<B>, count: u64, from: Timestamp) -> Result<(), Error> {
    (0..count).try_for_each(|second| rounds(thread, 3, from.plus(Duration::from_secs(second))))
}

fn append_to(broker: &SimBroker, partition: i32, key: &str, value: Option<Bytes>) {
    let record = ProducerRecord {
        target: at("in", partition),
        timestamp: T,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value,
        headers: Headers::new(),
    };
    broker.append(record).unwrap();
}

fn append(broker: &SimBroker, key: &str) {
    append_to(broker, 0, key, Some(Bytes::from_static(b"v")));
}

fn append_all(broker: &SimBroker, keys: &[&str]) {
    for key in keys {
        append(broker, key);
    }
}

fn committed_keys(broker: &SimBroker, topic: &str) -> Vec<String> {
    let records = broker.records(topic, Isolation::ReadCommitted).into_iter();
    records.map(|record| String::from_utf8_lossy(&record.key.unwrap()).into_owned()).collect()
}

fn rows(directory: &MemoryDirectory, store: &str) -> Vec<String> {
    let rows = directory.contents(TASK, store);
    rows.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn later(hours: u64) -> Timestamp {
    T.plus(Duration::from_secs(3600 * hours))
}
