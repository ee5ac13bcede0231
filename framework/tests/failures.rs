//! Failures at awkward moments: each test states what must hold. They came from an adversarial reading of the core.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: helpers fail it where they stand"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{Fault, Faults, Isolation, SimBroker, SimConfig, SimConsumer, SimProducer, SimReader};
use millpond::broker::{
    Broker, BrokerError, BrokerErrorKind, CommittedOffset, Consumer, LogRange, MemberConfig, Membership, NewTopic,
    Polled, Producer, TopicDescription,
};
use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::record::{Headers, Offset, Partition, ProducerRecord, TaskId, TopicName, TopicPartition};
use millpond::runtime::config::StartFrom;
use millpond::runtime::{Application, Error, Refusal, StreamThread, TaskError, TaskState, ThreadConfig, Topics};
use millpond::serde::{Nullable, Utf8};
use millpond::state::{MemoryDirectory, StoreFault};
use millpond::time::Timestamp;
use millpond::topology::Topology;

const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);
const CHANGES: Topic<String, Option<String>> = Topic::new("changes", &Utf8, &Nullable(&Utf8));
const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);

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
    ThreadConfig { commit_interval: Duration::ZERO, poll_timeout: Duration::ZERO, ..ThreadConfig::new("app", instance) }
}

fn start<B: Broker + Clone>(
    broker: &B,
    topology: Topology,
    directory: &MemoryDirectory,
    config: ThreadConfig,
    now: Timestamp,
) -> StreamThread<B> {
    let topology = Arc::new(topology);
    let topics = Arc::new(Topics::prepare(broker, &topology, "app", 1, None).unwrap());
    let application = Application { topology, topics, directory: Rc::new(directory.clone()) };
    StreamThread::start(broker.clone(), config, application, now).unwrap()
}

fn rounds<B: Broker>(thread: &mut StreamThread<B>, count: usize, now: Timestamp) -> Result<(), Error> {
    for _ in 0..count {
        thread.run_once(now)?;
    }
    Ok(())
}

fn append_to(broker: &SimBroker, partition: i32, key: &str, value: Option<&str>) {
    let record = ProducerRecord {
        target: TopicPartition::new("in", Partition(partition)),
        timestamp: T,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    };
    broker.append(record).unwrap();
}

fn append(broker: &SimBroker, key: &str) {
    append_to(broker, 0, key, Some("v"));
}

fn committed_keys(broker: &SimBroker, topic: &str) -> Vec<String> {
    let records = broker.records(topic, Isolation::ReadCommitted).into_iter();
    records.map(|record| String::from_utf8_lossy(&record.key.unwrap()).into_owned()).collect()
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn later(hours: u64) -> Timestamp {
    T.plus(Duration::from_secs(3600 * hours))
}

/// A rebalance moves a task from one stream thread of a process to another, which opens the same state directory.
#[test]
fn a_task_moves_between_two_threads_of_a_process() {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    let mut one = start(&broker, table(), &directory, eager("app-p-0"), T);
    rounds(&mut one, 20, T).unwrap();
    assert_eq!(one.tasks().count(), 2);
    let mut two = start(&broker, table(), &directory, eager("app-p-1"), T);
    for _ in 0..20 {
        rounds(&mut two, 1, T).unwrap();
        rounds(&mut one, 1, T).unwrap();
    }
    assert_eq!((one.tasks().count(), two.tasks().count()), (1, 1));
}

/// Retention has deleted input that was not read while the application was down.
#[test]
fn input_that_is_gone_stops_the_thread_with_a_message() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    for key in ["b", "c", "d"] {
        append(&broker, key);
    }
    broker.delete_records_before(&at("in", 0), Offset(3));
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    let stopped = rounds(&mut thread, 500, T);
    let counters = thread.counters();
    assert!(stopped.is_err(), "still going round: {} producers made, aborts={:?}", counters.producers, counters.aborts);
}

