//! Rows from a changelog into RocksDB, in batches of about the size that a restore writes.

use criterion::{BatchSize, Criterion, Throughput};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{RestoredBatch, StateDirectory, TaskStores};

use crate::overlay::{STORE, specs, task};

const ROWS: u32 = 100_000;
const BATCH: u32 = 50_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let batch = |first: u32| {
        let mut batch = RestoredBatch::default();
        let rows = batch.rows.entry(STORE).or_default();
        for row in first..first + BATCH {
            let key = format!("u{}", u64::from(row) * 2_654_435_761 % 10_000_000);
            assert!(rows.push(key.as_bytes(), Some(&i64::from(row).to_be_bytes())), "a short row");
        }
        batch
    };
    let batches: Vec<RestoredBatch> = (0..ROWS / BATCH).map(|number| batch(number * BATCH)).collect();
    let mut group = criterion.benchmark_group("restore");
    group.throughput(Throughput::Elements(u64::from(ROWS))).sample_size(10);
    group.bench_function("100,000 rows into RocksDB", |bencher| {
        let empty = || {
            let dir = tempfile::tempdir().unwrap();
            let directory = RocksDirectory::new(dir.path(), "bench", "0", Options::default());
            let stores = TaskStores::new(task(), specs(), directory.open(task(), &specs()).unwrap());
            (dir, stores)
        };
        let restore = |(dir, stores): (tempfile::TempDir, std::rc::Rc<TaskStores>)| {
            for batch in &batches {
                stores.load(batch.clone()).unwrap();
            }
            stores.settle().unwrap();
            (dir, stores)
        };
        bencher.iter_batched(empty, restore, BatchSize::PerIteration);
    });
    group.finish();
}
