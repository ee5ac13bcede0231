//! A task: what it processes, how it came to run, and the database below its stores.

use super::super::{Kind, Level, Metric, Unit};
use super::{each_task, seconds};
use crate::runtime::stats::RestoreSnapshot;

pub(super) static METRICS: [Metric; 11] = [
    Metric::new(
        "millpond_task_records_processed_total",
        Kind::Counter,
        "Records processed since the task came to this thread",
        |view, out| each_task(view, |task| out.count(&[&task.id], task.processed)),
    )
    .of_task(),
    Metric::new(
        "millpond_task_stream_time_seconds",
        Kind::Gauge,
        "The task's stream time, in seconds since the epoch",
        |view, out| {
            each_task(view, |task| {
                if let Some(time) = seconds(task.stream_time) {
                    out.number(&[&task.id], time);
                }
            });
        },
    )
    .of_task()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_task_start",
        Kind::Gauge,
        "How the task came to run: rows in its stores, offset of its commit log, changelog records replayed; \
            and whether its last commit record and the group's offsets were compared and agree",
        |view, out| {
            each_task(view, |task| {
                let Some(start) = task.start else { return };
                let offset = u64::try_from(start.offset.0).unwrap_or(0);
                for (figure, value) in [("rows", start.rows), ("offset", offset), ("replayed", start.replayed)] {
                    out.count(&[&task.id, &start.kind.as_str(), &start.verified, &figure], value);
                }
            });
        },
    )
    .at(Level::Task, &["task", "kind", "verified", "figure"]),
    Metric::new(
        "millpond_restore_done_records",
        Kind::Gauge,
        "Changelog offsets replayed by the running restore; zero without one",
        |view, out| each_task(view, |task| out.count(&[&task.id], task.restore.map_or(0, |restore| restore.done))),
    )
    .of_task(),
    Metric::new(
        "millpond_restore_remaining_records",
        Kind::Gauge,
        "Changelog offsets that the running restore has still to replay; zero without one",
        |view, out| {
            each_task(view, |task| out.count(&[&task.id], task.restore.map_or(0, RestoreSnapshot::remaining)));
        },
    )
    .of_task(),
    Metric::new(
        "millpond_restore_seconds",
        Kind::Gauge,
        "How long the task's last restore took, from its plan to its start; also one that found nothing to replay",
        |view, out| {
            each_task(view, |task| {
                if let Some(start) = task.start {
                    out.number(&[&task.id], start.took.as_secs_f64());
                }
            });
        },
    )
    .of_task()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_rocksdb_background_errors_total",
        Kind::Counter,
        "Flushes and compactions that failed since the task's database was opened",
        |view, out| {
            each_task(view, |task| {
                if let Some(database) = &task.database {
                    out.count(&[&task.id], database.background_errors);
                }
            });
        },
    )
    .of_task(),
    Metric::new(
        "millpond_rocksdb_write_stopped",
        Kind::Gauge,
        "One while the task's database refuses writes until compaction has caught up",
        |view, out| {
            each_task(view, |task| {
                if let Some(database) = &task.database {
                    out.count(&[&task.id], u64::from(database.write_stopped));
                }
            });
        },
    )
    .of_task()
    .of(Unit::Truth),
    Metric::new(
        "millpond_rocksdb_delayed_write_bytes_per_second",
        Kind::Gauge,
        "Bytes a second that writes are held back to because compaction is behind; zero when they are not",
        |view, out| {
            each_task(view, |task| {
                if let Some(database) = &task.database {
                    out.count(&[&task.id], database.delayed_write_bytes);
                }
            });
        },
    )
    .of_task()
    .of(Unit::BytesPerSecond),
    Metric::new("millpond_rocksdb_running_compactions", Kind::Gauge, "Compactions that run", |view, out| {
        each_task(view, |task| {
            if let Some(database) = &task.database {
                out.count(&[&task.id], database.running_compactions);
            }
        });
    })
    .of_task(),
    Metric::new("millpond_rocksdb_running_flushes", Kind::Gauge, "Flushes of memtables that run", |view, out| {
        each_task(view, |task| {
            if let Some(database) = &task.database {
                out.count(&[&task.id], database.running_flushes);
            }
        });
    })
    .of_task(),
];
