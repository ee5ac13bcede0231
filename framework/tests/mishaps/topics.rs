//! Topics that are deleted, or deleted and made again, between two runs and under a running thread.

use std::time::Duration;

use bytes::Bytes;
use millpond::broker::BrokerErrorKind;
use millpond::broker::sim::{Fault, SimBroker};
use millpond::dsl::{StreamsBuilder, Topic};
use millpond::record::{Headers, Offset, ProducerRecord};
use millpond::runtime::{Error, Refusal, TaskError, Topics};
use millpond::serde::Utf8;
use millpond::state::MemoryDirectory;
use millpond::topology::{Topology, TopologyError};

use super::{
    IN, OUT, T, TASK, append, append_all, append_to, at, broker, committed_keys, copy, eager, rounds, rows, seconds,
    start, table,
};

const FIRST: [&str; 3] = ["a", "b", "c"];
const SECOND: [&str; 6] = ["d", "e", "f", "g", "h", "i"];

fn make_again(broker: &SimBroker) {
    broker.delete_topic("in");
    broker.add_topic("in", 1);
    append_all(broker, &SECOND);
}

/// The committed offset is in the log of the new topic, but it is not about it: records would be passed over.
#[test]
fn input_that_was_made_again_between_two_runs_is_not_read_from_the_middle() {
    let first: [fn() -> Topology; 2] = [copy, table];
    for topology in first {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, topology(), &directory, eager("app-0"), T);
        append_all(&broker, &FIRST);
        rounds(&mut thread, 20, T).unwrap();
        drop(thread);
        make_again(&broker);
        let mut thread = start(&broker, topology(), &directory, eager("app-0"), T);
        let stopped = rounds(&mut thread, 50, T);
        let told = format!("{:?} {:?}", committed_keys(&broker, "out"), rows(&directory, "table"));
        assert!(stopped.is_err_and(|error| error.to_string().contains("topic in ")), "{told}");
    }
}

#[test]
fn input_that_is_made_again_under_a_running_thread_is_not_read_from_the_middle() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append_all(&broker, &FIRST);
    rounds(&mut thread, 20, T).unwrap();
    make_again(&broker);
    let stopped = rounds(&mut thread, 50, T);
    let told = |error: &Error| matches!(error, Error::Topology(TopologyError::Recreated { topic }) if topic == "in");
    assert!(stopped.as_ref().is_err_and(told), "{stopped:?} {:?}", committed_keys(&broker, "out"));
    assert_eq!(committed_keys(&broker, "out"), FIRST);
}

/// Offsets that a person set after making the topic again are about the new one.
#[test]
fn input_that_was_made_again_is_read_where_a_person_says() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append_all(&broker, &FIRST);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    make_again(&broker);
    let by_hand = millpond::broker::CommittedOffset { next: millpond::record::Offset(0), metadata: String::new() };
    broker.set_committed_offset("app", &super::at("in", 0), by_hand);
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    rounds(&mut thread, 50, T).unwrap();
    assert_eq!(committed_keys(&broker, "out"), [&FIRST[..], &SECOND[..]].concat());
    drop(thread);
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    rounds(&mut thread, 50, T).unwrap();
}

/// An application that does nothing must not look as if there were nothing to do.
#[test]
fn a_deleted_input_is_told() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    broker.delete_topic("in");
    let stopped = seconds(&mut thread, 120, T);
    assert!(stopped.as_ref().is_err_and(|error| error.to_string().contains("topic=in ")), "{stopped:?}");
}

/// The changelog is gone when a restore wants it.
#[test]
fn a_deleted_changelog_is_told() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "b");
    broker.fail_next(Fault::BeforeEndTxn);
    rounds(&mut thread, 1, T).unwrap();
    broker.delete_topic("app-table-changelog");
    let stopped = seconds(&mut thread, 120, T);
    assert!(stopped.as_ref().is_err_and(|error| error.to_string().contains("app-table-changelog")), "{stopped:?}");
}

/// Metadata that is a moment behind is no deleted topic.
#[test]
fn a_topic_that_is_missing_for_a_moment_is_waited_for() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    broker.fail_next(Fault::AdminTimeout);
    append(&broker, "a");
    rounds(&mut thread, 20, T.plus(Duration::from_secs(1))).unwrap();
    assert_eq!(committed_keys(&broker, "out"), ["a"]);
}

/// Retention has deleted input that was not read while the application was down.
#[test]
fn input_that_is_gone_stops_the_thread_with_a_message() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    for key in ["b", "c", "d"] {
        append(&broker, key);
    }
    broker.delete_records_before(&at("in", 0), Offset(3));
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    let stopped = rounds(&mut thread, 500, T);
    let gone = |error: &Error| matches!(error, Error::InputGone { source } if source.kind == BrokerErrorKind::OffsetOutOfRange);
    assert!(stopped.as_ref().is_err_and(gone), "{stopped:?}, or still going round: {:?}", thread.counters());
}