/// The contract lets `send` fail with `Retriable`: nothing was queued, the producer lives on.
#[test]
fn a_full_producer_queue_loses_no_output() {
    for passes in 0..3 {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
        rounds(&mut thread, 10, T).unwrap();
        append(&broker, "a");
        append(&broker, "b");
        broker.fail_after(Fault::ProducerQueueFull, passes);
        rounds(&mut thread, 50, T).unwrap();
        let lag: u64 = broker.lag("app").values().sum();
        assert_eq!((committed_keys(&broker, "out"), lag), (vec!["a".to_owned(), "b".to_owned()], 0), "passes={passes}");
    }
}

/// As above, at a revocation: the partitions are given up, the open transaction must be, too. Left open, it holds the last
/// stable offset of the commit log that the same thread waits for in its next restore.
#[test]
fn a_full_producer_queue_at_a_revocation_leaves_no_transaction_open() {
    for passes in 0..4 {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = ThreadConfig { commit_interval: Duration::from_millis(100), ..eager("app-0") };
        let mut thread = start(&broker, copy(), &directory, config, T);
        rounds(&mut thread, 10, T).unwrap();
        rounds(&mut thread, 10, T.plus(Duration::from_secs(1))).unwrap();
        append(&broker, "a");
        rounds(&mut thread, 3, T.plus(Duration::from_secs(1))).unwrap();
        broker.fail_after(Fault::ProducerQueueFull, passes);
        broker.fail_next(Fault::GroupRebalance);
        rounds(&mut thread, 50, T.plus(Duration::from_secs(1))).unwrap();
        rounds(&mut thread, 50, T.plus(Duration::from_secs(2))).unwrap();
        rounds(&mut thread, 50, T.plus(Duration::from_secs(3))).unwrap();
        let told = format!("passes={passes} {:?} {:?}", thread.counters(), broker.committed_offsets("app"));
        assert_eq!(committed_keys(&broker, "out"), ["a"], "{told}");
    }
}

/// `start.from=latest`: what came after the start was read and processed; its first transaction fails.
#[test]
fn a_failed_first_transaction_from_latest_loses_nothing() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    append(&broker, "old");
    let config =
        ThreadConfig { start_from: StartFrom::Latest, commit_interval: Duration::from_millis(100), ..eager("app-0") };
    let mut thread = start(&broker, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    append(&broker, "a");
    rounds(&mut thread, 5, T).unwrap();
    assert_eq!(thread.tasks().map(|task| task.counters().processed).sum::<u64>(), 1);
    broker.fail_next(Fault::BeforeEndTxn);
    for ms in [200, 400, 600, 800] {
        rounds(&mut thread, 20, T.plus(Duration::from_millis(ms))).unwrap();
    }
    assert_eq!(committed_keys(&broker, "out"), ["a"]);
}

/// One busy task keeps the thread's commits busy; the quiet one was owned all the time.
#[test]
fn a_quiet_task_of_a_busy_thread_keeps_its_state() {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append_to(&broker, 0, "busy", Some("v"));
    append_to(&broker, 1, "quiet", Some("v"));
    rounds(&mut thread, 20, T).unwrap();
    for minutes in 1..(13 * 60) {
        append_to(&broker, 0, "busy", Some("v"));
        rounds(&mut thread, 1, T.plus(Duration::from_secs(60 * minutes))).unwrap();
    }
    broker.fail_next(Fault::BeforeEndTxn);
    append_to(&broker, 0, "busy", Some("v"));
    rounds(&mut thread, 20, later(13)).unwrap();
    assert_eq!(thread.counters().state_wipes, 0);
}

