//! A store of a task, and RocksDB below it.

use super::super::{Kind, Level, Metric, Samples, Unit, View};
use super::{each_task, each_thread, two};
use crate::runtime::stats::{StoreSnapshot, TableStats};

const STORE: &[&str] = &["task", "store"];

pub(super) static METRICS: [Metric; 12] = [
    Metric::new("millpond_store_rows", Kind::Gauge, "About how many rows the store has", |view, out| {
        each_store(view, out, |store| Some(store.rows));
    })
    .at(Level::Store, STORE),
    Metric::new(
        "millpond_store_bytes",
        Kind::Gauge,
        "About how many bytes the store takes, on disk and in memory",
        |view, out| each_store(view, out, |store| Some(store.bytes)),
    )
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_files_bytes",
        Kind::Gauge,
        "Table files, those that were replaced and are still open included",
        |view, out| each_table(view, out, |table| table.file_bytes),
    )
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new("millpond_rocksdb_live_files_bytes", Kind::Gauge, "Table files of the present rows", |view, out| {
        each_table(view, out, |table| table.live_bytes);
    })
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_level0_files",
        Kind::Gauge,
        "Table files of the first level, all of which a look-up may have to ask; writes are slowed down from 20 on",
        |view, out| each_table(view, out, |table| table.level0_files),
    )
    .at(Level::Store, STORE),
    Metric::new("millpond_rocksdb_memtables_bytes", Kind::Gauge, "Memtables of the store", |view, out| {
        each_table(view, out, |table| table.memtable_bytes);
    })
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_immutable_memtables",
        Kind::Gauge,
        "Memtables that wait for their flush",
        |view, out| each_table(view, out, |table| table.immutable_memtables),
    )
    .at(Level::Store, STORE),
    Metric::new(
        "millpond_rocksdb_table_readers_bytes",
        Kind::Gauge,
        "Indexes and filters of open table files outside the block cache",
        |view, out| each_table(view, out, |table| table.reader_bytes),
    )
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_pending_compaction_bytes",
        Kind::Gauge,
        "About what compaction has still to rewrite; writes are slowed down from 64 GiB on",
        |view, out| each_table(view, out, |table| table.pending_compaction_bytes),
    )
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_row_cache_bytes",
        Kind::Gauge,
        "Rows kept in memory because they were read or written lately",
        |view, out| each_table(view, out, |table| table.row_cache_bytes),
    )
    .at(Level::Store, STORE)
    .of(Unit::Bytes),
    Metric::new(
        "millpond_row_cache_reads_total",
        Kind::Counter,
        "Rows that were looked for among those in memory: a miss asks RocksDB; uncommitted rows are found before",
        |view, out| {
            each_task(view, |task| {
                for store in &task.stores {
                    if let Some(table) = &store.table {
                        two(&[&task.id, &store.name], table.row_cache_reads, out);
                    }
                }
            });
        },
    )
    .at(Level::Store, &["task", "store", "result"]),
    Metric::new(
        "millpond_store_op_seconds",
        Kind::Histogram,
        "Time of one get (decoding included), put, delete or scan (of the next committed rows), of one in 127 of each; and of \
            each flush, in which a commit writes all stores of a task",
        |view, out| {
            each_thread(view, |thread| {
                for (store, times) in &thread.operations {
                    times.iter().for_each(|(operation, times)| {
                        out.histogram(&[&thread.thread, store, &operation.as_str()], times);
                    });
                }
            });
        },
    )
    .at(Level::Store, &["thread", "store", "op"])
    .of(Unit::Seconds),
];

fn each_store(view: &View<'_>, out: &mut Samples, value: fn(&StoreSnapshot) -> Option<u64>) {
    each_task(view, |task| {
        for store in &task.stores {
            if let Some(value) = value(store) {
                out.count(&[&task.id, &store.name], value);
            }
        }
    });
}

fn each_table(view: &View<'_>, out: &mut Samples, value: fn(&TableStats) -> u64) {
    each_task(view, |task| {
        for store in &task.stores {
            if let Some(table) = &store.table {
                out.count(&[&task.id, &store.name], value(table));
            }
        }
    });
}
