//! Brokers that ask to wait, and never stop asking: waiting is right, silence is not.

use millpond::broker::sim::{Fault, Faults};
use millpond::state::MemoryDirectory;

use super::{T, append, broker, committed_keys, eager, seconds, start, table_with_output};

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
    let before = thread.waiting_for(T.plus(std::time::Duration::from_secs(lasting)));
    broker.set_faults(Faults::none());
    append(&broker, "b");
    let from = T.plus(std::time::Duration::from_secs(lasting));
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