/// A record that no topic takes, while other partitions go on: the application must say so, not go round for ever.
#[test]
fn a_poison_record_stops_the_thread_although_other_partitions_commit() {
    for seed in 0..8 {
        let broker = SimBroker::with_config(SimConfig { max_poll_records: 1, ..SimConfig::without_timeouts() });
        // Which partition's fetch is answered first is chance, as with real brokers.
        broker.set_faults(Faults::seeded(seed).with(Fault::FetchEmpty, 2));
        broker.add_topic("in", 16);
        let configs = BTreeMap::from([("max.message.bytes".to_owned(), "100".to_owned())]);
        broker.create_topic(&NewTopic { name: "out".into(), partitions: 2, replication_factor: 1, configs }).unwrap();
        let directory = MemoryDirectory::new();
        let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
        rounds(&mut thread, 20, T).unwrap();
        // Wherever it lies, the others commit in between.
        let poisoned = i32::try_from(seed).unwrap() * 2;
        append_to(&broker, poisoned, "poison", Some(&"x".repeat(200)));
        let stopped = (0..10_000).find_map(|round| {
            if round < 1_000 {
                (0..16).filter(|at| *at != poisoned).for_each(|live| append_to(&broker, live, "live", Some("v")));
            }
            rounds(&mut thread, 1, T).err()
        });
        let counters = thread.counters();
        let told = format!("seed={seed} commits={} aborts={:?}", counters.commits, counters.aborts);
        assert!(matches!(stopped, Some(Error::NoProgress { .. })), "{told}");
    }
}

/// `exactly-once` 3.4: a changed number of partitions stops the application. New partitions are assigned to somebody.
#[test]
fn partitions_added_while_running_are_processed_or_told() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    broker.add_partitions("in", 1);
    append_to(&broker, 1, "a", Some("v"));
    let told = rounds(&mut thread, 100, T).is_err();
    assert!(told || committed_keys(&broker, "out") == ["a"], "nobody reads in-1, and nobody says so");
}

/// The changelog was deleted and created again under a running thread; another machine takes over without a disk.
#[test]
fn a_recreated_changelog_is_not_taken_for_the_whole_state() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append(&broker, "first");
    rounds(&mut thread, 20, T).unwrap();
    broker.delete_topic("app-table-changelog");
    broker.add_topic("app-table-changelog", 1);
    append(&broker, "second");
    let running = rounds(&mut thread, 50, T);
    drop(thread);
    let empty = MemoryDirectory::new();
    let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
    let refused = rounds(&mut thread, 50, T).is_err();
    let rows = empty.contents(TaskId { subtopology: 0, partition: Partition(0) }, "table").len();
    assert!(running.is_err() || refused || rows == 2, "running with {rows} of 2 rows");
}

/// NTP sets the clock back by an hour.
#[test]
fn a_clock_that_is_set_back_does_not_stop_commits() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = ThreadConfig { commit_interval: Duration::from_millis(100), ..eager("app-0") };
    let mut thread = start(&broker, table(), &directory, config, later(1));
    append(&broker, "a");
    rounds(&mut thread, 20, later(1)).unwrap();
    rounds(&mut thread, 20, later(1).plus(Duration::from_secs(1))).unwrap();
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
    append(&broker, "b");
    for second in 0..600 {
        rounds(&mut thread, 1, T.plus(Duration::from_secs(second))).unwrap();
    }
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0, "ten minutes later");
}

/// I10: a disk that was written while the clock was wrong comes back after its deletions are compacted away.
#[test]
fn a_disk_from_the_future_brings_no_deleted_key_back() {
    let (broker, old, new) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &old, eager("app-0"), later(24 * 365));
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, later(24 * 365)).unwrap();
    drop(thread);
    let mut thread = start(&broker, table(), &new, eager("app-0"), T);
    append_to(&broker, 0, "k", None);
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "m");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.compact("app-table-changelog", true);
    let mut thread = start(&broker, table(), &old, eager("app-0"), later(72));
    rounds(&mut thread, 20, later(72)).unwrap();
    let rows = old.contents(TaskId { subtopology: 0, partition: Partition(0) }, "table");
    let keys: Vec<_> = rows.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["l", "m"]);
}

