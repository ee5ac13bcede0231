//! Records that are processed while a commit is in flight.

use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{Fault, Isolation, SimBroker};
use millpond::runtime::config::StartFrom;
use millpond::runtime::{StreamThread, TaskState, ThreadConfig};
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{
    T, append, append_to, broker, committed_keys, copy, eager, patient, rounds, rows, start, table_with_output,
};

/// The start offsets are committed first of all, then `a`, then `b`.
const COMMITS: u64 = 3;

/// A thread with the commit of `a` in flight and `b` processed ahead of it.
fn ahead(broker: &SimBroker, directory: &MemoryDirectory) -> StreamThread<SimBroker> {
    let mut thread = start(broker, table_with_output(), directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    broker.fail_next(Fault::CommitSlow);
    append(broker, "a");
    rounds(&mut thread, 5, T).unwrap();
    append(broker, "b");
    rounds(&mut thread, 5, T).unwrap();
    assert_eq!(processed(&thread), 2, "the thread does not wait for its commit");
    thread
}

fn processed(thread: &StreamThread<SimBroker>) -> u64 {
    thread.tasks().map(|task| task.counters().processed).sum()
}

/// ```text
/// a | offsets, end ······ in flight ······ C
///                    b                        b | offsets, end C
/// ```
#[test]
fn what_is_processed_ahead_of_a_commit_is_sent_after_it() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = ahead(&broker, &directory);
    assert_eq!(committed_keys(&broker, "changes"), [""; 0]);
    assert_eq!(rows(&directory, "table"), [""; 0], "nothing reaches a store before its commit has ended");
    let sent = broker.records("changes", Isolation::ReadUncommitted).len();
    assert_eq!(sent, 1, "what is processed ahead is not in the transaction that is being ended");
    thread.commit(T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(rows(&directory, "table"), ["a", "b"]);
    assert_eq!(thread.counters().commits, COMMITS);
}

#[test]
fn a_crash_takes_back_what_was_processed_ahead_and_the_commit_before_it() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    drop(ahead(&broker, &directory));
    let mut again = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    rounds(&mut again, 30, T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(rows(&directory, "table"), ["a", "b"]);
}

/// The transaction is committed, and nobody is told: the rows come from the changelog, what was processed ahead is read again.
#[test]
fn a_commit_that_is_never_told_costs_a_replay_and_nothing_twice() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    broker.fail_next(Fault::CommitToldLate);
    append(&broker, "a");
    rounds(&mut thread, 5, T).unwrap();
    append(&broker, "b");
    rounds(&mut thread, 5, T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a"]);
    assert_eq!(rows(&directory, "table"), [""; 0]);
    drop(thread);
    let mut again = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    rounds(&mut again, 30, T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(rows(&directory, "table"), ["a", "b"]);
}

#[test]
fn a_commit_that_fails_takes_back_what_was_processed_ahead_of_it() {
    for fault in [Fault::BeforeEndTxn, Fault::EndTxnRequestLost, Fault::EndTxnResponseLost, Fault::SendOffsets] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = ahead(&broker, &directory);
        broker.fail_next(fault);
        // The revocation waits for the commit.
        broker.fail_next(Fault::GroupRebalance);
        rounds(&mut thread, 40, T).unwrap();
        assert_eq!(committed_keys(&broker, "changes"), ["a", "b"], "{fault:?}");
        assert_eq!(rows(&directory, "table"), ["a", "b"], "{fault:?}");
    }
}

/// I4: nothing of these partitions may be on its way when their revocation is acknowledged.
#[test]
fn a_revocation_waits_for_the_commit_in_flight_and_commits_what_was_processed_ahead() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = ahead(&broker, &directory);
    broker.fail_next(Fault::GroupRebalance);
    thread.run_once(T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(thread.counters().commits, COMMITS);
    assert_eq!(thread.counters().aborts.len(), 0);
}

#[test]
fn partitions_that_are_lost_take_the_commit_in_flight_with_them() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = ahead(&broker, &directory);
    broker.fail_next(Fault::GroupSessionExpired);
    rounds(&mut thread, 40, T).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(rows(&directory, "table"), ["a", "b"]);
}

/// A producer that must be replaced after its commit: what was processed ahead goes out by the next one.
#[test]
fn a_tainted_producer_does_not_take_along_what_was_processed_ahead() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = ahead(&broker, &directory);
    broker.fail_next(Fault::EndTxnRetried);
    let producers = thread.counters().producers;
    thread.commit(T).unwrap();
    rounds(&mut thread, 10, T).unwrap();
    assert_eq!(thread.counters().producers, producers + 1);
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    assert_eq!(processed(&thread), 2, "nothing is processed again");
}

