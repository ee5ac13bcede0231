//! What RocksDB's counters cost a read: the same look-ups without statistics, and with them at the level that millpond asks for.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rocksdb::statistics::StatsLevel;
use rocksdb::{BlockBasedOptions, DB, Options};

const ROWS: u32 = 100_000;
const READS: u32 = 10_000;

fn key(row: u32) -> String {
    format!("u{}", u64::from(row) * 2_654_435_761 % 10_000_000)
}

fn filled(dir: &std::path::Path, counting: bool) -> DB {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    if counting {
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    }
    let database = DB::open(&options, dir).unwrap();
    for row in 0..ROWS {
        database.put(key(row), [7; 100]).unwrap();
    }
    database.flush().unwrap();
    database
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let keys: Vec<String> = (0..READS).map(|row| key(row * (ROWS / READS))).collect();
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(u64::from(READS)));
    for (name, counting) in [("10,000 look-ups in a table, uncounted", false), ("the same, counted", true)] {
        let dir = tempfile::tempdir().unwrap();
        let database = filled(dir.path(), counting);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for key in &keys {
                    black_box(database.get_pinned(key).unwrap());
                }
            });
        });
    }
    group.finish();
}