/// A partition that was paused when its transaction failed.
#[test]
fn a_paused_partition_is_read_on_after_a_failed_transaction() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = ThreadConfig {
        commit_interval: Duration::from_millis(100),
        records_per_round: 1,
        buffered_records_per_partition: 2,
        ..eager("app-0")
    };
    let mut thread = start(&broker, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    let keys: Vec<String> = (0..10).map(|i| format!("k{i}")).collect();
    for key in &keys {
        append(&broker, key);
    }
    rounds(&mut thread, 2, T).unwrap();
    broker.fail_next(Fault::BeforeEndTxn);
    for ms in 2..10 {
        rounds(&mut thread, 20, T.plus(Duration::from_millis(100 * ms))).unwrap();
    }
    assert_eq!(committed_keys(&broker, "out"), keys);
}

/// The simulated broker with a consumer that can fail to start a partition, and remembers how long it may wait.
#[derive(Clone)]
struct Edge {
    sim: SimBroker,
    start_failures: Rc<Cell<u32>>,
    waits: Rc<RefCell<Vec<Duration>>>,
}

impl Edge {
    fn new(sim: SimBroker) -> Self {
        Self { sim, start_failures: Rc::default(), waits: Rc::default() }
    }
}

struct EdgeConsumer(SimConsumer, Edge);

impl Broker for Edge {
    type Consumer = EdgeConsumer;
    type Producer = SimProducer;
    type Reader = SimReader;

    fn consumer(&self, member: &MemberConfig) -> Result<EdgeConsumer, BrokerError> {
        Ok(EdgeConsumer(self.sim.consumer(member)?, self.clone()))
    }
    fn producer(&self, id: &str) -> Result<SimProducer, BrokerError> {
        self.sim.producer(id)
    }
    fn reader(&self) -> Result<SimReader, BrokerError> {
        self.sim.reader()
    }
    fn describe_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError> {
        self.sim.describe_topics(topics)
    }
    fn create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.sim.create_topic(topic)
    }
    fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        self.sim.delete_records(before)
    }
}

impl Consumer for EdgeConsumer {
    fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), BrokerError> {
        self.0.subscribe(topics)
    }
    fn poll(&mut self, timeout: Duration) -> Result<Polled, BrokerError> {
        self.1.waits.borrow_mut().push(timeout);
        self.0.poll(timeout)
    }
    fn acknowledge(&mut self) -> Result<(), BrokerError> {
        self.0.acknowledge()
    }
    fn membership(&self) -> Membership {
        self.0.membership()
    }
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, BrokerError> {
        self.0.committed(partitions, timeout)
    }
    fn log_range(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<LogRange, BrokerError> {
        self.0.log_range(partition, timeout)
    }
    fn start_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BrokerError> {
        if let Some(left) = self.1.start_failures.get().checked_sub(1) {
            self.1.start_failures.set(left);
            // What `KafkaConsumer::seek` gives when librdkafka's own thread does not answer within five seconds.
            return Err(BrokerError::new("seek", BrokerErrorKind::Retriable, "timed out"));
        }
        self.0.start_at(partition, offset)
    }
    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.position(partition)
    }
    fn known_end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.known_end(partition)
    }
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.0.pause(partitions)
    }
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.0.resume(partitions)
    }
    fn close(self, leave_group: bool) -> Result<(), BrokerError> {
        self.0.close(leave_group)
    }
}

/// A seek that timed out once is made again.
#[test]
fn a_partition_whose_start_failed_once_is_read() {
    let edge = Edge::new(broker(1));
    append(&edge.sim, "a");
    edge.start_failures.set(1);
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 200, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}

