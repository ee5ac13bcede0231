//! Processing that takes longer than anybody expected.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::runtime::ThreadConfig;
use millpond::state::MemoryDirectory;
use millpond::topology::Topology;

use super::{append_to, committed_keys, copy_with, eager, rounds, start};

thread_local! {
    static CLOCK: RefCell<Option<SimBroker>> = const { RefCell::new(None) };
}

/// A second for each record.
fn slow() -> Topology {
    copy_with(|_| CLOCK.with(|clock| clock.borrow().as_ref().unwrap().advance(Duration::from_secs(1))))
}

/// Each round takes longer than a transaction may be open: it must take less of it, or nothing is ever committed.
#[test]
fn slow_processing_gets_ahead() {
    let broker = SimBroker::with_config(SimConfig::default());
    for topic in ["in", "out", "changes"] {
        broker.add_topic(topic, 10);
    }
    CLOCK.with(|clock| *clock.borrow_mut() = Some(broker.clone()));
    let config = ThreadConfig { commit_interval: Duration::from_millis(100), ..eager("app-0") };
    let mut thread = start(&broker, slow(), &MemoryDirectory::new(), config, broker.now());
    for _ in 0..20 {
        rounds(&mut thread, 1, broker.now()).unwrap();
    }
    for partition in 0..10 {
        for n in 0..5 {
            append_to(&broker, partition, &format!("{partition}-{n}"), Some(Bytes::from_static(b"v")));
        }
    }
    for round in 0..300 {
        if let Err(error) = rounds(&mut thread, 1, broker.now()) {
            panic!("round {round}: {error} {:?}", thread.counters());
        }
        broker.advance(Duration::from_millis(10));
    }
    let committed = committed_keys(&broker, "out").len();
    CLOCK.with(|clock| *clock.borrow_mut() = None);
    assert_eq!(committed, 50, "{:?}", thread.counters());
}
