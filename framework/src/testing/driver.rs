//! A topology under test: partitions, commits and crashes included, and time moved by hand.
#![allow(clippy::panic, reason = "a driver that cannot go on must fail the test that uses it")]

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::sim::{Isolation, SimBroker};
use crate::dsl::{KeyValueStoreRef, Topic};
use crate::partitioner::{partition_for_key, partition_without_key};
use crate::record::{ConsumedRecord, Headers, Partition, ProducerRecord, Record, TopicPartition};
use crate::runtime::{Application, Error, ErrorPolicy, StreamThread, ThreadConfig, Topics};
use crate::serde::Serde;
use crate::state::{MemoryDirectory, StoreIndex};
use crate::time::Timestamp;
use crate::topology::Topology;
use crate::trace::Tracing;

/// So many rounds without rest mean that something goes round in a circle.
const ROUNDS_MAX: usize = 100_000;

/// Runs a topology against the simulated broker.
///
/// Records are processed as they are piped in; nothing is committed until [`commit`](Self::commit). What a processor sends
/// through a repartition topic is seen downstream only after a commit, as in production.
///
/// ```
/// use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
/// use millpond::serde::{Int64, Utf8};
/// use millpond::testing::TopologyTestDriver;
///
/// const CLICKS: Topic<String, i64> = Topic::new("clicks", &Utf8, &Int64);
/// const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream(&CLICKS).group_by_key(Grouped::named("clicks", &Utf8, &Int64));
/// clicks.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&COUNTS);
///
/// let mut driver = TopologyTestDriver::builder(builder.build()?).partitions(2).dead_letters(true).build();
/// driver.pipe(&CLICKS, "u1".to_owned(), 1, 1_000);
/// assert_eq!(driver.read_uncommitted(&COUNTS).len(), 1);
/// assert_eq!(driver.read_committed(&COUNTS), []);
/// driver.commit();
/// assert_eq!(driver.read_committed(&COUNTS), [("u1".to_owned(), 1)]);
///
/// driver.pipe(&CLICKS, "u1".to_owned(), 1, 2_000);
/// driver.crash_and_lose_disk(); // the second click is read again, the first count comes from the changelog
/// driver.commit();
/// assert_eq!(driver.read_committed(&COUNTS), [("u1".to_owned(), 1), ("u1".to_owned(), 2)]);
///
/// let at = millpond::time::Timestamp::from_millis(3_000);
/// driver.pipe_raw("clicks", Some("u1".into()), Some("no number".into()), at, Default::default());
/// driver.commit();
/// assert_eq!(driver.records("dead-letters").len(), 1);
/// assert_eq!(driver.lag(), 0);
/// # Ok::<(), millpond::topology::TopologyError>(())
/// ```
pub struct TopologyTestDriver {
    broker: SimBroker,
    directory: MemoryDirectory,
    topology: Arc<Topology>,
    config: ThreadConfig,
    thread: Option<StreamThread<SimBroker>>,
    piped: u64,
    tracing: Tracing,
}

/// Settings of a [`TopologyTestDriver`].
pub struct DriverBuilder {
    topology: Topology,
    partitions: usize,
    errors: ErrorPolicy,
    tracing: Tracing,
}

impl fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyTestDriver").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl fmt::Debug for DriverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverBuilder").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl DriverBuilder {
    /// How many partitions each of the user's topics has; one if not said.
    #[must_use]
    pub const fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets bad records aside in the topic `dead-letters` instead of stopping.
    #[must_use]
    pub fn dead_letters(mut self, payload: bool) -> Self {
        self.errors = ErrorPolicy::all_to_dead_letters(payload);
        self
    }

    /// Makes spans of what is processed.
    #[must_use]
    pub fn traced(mut self, tracing: Tracing) -> Self {
        self.tracing = tracing;
        self
    }

    /// Creates the topics and starts.
    ///
    /// # Panics
    /// When the topology cannot be started.
    pub fn build(self) -> TopologyTestDriver {
        let broker = SimBroker::new();
        for topic in self.topology.external_topics() {
            broker.add_topic(&topic, self.partitions);
        }
        let mut config = ThreadConfig::new("test", "test-driver-0");
        // Commits come by hand only.
        config.commit_interval = Duration::MAX;
        config.poll_timeout = Duration::ZERO;
        config.transaction_timeout = Duration::MAX;
        config.errors = self.errors;
        let mut driver = TopologyTestDriver {
            broker,
            directory: MemoryDirectory::new(),
            topology: Arc::new(self.topology),
            config,
            thread: None,
            piped: 0,
            tracing: self.tracing,
        };
        driver.start();
        driver
    }
}

