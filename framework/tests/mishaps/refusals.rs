//! What was refused once is refused again: a supervisor starts the process anew, on the disk that the refusal has left.

use bytes::Bytes;
use millpond::broker::sim::{Isolation, SimBroker};
use millpond::record::{Headers, ProducerRecord};
use millpond::runtime::Error;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{T, append, append_all, at, broker, eager, rounds, rows, seconds, start, table};

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

/// The changelog was made again under its owner, who wrote one more commit. Another disk has what was written since, and no more.
#[test]
fn a_changelog_that_was_made_again_under_its_owner_is_refused_by_every_start_of_a_lost_disk() {
    let (broker, lost, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &lost, eager("app-0"), T);
    append(&broker, "first");
    rounds(&mut thread, 20, T).unwrap();
    broker.delete_topic("app-table-changelog");
    broker.add_topic("app-table-changelog", 1);
    append(&broker, "second");
    // What is delivered into the new one lies before what was there.
    let told = rounds(&mut thread, 20, T);
    assert!(told.is_err_and(|error| error.to_string().contains("ends at offset=")));
    drop(thread);
    let (refused, told) = refusals(&broker, table, &empty);
    assert_eq!(refused, 3, "{told:?} rows={:?}", rows(&empty, "table"));
}

/// What a start has refused, the next one refuses, too: the rows that were read before the refusal are on the disk by then.
#[test]
fn rows_that_are_missing_are_refused_by_every_start_of_a_lost_disk() {
    const CHANGELOG: &str = "app-table-changelog";
    let (broker, disk, empty) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, super::table(), &disk, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    for key in ["a", "b"] {
        append(&broker, key);
        rounds(&mut thread, 5, T).unwrap();
    }
    drop(thread);
    let value = broker.records(CHANGELOG, Isolation::ReadCommitted).into_iter().rev();
    let value = value.filter(|record| record.key.as_deref() == Some(b"b")).find_map(|record| record.value);
    let key = Some(Bytes::from_static(b"b"));
    broker
        .append(ProducerRecord { target: at(CHANGELOG, 0), timestamp: T, key, value, headers: Headers::new() })
        .unwrap();
    broker.compact(CHANGELOG, false);
    let (refused, told) = refusals(&broker, table, &empty);
    assert_eq!(refused, 3, "{told:?} rows={:?}", rows(&empty, "table"));
}
