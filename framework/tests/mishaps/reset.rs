//! State that a reset has left behind, on whatever machine it lies.

use std::time::Duration;

use millpond::broker::CommittedOffset;
use millpond::broker::sim::SimBroker;
use millpond::dsl::{Grouped, Materialized, Repartitioned, StreamsBuilder};
use millpond::serde::{Int64, Utf8};
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{IN, T, append, at, broker, eager, rounds, rows, start, table};

fn reset_mark(broker: &SimBroker) -> CommittedOffset {
    let next = broker.end_offset(&at("in", 0)).unwrap();
    CommittedOffset { next, metadata: "millpond/1 reset".into() }
}

/// A program with other stores asks for a reset, which was done, on another machine than this one.
#[test]
fn state_of_other_stores_is_set_aside_after_a_reset() {
    let (broker, old) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &old, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "before");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.delete_topic("app-table-changelog");
    broker.set_committed_offset("app", &at("in", 0), reset_mark(&broker));
    let builder = StreamsBuilder::new();
    let _table = builder.table(&IN, Materialized::persistent("other", &Utf8, &Utf8));
    let mut thread = start(&broker, builder.build().unwrap(), &old, eager("app-0"), T);
    append(&broker, "since");
    for second in 0..5 {
        rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
    }
    assert_eq!((rows(&old, "other"), old.quarantined()), (vec!["since".to_owned()], 1));
}

fn counts_behind_a_repartition(names: &[&str]) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream(&IN).repartition(Repartitioned::named("again", &Utf8, &Utf8));
    for name in names {
        let counts = Materialized::persistent(name, &Utf8, &Int64);
        let _counts = stream.group_by_key(Grouped::named(name, &Utf8, &Utf8)).count(counts);
    }
    builder.build().unwrap()
}

/// The same behind a repartition: there the group has no offset any more that could say so.
#[test]
fn state_behind_a_repartition_is_set_aside_after_a_reset_for_one_more_store() {
    let (broker, old) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, counts_behind_a_repartition(&["first"]), &old, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "before");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.delete_group_offsets("app");
    for topic in ["app-first-changelog", "app-again-repartition", "app-commits"] {
        assert!(broker.delete_topic(topic), "{topic}");
    }
    broker.set_committed_offset("app", &at("in", 0), reset_mark(&broker));
    let mut thread = start(&broker, counts_behind_a_repartition(&["first", "second"]), &old, eager("app-0"), T);
    append(&broker, "since");
    for second in 0..5 {
        rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
    }
    assert_eq!(old.quarantined(), 1);
}
