//! The process: whether it lives, what it has, and what it shares among its threads.

use super::super::{Kind, Metric, Unit};
use super::{seconds, two};
use crate::runtime::health;
use crate::runtime::stats::{TaskState, ThreadState};

pub(super) static METRICS: [Metric; 16] = [
    Metric::new("millpond_build_info", Kind::Gauge, "One, with the version as a label", |view, out| {
        out.count(&[&view.version], 1);
    })
    .labelled(&["version"])
    .of(Unit::Truth),
    Metric::new(
        "millpond_live",
        Kind::Gauge,
        "One while every loop comes round in time and no thread has failed",
        |view, out| {
            out.count(&[], u64::from(health::dead(view.threads, view.now, view.silence_max).is_empty()));
        },
    )
    .of(Unit::Truth),
    Metric::new(
        "millpond_ready",
        Kind::Gauge,
        "One while every thread is assigned and every task runs",
        |view, out| {
            out.count(&[], u64::from(health::unready(view.threads, view.now, view.silence_max).is_empty()));
        },
    )
    .of(Unit::Truth),
    Metric::new("millpond_threads", Kind::Gauge, "Stream threads by state", |view, out| {
        for state in ThreadState::ALL {
            let count = view.threads.iter().filter(|thread| thread.state == state).count();
            out.count(&[&state.as_str()], count as u64);
        }
    })
    .labelled(&["state"]),
    Metric::new("millpond_tasks", Kind::Gauge, "Tasks by state", |view, out| {
        for state in TaskState::ALL {
            let count = view.threads.iter().flat_map(|thread| &thread.tasks).filter(|task| task.state == state);
            out.count(&[&state.as_str()], count.count() as u64);
        }
    })
    .labelled(&["state"]),
    Metric::new(
        "millpond_clock_timestamp_seconds",
        Kind::Gauge,
        "The wall clock of the process at the scrape, in seconds since the epoch",
        |view, out| {
            if let Some(now) = seconds(view.now) {
                out.number(&[], now);
            }
        },
    )
    .of(Unit::Seconds),
    Metric::new(
        "millpond_rocksdb_block_cache_bytes",
        Kind::Gauge,
        "Blocks, indexes and filters in the cache of all stores",
        |view, out| {
            if let Some(cache) = view.process.block_cache {
                out.count(&[], cache.bytes);
            }
        },
    )
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_block_cache_limit_bytes",
        Kind::Gauge,
        "How large that cache may become: half of statestore.cache.max.bytes",
        |view, out| {
            if let Some(cache) = view.process.block_cache {
                out.count(&[], cache.bytes_max);
            }
        },
    )
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_block_cache_reads_total",
        Kind::Counter,
        "Blocks that were looked for in the cache, by what is in them: a miss is read from a file",
        |view, out| {
            if let Some(reads) = view.process.engine_reads {
                two(&[&"data"], reads.data_blocks, out);
                two(&[&"index"], reads.index_blocks, out);
                two(&[&"filter"], reads.filter_blocks, out);
            }
        },
    )
    .labelled(&["kind", "result"]),
    Metric::new(
        "millpond_rocksdb_memtable_reads_total",
        Kind::Counter,
        "Keys that were looked for in memtables: a miss goes on to the table files",
        |view, out| {
            if let Some(reads) = view.process.engine_reads {
                two(&[], reads.memtables, out);
            }
        },
    )
    .labelled(&["result"]),
    Metric::new(
        "millpond_rocksdb_filter_checks_total",
        Kind::Counter,
        "Table files whose filter was asked for a key: useful has spared a look-up, passed has led to one, found is the part \
            of these that had the key",
        |view, out| {
            if let Some(reads) = view.process.engine_reads {
                out.count(&[&"useful"], reads.filters_useful);
                out.count(&[&"passed"], reads.filters_passed);
                out.count(&[&"found"], reads.filters_found);
            }
        },
    )
    .labelled(&["result"]),
    Metric::new("millpond_rocksdb_write_buffers_bytes", Kind::Gauge, "Memtables of all stores", |view, out| {
        if let Some(buffers) = view.process.write_buffers {
            out.count(&[], buffers.bytes);
        }
    })
    .of(Unit::Bytes),
    Metric::new(
        "millpond_rocksdb_write_buffers_limit_bytes",
        Kind::Gauge,
        "How large memtables may become together: statestore.write.buffer.max.bytes",
        |view, out| {
            if let Some(buffers) = view.process.write_buffers {
                out.count(&[], buffers.bytes_max);
            }
        },
    )
    .of(Unit::Bytes),
    Metric::new(
        "millpond_state_disk_free_bytes",
        Kind::Gauge,
        "What is free on the disk of state.dir for this process",
        |view, out| {
            if let Some(disk) = view.process.state_disk {
                out.count(&[], disk.free_bytes);
            }
        },
    )
    .of(Unit::Bytes),
    Metric::new(
        "millpond_http_refused_total",
        Kind::Counter,
        "Requests over HTTP that were refused, by reason: token is a wrong one or none, guesses come after too many of those",
        |view, out| view.process.refused.iter().for_each(|(reason, count)| out.count(&[reason], *count)),
    )
    .labelled(&["reason"]),
    Metric::new("millpond_state_disk_size_bytes", Kind::Gauge, "The size of the disk of state.dir", |view, out| {
        if let Some(disk) = view.process.state_disk {
            out.count(&[], disk.size_bytes);
        }
    })
    .of(Unit::Bytes),
];
