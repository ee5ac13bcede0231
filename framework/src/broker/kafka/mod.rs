//! The real broker: Kafka through librdkafka.
//!
//! [`KafkaBroker::connect`] takes a [`KafkaConfig`] and makes the three clients of a stream thread. What is chosen here,
//! and why, is measured: partition queues drained in batches (350 ns a record, `poll` takes 880), `commit_transaction`
//! called raw (4 ms, the crate's takes 101), payloads copied out of librdkafka (a kept message pins a megabyte).
//!
//! | File | One concept |
//! |---|---|
//! | `config`, `properties`, `check`, `scrubber` | what may be configured, what may not and why, whether clients can be made of it, what is never shown |
//! | `consumer`, `fetch`, `wakeup` | the group member; its partitions' queues; waiting for all of them at once |
//! | `producer` | transactions and delivery reports |
//! | `reader` | changelogs, outside the group |
//! | `admin`, `new_topics` | topics, log ends, deleting records; topics that not every broker knows yet |
//! | `operate` | what an operator asks: groups, rights, settings, the cluster |
//! | `acl` | the right that a refused request lacked, and the command that grants it |
//! | `link` | what connections tell: logs, refused credentials, the taint of a transaction |
//! | `clients` | what the statistics of all clients say, for metrics |
//! | `auth`, `msk_iam`, `token_file` | tokens for OAUTHBEARER |
//! | `refusal` | why a connection was refused, and what to do about it |
//! | `error` | librdkafka's codes as the core's classes |
//! | `ffi` | all `unsafe` |

#![allow(clippy::disallowed_methods, reason = "an edge: librdkafka's calls are given deadlines by the real clock")]

mod acl;
mod admin;
mod auth;
mod calls;
mod check;
mod clients;
mod config;
mod consumer;
mod deliveries;
mod error;
mod fetch;
mod ffi;
mod from_streams;
mod groups;
mod link;
#[cfg(feature = "msk-iam")]
mod msk_iam;
mod new_topics;
mod operate;
mod producer;
mod properties;
mod reader;
mod refusal;
mod scrubber;
mod token_file;
mod wakeup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use acl::Resource;
pub use auth::{Token, TokenError, TokenSource};
#[cfg(any(test, feature = "testing"))]
pub use clients::read_statistics;
pub use config::{KafkaConfig, PropertyRefused, Sasl, Security, Tls, check_property};
pub use consumer::KafkaConsumer;
#[cfg(feature = "msk-iam")]
pub use msk_iam::MskIam;
pub use operate::{Cluster, Group, GroupMember, Node, Replicas, Right, Settings, TopicDetails};
pub use producer::KafkaProducer;
pub use reader::KafkaReader;
pub use token_file::TokenFile;

use self::acl::Principal;
use self::admin::Admin;
use self::clients::Clients;
use self::groups::Groups;
use self::link::Link;
use self::producer::Patience;
use self::properties::{Role, client_config};
use crate::broker::{Broker, BrokerError, MemberConfig, NewTopic, TopicDescription};
use crate::record::{Offset, TopicName, TopicPartition};
use crate::runtime::process::ClientSnapshot;
pub use crate::secret::Secret;

/// A Kafka cluster. Cheap to clone; clones share one administrative client.
#[derive(Clone)]
pub struct KafkaBroker {
    config: Arc<KafkaConfig>,
    admin: Arc<Admin>,
    groups: Groups,
    clients: Clients,
    /// Numbers the clients in logs.
    numbers: Arc<AtomicU64>,
}

impl std::fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaBroker").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaBroker {
    /// Checks the configuration and makes the administrative client. Does not wait for the cluster: the first request
    /// tells whether it answers.
    ///
    /// # Errors
    /// [`BrokerError`] of kind `Configuration` that names the property: correct it.
    pub fn connect(config: KafkaConfig) -> Result<Self, BrokerError> {
        config.check_properties()?;
        // Before librdkafka does: OpenSSL would register a clean-up for the end of the process, which runs while the threads of
        // clients that nobody closed are still in it, and then the process ends by a signal instead of its exit code.
        openssl_sys::init();
        let client = client_config(&config, Role::Admin);
        let admin = Admin::new(&client, new_link(&config, "admin"), config.request_timeout)?;
        Ok(Self {
            config: Arc::new(config),
            admin: Arc::new(admin),
            groups: Groups::default(),
            clients: Clients::default(),
            numbers: Arc::default(),
        })
    }

    /// The configuration, secrets and all; its `Debug` shows none.
    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// What the clients of this connection tell about their brokers and queues, by what they do: for metrics. Known from
    /// librdkafka's statistics, so a few seconds old.
    pub fn clients(&self) -> Vec<ClientSnapshot> {
        self.clients.snapshots()
    }

    fn link(&self, role: &'static str, name: &str) -> Link {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        new_link(&self.config, &format!("{name}-{number}")).reporting(self.clients.reporter(role))
    }
}

fn new_link(config: &KafkaConfig, name: &str) -> Link {
    let tokens = match config.security.sasl() {
        Some(Sasl::OAuthBearer(source)) => Some(Arc::clone(source)),
        _ => None,
    };
    Link::new(format!("{}/{name}", config.client_id), config.scrubber(), tokens).of(Principal::of(config))
}

impl Broker for KafkaBroker {
    type Consumer = KafkaConsumer;
    type Producer = KafkaProducer;
    type Reader = KafkaReader;

    fn consumer(&self, member: &MemberConfig) -> Result<KafkaConsumer, BrokerError> {
        let role = Role::Member { group_id: &member.group_id, group_instance_id: &member.group_instance_id };
        let client = client_config(&self.config, role);
        let link = self.link("consumer", &format!("consumer-{}", member.group_instance_id));
        let link = link.asking_for(Resource::Group(member.group_id.clone()));
        KafkaConsumer::new(&client, link, member, self.groups.clone(), Arc::clone(&self.admin))
    }

    fn producer(&self, transactional_id: &str) -> Result<KafkaProducer, BrokerError> {
        let client = client_config(&self.config, Role::Producer { transactional_id });
        let link = self.link("producer", &format!("producer-{transactional_id}"));
        let link = link.asking_for(Resource::TransactionalId(transactional_id.to_owned()));
        let patience = Patience { init: self.config.request_timeout, transaction: self.config.transaction_timeout };
        KafkaProducer::new(&client, link, transactional_id, self.groups.clone(), patience)
    }

    fn reader(&self) -> Result<KafkaReader, BrokerError> {
        let client = client_config(&self.config, Role::Reader);
        KafkaReader::new(&client, self.link("reader", "reader"), Arc::clone(&self.admin))
    }

    fn describe_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError> {
        self.admin.describe(topics)
    }

    fn topic_settings(&self, topic: &TopicName) -> Result<BTreeMap<String, String>, BrokerError> {
        Self::topic_settings(self, topic)
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.admin.create(topic)
    }

    fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        self.admin.delete_records(before)
    }
}
