//! The table keeps its own rules, and nothing that threads count is missing from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::error::Recovery;
use crate::record::{Offset, Partition, TaskId};
use crate::runtime::process::{BrokerCounters, BrokerSnapshot, Budget, ClientSnapshot, DiskSpace, EngineReads};
use crate::runtime::stats::{
    CommitCounts, CommitPhases, DatabaseStats, HitsAndMisses, InputSnapshot, LastDeadLetters, OperationTimes,
    REINIT_REASONS, RecentErrors, RestoreSnapshot, StartKind, StoreOperation, StoreSnapshot, TableStats, TaskSnapshot,
    TaskStart, TaskState, ThreadState,
};

/// A snapshot in which every number is another one, and the numbers in it. Written without `..`, so that a new field
/// does not compile before somebody has decided here whether it is a metric.
#[expect(clippy::too_many_lines, reason = "one field, one number")]
fn distinct() -> (ThreadSnapshot, Vec<u64>) {
    let histogram = |micros| {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_micros(micros));
        histogram
    };
    let mut errors = RecentErrors::default();
    (0..10_007).for_each(|_| errors.push(Timestamp::EPOCH, None, &std::fmt::Error, Recovery::Retry));
    let mut operations = OperationTimes::default();
    for (operation, micros) in StoreOperation::ALL.into_iter().zip(10_057..) {
        operations.observe(operation, Duration::from_micros(micros));
    }
    let thread = ThreadSnapshot {
        waiting_for: vec![],
        thread: "7".into(),
        state: ThreadState::Running,
        heartbeat: Timestamp::from_millis(10_001_000),
        tasks: vec![TaskSnapshot {
            id: TaskId { subtopology: 1, partition: Partition(2) },
            state: TaskState::Restoring,
            processed: 10_015,
            stream_time: Timestamp::from_millis(10_016_000),
            inputs: vec![InputSnapshot {
                topic: "events".into(),
                partition: Partition(2),
                committed: Some(Offset(10_017)),
                position: Some(Offset(10_018)),
                end: Some(Offset(10_019)),
                lag_records: Some(10_020),
                lag: Some(Duration::from_secs(10_021)),
            }],
            stores: vec![StoreSnapshot {
                name: "counts".into(),
                rows: 10_022,
                bytes: 10_023,
                table: Some(TableStats {
                    file_bytes: 10_037,
                    live_bytes: 10_038,
                    level0_files: 10_039,
                    memtable_bytes: 10_040,
                    immutable_memtables: 10_041,
                    reader_bytes: 10_042,
                    pending_compaction_bytes: 10_043,
                    row_cache_bytes: 10_044,
                    row_cache_reads: HitsAndMisses { hits: 10_062, misses: 10_063 },
                }),
            }],
            database: Some(DatabaseStats {
                stores: BTreeMap::new(),
                background_errors: 10_045,
                write_stopped: true,
                delayed_write_bytes: 10_046,
                running_compactions: 10_047,
                running_flushes: 10_048,
            }),
            restore: Some(RestoreSnapshot { done: 10_024, total: 10_024 + 10_025 }),
            start: Some(TaskStart {
                kind: StartKind::Replayed,
                rows: 10_034,
                offset: Offset(10_035),
                replayed: 10_036,
                verified: true,
                took: Duration::from_secs(10_056),
            }),
        }],
        records_in: BTreeMap::from([("events".into(), 10_002)]),
        records_out: BTreeMap::from([("alerts".into(), 10_003)]),
        late: 10_049,
        dropped: BTreeMap::from([("late", 10_004)]),
        dead_letters: BTreeMap::from([("json", 10_005)]),
        last_dead_letters: LastDeadLetters::default(),
        commits: CommitCounts { ok: 10_008, aborted: 10_009, fenced: 10_010, unknown: 10_011 },
        committed_at: Timestamp::from_millis(10_050_000),
        reinits: BTreeMap::from([("taint", 10_051)]),
        rebalances: 10_006,
        queries: BTreeMap::from([("answered", 10_054)]),
        restored_records: 10_012,
        state_wipes: 10_013,
        corruptions: 10_052,
        uncommitted_bytes: 10_014,
        input_buffer_bytes: 10_026,
        poll: histogram(10_027),
        process: histogram(10_028),
        punctuate: histogram(10_053),
        commit: CommitPhases {
            flush: histogram(10_029),
            offsets: histogram(10_030),
            end_transaction: histogram(10_031),
            store: histogram(10_032),
        },
        end_to_end: histogram(10_033),
        query: histogram(10_055),
        operations: BTreeMap::from([("counts".into(), operations)]),
        errors,
    };
    (thread, (10_001..=10_063).collect())
}