/// `exactly-once` 3.4: a changed number of partitions stops the application. New partitions are assigned to somebody.
#[test]
fn partitions_added_while_running_are_processed_or_told() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    broker.add_partitions("in", 1);
    append_to(&broker, 1, "a", Some("v".into()));
    let stopped = rounds(&mut thread, 100, T);
    let told = |error: &Error| {
        let Error::Topology(TopologyError::PartitionsAdded { topic, expected: 1, actual: 2 }) = error else {
            return false;
        };
        topic == "in"
    };
    assert!(stopped.as_ref().is_err_and(told), "nobody reads in-1, and nobody says so: {stopped:?}");
}

/// Partitions were added while the application was down: keys have moved, and the rows are where they were. With the changelog
/// as it was that is told before a thread starts; with one that was given as many, by the task.
#[test]
fn an_input_with_more_partitions_than_its_state_is_refused_and_the_state_is_left_alone() {
    for changelog_grows in [false, true] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
        append_all(&broker, &FIRST);
        rounds(&mut thread, 20, T).unwrap();
        drop(thread);
        let before = (rows(&directory, "table"), directory.checkpoint(TASK).unwrap(), broker.committed_offsets("app"));
        broker.add_partitions("in", 1);
        if changelog_grows {
            broker.add_partitions("app-table-changelog", 1);
            broker.add_partitions("app-commits", 1);
            let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
            let stopped = rounds(&mut thread, 50, T);
            let told = |error: &Error| {
                let Error::Task(TaskError::Refused(refusal)) = error else { return false };
                *refusal == Refusal::PartitionsChanged { task: TASK, before: 1, now: 2 }
            };
            assert!(stopped.as_ref().is_err_and(told), "{stopped:?}");
            assert_eq!(thread.counters().state_wipes, 0);
        } else {
            let refused = Topics::prepare(&broker, &table(), "app", 1, None);
            let Err(Error::Topology(TopologyError::PartitionsChanged { topic, actual: 1, expected: 2 })) = refused
            else {
                panic!("{refused:?}")
            };
            assert_eq!(topic, "app-table-changelog");
        }
        let after = (rows(&directory, "table"), directory.checkpoint(TASK).unwrap(), broker.committed_offsets("app"));
        assert_eq!((after, directory.quarantined()), (before, 0), "changelog_grows={changelog_grows}");
    }
}

/// The changelog was deleted and created again under a running thread; another machine takes over without a disk.
#[test]
fn a_recreated_changelog_is_not_taken_for_the_whole_state() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append(&broker, "first");
    rounds(&mut thread, 20, T).unwrap();
    broker.delete_topic("app-table-changelog");
    broker.add_topic("app-table-changelog", 1);
    append(&broker, "second");
    let running = rounds(&mut thread, 50, T);
    let told = |error: &Error| matches!(error, Error::Task(TaskError::Refused(Refusal::ChangelogShortened { .. })));
    assert!(running.as_ref().is_err_and(told), "{running:?}");
    drop(thread);
    let empty = MemoryDirectory::new();
    let mut thread = start(&broker, table(), &empty, eager("app-0"), T);
    let refused = rounds(&mut thread, 50, T);
    let told = |error: &Error| matches!(error, Error::Task(TaskError::Refused(Refusal::ChangelogRecreated { .. })));
    assert!(refused.as_ref().is_err_and(told), "{refused:?} with {} of 2 rows", empty.contents(TASK, "table").len());
}

/// A program that reads one topic less, without state.
#[test]
fn an_input_that_the_program_no_longer_reads_keeps_nobody_from_starting() {
    const SECOND: Topic<String, String> = Topic::new("changes", &Utf8, &Utf8);
    let both = || {
        let builder = StreamsBuilder::new();
        builder.stream(&IN).merge(&builder.stream(&SECOND)).to(&OUT);
        builder.build().unwrap()
    };
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, both(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "a");
    let record = ProducerRecord {
        target: at("changes", 0),
        timestamp: T,
        key: Some(Bytes::from_static(b"b")),
        value: Some(Bytes::from_static(b"v")),
        headers: Headers::new(),
    };
    broker.append(record).unwrap();
    rounds(&mut thread, 20, T).unwrap();
    thread.close(true, T).unwrap();
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append(&broker, "c");
    for second in 0..5 {
        rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
    }
    let mut out = committed_keys(&broker, "out");
    out.sort();
    assert_eq!(out, ["a", "b", "c"]);
}

/// The first store is added, or the last one taken away: that is what is told, and not that a topic was deleted.
#[test]
fn a_program_with_its_first_store_or_without_its_last_is_told_what_it_is() {
    let programs: [[fn() -> Topology; 2]; 2] = [[copy, table], [table, copy]];
    for [before, after] in programs {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, before(), &directory, eager("app-0"), T);
        append_all(&broker, &FIRST);
        rounds(&mut thread, 20, T).unwrap();
        drop(thread);
        let mut thread = start(&broker, after(), &directory, eager("app-0"), T);
        let told = seconds(&mut thread, 5, T).unwrap_err().to_string();
        assert!(told.contains("of a topology with other stores, or with none"), "{told}");
    }
}
