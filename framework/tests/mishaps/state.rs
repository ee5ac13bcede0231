//! States whose age, completeness or place is not what it seems.

use std::time::Duration;

use bytes::Bytes;
use millpond::broker::BrokerErrorKind;
use millpond::broker::sim::{Fault, SimBroker};
use millpond::dsl::{Materialized, StreamsBuilder};
use millpond::record::Offset;
use millpond::runtime::{Error, Refusal, StreamThread, TaskError, TaskState};
use millpond::serde::Utf8;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::edge::Edge;
use super::{
    IN, T, TASK, append, append_all, append_to, at, broker, eager, later, rounds, rows, seconds, start, table,
};

/// I10: half of the changelog was replayed, then the process ended. Days later its tombstones are compacted away.
#[test]
fn an_interrupted_restore_brings_no_deleted_key_back() {
    let (broker, complete, half) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &complete, eager("app-0"), T);
    append(&broker, "k");
    // More than one poll of the reader, and more than one batch of rows.
    let large = Bytes::from(vec![b'x'; 10_000]);
    (0..600).for_each(|row| append_to(&broker, 0, &format!("row-{row}"), Some(large.clone())));
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut thread = start(&broker, table(), &half, eager("app-0"), T);
    while rows(&half, "table").is_empty() {
        rounds(&mut thread, 1, T).unwrap();
    }
    assert!(thread.tasks().all(|task| task.state() == TaskState::Restoring), "the restore is to be interrupted");
    drop(thread);
    let mut thread = start(&broker, table(), &complete, eager("app-0"), T);
    append_to(&broker, 0, "k", None);
    append(&broker, "l");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.compact("app-table-changelog", true);
    let mut thread = start(&broker, table(), &half, eager("app-0"), later(72));
    rounds(&mut thread, 20, later(72)).unwrap();
    assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    assert_eq!((rows(&half, "table").contains(&"k".to_owned()), rows(&half, "table").len()), (false, 601));
}

/// A thread in the middle of a restore of 600 rows, too many for one batch.
fn half_restored(broker: &SimBroker, half: &MemoryDirectory) -> StreamThread<SimBroker> {
    let mut thread = start(broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let large = Bytes::from(vec![b'x'; 10_000]);
    (0..600).for_each(|row| append_to(broker, 0, &format!("row-{row}"), Some(large.clone())));
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut thread = start(broker, table(), half, eager("app-0"), T);
    while rows(half, "table").is_empty() {
        rounds(&mut thread, 1, T).unwrap();
    }
    thread
}

/// I10: a topic that was made again while half a restore lay on the disk.
#[test]
fn an_interrupted_restore_knows_its_changelog() {
    let (broker, half) = (broker(1), MemoryDirectory::new());
    let _thread = half_restored(&broker, &half);
    let checkpoint = half.checkpoint(TASK).unwrap();
    assert_eq!(checkpoint.partitions, 1);
    assert_eq!(checkpoint.topic_ids.get("app-table-changelog").copied(), broker.topic_id("app-table-changelog"));
}

/// I10: the process stood still for days between a revocation and the next assignment, while another one had the task.
#[test]
fn a_state_that_another_member_had_meanwhile_is_not_taken_for_ours() {
    let (broker, ours, theirs) = (broker(2), MemoryDirectory::new(), MemoryDirectory::new());
    let mut one = start(&broker, table(), &ours, eager("app-0"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut one, 20, T).unwrap();
    let mut two = start(&broker, table(), &theirs, eager("app-1"), T);
    rounds(&mut two, 2, T).unwrap();
    rounds(&mut one, 1, T).unwrap();
    assert!(one.tasks().all(|task| task.state() == TaskState::Suspended));
    broker.expire_session("app", "app-0");
    rounds(&mut two, 20, T).unwrap();
    assert_eq!(two.tasks().count(), 2);
    append_to(&broker, 0, "k", None);
    rounds(&mut two, 20, T).unwrap();
    append(&broker, "m");
    rounds(&mut two, 20, T).unwrap();
    broker.compact("app-table-changelog", true);
    for _ in 0..20 {
        rounds(&mut one, 1, later(72)).unwrap();
        rounds(&mut two, 1, later(72)).unwrap();
    }
    assert_eq!(one.tasks().filter(|task| task.state() == TaskState::Running).count(), 1);
    assert_eq!(rows(&ours, "table"), ["l", "m"]);
}

/// What has no changelog does not grow old by one.
#[test]
fn a_store_without_a_changelog_outlives_a_weekend() {
    fn unlogged() -> Topology {
        let builder = StreamsBuilder::new();
        let _table = builder.table(&IN, Materialized::persistent("table", &Utf8, &Utf8).without_changelog());
        builder.build().unwrap()
    }
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, unlogged(), &directory, eager("app-0"), T);
    append(&broker, "k");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut thread = start(&broker, unlogged(), &directory, eager("app-0"), later(72));
    rounds(&mut thread, 20, later(72)).unwrap();
    assert_eq!((rows(&directory, "table"), thread.counters().state_wipes), (vec!["k".to_owned()], 0));
}

/// A store that was damaged comes back whole, also when other tasks of the same commit were not yet written down.
#[test]
fn a_commit_that_damages_one_store_keeps_the_rows_of_the_others() {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    append_to(&broker, 0, "a", Some("1".into()));
    append_to(&broker, 1, "b", Some("1".into()));
    directory.corrupt(TASK);
    rounds(&mut thread, 40, T).unwrap();
    let other = millpond::record::TaskId { partition: millpond::record::Partition(1), ..TASK };
    assert_eq!((rows(&directory, "table"), directory.contents(other, "table").len()), (vec!["a".to_owned()], 1));
    assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
}

/// A disk that breaks one state after the other: what was found first is still there when the thread ends.
#[test]
fn a_state_that_is_damaged_again_and_again_stops_the_thread_and_what_was_found_first_is_kept() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    let mut damage = |minute: u64| {
        let now = T.plus(Duration::from_mins(minute));
        append(&broker, "a");
        directory.corrupt(TASK);
        rounds(&mut thread, 40, now)
    };
    for minute in [0, 61, 90] {
        damage(minute).unwrap();
    }
    let stopped = damage(100);
    assert!(matches!(stopped, Err(Error::DamagedAgain { task: TASK, times: 3, .. })), "{stopped:?}");
    assert_eq!(directory.quarantined(), 3, "the last one is left where it is");
}

