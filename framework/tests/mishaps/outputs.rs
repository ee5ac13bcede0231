//! Outputs that wait for a commit in flight or for a begin record.

use std::time::Duration;

use millpond::processor::Context;
use millpond::runtime::{StreamThread, ThreadConfig};
use millpond::state::MemoryDirectory;

use super::edge::Edge;
use super::{T, append, broker, committed_keys, copy, copy_with, eager, rounds, start};

/// A record of a few bytes takes more memory than its bytes.
#[test]
fn small_outputs_that_wait_for_a_commit_count_with_the_memory_that_they_take() {
    let (edge, directory) = (Edge::new(broker(1)), MemoryDirectory::new());
    let config = ThreadConfig { uncommitted_bytes_max: 64 << 10, ..eager("app-0") };
    let mut thread = start(&edge, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    append(&edge.sim, "first");
    edge.silence(true);
    rounds(&mut thread, 5, T).unwrap();
    (0..20_000).for_each(|_| append(&edge.sim, "k"));
    rounds(&mut thread, 100, T).unwrap();
    let processed = |thread: &StreamThread<Edge>| thread.tasks().map(|task| task.counters().processed).sum::<u64>();
    assert!((100..3_000).contains(&processed(&thread)), "{} of 20,001", processed(&thread));
    edge.silence(false);
    rounds(&mut thread, 400, T).unwrap();
    assert_eq!((processed(&thread), committed_keys(&edge.sim, "out").len()), (20_001, 20_001));
}

/// For a commit, with each record.
fn ask(context: &mut Context<'_, String, String>) {
    context.commit();
}

/// The begin record is not in its log when the commit is tried: it is tried again before the next interval.
#[test]
fn a_commit_that_was_asked_for_and_waits_for_a_begin_record_is_not_forgotten() {
    let (edge, directory) = (Edge::new(broker(1)), MemoryDirectory::new());
    let config = ThreadConfig { commit_interval: Duration::from_secs(4), ..eager("app-0") };
    let mut thread = start(&edge, copy_with(ask), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    append(&edge.sim, "a");
    edge.late(2);
    rounds(&mut thread, 10, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}
