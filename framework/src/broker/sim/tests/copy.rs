//! Goal: a careful application is exactly-once under every fault that a careful application can survive, and the faults
//! really strike. Method: two instances copy `in` to `out` in transactions, and follow the one error path. A careless
//! copy, which goes on with a tainted producer, must be caught by the same check.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::broker::sim::{Fault, Faults, SimProducer, SplitMix64};
use crate::broker::{BrokerError, Membership, Producer, TransactionEnd};

const RECORDS: usize = 120;
/// Records come in bursts, so that transactions hold several of a partition.
const BURST: usize = 12;

/// Not survived by a copy without a commit record of its own: the producer must know of a retry, and "none" is
/// believed. What does not occur: the copy has no changelog to restore, creates no topic, and nothing is said of pauses.
const LEFT_OUT: [Fault; 7] = [
    Fault::EndTxnDuplicatedUnnoticed,
    Fault::CommittedOffsetTransientlyMissing,
    Fault::CrashInRestore,
    Fault::AdminTimeout,
    Fault::ListOffsetsTimeout,
    Fault::DeliveryOffsetUnknown,
    Fault::Paused,
];

struct Instance {
    name: &'static str,
    producer: Option<SimProducer>,
    consumer: SimConsumer,
    owned: BTreeSet<TopicPartition>,
    assigned_as: Option<Membership>,
    careful: bool,
}

impl Instance {
    fn start(broker: &SimBroker, name: &'static str, careful: bool) -> Option<Self> {
        let config = MemberConfig { group_id: "app".to_owned(), group_instance_id: name.to_owned() };
        let producer = broker.producer(name).ok()?;
        let mut consumer = broker.consumer(&config).ok()?;
        consumer.subscribe(&["in".into()]).ok()?;
        Some(Self { name, producer: Some(producer), consumer, owned: BTreeSet::new(), assigned_as: None, careful })
    }

    /// One round. An error leaves positions to be chosen again.
    fn round(&mut self, broker: &SimBroker) -> Result<(), BrokerError> {
        if self.producer.is_none() {
            // The one error path: a new producer, then stable offsets again.
            self.producer = Some(broker.producer(self.name)?);
        }
        if self.owned.iter().any(|at| self.consumer.position(at).is_none()) {
            let owned: Vec<TopicPartition> = self.owned.iter().cloned().collect();
            for (at, offset) in self.consumer.committed(&owned, NO_WAIT)? {
                self.consumer.start_at(&at, offset.map_or(Offset(0), |offset| offset.next))?;
            }
        }
        match self.consumer.poll(NO_WAIT)? {
            Polled::Idle => Ok(()),
            Polled::Records(records) => {
                let mut next: BTreeMap<TopicPartition, CommittedOffset> = BTreeMap::new();
                let Some(producer) = &mut self.producer else { return Ok(()) };
                producer.begin()?;
                for read in records {
                    let target = TopicPartition::new("out", read.source.partition);
                    let copy = ProducerRecord {
                        target,
                        timestamp: read.timestamp,
                        key: read.key,
                        value: read.value,
                        headers: read.headers,
                    };
                    producer.send(copy)?;
                    next.insert(read.source, super::next(read.offset.next().0));
                }
                let now = self.consumer.membership();
                assert_eq!(Some(&now), self.assigned_as.as_ref());
                let end = TransactionEnd { offsets: next, ..TransactionEnd::default() };
                producer.start_commit(end, &now, NO_WAIT)?;
                // A producer that has a commit in flight sends nothing; others go on meanwhile.
                while producer.poll_commit(NO_WAIT)?.is_none() {}
                if self.careful && producer.taint().is_some() {
                    self.producer = None;
                }
                Ok(())
            }
            Polled::Rebalance(change) => {
                self.consumer.acknowledge()?;
                self.assigned_as = Some(self.consumer.membership());
                self.owned = match change {
                    Rebalance::Assign(partitions) => partitions.into_iter().collect(),
                    Rebalance::Revoke(_) | Rebalance::Lost(_) => BTreeSet::new(),
                };
                Ok(())
            }
        }
    }

