//! What may wait in memory, or in an open transaction.

use std::time::Duration;

use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::runtime::{TaskView, ThreadConfig};
use millpond::state::MemoryDirectory;

use super::{T, append_to, broker, committed_keys, copy, eager, rounds, start};

/// `input.buffer.max.bytes` is of the thread, however many partitions it has.
#[test]
fn input_of_many_partitions_stays_within_the_threads_budget() {
    let broker = SimBroker::with_config(SimConfig { max_poll_records: 50, ..SimConfig::without_timeouts() });
    for topic in ["in", "out"] {
        broker.add_topic(topic, 16);
    }
    let budget = 200_000;
    let config = ThreadConfig { input_buffer_bytes_max: budget, records_per_round: 16, ..eager("app-0") };
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), config, T);
    rounds(&mut thread, 10, T).unwrap();
    for record in 0..1_600 {
        append_to(&broker, record % 16, &format!("{record}"), Some(vec![b'x'; 1_000].into()));
    }
    let mut most = 0;
    for _ in 0..2_000 {
        rounds(&mut thread, 1, T).unwrap();
        most = most.max(thread.tasks().map(|task: TaskView<'_>| task.buffered_bytes()).sum());
    }
    let poll = 50 * 1_010;
    assert!((budget / 2..budget + poll).contains(&most), "{most} bytes");
    assert_eq!(committed_keys(&broker, "out").len(), 1_600);
}

/// `uncommitted.max.bytes` holds for outputs, too: without stores a transaction would only end by its age.
#[test]
fn outputs_bring_a_commit_forward() {
    let broker = broker(1);
    let config = ThreadConfig {
        commit_interval: Duration::from_hours(1),
        transaction_timeout: Duration::MAX,
        uncommitted_bytes_max: 10_000,
        ..eager("app-0")
    };
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), config, T);
    rounds(&mut thread, 10, T).unwrap();
    for record in 0..20 {
        append_to(&broker, 0, &format!("{record}"), Some(vec![b'x'; 1_000].into()));
    }
    rounds(&mut thread, 10, T).unwrap();
    assert_eq!(committed_keys(&broker, "out").len(), 20);
}