impl TopologyTestDriver {
    /// A driver for `topology`, with one partition per topic unless said otherwise.
    pub fn builder(topology: Topology) -> DriverBuilder {
        DriverBuilder { topology, partitions: 1, errors: ErrorPolicy::default(), tracing: Tracing::default() }
    }

    /// The simulated broker underneath, for faults and for looking at topics.
    pub const fn broker(&self) -> &SimBroker {
        &self.broker
    }

    /// The state on the simulated disk.
    pub const fn directory(&self) -> &MemoryDirectory {
        &self.directory
    }

    /// The stream thread: its tasks and counters.
    ///
    /// # Panics
    /// After a failure of [`try_run`](Self::try_run).
    pub fn thread(&self) -> &StreamThread<SimBroker> {
        self.thread.as_ref().unwrap_or_else(|| panic!("the thread has stopped"))
    }

    fn start(&mut self) {
        let dead_letters = self.config.errors.topic.as_ref().map(|(name, _)| name);
        let topics = Topics::prepare(&self.broker, &self.topology, &self.config.application_id, 1, dead_letters);
        let topics = Arc::new(topics.unwrap_or_else(|error| panic!("the topics do not fit: {error}")));
        let application =
            Application { topology: self.topology.clone(), topics, directory: Rc::new(self.directory.clone()) };
        let thread = StreamThread::start(self.broker.clone(), self.config.clone(), application, self.broker.now());
        let mut thread = thread.unwrap_or_else(|error| panic!("the thread does not start: {error}"));
        thread.trace(self.tracing.tracer(&self.config.instance_id));
        self.thread = Some(thread);
        self.run();
    }

    /// Appends a record to an input topic and processes it. The partition follows from the key, as in Kafka; records
    /// without a key take turns.
    ///
    /// # Panics
    /// When key or value cannot be encoded, or processing fails.
    pub fn pipe<K, V>(&mut self, topic: &Topic<K, V>, key: K, value: V, at_ms: i64) {
        self.pipe_record(topic, Record::new(key, value, Timestamp::from_millis(at_ms)));
    }

    /// As [`pipe`](Self::pipe), with headers.
    ///
    /// # Panics
    /// As `pipe`.
    pub fn pipe_record<K, V>(&mut self, topic: &Topic<K, V>, record: Record<K, V>) {
        let key = encode(topic.key_serde(), &record.key);
        let value = encode(topic.value_serde(), &record.value);
        self.pipe_raw(topic.name(), key, value, record.timestamp, record.headers);
    }

    /// Appends raw bytes, fit or not, to an input topic and processes them.
    ///
    /// # Panics
    /// When there is no such topic, or processing fails.
    #[expect(clippy::too_many_arguments, reason = "a topic and the four parts of a record")]
    pub fn pipe_raw(
        &mut self,
        topic: &str,
        key: Option<Bytes>,
        value: Option<Bytes>,
        timestamp: Timestamp,
        headers: Headers,
    ) {
        let partitions = i32::try_from(self.broker.partitions(topic).len()).unwrap_or(i32::MAX);
        let partition = match &key {
            Some(key) => partition_for_key(key, partitions),
            None => partition_without_key(self.piped, partitions),
        };
        self.piped += 1;
        let target = TopicPartition::new(topic, partition);
        let appended = self.broker.append(ProducerRecord { target, timestamp, key, value, headers });
        appended.unwrap_or_else(|error| panic!("topic={topic}: {error:?}"));
        self.run();
    }

    /// Runs the loop until nothing moves. Nothing is committed by it.
    ///
    /// # Panics
    /// When the thread stops with an error.
    pub fn run(&mut self) {
        self.try_run().unwrap_or_else(|error| panic!("the thread stopped: {error}"));
    }