    /// After an error nothing that was read may be believed.
    fn recover(&mut self, broker: &SimBroker) -> Result<(), BrokerError> {
        self.producer = None;
        self.producer = Some(broker.producer(self.name)?);
        let owned: Vec<TopicPartition> = self.owned.iter().cloned().collect();
        for (at, offset) in self.consumer.committed(&owned, NO_WAIT)? {
            self.consumer.start_at(&at, offset.map_or(Offset(0), |offset| offset.next))?;
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    exact: bool,
    trace_digest: u64,
    hits: BTreeMap<Fault, u64>,
}

/// Runs the copy to its end, with faults.
fn copy(seed: u64, careful: bool) -> Outcome {
    let broker = SimBroker::new();
    broker.add_topic("in", 3);
    broker.add_topic("out", 3);
    let drawn = Fault::ALL.into_iter().filter(|fault| !LEFT_OUT.contains(fault));
    broker.set_faults(drawn.fold(Faults::seeded(seed), |faults, fault| faults.with(fault, 120)));
    let mut order = SplitMix64::new(seed);
    let names = ["a", "b"];
    let mut running: [Option<(Instance, bool)>; 2] = [None, None];
    let mut sent = 0;
    for round in 0.. {
        assert!(round < 60_000, "seed {seed}: no progress: {:?}", broker.lag("app"));
        if sent < RECORDS && order.one_in(20) {
            for number in sent..sent + BURST {
                let target = at("in", i32::try_from(number % 3).unwrap());
                broker.append(record(&target, &format!("{number:04}"))).unwrap();
            }
            sent += BURST;
        } else if sent == RECORDS && broker.lag("app").values().all(|&lag| lag == 0) {
            break;
        }
        broker.advance(Duration::from_millis(20));
        let who = usize::from(order.one_in(2));
        let slot = &mut running[who];
        match slot {
            None => *slot = Instance::start(&broker, names[who], careful).map(|instance| (instance, false)),
            Some((instance, failed)) => {
                let done = if *failed { instance.recover(&broker) } else { instance.round(&broker) };
                *failed = done.is_err();
            }
        }
        if broker.take_crash().is_some() {
            *slot = None;
        }
    }
    broker.set_faults(Faults::none());
    drop(running);
    broker.release();
    broker.advance(Duration::from_secs(20));
    let by_partition = |number: usize| (number..RECORDS).step_by(3).map(|n| format!("{n:04}"));
    let expected: Vec<String> = (0..3).flat_map(by_partition).collect();
    assert_eq!(broker.unfinished_transactions(), Vec::<String>::new());
    let exact = committed(&broker, "out") == expected;
    Outcome { exact, trace_digest: broker.trace_digest(), hits: broker.faults_hit() }
}

#[test]
fn a_careful_copy_is_exact_under_every_fault() {
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    for seed in 0..400 {
        let outcome = copy(seed, true);
        assert!(outcome.exact, "seed {seed}");
        for (fault, hits) in outcome.hits {
            *struck.entry(fault).or_default() += hits;
        }
    }
    let never: Vec<Fault> =
        Fault::ALL.into_iter().filter(|fault| !LEFT_OUT.contains(fault) && !struck.contains_key(fault)).collect();
    assert_eq!(never, [], "a fault that never struck shows nothing");
}

#[test]
fn a_copy_that_goes_on_with_a_tainted_producer_is_not_exact() {
    let wrong = (0..4_000).find(|&seed| !copy(seed, false).exact);
    assert!(wrong.is_some(), "the check has no power");
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(copy(3, true), copy(3, true));
    assert_ne!(copy(3, true).trace_digest, copy(4, true).trace_digest);
}