/// A thread with a commit of `a` in flight that ends when somebody waits, and as much in memory as may be there.
fn full(broker: &SimBroker, topology: Topology, directory: &MemoryDirectory) -> StreamThread<SimBroker> {
    let config = ThreadConfig { uncommitted_bytes_max: 1, ..eager("app-0") };
    let mut thread = start(broker, topology, directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    broker.fail_next(Fault::CommitSlow);
    append(broker, "a");
    rounds(&mut thread, 3, T).unwrap();
    append(broker, "b");
    thread
}

#[test]
fn with_memory_full_nothing_is_processed_ahead() {
    for topology in [table_with_output(), copy()] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = full(&broker, topology, &directory);
        rounds(&mut thread, 10, T).unwrap();
        assert_eq!(processed(&thread), 1);
        thread.commit(T).unwrap();
        rounds(&mut thread, 10, T).unwrap();
        assert_eq!(processed(&thread), 2);
    }
}

#[test]
fn with_memory_full_the_thread_waits_for_its_commit() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = ThreadConfig { uncommitted_bytes_max: 1, poll_timeout: Duration::from_millis(1), ..eager("app-0") };
    let mut thread = start(&broker, table_with_output(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    for key in ["a", "b", "c"] {
        broker.fail_next(Fault::CommitSlow);
        append(&broker, key);
        rounds(&mut thread, 10, T).unwrap();
    }
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b", "c"]);
}

/// Outputs that are held back count: one of them fills the memory.
#[test]
fn outputs_that_wait_for_a_commit_are_counted() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = ThreadConfig { uncommitted_bytes_max: 2_000, records_per_round: 1, ..eager("app-0") };
    let mut thread = start(&broker, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    broker.fail_next(Fault::CommitSlow);
    append(&broker, "a");
    rounds(&mut thread, 3, T).unwrap();
    for key in ["b", "c", "d"] {
        append_to(&broker, 0, key, Some(Bytes::from(vec![b'x'; 2_000])));
    }
    rounds(&mut thread, 10, T).unwrap();
    assert_eq!(processed(&thread), 2, "b is held back, and c waits for it");
}

/// Slow brokers are not asked for one commit after the other.
#[test]
fn the_commit_interval_counts_from_the_end_of_a_commit() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table_with_output(), &directory, patient("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    let at = |ms| T.plus(Duration::from_millis(ms));
    broker.fail_next(Fault::CommitToldLate);
    append(&broker, "a");
    rounds(&mut thread, 5, at(150)).unwrap();
    append(&broker, "b");
    rounds(&mut thread, 5, at(400)).unwrap();
    let before = thread.counters().commits;
    // The end is heard of at 400 ms, by a revocation, which commits `b` as well; `c` has to wait for its interval.
    broker.fail_next(Fault::GroupRebalance);
    rounds(&mut thread, 20, at(400)).unwrap();
    append(&broker, "c");
    rounds(&mut thread, 20, at(480)).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    rounds(&mut thread, 20, at(510)).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b", "c"]);
    assert!(thread.counters().commits > before);
}

/// `start.from=latest`: the start that is chosen must be committed before a record is processed, also when the commit in flight
/// at that moment is the last one of its producer.
#[test]
fn a_start_is_chosen_with_a_producer_that_can_commit_it() {
    let late = (0..6).filter(|&passes| one_start_is_late(passes)).count();
    assert!(late > 0, "one of two tasks starts a second after the other");
}

/// False when that time-out does not keep one of the two tasks.
fn one_start_is_late(passes: u32) -> bool {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    append_to(&broker, 0, "old", None);
    append_to(&broker, 1, "old", None);
    let config = ThreadConfig { start_from: StartFrom::Latest, ..eager("app-0") };
    let mut thread = start(&broker, copy(), &directory, config, T);
    // Its leader is away.
    broker.fail_after(Fault::ListOffsetsTimeout, passes);
    rounds(&mut thread, 20, T).unwrap();
    let running = thread.tasks().filter(|task| task.state() == TaskState::Running);
    let [first] = running.map(|task| task.id().partition.0).collect::<Vec<_>>()[..] else { return false };
    broker.fail_next(Fault::CommitSlow);
    append_to(&broker, first, "a", Some(Bytes::from_static(b"v")));
    rounds(&mut thread, 5, T).unwrap();
    assert_eq!(committed_keys(&broker, "out"), [""; 0], "its commit is in flight");
    // The other one starts, and the commit ends with a producer that must be replaced.
    broker.fail_next(Fault::EndTxnRetried);
    let at = T.plus(Duration::from_secs(2));
    while thread.tasks().any(|task| task.state() != TaskState::Running) {
        thread.run_once(at).unwrap();
    }
    append_to(&broker, 1 - first, "b", Some(Bytes::from_static(b"v")));
    broker.fail_next(Fault::BeforeEndTxn);
    rounds(&mut thread, 20, at).unwrap();
    rounds(&mut thread, 20, at.plus(Duration::from_secs(2))).unwrap();
    assert_eq!(committed_keys(&broker, "out"), ["a", "b"]);
    true
}
