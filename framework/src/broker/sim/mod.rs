//! The simulated broker: a Kafka cluster in one value, single-threaded and deterministic, with everything that
//! exactly-once rests on. It is not a mock: transactions, epochs, markers, the last stable offset, generations, fencing and
//! compaction really happen, and one contract suite holds it against a real broker.
//!
//! | File | Holds |
//! |---|---|
//! | `log` | topics, partitions, markers, isolation, compaction, deletion |
//! | `transaction`, `coordinator` | transactions by id; requests that span coordinator, leaders and groups |
//! | `group`, `assignor` | the classic protocol with static members; `range`; offsets and their fencing |
//! | `consumer`, `producer`, `reader` | the clients, as librdkafka behaves |
//! | `fault`, `faults`, `trace` | what goes wrong at which step, and when; what happened |
//! | `draw` | a log as a line of text |
//! | `admin` | what a test does from outside |
//!
//! Time is simulated: it moves only by [`SimBroker::advance`]. Calls never block: `poll` gives what is there now, and what
//! a real client would wait for is answered `Retriable` at once. Requests and markers that a fault delays arrive after some
//! number of client calls, or when a test calls [`SimBroker::release`].
//!
//! What both brokers can be brought to do is a fact of the contract suite, `testing::contract`: everything in `log`, `group`,
//! `assignor`, `transaction` and the clients while nothing goes wrong. Not in it, because no real broker does it on demand:
//! the faults, requests and markers that are held, an unclean leader election ([`SimBroker::truncate`]), offsets that expire
//! or are moved by hand. What of that a real broker does behind a proxy, or by its tools, is in `tests/kafka_proxy`,
//! `tests/kafka_edge` and `./dev chaos`.
//!
//! Not modelled: replication and leader changes (one copy, never lost but by [`SimBroker::truncate`]), batches and
//! sequence numbers (a duplicate is dropped before it is written), retention by size, quotas, access control,
//! KIP-848 groups, KIP-890's epoch bump per transaction (librdkafka does not have it either).

mod admin;
mod assignor;
mod cluster;
mod code;
mod config;
mod consumer;
mod coordinator;
mod draw;
mod fault;
mod faults;
mod group;
mod log;
mod producer;
mod reader;
mod rng;
mod trace;
mod transaction;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::{Broker, BrokerError, BrokerErrorKind, MemberConfig, NewTopic, TopicDescription};
use crate::record::{Offset, TopicName, TopicPartition};

use cluster::Cluster;

pub use admin::GroupView;
pub use code::ErrorCode;
pub use config::SimConfig;
pub use consumer::SimConsumer;
pub use fault::Fault;
pub use faults::{Faults, Strike};
pub use log::Isolation;
pub use producer::SimProducer;
pub use reader::SimReader;
pub use rng::SplitMix64;
pub use trace::{TraceEvent, What};

type SharedCluster = Rc<RefCell<Cluster>>;

/// A handle of the simulated cluster; clones are the same cluster.
#[derive(Clone, Default)]
pub struct SimBroker {
    cluster: SharedCluster,
}

impl SimBroker {
    /// An empty cluster with Kafka's defaults; its clock shows [`SimConfig::start`].
    pub fn new() -> Self {
        Self::with_config(SimConfig::default())
    }

    /// An empty cluster with these limits.
    pub fn with_config(config: SimConfig) -> Self {
        Self { cluster: Rc::new(RefCell::new(Cluster::new(config))) }
    }

    fn shared(&self) -> SharedCluster {
        Rc::clone(&self.cluster)
    }

    /// An administrative request of an application.
    fn request<T>(
        &self,
        operation: &'static str,
        answer: impl FnOnce(&mut Cluster) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        cluster.fails("admin", (operation, Fault::AdminTimeout, BrokerErrorKind::Retriable))?;
        answer(&mut cluster)
    }
}

impl Broker for SimBroker {
    type Consumer = SimConsumer;
    type Producer = SimProducer;
    type Reader = SimReader;

    fn consumer(&self, member: &MemberConfig) -> Result<SimConsumer, BrokerError> {
        self.cluster.borrow_mut().enter("consumer")?;
        Ok(SimConsumer::new(self.shared(), member.clone()))
    }

    /// `Retriable` while a marker of the predecessor's transaction is on its way.
    fn producer(&self, transactional_id: &str) -> Result<SimProducer, BrokerError> {
        SimProducer::init(self, transactional_id)
    }

    fn reader(&self) -> Result<SimReader, BrokerError> {
        self.cluster.borrow_mut().enter("reader")?;
        Ok(SimReader::new(self.shared()))
    }

    fn describe_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError> {
        self.request("describe_topics", |cluster| {
            let describe = |name: &TopicName| {
                let topic = cluster.topics.get(name)?;
                let partitions = i32::try_from(topic.logs.len()).ok()?;
                Some((name.clone(), TopicDescription { id: topic.id, partitions, replicas: 1 }))
            };
            Ok(topics.iter().filter_map(describe).collect())
        })
    }

    fn topic_settings(&self, topic: &TopicName) -> Result<BTreeMap<String, String>, BrokerError> {
        let cluster = self.cluster.borrow();
        let found = cluster.topics.get(topic).map(|topic| topic.configs.clone());
        found.ok_or_else(|| ErrorCode::UnknownTopicOrPartition.during("describe_configs"))
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.request("create_topic", |cluster| {
            let partitions = match topic.partitions {
                -1 => cluster.config.default_partitions,
                count => usize::try_from(count).ok().filter(|&count| count > 0).ok_or_else(|| {
                    let reason = format!("a topic cannot have {count} partitions");
                    BrokerError::new("create_topic", BrokerErrorKind::Configuration, reason)
                })?,
            };
            if cluster.topics.create(&topic.name, partitions, topic.configs.clone()) {
                cluster.topic_changed(&topic.name);
            }
            Ok(())
        })
    }

    fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        let operation = "delete_records";
        self.request(operation, |cluster| {
            for (at, &offset) in before {
                if cluster.topics.get(&at.topic).is_some_and(|topic| !topic.has_policy("delete")) {
                    return Err(ErrorCode::PolicyViolation.during(operation));
                }
                let log = cluster.topics.log_mut(at).map_err(|code| code.during(operation))?;
                if offset > log.end() {
                    return Err(ErrorCode::OffsetOutOfRange.during(operation));
                }
                log.delete_before(offset);
            }
            Ok(())
        })
    }
}

impl fmt::Debug for SimBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBroker").finish_non_exhaustive()
    }
}