/// Totals of a metric never shrink.
#[test]
fn rows_replayed_are_counted_over_all_restores_of_a_task() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append_all(&broker, &["a", "b", "c"]);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let empty = MemoryDirectory::new();
    let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    let restored = |thread: &millpond::runtime::StreamThread<_>| -> u64 {
        thread.tasks().map(|task: millpond::runtime::TaskView<'_>| task.counters().restored).sum()
    };
    assert_eq!(restored(&thread), 3);
    append(&broker, "d");
    broker.fail_next(Fault::EndTxnResponseLost);
    rounds(&mut thread, 20, T.plus(Duration::from_secs(1))).unwrap();
    assert_eq!(restored(&thread), 4, "one row is replayed after a commit whose answer was lost");
    assert_eq!(broker.end_offset(&at("in", 0)).map(|end| end.0), Some(4));
}

/// A rebalance, or an orderly end, in the middle of a replay.
#[test]
fn a_restore_goes_on_after_a_rebalance_and_after_an_orderly_end() {
    for ends in [false, true] {
        let (broker, half) = (broker(1), MemoryDirectory::new());
        let mut thread = half_restored(&broker, &half);
        assert!(thread.tasks().all(|task| task.state() == TaskState::Restoring));
        append(&broker, "l");
        if ends {
            thread.close(false, T).unwrap();
            thread = start(&broker, table(), &half, eager("app-0"), T);
        } else {
            broker.fail_next(Fault::GroupRebalance);
        }
        rounds(&mut thread, 30, T).unwrap();
        assert_eq!((rows(&half, "table").len(), broker.lag("app").values().sum::<u64>()), (601, 0), "ends={ends}");
        assert_eq!(thread.counters().state_wipes, 0);
    }
}

/// Somebody has deleted the beginning of a changelog. The rows that were in it are on one disk only.
#[test]
fn a_changelog_without_its_beginning_is_not_taken_for_the_whole_state() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let changelog = at("app-table-changelog", 0);
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    for key in ["a", "b", "c"] {
        append(&broker, key);
        rounds(&mut thread, 20, T).unwrap();
    }
    drop(thread);
    let end = broker.end_offset(&changelog).unwrap();
    for cut in 1..=end.0 {
        broker.delete_records_before(&changelog, Offset(cut));
        let (empty, had) = (MemoryDirectory::new(), rows(&directory, "table"));
        // Twice: nothing that the first start leaves behind makes the second one believe in it.
        for _ in 0..2 {
            let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
            let refused = rounds(&mut thread, 50, T);
            let told = |error: &Error| matches!(error, Error::Task(TaskError::Refused(Refusal::ChangelogCut { .. })));
            assert!(refused.as_ref().is_err_and(told), "cut={cut}: {refused:?} {:?}", rows(&empty, "table"));
        }
        // Whoever has the rows goes on, also when only markers are left, or nothing.
        let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
        append(&broker, &format!("more-{cut}"));
        rounds(&mut thread, 50, T).unwrap();
        assert_eq!((rows(&directory, "table").len(), thread.counters().state_wipes), (had.len() + 1, 0), "cut={cut}");
    }
}

