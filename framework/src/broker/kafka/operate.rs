//! What an operator asks of a cluster, and a stream thread never: groups and their offsets, rights, settings, nodes, and
//! topics to delete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::KafkaBroker;
use super::acl::Resource;
use super::consumer::{list_of, list_of_committed};
use super::ffi::{Failure, Handle, OffsetsAt};
use crate::broker::{BrokerError, BrokerErrorKind, CommittedOffset, LogRange, NewTopic, TopicId};
use crate::record::{Offset, TopicName, TopicPartition};
use crate::runtime::query::application_server;
use crate::time::Timestamp;

/// How often it is looked whether deleted topics are gone.
const PAUSE: Duration = Duration::from_millis(50);

/// Something that a principal may do, in the words of Kafka's ACLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// `Read`
    Read,
    /// `Write`
    Write,
    /// `Create`
    Create,
    /// `Delete`
    Delete,
    /// `Alter`
    Alter,
    /// `Describe`
    Describe,
    /// `DescribeConfigs`
    DescribeConfigs,
    /// `AlterConfigs`
    AlterConfigs,
    /// `IdempotentWrite`
    IdempotentWrite,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// `host:port`, as it tells clients.
    pub address: String,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Its id.
    pub id: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// What we may do with the cluster as a whole.
    pub rights: BTreeSet<Right>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Its members; those that are static stay until their session ends.
    pub members: Vec<GroupMember>,
    /// What we may do with it.
    pub rights: BTreeSet<Right>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// `client.id`.
    pub client_id: String,
    /// `group.instance.id`; empty for a dynamic member.
    pub instance_id: String,
    /// From where it is connected.
    pub host: String,
}

/// A topic as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDetails {
    /// Its id.
    pub id: TopicId,
    /// Its partitions in order.
    pub partitions: Vec<Replicas>,
    /// What we may do with it.
    pub rights: BTreeSet<Right>,
}

/// The copies of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// How many there are.
    pub all: usize,
    /// How many are in sync.
    pub in_sync: usize,
    /// Whether one of them leads.
    pub led: bool,
}

/// Effective settings by Kafka's names.
pub type Settings = BTreeMap<String, String>;

impl KafkaBroker {
    /// The nodes of the cluster, and our rights in it.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing has happened then. The same holds for all calls of this block that only read.
    pub fn describe_cluster(&self) -> Result<Cluster, BrokerError> {
        self.admin.call("describe_cluster", self.admin.timeout, Handle::describe_cluster)
    }

    /// The command of Kafka's own tools that grants these rights to whom we are connected as.
    pub fn grant(&self, rights: &[Right], on: &Resource) -> String {
        self.admin.grant(rights, on)
    }

