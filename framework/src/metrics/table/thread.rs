//! A stream thread: what passes through it, how long that takes, and what goes wrong.

use super::super::{Kind, Level, Metric, Unit};
use super::{by_label, each_thread, seconds};
use crate::error::DEAD_LETTER_REASONS;
use crate::runtime::stats::{QUERY_RESULTS, REINIT_REASONS};

const PHASE: &[&str] = &["thread", "phase"];
const REASON: &[&str] = &["thread", "reason"];
const TOPIC: &[&str] = &["thread", "topic"];

pub(super) static METRICS: [Metric; 23] = [
    Metric::new(
        "millpond_heartbeat_timestamp_seconds",
        Kind::Gauge,
        "When the thread's loop last came round, in seconds since the epoch",
        |view, out| {
            each_thread(view, |thread| out.number(&[&thread.thread], seconds(thread.heartbeat).unwrap_or(0.0)));
        },
    )
    .of_thread()
    .of(Unit::Seconds),
    Metric::new("millpond_records_consumed_total", Kind::Counter, "Records taken in, by topic", |view, out| {
        each_thread(view, |thread| by_label(thread, &thread.records_in, &[], out));
    })
    .at(Level::Thread, TOPIC),
    Metric::new(
        "millpond_records_produced_total",
        Kind::Counter,
        "Records that tasks have sent, by topic, also in transactions that failed; changelogs not counted",
        |view, out| each_thread(view, |thread| by_label(thread, &thread.records_out, &[], out)),
    )
    .at(Level::Thread, TOPIC),
    Metric::new(
        "millpond_records_late_total",
        Kind::Counter,
        "Records whose event time was behind the stream time of their task; most are as good as any",
        |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.late)),
    )
    .of_thread(),
    Metric::new(
        "millpond_records_dropped_total",
        Kind::Counter,
        "Records that a node passed over on purpose, by reason; the library itself drops none",
        |view, out| each_thread(view, |thread| by_label(thread, &thread.dropped, &["late"], out)),
    )
    .at(Level::Thread, REASON),
    Metric::new(
        "millpond_dead_letters_total",
        Kind::Counter,
        "Records sent to the dead-letter topic, by reason",
        |view, out| each_thread(view, |thread| by_label(thread, &thread.dead_letters, &DEAD_LETTER_REASONS, out)),
    )
    .at(Level::Thread, REASON),
    Metric::new(
        "millpond_commits_total",
        Kind::Counter,
        "Transactions by outcome: ok, aborted, fenced, or unknown until the offsets were read again",
        |view, out| {
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
    )
    .at(Level::Thread, &["thread", "result"]),
    Metric::new(
        "millpond_producer_reinits_total",
        Kind::Counter,
        "Producers given up for a new one, by reason: taint is the guard against delayed requests after a clean commit",
        |view, out| each_thread(view, |thread| by_label(thread, &thread.reinits, &REINIT_REASONS, out)),
    )
    .at(Level::Thread, REASON),
    Metric::new(
        "millpond_rebalances_total",
        Kind::Counter,
        "Rebalances of the group that the thread has seen",
        |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.rebalances)),
    )
    .of_thread(),
    Metric::new(
        "millpond_queries_total",
        Kind::Counter,
        "Queries by result: answered, stale, unavailable (restoring, or not the owner), late or failed",
        |view, out| each_thread(view, |thread| by_label(thread, &thread.queries, &QUERY_RESULTS, out)),
    )
    .at(Level::Thread, &["thread", "result"]),
    Metric::new(
        "millpond_query_seconds",
        Kind::Histogram,
        "Time that a round of the thread has spent on queries; of rounds in which there were any",
        |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.query)),
    )
    .of_thread()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_errors_total",
        Kind::Counter,
        "Errors that the thread has met, recovered from or not",
        |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.errors.total())),
    )
    .of_thread(),
    Metric::new("millpond_restored_records_total", Kind::Counter, "Changelog records replayed", |view, out| {
        each_thread(view, |thread| out.count(&[&thread.thread], thread.restored_records));
    })
    .of_thread(),
    Metric::new(
        "millpond_state_wipes_total",
        Kind::Counter,
        "Tasks whose state was removed or set aside, to be rebuilt from the start of its changelogs",
        |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.state_wipes)),
    )
    .of_thread(),
    Metric::new(
        "millpond_state_corruptions_total",
        Kind::Counter,
        "Tasks whose state was found damaged on disk, and set aside",
        |view, out| each_thread(view, |thread| out.count(&[&thread.thread], thread.corruptions)),
    )
    .of_thread(),
    Metric::new("millpond_uncommitted_bytes", Kind::Gauge, "Uncommitted writes and outputs in memory", |view, out| {
        each_thread(view, |thread| out.count(&[&thread.thread], thread.uncommitted_bytes));
    })
    .of_thread()
    .of(Unit::Bytes),
    Metric::new("millpond_input_buffer_bytes", Kind::Gauge, "Input waiting in memory", |view, out| {
        each_thread(view, |thread| out.count(&[&thread.thread], thread.input_buffer_bytes));
    })
    .of_thread()
    .of(Unit::Bytes),
    Metric::new("millpond_poll_seconds", Kind::Histogram, "Time of one poll, waiting included", |view, out| {
        each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.poll));
    })
    .of_thread()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_process_seconds",
        Kind::Histogram,
        "Time of one round of processing, outputs handed to the producer included",
        |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.process)),
    )
    .of_thread()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_punctuate_seconds",
        Kind::Histogram,
        "Time of the punctuators that were due together; a part of a round of processing",
        |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.punctuate)),
    )
    .of_thread()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_commit_seconds",
        Kind::Histogram,
        "Time of the phases of a commit: flush, offsets, end_transaction, store",
        |view, out| {
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
    )
    .at(Level::Thread, PHASE)
    .of(Unit::Seconds),
    Metric::new(
        "millpond_commit_timestamp_seconds",
        Kind::Gauge,
        "When the thread last committed, in seconds since the epoch; zero before the first commit",
        |view, out| {
            each_thread(view, |thread| out.number(&[&thread.thread], seconds(thread.committed_at).unwrap_or(0.0)));
        },
    )
    .of_thread()
    .of(Unit::Seconds),
    Metric::new(
        "millpond_end_to_end_latency_seconds",
        Kind::Histogram,
        "From a record's timestamp to the commit of the transaction that it was processed in; of a sample of records",
        |view, out| each_thread(view, |thread| out.histogram(&[&thread.thread], &thread.end_to_end)),
    )
    .of_thread()
    .of(Unit::Seconds),
];
