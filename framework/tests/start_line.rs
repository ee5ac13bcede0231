//! The line that a task writes into the log when it starts.
//!
//! A process of its own with one test: `tracing` remembers of each line of the code whether anybody wants it, and
//! another test that comes by first would have it forgotten.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: helpers fail it where they stand")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::record::{Headers, Partition, ProducerRecord, TopicPartition};
use millpond::runtime::{Application, StreamThread, ThreadConfig, Topics};
use millpond::serde::Utf8;
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The fields of a line; its text is `message`.
type Line = BTreeMap<&'static str, String>;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new();
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

fn table() -> Topology {
    let builder = StreamsBuilder::new();
    let _table = builder.table(&IN, Materialized::persistent("table", &Utf8, &Utf8));
    builder.build().unwrap()
}

fn append(broker: &SimBroker, partition: i32, key: &str) {
    let record = ProducerRecord {
        target: TopicPartition::new("in", Partition(partition)),
        timestamp: T,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        headers: Headers::new(),
    };
    broker.append(record).unwrap();
}

/// A thread that starts, then reads and commits a record of each partition or more.
fn run(broker: &SimBroker, directory: &MemoryDirectory, keys: &[&str]) {
    let topology = Arc::new(table());
    let topics = Arc::new(Topics::prepare(broker, &topology, "app", 1, None).unwrap());
    let application = Application { topology, topics, directory: Rc::new(directory.clone()) };
    let config = ThreadConfig {
        commit_interval: Duration::ZERO,
        poll_timeout: Duration::ZERO,
        ..ThreadConfig::new("app", "app-0")
    };
    let mut thread = StreamThread::start(broker.clone(), config, application, T).unwrap();
    let mut rounds = || (0..20).for_each(|_| thread.run_once(T).map(|_| ()).unwrap());
    rounds();
    for key in keys {
        append(broker, 0, key);
    }
    append(broker, 1, "z");
    rounds();
}

/// The lines of starts, as task, kind, rows, offset, replayed, sequence, verified.
fn starts(lines: Vec<Line>) -> Vec<[String; 7]> {
    let starts = lines.into_iter().filter(|line| line["message"] == "restored");
    let fields = ["task", "kind", "rows", "offset", "replayed", "sequence", "verified"];
    starts.map(|line| fields.map(|field| line[field].clone())).collect()
}

/// A line for each task, however long it runs then, with everything that a person wants to know of its start.
#[test]
fn a_start_is_logged_once_for_each_task_with_all_its_figures() {
    let log = Lines::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    broker.add_topic("in", 2);
    let directory = MemoryDirectory::new();
    let run = |directory: &MemoryDirectory, keys: &[&str]| {
        run(&broker, directory, keys);
        starts(std::mem::take(&mut *log.0.lock().unwrap()))
    };
    let ends = || {
        let changelog = |partition| TopicPartition::new("app-table-changelog", Partition(partition));
        [0, 1].map(|partition| broker.end_offset(&changelog(partition)).unwrap().to_string())
    };
    let line = |fields: [&str; 7]| fields.map(str::to_owned);
    assert_eq!(
        run(&directory, &["a", "b", "c"]),
        [line(["0_0", "first", "0", "0", "0", "0", "false"]), line(["0_1", "first", "0", "0", "0", "0", "false"]),]
    );
    let at = ends();
    // The start offsets are a commit of their own.
    assert_eq!(
        run(&MemoryDirectory::new(), &["d"]),
        [
            line(["0_0", "restored", "3", &at[0], "3", "2", "true"]),
            line(["0_1", "restored", "1", &at[1], "1", "2", "true"]),
        ]
    );
    let at = ends();
    assert_eq!(
        run(&directory, &[]),
        [
            line(["0_0", "replayed", "4", &at[0], "1", "3", "true"]),
            line(["0_1", "replayed", "1", &at[1], "1", "3", "true"]),
        ]
    );
}
