//! What was refused once is refused again: a supervisor starts the process anew, on the disk that the refusal has left.

use millpond::broker::sim::SimBroker;
use millpond::runtime::Error;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{T, append, append_all, broker, eager, rounds, rows, seconds, start, table};

/// Starts on a disk until a start is not refused; at most three times.
fn refusals(broker: &SimBroker, topology: fn() -> Topology, disk: &MemoryDirectory) -> (usize, Vec<Result<(), Error>>) {
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut thread = start(broker, topology(), disk, eager("app-0"), T);
        told.push(seconds(&mut thread, 90, T));
    }
    (told.iter().filter(|told| told.is_err()).count(), told)
}

/// A pod on a new node: its disk is empty. The input was made again; with the old one Kafka has deleted the group's offsets.
#[test]
fn input_that_was_made_again_is_refused_by_every_start_of_a_lost_disk() {
    for offsets_are_gone in [true, false] {
        let (broker, lost, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
        let mut thread = start(&broker, table(), &lost, eager("app-0"), T);
        append_all(&broker, &["a", "b", "c"]);
        rounds(&mut thread, 20, T).unwrap();
        drop(thread);
        broker.delete_topic("in");
        broker.add_topic("in", 1);
        append_all(&broker, &["d", "e", "f", "g", "h", "i"]);
        if offsets_are_gone {
            broker.delete_group_offsets("app");
        }
        let (refused, told) = refusals(&broker, table, &empty);
        assert_eq!(refused, 3, "offsets_are_gone={offsets_are_gone}: {told:?} rows={:?}", rows(&empty, "table"));
    }
}

/// The changelog was made again under its owner, who went on writing. Another disk has what was written since, and no more.
#[test]
fn a_changelog_that_was_made_again_under_its_owner_is_refused_by_every_start_of_a_lost_disk() {
    let (broker, lost, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &lost, eager("app-0"), T);
    append(&broker, "first");
    rounds(&mut thread, 20, T).unwrap();
    broker.delete_topic("app-table-changelog");
    broker.add_topic("app-table-changelog", 1);
    append(&broker, "second");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let (refused, told) = refusals(&broker, table, &empty);
    assert_eq!(refused, 3, "{told:?} rows={:?}", rows(&empty, "table"));
}
