//! Rows from a changelog into RocksDB, in batches of about the size that a restore writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{Checkpoint, CommitBatch, Row, StateDirectory, TaskStores};

use crate::overlay::{STORE, specs, task};

const ROWS: u32 = 100_000;
const BATCH: usize = 50_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let rows: Vec<Row> = (0..ROWS)
        .map(|row| {
            let key = format!("u{}", u64::from(row) * 2_654_435_761 % 10_000_000);
            (Bytes::from(key), Some(Bytes::copy_from_slice(&i64::from(row).to_be_bytes())))
        })
        .collect();
    let batch = |rows: &[Row]| {
        let sorted: BTreeMap<Bytes, Option<Bytes>> = rows.iter().cloned().collect();
        let rows = BTreeMap::from([(STORE, sorted.into_iter().collect())]);
        CommitBatch { rows, checkpoint: Checkpoint::default() }
    };
    let batches: Vec<CommitBatch> = rows.chunks(BATCH).map(batch).collect();
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
                stores.apply_restored(batch).unwrap();
            }
            (dir, stores)
        };
        bencher.iter_batched(empty, restore, BatchSize::PerIteration);
    });
    group.finish();
}