/// The same for the process.
fn distinct_process() -> (ProcessSnapshot, Vec<u64>) {
    let client = ClientSnapshot {
        role: "producer",
        count: 20_001,
        queue_messages: 20_002,
        queue_bytes: 20_003,
        brokers: vec![BrokerSnapshot {
            broker: "1".into(),
            connections: 20_004,
            round_trip_p50: Some(20_005.0),
            round_trip_p99: Some(20_006.0),
            in_flight: 20_007,
            queued: 20_008,
            counters: BrokerCounters {
                requests: 20_009,
                timeouts: 20_010,
                retries: 20_011,
                errors: 20_012,
                disconnects: 20_013,
                sent_bytes: 20_014,
                received_bytes: 20_015,
            },
        }],
    };
    let process = ProcessSnapshot {
        clients: vec![client],
        block_cache: Some(Budget { bytes: 20_016, bytes_max: 20_017 }),
        write_buffers: Some(Budget { bytes: 20_018, bytes_max: 20_019 }),
        state_disk: Some(DiskSpace { free_bytes: 20_020, size_bytes: 20_021 }),
        engine_reads: Some(EngineReads {
            data_blocks: HitsAndMisses { hits: 20_022, misses: 20_023 },
            index_blocks: HitsAndMisses { hits: 20_024, misses: 20_025 },
            filter_blocks: HitsAndMisses { hits: 20_026, misses: 20_027 },
            memtables: HitsAndMisses { hits: 20_028, misses: 20_029 },
            filters_useful: 20_030,
            filters_passed: 20_031,
            filters_found: 20_032,
        }),
        refused: vec![("token", 20_033)],
    };
    (process, (20_001..=20_033).collect())
}

static NO_PROCESS: ProcessSnapshot = ProcessSnapshot {
    clients: Vec::new(),
    block_cache: None,
    write_buffers: None,
    engine_reads: None,
    refused: Vec::new(),
    state_disk: None,
};

fn view(threads: &[ThreadSnapshot]) -> View<'_> {
    View {
        application_id: "shop",
        version: "1.2.3",
        threads,
        process: &NO_PROCESS,
        own: None,
        now: Timestamp::from_millis(10_002_000),
        silence_max: Duration::from_secs(10),
    }
}

#[test]
fn every_number_that_is_counted_is_in_the_table() {
    let ((thread, numbers), (process, others)) = (distinct(), distinct_process());
    let threads = [thread];
    let view = View { process: &process, ..view(&threads) };
    let seen: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|metric| metric.read(&view).rows)
        .map(|sample| match sample.value {
            Value::Number(number) => number.to_string(),
            Value::Histogram(histogram) => histogram.sum().as_micros().to_string(),
        })
        .collect();
    for number in numbers.into_iter().chain(others) {
        assert!(seen.contains(&number.to_string()), "{number} is counted and is no metric");
    }
}

#[test]
fn the_first_of_what_may_never_happen_is_seen_as_a_rise_from_zero() {
    let read = |name: &str, thread: ThreadSnapshot, reason: &str| {
        let rows = TABLE.get(name).unwrap().read(&view(&[thread])).rows.into_iter();
        rows.filter(|row| row.labels[1] == reason).map(|row| row.value).collect::<Vec<_>>()
    };
    let letters = |dead_letters| {
        let thread = ThreadSnapshot { dead_letters, ..ThreadSnapshot::default() };
        read("millpond_dead_letters_total", thread, "malformed_value")
    };
    assert_eq!(letters(BTreeMap::new()), [Value::Number(0.0)]);
    assert_eq!(letters(BTreeMap::from([("malformed_value", 1)])), [Value::Number(1.0)]);
    for reason in REINIT_REASONS {
        let read = read("millpond_producer_reinits_total", ThreadSnapshot::default(), reason);
        assert_eq!(read, [Value::Number(0.0)], "{reason}");
    }
}

#[test]
fn states_are_counted_by_name() {
    let (thread, _) = distinct();
    let threads = [thread];
    let of = |name: &str| -> BTreeMap<String, f64> {
        let rows = TABLE.get(name).unwrap().read(&view(&threads)).rows.into_iter();
        rows.map(|sample| match sample.value {
            Value::Number(number) => (sample.labels.join(","), number),
            Value::Histogram(_) => panic!("{name}"),
        })
        .collect()
    };
    assert_eq!(
        of("millpond_threads").into_iter().filter(|(_, n)| *n > 0.0).collect::<Vec<_>>(),
        [("running".into(), 1.0)]
    );
    assert_eq!(
        of("millpond_tasks").into_iter().filter(|(_, n)| *n > 0.0).collect::<Vec<_>>(),
        [("restoring".into(), 1.0)]
    );
    assert_eq!((of("millpond_live")[""], of("millpond_ready")[""]), (1.0, 0.0));
}

#[test]
fn the_table_keeps_to_the_rules_and_no_label_holds_a_key_user_or_address() {
    const ALLOWED: &[&str] = &[
        "broker",
        "client",
        "figure",
        "kind",
        "op",
        "partition",
        "phase",
        "quantile",
        "reason",
        "result",
        "state",
        "store",
        "task",
        "thread",
        "topic",
        "verified",
        "version",
    ];
    assert_eq!(check(TABLE.iter(), ALLOWED), Vec::<String>::new());
}