    /// As [`run`](Self::run), giving the error back; the thread is gone then.
    ///
    /// # Errors
    /// What stopped the thread.
    ///
    /// # Panics
    /// When the topology goes round in a circle for ever.
    pub fn try_run(&mut self) -> Result<(), Error> {
        let Some(thread) = &mut self.thread else { return Ok(()) };
        for _ in 0..ROUNDS_MAX {
            match thread.run_once(self.broker.now()) {
                Ok(progress) if progress.is_idle() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    self.thread = None;
                    return Err(error);
                }
            }
        }
        panic!("the topology does not come to rest")
    }

    /// One transaction: what was processed so far. Downstream of a repartition nothing has moved yet.
    ///
    /// # Panics
    /// When the commit fails.
    pub fn commit_once(&mut self) -> bool {
        let now = self.broker.now();
        let Some(thread) = &mut self.thread else { panic!("the thread has stopped") };
        thread.commit(now).unwrap_or_else(|error| panic!("the commit failed: {error}"))
    }

    /// Commits and runs until everything is through, over all repartitions.
    ///
    /// # Panics
    /// When a commit or the processing fails.
    pub fn commit(&mut self) {
        // A commit_once before may have left records on their way.
        self.run();
        for _ in 0..ROUNDS_MAX {
            let committed = self.commit_once();
            self.run();
            if !committed {
                return;
            }
        }
        panic!("the commits do not come to rest")
    }

    /// The process dies and starts again: what was not committed is gone, the disk is as it was.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn crash(&mut self) {
        self.thread = None;
        self.start();
    }

    /// The machine is replaced: the process dies, and its disk with it. State comes back from the changelogs.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn crash_and_lose_disk(&mut self) {
        self.thread = None;
        self.directory = MemoryDirectory::new();
        self.start();
    }

    /// Stops in order, as an application that is asked to: commits, and closes every processor. Broker and disk remain
    /// with their clones.
    ///
    /// # Panics
    /// When the last commit fails.
    pub fn close(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.close(false, self.broker.now()).unwrap_or_else(|error| panic!("the thread does not stop: {error}"));
        }
    }

    /// Moves the wall clock, and runs what is due.
    ///
    /// # Panics
    /// When processing fails.
    pub fn advance(&mut self, by: Duration) {
        self.broker.advance(by);
        self.run();
    }

    /// Keys and values of an output topic that a `read_committed` consumer sees, partition by partition.
    ///
    /// # Panics
    /// When they cannot be decoded.
    pub fn read_committed<K, V>(&self, topic: &Topic<K, V>) -> Vec<(K, V)> {
        self.read(topic, Isolation::ReadCommitted)
    }

    /// As [`read_committed`](Self::read_committed), with what is not committed yet.
    ///
    /// # Panics
    /// When they cannot be decoded.
    pub fn read_uncommitted<K, V>(&self, topic: &Topic<K, V>) -> Vec<(K, V)> {
        self.read(topic, Isolation::ReadUncommitted)
    }

    fn read<K, V>(&self, topic: &Topic<K, V>, isolation: Isolation) -> Vec<(K, V)> {
        let records = self.broker.records(topic.name(), isolation).into_iter();
        let pair = |record: ConsumedRecord| {
            (decode(topic.key_serde(), record.key.as_ref()), decode(topic.value_serde(), record.value.as_ref()))
        };
        records.map(pair).collect()
    }

    /// Committed raw records of any topic, dead letters and changelogs included.
    pub fn records(&self, topic: &str) -> Vec<ConsumedRecord> {
        self.broker.records(topic, Isolation::ReadCommitted)
    }

    /// A row, uncommitted writes included, from whichever task has it.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub fn get<K, V>(&self, store: &KeyValueStoreRef<K, V>, key: &K) -> Option<V> {
        let mut bytes = Vec::new();
        store.key_serde().encode(key, &mut bytes).unwrap_or_else(|error| panic!("key: {error}"));
        self.thread().tasks().find_map(|task| {
            let stores = task.stores()?;
            let index = stores.specs().iter().position(|spec| spec.name == store.name())?;
            let index = StoreIndex(u16::try_from(index).ok()?);
            let value = stores.get(index, &bytes).unwrap_or_else(|error| panic!("{error}"))?;
            Some(decode(store.value_serde(), Some(&value)))
        })
    }

    /// How far the group is behind the ends of its inputs, markers counted.
    pub fn lag(&self) -> u64 {
        self.broker.lag(&self.config.application_id).values().sum()
    }

    /// The partition a key of a topic goes to.
    ///
    /// # Panics
    /// When the key cannot be encoded.
    pub fn partition_of<K, V>(&self, topic: &Topic<K, V>, key: &K) -> Partition {
        let partitions = i32::try_from(self.broker.partitions(topic.name()).len()).unwrap_or(i32::MAX);
        let key = encode(topic.key_serde(), key).unwrap_or_default();
        partition_for_key(&key, partitions)
    }
}

pub(super) fn encode<T>(serde: &dyn Serde<T>, value: &T) -> Option<Bytes> {
    if serde.is_null(value) {
        return None;
    }
    let mut bytes = Vec::new();
    serde.encode(value, &mut bytes).unwrap_or_else(|error| panic!("cannot be encoded: {error}"));
    Some(bytes.into())
}

pub(super) fn decode<T>(serde: &dyn Serde<T>, bytes: Option<&Bytes>) -> T {
    let value = match bytes {
        Some(bytes) => serde.decode(bytes),
        None => serde.decode_null(),
    };
    value.unwrap_or_else(|error| panic!("cannot be decoded: {error}"))
}