fn in_memory() -> Topology {
    let builder = StreamsBuilder::new();
    let _table = builder.table(&IN, Materialized::in_memory("table", &Utf8, &Utf8));
    builder.build().unwrap()
}

#[test]
fn the_rows_of_a_store_in_memory_are_not_made_up_for_by_the_last_commit_on_disk() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, in_memory(), &directory, eager("app-0"), T);
    for key in ["a", "b"] {
        append(&broker, key);
        rounds(&mut thread, 20, T).unwrap();
    }
    drop(thread);
    let changelog = at("app-table-changelog", 0);
    broker.delete_records_before(&changelog, broker.end_offset(&changelog).unwrap());
    let mut thread = start(&broker, in_memory(), &directory, eager("app-0"), T);
    let refused = rounds(&mut thread, 50, T);
    let told = |error: &Error| matches!(error, Error::Task(TaskError::Refused(Refusal::ChangelogCut { .. })));
    assert!(refused.as_ref().is_err_and(told), "{refused:?} {:?}", rows(&directory, "table"));
}

/// The end of a changelog was lost by its brokers. A store in memory has its rows from there alone: the number of the last
/// commit, which is on disk, says nothing about them.
#[test]
fn a_store_in_memory_is_what_its_changelog_says() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, in_memory(), &directory, eager("app-0"), T);
    append_all(&broker, &["a", "b", "c"]);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.truncate(&at("app-table-changelog", 0), Offset(0));
    let mut thread = start(&broker, in_memory(), &directory, eager("app-0"), T);
    let refused = rounds(&mut thread, 50, T);
    let told = |error: &Error| matches!(error, Error::Task(TaskError::Refused(Refusal::CommitRecordMissing { .. })));
    assert!(refused.as_ref().is_err_and(told), "{refused:?}");
}

/// Somebody has deleted the group's offsets, and the clock was set back while they were asked for again.
#[test]
fn offsets_that_are_gone_are_committed_again_whatever_the_clock_does() {
    for topology in [table as fn() -> Topology, super::copy] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, topology(), &directory, eager("app-0"), T);
        append_all(&broker, &["a", "b", "c"]);
        rounds(&mut thread, 20, T).unwrap();
        drop(thread);
        let before = broker.committed_offsets("app");
        broker.delete_group_offsets("app");
        let mut thread = start(&broker, topology(), &directory, eager("app-0"), later(2));
        seconds(&mut thread, 5, later(2)).unwrap();
        assert!(thread.tasks().all(|task| task.state() == TaskState::Restoring));
        seconds(&mut thread, 70, T).unwrap();
        assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
        // No record has come since: the offsets are there all the same, for whoever asks.
        let next = |offsets: std::collections::BTreeMap<_, millpond::broker::CommittedOffset>| {
            offsets.into_iter().map(|(at, offset)| (at, offset.next)).collect::<Vec<_>>()
        };
        assert_eq!(next(broker.committed_offsets("app")), next(before));
    }
}

/// An answer that was late is asked for again: nothing is aborted, nothing read anew.
#[test]
fn a_failure_of_the_changelog_reader_that_passes_aborts_nothing() {
    let (edge, complete) = (Edge::new(broker(1)), MemoryDirectory::new());
    let mut thread = start(&edge, table(), &complete, eager("app-0"), T);
    append_all(&edge.sim, &["a", "b", "c"]);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let empty = MemoryDirectory::new();
    let mut thread = start(&edge, table(), &empty, eager("app-0"), T);
    edge.fail("poll of changelogs", BrokerErrorKind::Retriable, 3);
    rounds(&mut thread, 20, T).unwrap();
    assert!(edge.calls("poll of changelogs") > 3);
    assert_eq!(
        (rows(&empty, "table"), &thread.counters().aborts),
        (vec!["a".into(), "b".into(), "c".into()], &[].into())
    );
}