#[test]
fn a_table_that_breaks_the_rules_is_told_which() {
    static WRONG: [Metric; 3] = [
        Metric::own("orders", Kind::Counter, "Orders."),
        Metric::own("millpond_Wait", Kind::Histogram, "Time that users wait").labelled(&["user"]),
        Metric::own("millpond_Wait", Kind::Gauge, "Time that users wait").of(Unit::Seconds),
    ];
    let told = check(&WRONG, &[]).join("\n");
    for rule in ["begins with", "_total", "a sentence", "small letters", "of seconds", "bounded", "twice", "its unit"] {
        assert!(told.contains(rule), "{rule} is missing in\n{told}");
    }
}

#[test]
fn every_sample_has_a_value_for_every_label_and_the_kind_of_its_metric() {
    let ((thread, _), (process, _)) = (distinct(), distinct_process());
    let threads = [thread];
    for metric in TABLE.iter() {
        let samples = metric.read(&View { process: &process, ..view(&threads) });
        assert!(samples.iter().next().is_some(), "{} has no value", metric.name);
        for sample in samples.iter() {
            assert_eq!(sample.labels.len(), metric.labels.len(), "{}", metric.name);
            assert_eq!(matches!(sample.value, Value::Histogram(_)), metric.kind == Kind::Histogram, "{}", metric.name);
        }
    }
}

/// An application's own metrics.
#[cfg(feature = "metrics")]
#[derive(Debug)]
struct Own;

#[cfg(feature = "metrics")]
impl OwnMetrics for Own {
    fn table(&self) -> &'static [Metric] {
        static TABLE: [Metric; 1] =
            [Metric::own("millpond_orders_total", Kind::Counter, "Orders by carrier").labelled(&["carrier"])];
        &TABLE
    }

    fn read(&self, metric: &Metric, out: &mut Samples) {
        assert_eq!(metric.name, "millpond_orders_total");
        out.count(&[&"post"], 7);
    }
}

/// Zero would say that everything is committed.
#[cfg(feature = "metrics")]
#[test]
fn a_lag_that_is_not_known_has_no_series() {
    let ((mut thread, _), (process, _)) = (distinct(), distinct_process());
    let input = &mut thread.tasks[0].inputs[0];
    (input.end, input.lag_records, input.lag) = (None, None, None);
    let text = render(&View { process: &process, own: Some(&Own), ..view(&[thread]) }).unwrap();
    assert!(!text.contains("millpond_consumer_lag"), "{text}");
    assert!(text.contains("millpond_consumer_committed_offset{"), "{text}");
}

#[cfg(feature = "metrics")]
#[test]
fn a_scrape_shows_names_labels_and_cumulative_buckets() {
    let ((thread, _), (process, _)) = (distinct(), distinct_process());
    let text = render(&View { process: &process, own: Some(&Own), ..view(&[thread]) }).unwrap();
    for line in [
        "millpond_kafka_requests_total{client=\"producer\",broker=\"1\",application_id=\"shop\"} 20009",
        "# TYPE millpond_orders_total counter",
        "millpond_orders_total{carrier=\"post\",application_id=\"shop\"} 7",
        "# TYPE millpond_commits_total counter",
        "millpond_commits_total{thread=\"7\",result=\"ok\",application_id=\"shop\"} 10008",
        "millpond_consumer_lag_records{task=\"1_2\",topic=\"events\",partition=\"2\",application_id=\"shop\"} 10020",
        "millpond_task_start{task=\"1_2\",kind=\"replayed\",verified=\"true\",figure=\"rows\",application_id=\"shop\"} 10034",
        "millpond_task_start{task=\"1_2\",kind=\"replayed\",verified=\"true\",figure=\"offset\",application_id=\"shop\"} 10035",
        "millpond_task_start{task=\"1_2\",kind=\"replayed\",verified=\"true\",figure=\"replayed\",application_id=\"shop\"} 10036",
        "# TYPE millpond_commit_seconds histogram",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"0.01\"} 0",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"0.025\"} 1",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"+Inf\"} 1",
        "millpond_store_op_seconds_bucket{thread=\"7\",store=\"counts\",op=\"get\",application_id=\"shop\",le=\"0.0000001\"} 0",
        "millpond_store_op_seconds_sum{thread=\"7\",store=\"counts\",op=\"get\",application_id=\"shop\"} 0.010057",
        "millpond_commit_seconds_sum{thread=\"7\",phase=\"flush\",application_id=\"shop\"} 0.010029",
        "millpond_build_info{version=\"1.2.3\",application_id=\"shop\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing from\n{text}");
    }
    for metric in TABLE.iter().chain(Own.table()) {
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
    }
    if cfg!(target_os = "linux") {
        for Metric { name, help, kind, .. } in &PROCESS {
            let told = format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str());
            assert!(text.contains(&told), "{told} is missing");
        }
        // Nothing of the process is told that is not said here.
        let of_process: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE process_")).collect();
        assert_eq!(of_process.len(), PROCESS.len(), "{of_process:?}");
    }
}

#[cfg(feature = "metrics")]
#[test]
fn a_scrape_before_the_first_thread_is_no_error() {
    assert!(render(&view(&[])).unwrap().contains("millpond_ready{application_id=\"shop\"} 0"));
}
