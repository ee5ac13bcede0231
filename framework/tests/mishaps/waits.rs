//! Brokers that ask to wait, and never stop asking: waiting is right, silence is not.

use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{Fault, Faults};
use millpond::broker::{Broker, Producer};
use millpond::record::{Headers, ProducerRecord};
use millpond::state::MemoryDirectory;

use super::{
    T, append, at, broker, committed_keys, eager, patient, rounds, rows, seconds, start, table, table_with_output,
};

/// What a thread tells when this fault strikes each time for so many seconds, and again when it has ceased.
fn told(fault: Fault, restarted: bool, lasting: u64) -> (Vec<String>, Vec<String>) {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    if !restarted {
        seconds(&mut thread, 5, T).unwrap();
        assert_eq!(thread.waiting_for(T), [""; 0]);
        // The transaction fails: a new producer, and a restore.
        broker.fail_next(Fault::BeforeEndTxn);
        append(&broker, "a");
    }
    broker.set_faults(Faults::seeded(7).with(fault, 1));
    if !restarted {
        broker.fail_next(Fault::BeforeEndTxn);
    }
    seconds(&mut thread, lasting, T).unwrap();
    let before = thread.waiting_for(T.plus(Duration::from_secs(lasting)));
    broker.set_faults(Faults::none());
    append(&broker, "b");
    let from = T.plus(Duration::from_secs(lasting));
    seconds(&mut thread, 5, from).unwrap();
    let expected: &[&str] = if restarted { &["b"] } else { &["a", "b"] };
    assert_eq!(committed_keys(&broker, "changes"), expected);
    (before, thread.waiting_for(from))
}

#[test]
fn whoever_waits_for_long_is_not_ready_and_says_for_what() {
    let cases = [
        (Fault::InitRetriable, false, "there is no producer"),
        (Fault::OffsetFetchTimeout, false, "waits for the group's offsets"),
        (Fault::ListOffsetsTimeout, false, "waits for the ends of the changelogs"),
        (Fault::AdminTimeout, true, "the topics cannot be described"),
    ];
    for (fault, restarted, what) in cases {
        let (before, after) = told(fault, restarted, 30);
        assert_eq!(before.len(), 1, "{fault:?}: {before:?}");
        assert!(before.iter().all(|told| told.contains(what)), "{fault:?}: {before:?}");
        assert_eq!(after, [""; 0], "{fault:?}");
        // A moment is nothing that somebody must know.
        assert_eq!(told(fault, restarted, 15).0, [""; 0], "{fault:?}");
    }
}

/// The changelog ends behind a transaction of somebody else, which is ended after so many seconds.
fn told_behind_a_transaction(lasting: u64) -> (Vec<String>, Vec<String>) {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut other = broker.producer("other").unwrap();
    other.begin().unwrap();
    let record = ProducerRecord {
        target: at("app-table-changelog", 0),
        timestamp: T,
        key: Some(Bytes::from_static(b"z")),
        value: Some(Bytes::from_static(b"z")),
        headers: Headers::new(),
    };
    other.send(record).unwrap();
    let mut thread = start(&broker, table_with_output(), &directory, eager("app-0"), T);
    seconds(&mut thread, lasting, T).unwrap();
    let from = T.plus(Duration::from_secs(lasting));
    let before = thread.waiting_for(from);
    // Whoever comes after it aborts it.
    drop(broker.producer("other").unwrap());
    append(&broker, "b");
    seconds(&mut thread, 5, from).unwrap();
    assert_eq!(committed_keys(&broker, "changes"), ["a", "b"]);
    (before, thread.waiting_for(from))
}

#[test]
fn whoever_waits_behind_a_transaction_says_where_and_how_to_end_it() {
    // Also when it lasts longer than until the ends are read again.
    for lasting in [25, 30, 44, 70] {
        let (before, after) = told_behind_a_transaction(lasting);
        let [told] = &before[..] else { panic!("{lasting} s: {before:?}") };
        for part in
            ["an open transaction of another producer", "kafka-transactions.sh find-hanging", "app-table-changelog-0"]
        {
            assert!(told.contains(part), "{lasting} s: {part}: {told}");
        }
        assert_eq!(after, [""; 0], "{lasting} s");
    }
    assert_eq!(told_behind_a_transaction(15).0, [""; 0]);
}

/// ```text
/// commit          a is processed                next commit
///   0 ──────────────── 30 ── poll, 70 at most ──────► 100
/// ```
/// With an output a transaction is open from then on; rows alone open none before their commit.
#[test]
fn a_thread_that_has_something_to_commit_does_not_sleep_past_its_commit() {
    for topology in [table_with_output, table] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let a_second = Duration::from_secs(1);
        let config = millpond::runtime::ThreadConfig { poll_timeout: a_second, ..patient("app-0") };
        let mut thread = start(&broker, topology(), &directory, config, T);
        let millis = |millis| T.plus(Duration::from_millis(millis));
        // The start offsets are committed, and nothing is left to do.
        (0..20).for_each(|round| rounds(&mut thread, 1, millis(round * 100)).unwrap());
        assert_eq!(broker.last_poll_timeout(), a_second, "with nothing to commit");
        let begun = 2_000;
        rounds(&mut thread, 1, millis(begun)).unwrap();
        append(&broker, "a");
        rounds(&mut thread, 2, millis(begun + 30)).unwrap();
        assert_eq!(rows(&directory, "table"), [""; 0]);
        assert_eq!(broker.last_poll_timeout(), Duration::from_millis(70));
        rounds(&mut thread, 1, millis(begun + 99)).unwrap();
        assert_eq!(broker.last_poll_timeout(), Duration::from_millis(1));
        rounds(&mut thread, 3, millis(begun + 100)).unwrap();
        assert_eq!(rows(&directory, "table"), ["a"]);
        rounds(&mut thread, 1, millis(begun + 150)).unwrap();
        assert_eq!(broker.last_poll_timeout(), a_second, "with nothing to commit again");
    }
}
