//! The table keeps its own rules, and nothing that threads count is missing from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::error::Recovery;
use crate::record::{Offset, Partition, TaskId};
use crate::runtime::stats::{
    CommitCounts, CommitPhases, InputSnapshot, LastDeadLetters, RecentErrors, RestoreSnapshot, StartKind,
    StoreSnapshot, TaskSnapshot, TaskStart, TaskState, ThreadState,
};

/// A snapshot in which every number is another one, and the numbers in it. Written without `..`, so that a new field
/// does not compile before somebody has decided here whether it is a metric.
fn distinct() -> (ThreadSnapshot, Vec<u64>) {
    let histogram = |micros| {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_micros(micros));
        histogram
    };
    let mut errors = RecentErrors::default();
    (0..10_007).for_each(|_| errors.push(Timestamp::EPOCH, None, &std::fmt::Error, Recovery::Retry));
    let thread = ThreadSnapshot {
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
                lag_records: 10_020,
                lag: Duration::from_secs(10_021),
            }],
            stores: vec![StoreSnapshot { name: "counts".into(), rows: 10_022, bytes: 10_023 }],
            restore: Some(RestoreSnapshot { done: 10_024, total: 10_024 + 10_025 }),
            start: Some(TaskStart {
                kind: StartKind::Replayed,
                rows: 10_034,
                offset: Offset(10_035),
                replayed: 10_036,
                verified: true,
            }),
        }],
        records_in: BTreeMap::from([("events".into(), 10_002)]),
        records_out: BTreeMap::from([("alerts".into(), 10_003)]),
        dropped: BTreeMap::from([("late", 10_004)]),
        dead_letters: BTreeMap::from([("json", 10_005)]),
        last_dead_letters: LastDeadLetters::default(),
        commits: CommitCounts { ok: 10_008, aborted: 10_009, fenced: 10_010, unknown: 10_011 },
        rebalances: 10_006,
        restored_records: 10_012,
        state_wipes: 10_013,
        uncommitted_bytes: 10_014,
        input_buffer_bytes: 10_026,
        poll: histogram(10_027),
        process: histogram(10_028),
        commit: CommitPhases {
            flush: histogram(10_029),
            offsets: histogram(10_030),
            end_transaction: histogram(10_031),
            store: histogram(10_032),
        },
        end_to_end: histogram(10_033),
        errors,
    };
    (thread, (10_001..=10_036).collect())
}

fn view(threads: &[ThreadSnapshot]) -> View<'_> {
    View {
        application_id: "shop",
        version: "1.2.3",
        threads,
        now: Timestamp::from_millis(10_002_000),
        silence_max: Duration::from_secs(10),
    }
}

#[test]
fn every_number_that_threads_count_is_in_the_table() {
    let (thread, numbers) = distinct();
    let threads = [thread];
    let seen: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|metric| metric.read(&view(&threads)).rows)
        .map(|sample| match sample.value {
            Value::Number(number) => number.to_string(),
            Value::Histogram(histogram) => histogram.sum().as_micros().to_string(),
        })
        .collect();
    for number in numbers {
        assert!(seen.contains(&number.to_string()), "{number} is counted and is no metric");
    }
}

#[test]
fn the_first_dead_letter_is_seen_as_a_rise_from_zero() {
    let metric = TABLE.iter().find(|metric| metric.name == "millpond_dead_letters_total").unwrap();
    let count = |dead_letters| {
        let thread = ThreadSnapshot { dead_letters, ..ThreadSnapshot::default() };
        let rows = metric.read(&view(&[thread])).rows;
        let rows: Vec<_> = rows.into_iter().filter(|row| row.labels[1] == "malformed_value").collect();
        rows.into_iter().map(|row| row.value).collect::<Vec<_>>()
    };
    assert_eq!(count(BTreeMap::new()), [Value::Number(0.0)]);
    assert_eq!(count(BTreeMap::from([("malformed_value", 1)])), [Value::Number(1.0)]);
}

#[test]
fn states_are_counted_by_name() {
    let (thread, _) = distinct();
    let threads = [thread];
    let of = |name: &str| -> BTreeMap<String, f64> {
        let metric = TABLE.iter().find(|metric| metric.name == name).unwrap();
        let rows = metric.read(&view(&threads)).rows.into_iter();
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
fn names_follow_the_rules() {
    let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), TABLE.len(), "a name stands twice");
    for metric in TABLE {
        let name = metric.name;
        assert!(name.starts_with("millpond_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        let unit = match metric.unit {
            Unit::Seconds => Some("_seconds"),
            Unit::Bytes => Some("_bytes"),
            Unit::Offset => Some("_offset"),
            Unit::Count | Unit::Truth => None,
        };
        assert!(unit.is_none_or(|unit| name.trim_end_matches("_total").ends_with(unit)), "{name}");
        assert!(metric.kind != Kind::Histogram || metric.unit == Unit::Seconds, "{name}");
        assert!(metric.help.len() > 10 && !metric.help.ends_with('.'), "{name}");
    }
}

#[test]
fn labels_come_from_a_fixed_set_that_holds_no_key_user_or_address() {
    const ALLOWED: &[&str] = &[
        "figure",
        "kind",
        "phase",
        "partition",
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
    for metric in TABLE {
        assert!(metric.labels.iter().all(|label| ALLOWED.contains(label)), "{}: {:?}", metric.name, metric.labels);
    }
}

#[test]
fn every_sample_has_a_value_for_every_label_and_the_kind_of_its_metric() {
    let (thread, _) = distinct();
    let threads = [thread];
    for metric in TABLE {
        let samples = metric.read(&view(&threads));
        assert!(samples.iter().next().is_some(), "{} has no value", metric.name);
        for sample in samples.iter() {
            assert_eq!(sample.labels.len(), metric.labels.len(), "{}", metric.name);
            assert_eq!(matches!(sample.value, Value::Histogram(_)), metric.kind == Kind::Histogram, "{}", metric.name);
        }
    }
}

#[cfg(feature = "metrics")]
#[test]
fn a_scrape_shows_names_labels_and_cumulative_buckets() {
    let (thread, _) = distinct();
    let text = render(&view(&[thread])).unwrap();
    for line in [
        "# TYPE millpond_commits_total counter",
        "millpond_commits_total{thread=\"7\",result=\"ok\",application_id=\"shop\"} 10008",
        "millpond_consumer_lag_records{task=\"1_2\",topic=\"events\",partition=\"2\",application_id=\"shop\"} 10020",
        "millpond_task_start{task=\"1_2\",kind=\"replayed\",verified=\"true\",figure=\"rows\",application_id=\"shop\"} 10034",
        "# TYPE millpond_commit_seconds histogram",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"0.01\"} 0",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"0.025\"} 1",
        "millpond_commit_seconds_bucket{thread=\"7\",phase=\"flush\",application_id=\"shop\",le=\"+Inf\"} 1",
        "millpond_commit_seconds_sum{thread=\"7\",phase=\"flush\",application_id=\"shop\"} 0.010029",
        "millpond_build_info{version=\"1.2.3\",application_id=\"shop\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing from\n{text}");
    }
    for metric in TABLE {
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
    }
    if cfg!(target_os = "linux") {
        for name in PROCESS {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing");
        }
    }
}

#[cfg(feature = "metrics")]
#[test]
fn a_scrape_before_the_first_thread_is_no_error() {
    assert!(render(&view(&[])).unwrap().contains("millpond_ready{application_id=\"shop\"} 0"));
}