/// A transaction that nobody ends holds the changelog's last stable offset: the thread waits, at rest.
#[test]
fn a_restore_that_waits_for_a_hanging_transaction_does_not_spin() {
    let edge = Edge::new(broker(1));
    append(&edge.sim, "a");
    let directory = MemoryDirectory::new();
    let mut thread = start(&edge, table_with_output(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut zombie = edge.sim.producer("zombie").unwrap();
    zombie.begin().unwrap();
    let record = ProducerRecord {
        target: at("app-table-changelog", 0),
        timestamp: T,
        key: Some(Bytes::from_static(b"z")),
        value: Some(Bytes::from_static(b"z")),
        headers: Headers::new(),
    };
    zombie.send(record).unwrap();
    let config = ThreadConfig { poll_timeout: Duration::from_millis(20), ..eager("app-0") };
    let mut thread = start(&edge, table_with_output(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    edge.waits.borrow_mut().clear();
    rounds(&mut thread, 100, T).unwrap();
    let waits = edge.waits.borrow();
    assert!(waits.iter().any(|wait| !wait.is_zero()), "{} polls without a wait, nothing to do", waits.len());
}

/// A copy of the last commit request arrives in the middle of the next transaction, and nobody has noticed a retry.
///
/// ```text
/// out-0: a C | b C ← the late copy        app-commits-0: begin(2) commit(2) C | begin(3) C ← and no commit(3)
/// ```
#[test]
fn a_transaction_that_a_late_request_has_torn_stops_the_thread_by_name() {
    for (topology, output) in [(copy as fn() -> Topology, "out"), (table_with_output, "changes")] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = ThreadConfig { commit_interval: Duration::from_millis(100), ..eager("app-0") };
        let mut thread = start(&broker, topology(), &directory, config.clone(), T);
        rounds(&mut thread, 20, T).unwrap();
        append(&broker, "a");
        broker.fail_next(Fault::EndTxnDuplicatedUnnoticed);
        let second = T.plus(Duration::from_secs(1));
        rounds(&mut thread, 5, second).unwrap();
        append(&broker, "b");
        rounds(&mut thread, 5, second).unwrap();
        assert_eq!(committed_keys(&broker, output), ["a"]);
        assert_eq!(broker.release(), 1);
        assert_eq!(committed_keys(&broker, output), ["a", "b"], "committed, and nobody asked for it");
        assert_eq!(broker.lag("app").values().sum::<u64>(), 1, "its offset is not");
        // The thread goes on to its commit, which fails. It looks twice before it gives up.
        rounds(&mut thread, 50, T.plus(Duration::from_secs(2))).unwrap();
        let stopped = rounds(&mut thread, 50, T.plus(Duration::from_secs(4)));
        let torn = |error: &Error| {
            matches!(error, Error::Task(TaskError::Refused(Refusal::TornTransaction { sequence: 3, .. })))
        };
        assert!(stopped.as_ref().is_err_and(torn), "{output}: {stopped:?}");
        drop(thread);
        let mut thread = start(&broker, topology(), &directory, config, T.plus(Duration::from_secs(5)));
        rounds(&mut thread, 50, T.plus(Duration::from_secs(5))).unwrap();
        let stopped = rounds(&mut thread, 50, T.plus(Duration::from_secs(7)));
        assert!(stopped.as_ref().is_err_and(torn), "{output}: {stopped:?}");
        assert_eq!(committed_keys(&broker, output), ["a", "b"], "never repeated");
    }
}

/// A process stands still in the middle of its restore, is thrown out, and its successor commits. When it wakes it reads on:
/// up to the middle of that commit, because its fetches are short. It must not take that for a torn transaction, nor stop.
#[test]
fn a_member_that_stood_still_in_its_restore_does_not_take_its_successors_commit_for_a_torn_one() {
    for passes in 0..40 {
        let broker = SimBroker::with_config(SimConfig { max_poll_records: 1, ..SimConfig::without_timeouts() });
        for topic in ["in", "changes"] {
            broker.add_topic(topic, 1);
        }
        let (one, two) = (MemoryDirectory::new(), MemoryDirectory::new());
        let mut first = start(&broker, table_with_output(), &one, eager("app-0"), T);
        append(&broker, "a");
        rounds(&mut first, 20, T).unwrap();
        drop(first);
        let mut first = start(&broker, table_with_output(), &one, eager("app-0"), T);
        let successor = Rc::new(RefCell::new(None));
        let meanwhile = (broker.clone(), Rc::clone(&successor));
        broker.on_pause(Some(Box::new(move || {
            let (broker, successor) = &meanwhile;
            broker.expire_session("app", "app-0");
            append(broker, "b");
            let mut thread = start(broker, table_with_output(), &two, eager("app-1"), T);
            rounds(&mut thread, 30, T).unwrap();
            *successor.borrow_mut() = Some(thread);
        })));
        broker.fail_after(Fault::Paused, passes);
        for second in 0..10 {
            let now = T.plus(Duration::from_secs(second));
            for _ in 0..10 {
                let woken = rounds(&mut first, 1, now);
                assert!(woken.is_ok(), "passes={passes}: {woken:?}");
                if let Some(thread) = &mut *successor.borrow_mut() {
                    rounds(thread, 1, now).unwrap();
                }
            }
        }
        broker.on_pause(None);
        let expected = if successor.borrow().is_some() { vec!["a", "b"] } else { vec!["a"] };
        assert_eq!(committed_keys(&broker, "changes"), expected, "passes={passes}");
    }
}

/// I10: a process is revoked and stands still for a day. Another one deletes a key meanwhile, and the deletion is compacted
/// away. The task comes back to the first one, which has not closed it.
#[test]
fn a_member_that_slept_for_a_day_after_its_revocation_brings_no_deleted_key_back() {
    let (broker, old, new) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut sleeper = start(&broker, table(), &old, eager("app-1"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut sleeper, 20, T).unwrap();
    // The first partition goes to the first name.
    let mut other = start(&broker, table(), &new, eager("app-0"), T);
    rounds(&mut other, 1, T).unwrap();
    rounds(&mut sleeper, 1, T).unwrap();
    append_to(&broker, 0, "k", None);
    rounds(&mut other, 20, T).unwrap();
    append(&broker, "m");
    rounds(&mut other, 20, later(25)).unwrap();
    broker.compact("app-table-changelog", true);
    other.close(true, later(25)).unwrap();
    rounds(&mut sleeper, 20, later(25)).unwrap();
    let rows = old.contents(TaskId { subtopology: 0, partition: Partition(0) }, "table");
    let keys: Vec<_> = rows.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["l", "m"]);
}

/// As above, but the outcome of its own commit was unknown when it fell asleep: the deletion in it was never replayed.
#[test]
fn a_member_that_slept_for_a_day_after_an_unknown_commit_brings_no_deleted_key_back() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, T).unwrap();
    append_to(&broker, 0, "k", None);
    broker.fail_next(Fault::EndTxnResponseLost);
    while broker.faults_hit().is_empty() {
        rounds(&mut thread, 1, T).unwrap();
    }
    broker.compact("app-table-changelog", true);
    rounds(&mut thread, 20, later(25)).unwrap();
    let rows = directory.contents(TaskId { subtopology: 0, partition: Partition(0) }, "table");
    let keys: Vec<_> = rows.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["l"]);
}

/// I10: a restore into an empty store is interrupted after its rows are down. They have an age from then on: a day later they
/// must not be used.
#[test]
fn an_interrupted_restore_brings_no_deleted_key_back_a_day_later() {
    let (broker, owner, interrupted) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &owner, eager("app-0"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut thread = start(&broker, table(), &interrupted, eager("app-0"), T);
    interrupted.fail_after(StoreFault::CrashBeforeBatch, 1);
    rounds(&mut thread, 20, T).unwrap_err();
    drop(thread);
    let mut thread = start(&broker, table(), &owner, eager("app-0"), later(1));
    append_to(&broker, 0, "k", None);
    rounds(&mut thread, 20, later(1)).unwrap();
    append(&broker, "m");
    rounds(&mut thread, 20, later(1)).unwrap();
    drop(thread);
    broker.compact("app-table-changelog", true);
    let mut thread = start(&broker, table(), &interrupted, eager("app-0"), later(26));
    rounds(&mut thread, 20, later(26)).unwrap();
    let rows = interrupted.contents(TaskId { subtopology: 0, partition: Partition(0) }, "table");
    let keys: Vec<_> = rows.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["l", "m"]);
}
