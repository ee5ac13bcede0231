//! The whole suite on the simulated broker.

use std::time::Duration;

use super::{Fixture, Limits, all};
use crate::broker::sim::{Fault, Faults, Isolation, SimBroker, SimConfig};
use crate::record::{ConsumedRecord, ProducerRecord};
use crate::time::Timestamp;

/// One simulated cluster for all facts.
struct Simulated {
    broker: SimBroker,
    names: u32,
}

impl Simulated {
    fn new(faults: Faults) -> Self {
        // Later than all that retention looks at.
        let start = Timestamp::from_millis(1_700_000_000_000);
        let config = SimConfig { start, max_poll_interval: Duration::from_secs(12), ..SimConfig::default() };
        let broker = SimBroker::with_config(config);
        broker.set_faults(faults);
        Self { broker, names: 0 }
    }
}

impl Fixture for Simulated {
    type Broker = SimBroker;

    fn broker(&mut self, _group_id: &str) -> SimBroker {
        self.broker.clone()
    }

    fn unique(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}-{}", self.names)
    }

    fn create_topic(&mut self, topic: &str, partitions: i32) {
        assert!(self.broker.add_topic(topic, usize::try_from(partitions).unwrap()));
    }

    fn delete_topic(&mut self, topic: &str) {
        assert!(self.broker.delete_topic(topic));
    }

    fn grow_topic(&mut self, topic: &str, partitions: i32) {
        let more = usize::try_from(partitions).unwrap() - self.broker.partitions(topic).len();
        self.broker.add_partitions(topic, more);
    }

    fn compact(&mut self, topic: &str, old_deletions: bool) {
        self.broker.compact(topic, old_deletions);
    }

    fn expire(&mut self, topic: &str, before: Timestamp) {
        self.broker.expire_records(topic, before);
    }

    fn append(&mut self, records: Vec<ProducerRecord>) {
        for record in records {
            self.broker.append(record).unwrap();
        }
    }

    fn read_committed(&mut self, topic: &str) -> Vec<ConsumedRecord> {
        self.broker.records(topic, Isolation::ReadCommitted)
    }

    fn now(&self) -> Timestamp {
        self.broker.now()
    }

    fn pass(&mut self, time: Duration) {
        self.broker.advance(time);
    }

    fn limits(&self) -> Limits {
        Limits { transaction: Duration::from_secs(10), max_poll_interval: Duration::from_secs(12) }
    }
}

/// Delays and time-outs that a healthy cluster has every day: no fact may depend on their absence.
fn daily_noise(seed: u64) -> Faults {
    let daily = [
        (Fault::InitRetriable, 4),
        (Fault::MarkerDelayed, 3),
        (Fault::OffsetsMarkerDelayed, 3),
        (Fault::OffsetFetchTimeout, 4),
        (Fault::ListOffsetsTimeout, 4),
        (Fault::FetchEmpty, 3),
        (Fault::FetchShort, 3),
        (Fault::AdminTimeout, 4),
        (Fault::ProducerQueueFull, 4),
        (Fault::EndTxnRetried, 4),
    ];
    daily.into_iter().fold(Faults::seeded(seed), |faults, (fault, one_in)| faults.with(fault, one_in))
}

fn run_all(faults: Faults) -> Simulated {
    let mut simulated = Simulated::new(faults);
    for (name, fact) in all() {
        println!("{name}");
        fact(&mut simulated);
    }
    simulated
}

#[test]
fn every_fact_holds_on_the_simulated_broker() {
    let simulated = run_all(Faults::none());
    // What zombies left open is aborted at its time limit; nothing hangs.
    simulated.broker.advance(Duration::from_secs(10));
    assert_eq!(simulated.broker.unfinished_transactions(), Vec::<String>::new());
}

#[test]
fn every_fact_holds_under_delays_and_time_outs() {
    let mut struck = std::collections::BTreeMap::new();
    for seed in 0..40 {
        println!("seed {seed}");
        for (fault, hits) in run_all(daily_noise(seed)).broker.faults_hit() {
            *struck.entry(fault).or_insert(0) += hits;
        }
    }
    assert_eq!(struck.len(), 10, "every kind of noise must have struck: {struck:?}");
}

#[test]
fn equal_seeds_give_equal_traces() {
    let digest = |seed| run_all(daily_noise(seed)).broker.trace_digest();
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}

#[test]
fn every_public_fact_is_listed() {
    let sources = [
        include_str!("compaction.rs"),
        include_str!("ending.rs"),
        include_str!("fencing.rs"),
        include_str!("group.rs"),
        include_str!("growth.rs"),
        include_str!("reading.rs"),
        include_str!("refusal.rs"),
        include_str!("topics.rs"),
        include_str!("transaction.rs"),
    ];
    let written = sources.iter().flat_map(|source| source.lines()).filter(|line| line.starts_with("pub fn ")).count();
    assert_eq!(all::<Simulated>().len(), written);
}
