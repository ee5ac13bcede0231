//! What may wait in memory, or in an open transaction.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millpond::record::TaskId;
use millpond::runtime::{Application, StreamThread, Topics};
use millpond::state::{
    Backend, BackendStats, Checkpoint, CommitBatch, Direction, KeyRange, RestoredBatch, Scan, StateDirectory,
    StoreError, StoreIndex, StoreSpec,
};

use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::runtime::{TaskView, ThreadConfig};
use millpond::state::MemoryDirectory;

use super::{T, append_to, broker, committed_keys, copy, eager, rounds, start, table};

/// `input.buffer.max.bytes` is of the thread, however many partitions it has.
#[test]
fn input_of_many_partitions_stays_within_the_threads_budget() {
    let broker = SimBroker::with_config(SimConfig { max_poll_records: 50, ..SimConfig::without_timeouts() });
    for topic in ["in", "out"] {
        broker.add_topic(topic, 16);
    }
    let budget = 200_000;
    let config = ThreadConfig { input_buffer_bytes_max: budget, records_per_round: 16, ..eager("app-0") };
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), config, T);
    rounds(&mut thread, 10, T).unwrap();
    for record in 0..1_600 {
        append_to(&broker, record % 16, &format!("{record}"), Some(vec![b'x'; 1_000].into()));
    }
    let mut most = 0;
    for _ in 0..2_000 {
        rounds(&mut thread, 1, T).unwrap();
        most = most.max(thread.tasks().map(|task: TaskView<'_>| task.buffered_bytes()).sum());
    }
    let poll = 50 * 1_010;
    assert!((budget / 2..budget + poll).contains(&most), "{most} bytes");
    assert_eq!(committed_keys(&broker, "out").len(), 1_600);
}

/// `uncommitted.max.bytes` holds for outputs, too: without stores a transaction would only end by its age.
#[test]
fn outputs_bring_a_commit_forward() {
    let broker = broker(1);
    let config = ThreadConfig {
        commit_interval: Duration::from_hours(1),
        transaction_timeout: Duration::MAX,
        uncommitted_bytes_max: 10_000,
        ..eager("app-0")
    };
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), config, T);
    rounds(&mut thread, 10, T).unwrap();
    for record in 0..20 {
        append_to(&broker, 0, &format!("{record}"), Some(vec![b'x'; 1_000].into()));
    }
    rounds(&mut thread, 10, T).unwrap();
    assert_eq!(committed_keys(&broker, "out").len(), 20);
}

/// Stores that take their time to load: the rows stay in memory until somebody waits for them.
struct Lazy {
    inner: Box<dyn Backend>,
    waiting: Option<RestoredBatch>,
    now: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

impl Backend for Lazy {
    fn read(&self, store: StoreIndex, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        self.inner.read(store, key, read)
    }
    fn scan(&self, store: StoreIndex, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        self.inner.scan(store, range, direction)
    }
    fn approximate_count(&self, store: StoreIndex) -> Result<u64, StoreError> {
        self.inner.approximate_count(store)
    }
    fn apply(&mut self, batch: &CommitBatch) -> Result<(), StoreError> {
        self.settle()?;
        self.inner.apply(batch)
    }
    fn load(&mut self, batch: RestoredBatch) -> Result<(), StoreError> {
        self.settle()?;
        self.now.set(self.now.get() + batch.bytes());
        self.most.set(self.most.get().max(self.now.get()));
        self.waiting = Some(batch);
        Ok(())
    }
    fn is_loading(&self) -> bool {
        self.waiting.is_some()
    }
    fn settle(&mut self) -> Result<(), StoreError> {
        let Some(batch) = self.waiting.take() else { return Ok(()) };
        self.now.set(self.now.get() - batch.bytes());
        self.inner.load(batch)
    }
    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.inner.checkpoint()
    }
    fn stats(&self) -> Result<BackendStats, StoreError> {
        self.inner.stats()
    }
    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.settle()?;
        self.inner.close()
    }
}

#[derive(Clone, Default)]
struct LazyDirectory {
    inner: MemoryDirectory,
    now: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

impl StateDirectory for LazyDirectory {
    fn open(&self, task: TaskId, stores: &[StoreSpec]) -> Result<Box<dyn Backend>, StoreError> {
        let (inner, now, most) = (self.inner.open(task, stores)?, self.now.clone(), self.most.clone());
        Ok(Box::new(Lazy { inner, waiting: None, now, most }))
    }
    fn quarantine(&self, task: TaskId) -> Result<PathBuf, StoreError> {
        self.inner.quarantine(task)
    }
    fn wipe(&self, task: TaskId) -> Result<(), StoreError> {
        self.inner.wipe(task)
    }
    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        self.inner.tasks()
    }
}

/// Eight tasks are restored at once, and their stores write behind the thread's back: all rows that are held, or on their way
/// to disk, are bounded for the thread, not for each task.
#[test]
fn rows_of_a_restore_on_their_way_to_disk_are_bounded_over_all_tasks() {
    const TASKS: usize = 8;
    const ROW: usize = 1_000;
    const BUDGET: usize = 50_000;
    let broker = SimBroker::with_config(SimConfig { max_poll_records: 20, ..SimConfig::without_timeouts() });
    broker.add_topic("in", TASKS);
    for record in 0..800 {
        append_to(&broker, record % 8, &format!("{record}"), Some(vec![b'x'; ROW].into()));
    }
    let mut first = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut first, 200, T).unwrap();
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
    drop(first);

    let directory = LazyDirectory::default();
    let topology = Arc::new(table());
    let topics = Arc::new(Topics::prepare(&broker, &topology, "app", 1, None).unwrap());
    let application = Application { topology, topics, directory: Rc::new(directory.clone()) };
    let config = ThreadConfig { restored_bytes_max: BUDGET, ..eager("app-0") };
    let mut thread = StreamThread::start(broker.clone(), config, application, T).unwrap();
    for _ in 0..2_000 {
        rounds(&mut thread, 1, T).unwrap();
    }
    let rows: usize = (0..8).map(|partition| directory.inner.contents(task(partition), "table").len()).sum();
    assert_eq!(rows, 800, "everything was restored");
    let most = directory.most.get();
    assert!((BUDGET / 2..=BUDGET).contains(&most), "{most} bytes were on their way at once");
}

fn task(partition: i32) -> TaskId {
    TaskId { partition: millpond::record::Partition(partition), ..super::TASK }
}