    /// Asks whether a topic could be made, and makes none.
    ///
    /// # Errors
    /// [`BrokerError`]: `Unauthorized` without the right, `Configuration` when the cluster refuses its settings.
    pub fn may_create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.admin.may_create(topic)
    }

    /// The names of all topics that we may see.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn topic_names(&self) -> Result<BTreeSet<TopicName>, BrokerError> {
        let timeout = self.admin.timeout;
        self.admin.call("metadata", timeout, |handle, _| handle.topic_names(timeout))
    }

    /// Those of the topics that exist, with their copies and our rights.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn inspect_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDetails>, BrokerError> {
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.admin.call("describe_topics", self.admin.timeout, |handle, wait| handle.inspect_topics(&names, wait))
    }

    /// The effective settings of a topic.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn topic_settings(&self, topic: &str) -> Result<Settings, BrokerError> {
        self.admin.call("describe_configs", self.admin.timeout, |handle, wait| {
            let told = |failure: Failure| Failure { reason: format!("topic {topic}: {}", failure.reason), ..failure };
            handle.topic_settings(topic, wait).map_err(|failure| told(failure).on_topic(topic))
        })
    }

    /// The effective settings of a node; those that are secret are empty.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn node_settings(&self, node: i32) -> Result<Settings, BrokerError> {
        let ask = node.to_string();
        self.admin.call("describe_configs", self.admin.timeout, |handle, wait| {
            handle.node_settings(&ask, wait).map_err(|failure| failure.on(Resource::Cluster))
        })
    }

    /// The names of all consumer groups that we may see.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn groups(&self) -> Result<BTreeSet<String>, BrokerError> {
        self.admin.call("list_groups", self.admin.timeout, Handle::groups)
    }

    /// A consumer group; one that does not exist has no members.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn describe_group(&self, group: &str) -> Result<Group, BrokerError> {
        self.admin.call("describe_group", self.admin.timeout, |handle, wait| {
            handle.describe_group(group, wait).map_err(of_group(group))
        })
    }

    /// Everything that a group has committed.
    ///
    /// # Errors
    /// [`BrokerError`]; `Retry` while a transaction that carries offsets of the group is open.
    pub fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, CommittedOffset>, BrokerError> {
        self.offsets_of(group, true)
    }

    /// Where the owner of each partition answers queries: its address was committed with the partition's offset. Partitions
    /// whose owner answers none are missing. Does not wait for open transactions.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn query_addresses(&self, group: &str) -> Result<BTreeMap<TopicPartition, String>, BrokerError> {
        let offsets = self.offsets_of(group, false)?.into_iter();
        Ok(offsets.filter_map(|(at, committed)| Some((at, application_server(&committed)?.to_owned()))).collect())
    }

    fn offsets_of(&self, group: &str, stable: bool) -> Result<BTreeMap<TopicPartition, CommittedOffset>, BrokerError> {
        const OPERATION: &str = "list_group_offsets";
        self.admin.call(OPERATION, self.admin.timeout, |handle, wait| {
            handle.group_offsets(group, stable, wait).map_err(of_group(group))
        })
    }

    /// Commits offsets for a group without members.
    ///
    /// # Errors
    /// [`BrokerError`]; some offsets may be committed and others not: read them again.
    pub fn set_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), BrokerError> {
        const OPERATION: &str = "alter_group_offsets";
        if offsets.is_empty() {
            return Ok(());
        }
        let list = list_of_committed(OPERATION, offsets)?;
        self.admin.call(OPERATION, self.admin.timeout, |handle, wait| {
            handle.set_group_offsets(group, &list, wait).map_err(of_group(group))
        })
    }

    /// Forgets what a group without members has committed for these partitions.
    ///
    /// # Errors
    /// [`BrokerError`]; some may be forgotten and others not: read them again.
    pub fn delete_group_offsets(&self, group: &str, partitions: &BTreeSet<TopicPartition>) -> Result<(), BrokerError> {
        const OPERATION: &str = "delete_group_offsets";
        if partitions.is_empty() {
            return Ok(());
        }
        let list = list_of(partitions, |_| None)?;
        self.admin.call(OPERATION, self.admin.timeout, |handle, wait| {
            handle.delete_group_offsets(group, &list, wait).map_err(of_group(group))
        })
    }

    /// First offsets and ends of the logs, whatever is committed in them.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn log_ranges(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        let partitions: Vec<TopicPartition> = partitions.iter().cloned().collect();
        self.admin.log_ranges(&partitions, false, self.admin.timeout)
    }

    /// First offsets, and ends of what is committed: an open transaction hides what follows it.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn committed_ranges(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        let partitions: Vec<TopicPartition> = partitions.iter().cloned().collect();
        self.admin.log_ranges(&partitions, true, self.admin.timeout)
    }

    /// The first offset at or after a time, for each partition; `None` where no record is as young.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn offsets_at(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        time: Timestamp,
    ) -> Result<BTreeMap<TopicPartition, Option<Offset>>, BrokerError> {
        const OPERATION: &str = "list_offsets";
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = list_of(partitions, |_| None)?;
        let ask = OffsetsAt { list: &list, time };
        let found = self.admin.call(OPERATION, self.admin.timeout, |handle, wait| handle.offsets_at(&ask, wait))?;
        let untold: BTreeSet<TopicPartition> =
            found.iter().filter(|(_, offset)| offset.is_none()).map(|(at, _)| at.clone()).collect();
        if untold.is_empty() {
            return Ok(found);
        }
        // A client tells -1 for "no record is as young", and also when an answer was lost while a leader changed.
        let list = list_of(&untold, |_| None)?;
        let newest = self.admin.call(OPERATION, self.admin.timeout, |handle, wait| handle.newest_times(&list, wait))?;
        let ranges = self.log_ranges(&untold)?;
        for at in &untold {
            if !is_none_as_young(newest.get(at).copied().flatten(), ranges.get(at), time) {
                let reason = format!("the broker did not tell which record of {at} is the first of that time");
                return Err(BrokerError::new(OPERATION, BrokerErrorKind::Retriable, reason));
            }
        }
        Ok(found)
    }

    /// Deletes topics and waits until they are gone; those that do not exist are no error.
    ///
    /// # Errors
    /// [`BrokerError`]; some may be deleted and others not.
    pub fn delete_topics(&self, topics: &[TopicName]) -> Result<(), BrokerError> {
        const OPERATION: &str = "delete_topics";
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.admin.call(OPERATION, self.admin.timeout, |handle, wait| handle.delete_topics(&names, wait))?;
        // The controller answers before every broker has heard of it.
        let deadline = Instant::now() + self.admin.timeout;
        loop {
            let left = self.inspect_topics(topics)?;
            let Some(topic) = left.keys().next() else { return Ok(()) };
            if Instant::now() >= deadline {
                let reason = format!("topic {topic} is deleted, but brokers still know it");
                return Err(BrokerError::new(OPERATION, BrokerErrorKind::Retriable, reason));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn of_group(group: &str) -> impl FnOnce(Failure) -> Failure {
    let group = Resource::Group(group.to_owned());
    |failure| if failure.on.is_some() { failure } else { failure.on(group) }
}

/// True when a partition certainly has no record of that time or a later one: it is empty, or its youngest is older.
fn is_none_as_young(newest: Option<Timestamp>, range: Option<&LogRange>, time: Timestamp) -> bool {
    match (newest, range) {
        (Some(newest), _) => newest < time,
        (None, range) => range.is_some_and(|range| range.start == range.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_offset_is_believed_only_where_no_record_can_be_as_young() {
        let time = Timestamp::from_millis(100);
        let range = |start, end| LogRange { start: Offset(start), end: Offset(end) };
        let newest = |ms| Some(Timestamp::from_millis(ms));
        assert!(is_none_as_young(newest(99), Some(&range(0, 5)), time), "all are older");
        assert!(!is_none_as_young(newest(100), Some(&range(0, 5)), time), "there is one: an answer was lost");
        assert!(is_none_as_young(None, Some(&range(5, 5)), time), "there is none at all");
        assert!(!is_none_as_young(None, Some(&range(0, 5)), time), "nobody knows how young they are");
        assert!(!is_none_as_young(None, None, time));
    }
}
