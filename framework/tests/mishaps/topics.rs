//! Topics that are deleted, or deleted and made again, between two runs and under a running thread.

use std::time::Duration;

use millpond::broker::sim::{Fault, SimBroker};
use millpond::runtime::Error;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{T, append, append_all, broker, committed_keys, copy, eager, rounds, rows, seconds, start, table};

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
    assert!(matches!(stopped, Err(Error::Topology(_))), "{stopped:?} {:?}", committed_keys(&broker, "out"));
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
