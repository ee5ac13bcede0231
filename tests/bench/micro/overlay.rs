//! Uncommitted writes: a record's read and write, and what a commit takes out.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use millpond::record::{Partition, TaskId};
use millpond::runtime::stats::OperationTimes;
use millpond::serde::{Int64, Utf8};
use millpond::state::{
    Checkpoint, KeyValueStore, MemoryDirectory, StateDirectory, StoreIndex, StoreKind, StoreOperation, StoreSpec,
    StoreTimer, TaskStores,
};
use millpond::time::Stopwatch;

/// About what a commit of 100 ms holds.
const ROWS: u32 = 20_000;

pub(crate) const STORE: StoreIndex = StoreIndex(0);

pub(crate) fn task() -> TaskId {
    TaskId { subtopology: 0, partition: Partition(0) }
}

pub(crate) fn specs() -> Vec<StoreSpec> {
    vec![StoreSpec { name: "counts".into(), kind: StoreKind::Persistent, changelog: Some("changelog".into()) }]
}

fn stores() -> Rc<TaskStores> {
    let backend = MemoryDirectory::new().open(task(), &specs()).unwrap();
    TaskStores::new(task(), specs(), backend)
}

/// Keys in no order.
fn keys() -> Vec<String> {
    (0..u64::from(ROWS)).map(|row| format!("u{}", row * 2_654_435_761 % 200_000)).collect()
}

fn filled(keys: &[String]) -> Rc<TaskStores> {
    let stores = stores();
    let handle = KeyValueStore::new(stores.clone(), STORE, &Utf8, &Int64);
    for key in keys {
        handle.put(key, &1).unwrap();
    }
    drop(handle);
    stores
}

/// Measures as a stream thread does.
#[derive(Debug)]
struct Clock {
    origin: Instant,
    times: RefCell<OperationTimes>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now(), times: RefCell::default() }
    }
}

impl Stopwatch for Clock {
    fn reading(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl StoreTimer for Clock {
    fn took(&self, _store: &str, operation: StoreOperation, time: Duration) {
        self.times.borrow_mut().observe(operation, time);
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let keys = keys();
    let mut group = criterion.benchmark_group("overlay");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("count 20,000 new keys", |bencher| {
        let count = |stores: Rc<TaskStores>| {
            let handle = KeyValueStore::new(stores.clone(), STORE, &Utf8, &Int64);
            for key in &keys {
                let count = handle.get(key).unwrap().unwrap_or(0_i64);
                handle.put(key, &(count + 1)).unwrap();
            }
            stores
        };
        bencher.iter_batched(stores, count, BatchSize::PerIteration);
    });
    for (name, measured) in [("count 20,000 known keys", false), ("the same, a sample of it measured", true)] {
        group.bench_function(name, |bencher| {
            let stores = filled(&keys);
            if measured {
                stores.measure(Rc::new(Clock::default()));
            }
            let handle = KeyValueStore::new(stores, STORE, &Utf8, &Int64);
            bencher.iter(|| {
                for key in &keys {
                    let count = handle.get(key).unwrap().unwrap_or(0_i64);
                    handle.put(key, &(count + 1)).unwrap();
                }
            });
        });
    }
    group.bench_function("freeze 20,000 rows and take them out", |bencher| {
        let freeze = |stores: Rc<TaskStores>| {
            stores.freeze().unwrap();
            black_box(stores.frozen_rows());
            stores.apply_frozen(Checkpoint::default()).unwrap();
            stores
        };
        bencher.iter_batched(|| filled(&keys), freeze, BatchSize::PerIteration);
    });
    group.finish();
}
