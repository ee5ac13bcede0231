//! The table. A metric that is not here does not exist; names of dashboards and alerts are tested against it.

use super::{Kind, Level, Metric, Samples, Unit, View, float};
use crate::error::DEAD_LETTER_REASONS;
use crate::record::Offset;
use crate::runtime::health;
use crate::runtime::stats::{InputSnapshot, RestoreSnapshot, TaskSnapshot, TaskState, ThreadSnapshot, ThreadState};

const THREAD: &[&str] = &["thread"];
const TASK: &[&str] = &["task"];
const PARTITION: &[&str] = &["task", "topic", "partition"];
const STORE: &[&str] = &["task", "store"];

/// Every metric, in the order in which they are shown.
pub static TABLE: &[Metric] = &[
    Metric {
        name: "millpond_build_info",
        kind: Kind::Gauge,
        help: "One, with the version as a label",
        labels: &["version"],
        unit: Unit::Truth,
        level: Level::Application,
        read: |view, out| out.count(&[&view.version], 1),
    },
    Metric {
        name: "millpond_live",
        kind: Kind::Gauge,
        help: "One while every loop comes round in time and no thread has failed",
        labels: &[],
        unit: Unit::Truth,
        level: Level::Application,
        read: |view, out| {
            out.count(&[], u64::from(health::dead(view.threads, view.now, view.silence_max).is_empty()));
        },
    },
    Metric {
        name: "millpond_ready",
        kind: Kind::Gauge,
        help: "One while every thread is assigned and every task runs",
        labels: &[],
        unit: Unit::Truth,
        level: Level::Application,
        read: |view, out| {
            out.count(&[], u64::from(health::unready(view.threads, view.now, view.silence_max).is_empty()));
        },
    },
    Metric {
        name: "millpond_threads",
        kind: Kind::Gauge,
        help: "Stream threads by state",
        labels: &["state"],
        unit: Unit::Count,
        level: Level::Application,
        read: |view, out| {
            for state in ThreadState::ALL {
                let count = view.threads.iter().filter(|thread| thread.state == state).count();
                out.count(&[&state.as_str()], count as u64);
            }
        },
    },
    Metric {
        name: "millpond_tasks",
        kind: Kind::Gauge,
        help: "Tasks by state",
        labels: &["state"],
        unit: Unit::Count,
        level: Level::Application,
        read: |view, out| {
            for state in TaskState::ALL {
                let count = view.threads.iter().flat_map(|thread| &thread.tasks).filter(|task| task.state == state);
                out.count(&[&state.as_str()], count.count() as u64);
            }
        },
    },
    Metric {
        name: "millpond_heartbeat_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the thread's loop last came round, in seconds since the epoch",
        labels: THREAD,
        unit: Unit::Seconds,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| {
                let millis = u64::try_from(thread.heartbeat.as_millis()).unwrap_or(0);
                out.number(&[&thread.thread], float(millis) / 1000.0);
            });
        },
    },
    Metric {
        name: "millpond_records_consumed_total",
        kind: Kind::Counter,
        help: "Records taken in, by topic",
        labels: &["thread", "topic"],
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| by_label(thread, &thread.records_in, out));
        },
    },
    Metric {
        name: "millpond_records_produced_total",
        kind: Kind::Counter,
        help: "Records sent in committed transactions, by topic",
        labels: &["thread", "topic"],
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| by_label(thread, &thread.records_out, out));
        },
    },
    Metric {
        name: "millpond_records_dropped_total",
        kind: Kind::Counter,
        help: "Records that a node dropped, by reason",
        labels: &["thread", "reason"],
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| by_label(thread, &thread.dropped, out));
        },
    },
    Metric {
        name: "millpond_dead_letters_total",
        kind: Kind::Counter,
        help: "Records sent to the dead-letter topic, by reason",
        labels: &["thread", "reason"],
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| {
                // A rate does not see the first value of a series: it must be zero.
                let absent = DEAD_LETTER_REASONS.iter().filter(|reason| !thread.dead_letters.contains_key(**reason));
                absent.for_each(|reason| out.count(&[&thread.thread, reason], 0));
                by_label(thread, &thread.dead_letters, out);
            });
        },
    },
    Metric {
        name: "millpond_commits_total",
        kind: Kind::Counter,
        help: "Commits by outcome: ok, aborted, fenced, or unknown until the offsets were read again",
        labels: &["thread", "result"],
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| {
                let commits = thread.commits;
                for (result, count) in [
                    ("ok", commits.ok),
                    ("aborted", commits.aborted),
                    ("fenced", commits.fenced),
                    ("unknown", commits.unknown),
                ] {
                    out.count(&[&thread.thread, &result], count);
                }
            });
        },
    },
    Metric {
        name: "millpond_rebalances_total",
        kind: Kind::Counter,
        help: "Rebalances of the group that the thread has seen",
        labels: THREAD,
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.rebalances)),
    },
    Metric {
        name: "millpond_errors_total",
        kind: Kind::Counter,
        help: "Errors that the thread has met, recovered from or not",
        labels: THREAD,
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.errors.total())),
    },
    Metric {
        name: "millpond_restored_records_total",
        kind: Kind::Counter,
        help: "Changelog records replayed",
        labels: THREAD,
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.restored_records)),
    },
    Metric {
        name: "millpond_state_wipes_total",
        kind: Kind::Counter,
        help: "Stores that had to be rebuilt from the start of their changelog",
        labels: THREAD,
        unit: Unit::Count,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.state_wipes)),
    },
    Metric {
        name: "millpond_uncommitted_bytes",
        kind: Kind::Gauge,
        help: "Uncommitted writes and outputs in memory",
        labels: THREAD,
        unit: Unit::Bytes,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.uncommitted_bytes)),
    },
    Metric {
        name: "millpond_input_buffer_bytes",
        kind: Kind::Gauge,
        help: "Input waiting in memory",
        labels: THREAD,
        unit: Unit::Bytes,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.input_buffer_bytes)),
    },
    Metric {
        name: "millpond_poll_seconds",
        kind: Kind::Histogram,
        help: "Time of one poll",
        labels: THREAD,
        unit: Unit::Seconds,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.poll)),
    },
    Metric {
        name: "millpond_process_seconds",
        kind: Kind::Histogram,
        help: "Time of one round of processing",
        labels: THREAD,
        unit: Unit::Seconds,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.process)),
    },
    Metric {
        name: "millpond_commit_seconds",
        kind: Kind::Histogram,
        help: "Time of the phases of a commit: flush, offsets, end_transaction, store",
        labels: &["thread", "phase"],
        unit: Unit::Seconds,
        level: Level::Thread,
        read: |view, out| {
            each_thread(view, |thread| {
                let commit = &thread.commit;
                for (phase, times) in [
                    ("flush", &commit.flush),
                    ("offsets", &commit.offsets),
                    ("end_transaction", &commit.end_transaction),
                    ("store", &commit.store),
                ] {
                    out.histogram(&[&thread.thread, &phase], times);
                }
            });
        },
    },
    Metric {
        name: "millpond_end_to_end_latency_seconds",
        kind: Kind::Histogram,
        help: "From a record's timestamp to the commit of the transaction that it was processed in",
        labels: THREAD,
        unit: Unit::Seconds,
        level: Level::Thread,
        read: |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.end_to_end)),
    },
    Metric {
        name: "millpond_task_records_processed_total",
        kind: Kind::Counter,
        help: "Records processed since the task came to this thread",
        labels: TASK,
        unit: Unit::Count,
        level: Level::Task,
        read: |view, out| each_task(view, |task| out.count(&[&task.id], task.processed)),
    },
    Metric {
        name: "millpond_task_stream_time_seconds",
        kind: Kind::Gauge,
        help: "The task's stream time, in seconds since the epoch",
        labels: TASK,
        unit: Unit::Seconds,
        level: Level::Task,
        read: |view, out| {
            each_task(view, |task| {
                if let Ok(millis) = u64::try_from(task.stream_time.as_millis()) {
                    out.number(&[&task.id], float(millis) / 1000.0);
                }
            });
        },
    },
    Metric {
        name: "millpond_task_start",
        kind: Kind::Gauge,
        help: "How the task came to run: rows in its stores, offset of its commit log, changelog records replayed; \
            and whether its last commit record and the group's offsets were compared and agree",
        labels: &["task", "kind", "verified", "figure"],
        unit: Unit::Count,
        level: Level::Task,
        read: |view, out| {
            each_task(view, |task| {
                let Some(start) = task.start else { return };
                let offset = u64::try_from(start.offset.0).unwrap_or(0);
                for (figure, value) in [("rows", start.rows), ("offset", offset), ("replayed", start.replayed)] {
                    out.count(&[&task.id, &start.kind.as_str(), &start.verified, &figure], value);
                }
            });
        },
    },
    Metric {
        name: "millpond_restore_done_records",
        kind: Kind::Gauge,
        help: "Changelog offsets replayed by the running restore",
        labels: TASK,
        unit: Unit::Count,
        level: Level::Task,
        read: |view, out| {
            each_task(view, |task| {
                if let Some(restore) = task.restore {
                    out.count(&[&task.id], restore.done);
                }
            });
        },
    },
    Metric {
        name: "millpond_restore_remaining_records",
        kind: Kind::Gauge,
        help: "Changelog offsets that the running restore has still to replay; zero without one",
        labels: TASK,
        unit: Unit::Count,
        level: Level::Task,
        read: |view, out| {
            each_task(view, |task| {
                out.count(&[&task.id], task.restore.map_or(0, RestoreSnapshot::remaining));
            });
        },
    },
    Metric {
        name: "millpond_consumer_lag_records",
        kind: Kind::Gauge,
        help: "Offsets between the group's commit and the end of the partition; zero when all is committed",
        labels: PARTITION,
        unit: Unit::Count,
        level: Level::Partition,
        read: |view, out| each_input(view, out, |input| Some(float(input.lag_records))),
    },
    Metric {
        name: "millpond_consumer_lag_seconds",
        kind: Kind::Gauge,
        help: "Age of the oldest record that is not committed; zero when all is committed",
        labels: PARTITION,
        unit: Unit::Seconds,
        level: Level::Partition,
        read: |view, out| each_input(view, out, |input| Some(input.lag.as_secs_f64())),
    },
    Metric {
        name: "millpond_consumer_committed_offset",
        kind: Kind::Gauge,
        help: "The group's committed offset",
        labels: PARTITION,
        unit: Unit::Offset,
        level: Level::Partition,
        read: |view, out| each_input(view, out, |input| offset(input.committed)),
    },
    Metric {
        name: "millpond_consumer_position_offset",
        kind: Kind::Gauge,
        help: "The next offset to process",
        labels: PARTITION,
        unit: Unit::Offset,
        level: Level::Partition,
        read: |view, out| each_input(view, out, |input| offset(input.position)),
    },
    Metric {
        name: "millpond_consumer_end_offset",
        kind: Kind::Gauge,
        help: "The next offset to be written to the partition",
        labels: PARTITION,
        unit: Unit::Offset,
        level: Level::Partition,
        read: |view, out| each_input(view, out, |input| offset(input.end)),
    },
    Metric {
        name: "millpond_store_rows",
        kind: Kind::Gauge,
        help: "About how many rows the store has",
        labels: STORE,
        unit: Unit::Count,
        level: Level::Store,
        read: |view, out| {
            each_task(view, |task| {
                for store in &task.stores {
                    out.count(&[&task.id, &store.name], store.rows);
                }
            });
        },
    },
    Metric {
        name: "millpond_store_bytes",
        kind: Kind::Gauge,
        help: "About how many bytes the store takes",
        labels: STORE,
        unit: Unit::Bytes,
        level: Level::Store,
        read: |view, out| {
            each_task(view, |task| {
                for store in &task.stores {
                    out.count(&[&task.id, &store.name], store.bytes);
                }
            });
        },
    },
];

fn each_thread(view: &View<'_>, mut then: impl FnMut(&ThreadSnapshot)) {
    for thread in view.threads {
        then(thread);
    }
}

fn each_task(view: &View<'_>, mut then: impl FnMut(&TaskSnapshot)) {
    for task in view.threads.iter().flat_map(|thread| &thread.tasks) {
        then(task);
    }
}

fn each_input(view: &View<'_>, out: &mut Samples, value: fn(&InputSnapshot) -> Option<f64>) {
    each_task(view, |task| {
        for input in &task.inputs {
            if let Some(value) = value(input) {
                out.number(&[&task.id, &input.topic, &input.partition], value);
            }
        }
    });
}

fn by_label<L: std::fmt::Display>(
    thread: &ThreadSnapshot,
    counts: &std::collections::BTreeMap<L, u64>,
    out: &mut Samples,
) {
    for (label, count) in counts {
        out.count(&[&thread.thread, label], *count);
    }
}

fn offset(offset: Option<Offset>) -> Option<f64> {
    offset.and_then(|offset| u64::try_from(offset.0).ok()).map(float)
}
