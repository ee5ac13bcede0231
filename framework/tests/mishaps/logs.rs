//! Changelogs that are not what the last commit wrote, settings that lose them, and states of another life.

use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{Fault, Isolation, SimBroker};
use millpond::broker::{Broker as _, BrokerErrorKind, CommittedOffset, Producer as _};
use millpond::dsl::{Grouped, Materialized, StreamsBuilder};
use millpond::record::{Headers, Offset, ProducerRecord, TopicPartition};
use millpond::runtime::{Error, Refusal, StartKind, TaskError, Topics};
use millpond::serde::{Int64, Utf8};
use millpond::state::MemoryDirectory;
use millpond::topology::{Topology, TopologyError};

use super::edge::Edge;
use super::{
    IN, T, append, append_all, at, broker, eager, later, rounds, rows, seconds, start, table, table_with_output,
};

const CHANGELOG: &str = "app-table-changelog";

/// Two stores of one task: `first` has the commit records, `second` has none.
fn two_stores() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream(&IN);
    for name in ["first", "second"] {
        let counts = Materialized::persistent(name, &Utf8, &Int64);
        let _counts = stream.group_by_key(Grouped::named(name, &Utf8, &Utf8)).count(counts);
    }
    builder.build().unwrap()
}

fn refusal(stopped: Result<(), Error>) -> Refusal {
    match stopped {
        Err(Error::Task(TaskError::Refused(refusal))) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Commits these keys, each by itself, and ends.
fn commit_each(broker: &SimBroker, topology: Topology, disk: &MemoryDirectory, keys: &[&str]) {
    let mut thread = start(broker, topology, disk, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    for key in keys {
        append(broker, key);
        rounds(&mut thread, 5, T).unwrap();
    }
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
}

/// A changelog without commit records has lost its end, as after an unclean election. The commit records of the other one say
/// where it must end at the least: neither an empty disk nor the one that has the rows goes on as if nothing were missing.
#[test]
fn the_lost_end_of_a_changelog_without_commit_records_is_refused() {
    let second = at("app-second-changelog", 0);
    // Where a marker is lost and its row is not the transaction stays open: then a restore waits.
    for lost in [2, 4, 6] {
        let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
        commit_each(&broker, two_stores(), &disk, &["a", "b", "c"]);
        // Each commit is a row and a marker.
        let end = broker.end_offset(&second).unwrap();
        broker.truncate(&second, Offset(end.0 - lost));
        for disk in [&empty, &disk] {
            let mut thread = start(&broker, two_stores(), disk, eager("app-0"), T);
            let stopped = seconds(&mut thread, 20, T);
            let refusal = refusal(stopped);
            assert!(matches!(refusal, Refusal::ChangelogShortened { .. }), "{lost}: {refusal}");
        }
        assert_eq!(disk.quarantined(), 1, "what the disk has is set aside, and not removed");
    }
}

/// A second store that is written seldom: its end is known from commits long ago.
#[test]
fn a_changelog_that_is_written_seldom_is_not_taken_for_shortened() {
    let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    commit_each(&broker, one_store_written_seldom(), &disk, &["s1", "a", "b", "s2", "c", "d"]);
    for disk in [&empty, &disk] {
        let mut thread = start(&broker, one_store_written_seldom(), disk, eager("app-0"), T);
        seconds(&mut thread, 20, T).unwrap();
        assert_eq!(rows(disk, "second"), ["s1", "s2"]);
        drop(thread);
    }
}

fn one_store_written_seldom() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream(&IN);
    let every = Materialized::persistent("first", &Utf8, &Int64);
    let _every = stream.group_by_key(Grouped::named("first", &Utf8, &Utf8)).count(every);
    let seldom = Materialized::persistent("second", &Utf8, &Int64);
    let seldom_in = stream.filter(|key: &String, _: &String| key.starts_with('s'));
    let _seldom = seldom_in.group_by_key(Grouped::named("second", &Utf8, &Utf8)).count(seldom);
    builder.build().unwrap()
}

/// Somebody has written a row into the changelog, and compaction has dropped the one of the last commit for it.
#[test]
fn a_row_of_the_last_commit_that_is_gone_is_refused() {
    let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    commit_each(&broker, table(), &disk, &["a", "b"]);
    let value = broker.records(CHANGELOG, Isolation::ReadCommitted).into_iter().rev();
    let value = value.filter(|record| record.key.as_deref() == Some(b"b")).find_map(|record| record.value);
    let target = at(CHANGELOG, 0);
    let key = Some(Bytes::from_static(b"b"));
    broker.append(ProducerRecord { target, timestamp: T, key, value, headers: Headers::new() }).unwrap();
    broker.compact(CHANGELOG, false);
    let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
    let refusal = refusal(seconds(&mut thread, 20, T));
    assert!(matches!(refusal, Refusal::RowsMissing { recorded: 1, found: 0, .. }), "{refusal}");
}

/// Compaction, and the end of deletions by their age, take nothing that is counted.
#[test]
fn a_compacted_changelog_has_all_rows_of_its_last_commit() {
    for drop_tombstones in [false, true] {
        let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
        let mut thread = start(&broker, table(), &disk, super::patient("app-0"), T);
        rounds(&mut thread, 20, T).unwrap();
        append_all(&broker, &["a", "b", "c", "a"]);
        super::append_to(&broker, 0, "b", None);
        seconds(&mut thread, 5, T).unwrap();
        drop(thread);
        broker.compact(CHANGELOG, drop_tombstones);
        let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
        seconds(&mut thread, 20, T).unwrap();
        assert_eq!(rows(&empty, "table"), ["a", "c"]);
        assert!(thread.tasks().all(|task| task.last_start().is_some_and(|start| start.verified)));
    }
}

/// A machine that was off during a reset comes back when others have long begun anew: its state is of another life.
#[test]
fn state_of_before_a_reset_is_set_aside_when_others_have_committed_since() {
    let (broker, old, new) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    commit_each(&broker, table(), &old, &["before"]);
    broker.delete_topic(CHANGELOG);
    let beginning =
        CommittedOffset { next: broker.end_offset(&at("in", 0)).unwrap(), metadata: "millpond/1 reset".into() };
    broker.set_committed_offset("app", &at("in", 0), beginning);
    commit_each(&broker, table(), &new, &["since"]);
    let mut thread = start(&broker, table(), &old, eager("app-0"), T);
    seconds(&mut thread, 20, T).unwrap();
    assert_eq!((rows(&old, "table"), old.quarantined()), (vec!["since".to_owned()], 1));
    append(&broker, "later");
    seconds(&mut thread, 5, T).unwrap();
    drop(thread);
    // Not so when the changelog that they have written is made again under them.
    broker.delete_topic(CHANGELOG);
    for disk in [&old, &new] {
        let mut thread = start(&broker, table(), disk, eager("app-0"), T);
        let refusal = refusal(seconds(&mut thread, 20, T));
        assert!(matches!(refusal, Refusal::ChangelogRecreated { .. }), "{refusal}");
    }
    assert_eq!((old.quarantined(), new.quarantined()), (1, 0));
}

/// `delete.retention.ms` of the changelog says how long a state may be away.
#[test]
fn a_state_may_be_away_for_half_of_what_its_changelog_keeps_deletions() {
    for (retention_hours, away_hours, kept) in [(96, 40, true), (96, 49, false), (24, 11, true), (2, 2, false)] {
        let (broker, disk) = (broker(1), MemoryDirectory::new());
        commit_each(&broker, table(), &disk, &["a"]);
        broker.set_topic_setting(CHANGELOG, "delete.retention.ms", &(retention_hours * 3_600_000).to_string());
        let mut thread = start(&broker, table(), &disk, eager("app-0"), later(away_hours));
        rounds(&mut thread, 30, later(away_hours)).unwrap();
        let kinds: Vec<StartKind> = thread.tasks().filter_map(|task| Some(task.last_start()?.kind)).collect();
        let expected = if kept { StartKind::Resumed } else { StartKind::Wiped };
        assert_eq!(kinds, [expected], "{retention_hours} {away_hours}");
        assert_eq!(rows(&disk, "table"), ["a"]);
    }
}

/// A quiet task whose changelog keeps deletions for a short time says in time that its state is owned.
#[test]
fn a_quiet_state_says_that_it_is_owned_before_half_of_its_changelogs_time() {
    let (broker, disk) = (broker(1), MemoryDirectory::new());
    commit_each(&broker, table(), &disk, &["a"]);
    broker.set_topic_setting(CHANGELOG, "delete.retention.ms", "240000");
    let mut thread = start(&broker, table(), &disk, eager("app-0"), T);
    seconds(&mut thread, 600, T).unwrap();
    drop(thread);
    let now = T.plus(Duration::from_mins(11));
    let mut thread = start(&broker, table(), &disk, eager("app-0"), now);
    rounds(&mut thread, 30, now).unwrap();
    assert!(thread.tasks().all(|task| task.last_start().is_some_and(|start| start.kind == StartKind::Resumed)));
}

/// Topics of ours that lose records are refused by name, before anything is read.
#[test]
fn an_internal_topic_that_loses_records_is_refused_by_its_setting() {
    let builder = StreamsBuilder::new();
    let _counts = builder
        .stream(&IN)
        .group_by(|_, value: &String| value.clone(), Grouped::named("by-value", &Utf8, &Utf8))
        .count(Materialized::persistent("table", &Utf8, &Int64));
    let topology = builder.build().unwrap();
    let prepare = |broker: &SimBroker| Topics::prepare(broker, &topology, "app", 1, None).map(drop);
    let cases = [
        (CHANGELOG, "cleanup.policy", "delete", "compact"),
        (CHANGELOG, "cleanup.policy", "compact,delete", "compact"),
        ("app-commits", "cleanup.policy", "delete", "compact"),
        ("app-by-value-repartition", "cleanup.policy", "compact", "delete"),
        ("app-by-value-repartition", "retention.ms", "604800000", "-1"),
        ("app-by-value-repartition", "retention.bytes", "1000", "-1"),
    ];
    for (topic, setting, found, expected) in cases {
        let broker = broker(1);
        prepare(&broker).unwrap();
        prepare(&broker).unwrap();
        broker.set_topic_setting(topic, setting, found);
        let Err(Error::Topology(error)) = prepare(&broker) else { panic!("{topic} {setting}={found} is accepted") };
        let told = matches!(&error, TopologyError::InternalTopicSetting { .. });
        assert!(told && error.to_string().contains(&format!("set {setting}={expected}")), "{error}");
    }
}

/// Without the right to read settings the application works as it did, with Kafka's defaults assumed.
#[test]
fn settings_that_may_not_be_read_are_assumed() {
    let edge = Edge::new(broker(1));
    let disk = MemoryDirectory::new();
    commit_each(&edge.sim, table(), &disk, &["a"]);
    edge.sim.set_topic_setting(CHANGELOG, "delete.retention.ms", "1000");
    edge.fail("topic_settings", BrokerErrorKind::Unauthorized, 1);
    let mut thread = start(&edge, table(), &disk, eager("app-0"), later(11));
    rounds(&mut thread, 30, later(11)).unwrap();
    assert!(thread.tasks().all(|task| task.last_start().is_some_and(|start| start.kind == StartKind::Resumed)));
}

/// A broker has lost the end of a changelog (an unclean election; a machine that crashed before its file system wrote), while
/// its owner was at rest: it makes a new producer, because its connection broke, and goes on. The owner is told by where its
/// next records lie; so is whoever restores, wherever it does.
#[test]
fn the_end_of_a_changelog_that_is_lost_under_its_running_owner_is_told() {
    // How many commits are lost: what one commit writes may be more than what was lost.
    for lost in [1, 2] {
        let log = at(CHANGELOG, 0);
        let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
        let mut thread = start(&broker, table_with_output(), &disk, eager("app-0"), T);
        rounds(&mut thread, 20, T).unwrap();
        let mut ends = Vec::new();
        for key in ["a", "b", "c"] {
            ends.push(broker.end_offset(&log).unwrap());
            if key == "c" {
                // The producer is replaced after it.
                broker.fail_next(Fault::EndTxnRetried);
            }
            append(&broker, key);
            rounds(&mut thread, 20, T).unwrap();
        }
        broker.truncate(&log, ends[3 - lost]);
        append_all(&broker, &["d", "e", "f"]);
        let told = refusal(rounds(&mut thread, 20, T));
        assert!(matches!(told, Refusal::ChangelogShortened { .. }), "{lost}: {told}");
        drop(thread);
        for disk in [&empty, &disk, &empty] {
            let mut thread = start(&broker, table_with_output(), disk, eager("app-0"), T);
            let told = refusal(seconds(&mut thread, 20, T));
            assert!(matches!(told, Refusal::ChangelogShortened { .. }), "{lost}: {told}");
        }
    }
}

/// Truncates the changelog to `end`, and fills it past where it ended with a transaction that is aborted.
fn lose_end(broker: &SimBroker, log: &TopicPartition, end: Offset) {
    let old_end = broker.end_offset(log).unwrap();
    broker.truncate(log, end);
    let mut filler = broker.producer("filler").unwrap();
    filler.begin().unwrap();
    while broker.end_offset(log).unwrap() <= old_end {
        filler.send(row(log, "x")).unwrap();
    }
    // The next of its name aborts it.
    drop(broker.producer("filler").unwrap());
}

fn row(log: &TopicPartition, key: &'static str) -> ProducerRecord {
    let key = Some(Bytes::from_static(key.as_bytes()));
    ProducerRecord { target: log.clone(), timestamp: T, key: key.clone(), value: key, headers: Headers::new() }
}

/// The first has the commit records; the rows of the second come from its changelog at each start.
fn one_of_two_in_memory() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream(&IN);
    let disk = Materialized::persistent("first", &Utf8, &Int64);
    let _disk = stream.group_by_key(Grouped::named("first", &Utf8, &Utf8)).count(disk);
    let memory = Materialized::in_memory("second", &Utf8, &Int64);
    let _memory = stream.group_by_key(Grouped::named("second", &Utf8, &Utf8)).count(memory);
    builder.build().unwrap()
}

/// A changelog has lost its end, and transactions that were aborted have filled it past the old one: its offsets tell nothing.
/// Whoever has the disk looks for its last commit record once more, and it is not there; whoever has none compares with the
/// group. Rows that are replayed meanwhile, of another store or of somebody else, do not make it forget what it looks for.
///
/// ```text
/// log: … row c commit(3) C     lost from `row c` on
/// log: … x x x x x x A         what is on disk claims the offsets that the x have
/// ```
#[test]
fn a_changelog_that_has_lost_its_end_and_was_filled_past_it_is_refused_by_every_start() {
    for (topology, changelog, stray) in [
        (table as fn() -> Topology, CHANGELOG, false),
        (table, CHANGELOG, true),
        (one_of_two_in_memory, "app-first-changelog", false),
    ] {
        let log = at(changelog, 0);
        let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
        commit_each(&broker, topology(), &disk, &["a", "b"]);
        let before = broker.end_offset(&log).unwrap();
        commit_each(&broker, topology(), &disk, &["c"]);
        lose_end(&broker, &log, before);
        if stray {
            broker.append(row(&log, "stray")).unwrap();
        }
        for _ in 0..3 {
            let mut thread = start(&broker, topology(), &disk, eager("app-0"), T);
            let told = refusal(seconds(&mut thread, 20, T));
            assert!(matches!(told, Refusal::CommitRecordLost { .. }), "{changelog} {stray}: {told}");
        }
        let mut thread = start(&broker, topology(), &empty, eager("app-0"), T);
        let told = refusal(seconds(&mut thread, 20, T));
        assert!(matches!(told, Refusal::OffsetsDiffer { .. }), "{changelog} {stray}: {told}");
    }
}

/// The brokers come back from a long outage without the end of a changelog, and the disk is older than its deletions are kept: it
/// is the one place that has those rows, and is not removed.
#[test]
fn state_that_is_old_and_has_more_than_its_changelog_is_set_aside() {
    let (broker, disk) = (broker(1), MemoryDirectory::new());
    commit_each(&broker, table(), &disk, &["a", "b", "c"]);
    let log = at(CHANGELOG, 0);
    broker.truncate(&log, Offset(broker.end_offset(&log).unwrap().0 - 4));
    let mut thread = start(&broker, table(), &disk, eager("app-0"), later(13));
    refusal(seconds(&mut thread, 20, later(13)));
    assert_eq!(disk.quarantined(), 1);
}
