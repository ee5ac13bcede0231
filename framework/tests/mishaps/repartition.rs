//! Repartition topics: what is written there is the application's own, whatever was configured for the user's inputs.

use std::time::Duration;

use millpond::broker::BrokerErrorKind;
use millpond::broker::sim::Fault;
use millpond::dsl::{Repartitioned, StreamsBuilder};
use millpond::record::Offset;
use millpond::runtime::config::StartFrom;
use millpond::runtime::{TaskState, ThreadConfig};
use millpond::serde::Utf8;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::edge::Edge;
use super::{IN, OUT, T, append, at, broker, committed_keys, eager, rounds, seconds, start};

fn over_a_repartition() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&IN).repartition(Repartitioned::named("again", &Utf8, &Utf8)).to(&OUT);
    builder.build().unwrap()
}

/// `start.from=latest` is about the user's inputs. What this application has written to its own repartition is not old.
#[test]
fn latest_skips_no_record_of_a_repartition() {
    let mut late = 0;
    for passes in 0..8 {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        append(&broker, "old");
        let config = ThreadConfig { start_from: StartFrom::Latest, ..eager("app-0") };
        let mut thread = start(&broker, over_a_repartition(), &directory, config, T);
        broker.fail_after(Fault::ListOffsetsTimeout, passes);
        rounds(&mut thread, 20, T).unwrap();
        let runs: Vec<bool> = thread.tasks().map(|task| task.state() == TaskState::Running).collect();
        if !runs[0] {
            // The user's own input begins at the end, whenever that is.
            continue;
        }
        late += u32::from(!runs[1]);
        append(&broker, "a");
        rounds(&mut thread, 20, T).unwrap();
        for second in 1..5 {
            rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
        }
        append(&broker, "b");
        for second in 5..8 {
            rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
        }
        assert_eq!(committed_keys(&broker, "out"), ["a", "b"], "passes={passes}");
    }
    assert!(late > 0);
}

/// What is committed is deleted every 30 seconds, and nothing else: what is read and not committed may be needed again.
#[test]
fn a_repartition_is_deleted_up_to_what_is_committed() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let again = at("app-again-repartition", 0);
    let mut thread = start(&broker, over_a_repartition(), &directory, eager("app-0"), T);
    append(&broker, "a");
    seconds(&mut thread, 10, T).unwrap();
    assert_eq!(broker.log_start(&again), Some(Offset(0)), "not before its time");
    append(&broker, "b");
    // Late enough, and with the commit of "b" in flight: that of "a" counts.
    let late = T.plus(Duration::from_secs(40));
    rounds(&mut thread, 30, late).unwrap();
    let committed = broker.committed_offsets("app").get(&again).map(|offset| offset.next);
    let start_of_log = broker.log_start(&again).unwrap();
    assert!(start_of_log > Offset(0) && Some(start_of_log) <= committed, "{start_of_log} {committed:?}");
    assert_eq!(committed_keys(&broker, "out"), ["a", "b"]);
}

/// Without the right to delete, repartition topics grow for ever: that is told once, and nothing else stops.
#[test]
fn a_purge_that_is_refused_is_told_once_and_stops_nothing() {
    let (edge, directory) = (Edge::new(broker(1)), MemoryDirectory::new());
    edge.fail("delete_records", BrokerErrorKind::Unauthorized, u32::MAX);
    let mut thread = start(&edge, over_a_repartition(), &directory, eager("app-0"), T);
    let mut told = 0;
    for minute in 1..4 {
        append(&edge.sim, "a");
        let now = T.plus(Duration::from_secs(minute * 60));
        for _ in 0..30 {
            rounds(&mut thread, 1, now).unwrap();
            told += usize::from(thread.take_last_error().is_some());
        }
    }
    assert!(edge.calls("delete_records") > 1);
    assert_eq!(told, 1);
    assert_eq!(committed_keys(&edge.sim, "out"), ["a", "a", "a"]);
}
