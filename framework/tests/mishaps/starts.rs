//! What a task tells of its start.

use millpond::broker::sim::{Fault, SimBroker};
use millpond::runtime::{StartKind, StreamThread};
use millpond::state::MemoryDirectory;

use super::{T, append, append_all, at, broker, copy, eager, later, rounds, start, table};

/// Kind, replayed rows, and whether commit record and offsets were compared.
fn told(thread: &StreamThread<SimBroker>) -> (StartKind, u64, bool) {
    let start = thread.tasks().next().unwrap().last_start().unwrap();
    (start.kind, start.replayed, start.verified)
}

#[test]
fn a_start_tells_whether_it_was_the_first_resumed_replayed_restored_or_wiped() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let begin = |directory, now| {
        let mut thread = start(&broker, table(), directory, eager("app-0"), now);
        rounds(&mut thread, 20, now).unwrap();
        thread
    };
    let mut thread = begin(&directory, T);
    assert_eq!(told(&thread), (StartKind::First, 0, false));
    append_all(&broker, &["a", "b", "c"]);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);

    let mut thread = begin(&directory, T);
    assert_eq!(told(&thread), (StartKind::Resumed, 0, true));
    // Committed, and nobody knows before the changelog is read again.
    append(&broker, "d");
    broker.fail_next(Fault::EndTxnResponseLost);
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(told(&thread), (StartKind::Replayed, 1, true));
    drop(thread);

    let elsewhere = MemoryDirectory::new();
    let thread = begin(&elsewhere, T);
    assert_eq!(told(&thread), (StartKind::Restored, 4, true));
    let restored = thread.tasks().next().unwrap().last_start().unwrap();
    let end = broker.end_offset(&at("app-table-changelog", 0)).unwrap();
    assert_eq!((restored.rows, restored.offset), (4, end));
    drop(thread);

    // Older than the changelog keeps deletions.
    assert_eq!(told(&begin(&elsewhere, later(24))), (StartKind::Wiped, 4, true));
}

#[test]
fn a_task_without_stores_tells_its_start_too() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(told(&thread), (StartKind::First, 0, false));
    drop(thread);
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(told(&thread), (StartKind::Resumed, 0, true));
}
