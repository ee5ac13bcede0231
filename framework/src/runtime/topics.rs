//! The topics of an application at run time: described, created where they are ours, and mapped to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Error, internal_settings};
use crate::broker::{Broker, TopicDescription};
use crate::record::{Partition, TaskId, TopicName, TopicPartition};
use crate::state::{DELETE_RETENTION, StoreSpec};
use crate::task::CommitLog;
use crate::topology::{InternalTopicKind, ResolvedTopics, Topology, TopologyError, commits_topic};

/// All topics of an application.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    resolved: ResolvedTopics,
    repartitions: BTreeSet<TopicName>,
    /// Repartition topics, changelogs and the topic of commit records.
    internal: BTreeSet<TopicName>,
    /// How long changelogs keep tombstones, where it is known.
    tombstones: BTreeMap<TopicName, Duration>,
}

impl Topics {
    /// Describes the user's topics, creates the internal ones that are missing, and checks their partitions. Once per
    /// process, before its threads start.
    ///
    /// # Errors
    /// [`Error`] when a topic of the user's is missing or partitions do not fit.
    pub fn prepare<B: Broker>(
        broker: &B,
        topology: &Topology,
        application_id: &str,
        replication_factor: i32,
        dead_letters: Option<&TopicName>,
    ) -> Result<Self, Error> {
        let external: Vec<TopicName> = topology.external_topics().into_iter().collect();
        let described = broker.describe_topics(&external)?;
        let missing = external.iter().filter(|&topic| !described.contains_key(topic));
        let mut missing: Vec<_> =
            missing.map(|topic| TopologyError::MissingTopic { topic: topic.to_string() }).collect();
        match missing.len() {
            0 => {}
            1 => return Err(missing.remove(0).into()),
            _ => return Err(TopologyError::Several(missing).into()),
        }
        let mut resolved = ResolvedTopics::new(application_id, described);
        let internal = topology.internal_topics(&resolved)?;
        let mut names: Vec<TopicName> = internal.iter().map(|topic| topic.name.clone()).collect();
        names.extend(dead_letters.cloned());
        let existing = broker.describe_topics(&names)?;
        let old: BTreeSet<TopicName> = existing.keys().cloned().collect();
        for topic in &internal {
            match existing.get(&topic.name) {
                Some(found) if found.partitions != topic.partitions => {
                    return Err(TopologyError::PartitionsChanged {
                        topic: topic.name.to_string(),
                        actual: found.partitions,
                        expected: topic.partitions,
                    }
                    .into());
                }
                Some(_) => {}
                None => {
                    tracing::info!(topic = %topic.name, partitions = topic.partitions, "creating internal topic");
                    broker.create_topic(&topic.to_create(replication_factor))?;
                }
            }
        }
        if let Some(topic) = dead_letters.filter(|&topic| !existing.contains_key(topic)) {
            tracing::info!(%topic, "creating dead-letter topic");
            broker.create_topic(&dead_letter_topic(topic, replication_factor))?;
        }
        // What one broker knew another may not have heard of yet: what exists is not forgotten.
        resolved.extend(existing);
        let described = broker.describe_topics(&names)?;
        resolved.extend(described.clone());
        let tombstones = internal_settings::examine(broker, &internal, (&described, &old))?;
        let repartitions = internal.iter().filter(|topic| topic.kind == InternalTopicKind::Repartition);
        let repartitions = repartitions.map(|topic| topic.name.clone()).collect();
        let internal = internal.into_iter().map(|topic| topic.name).collect();
        Ok(Self { resolved, repartitions, internal, tombstones })
    }

    /// Everything that tasks read, back or forward.
    pub(crate) fn read(&self, topology: &Topology) -> Result<Vec<TopicName>, TopologyError> {
        let all: BTreeSet<TopicName> = self.sources(topology)?.into_iter().chain(self.internal.clone()).collect();
        Ok(all.into_iter().collect())
    }

    /// What is wrong with a topic that was described again: it is gone, or another one.
    pub(crate) fn fault(&self, topic: &TopicName, found: Option<&TopicDescription>) -> Option<TopologyError> {
        let name = topic.to_string();
        match found {
            None if self.internal.contains(topic) => Some(TopologyError::InternalTopicGone { topic: name }),
            None => Some(TopologyError::MissingTopic { topic: name }),
            Some(found) => {
                let another = self.resolved.id(topic).is_some_and(|id| id != found.id);
                another.then_some(TopologyError::Recreated { topic: name })
            }
        }
    }

    pub(crate) const fn resolved(&self) -> &ResolvedTopics {
        &self.resolved
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`TopologyError::MissingTopic`].
    pub fn partitions(&self, topic: &str) -> Result<i32, TopologyError> {
        self.resolved.partitions(topic)
    }

    /// True for a repartition topic: its records may be deleted once they are committed.
    pub(crate) fn is_repartition(&self, topic: &str) -> bool {
        self.repartitions.contains(topic)
    }

    /// The topics every member subscribes to.
    pub(crate) fn sources(&self, topology: &Topology) -> Result<Vec<TopicName>, TopologyError> {
        topology.sources().into_iter().map(|topic| self.resolved.name(topic)).collect()
    }

    /// All tasks of the application with their input partitions.
    ///
    /// # Errors
    /// [`TopologyError::MissingTopic`].
    pub fn tasks(&self, topology: &Topology) -> Result<BTreeMap<TaskId, Vec<TopicPartition>>, TopologyError> {
        let mut tasks: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
        for (part, subtopology) in topology.subtopologies().iter().zip(0..) {
            for source in &part.sources {
                let topic = self.resolved.name(source)?;
                for partition in (0..self.resolved.partitions(&topic)?).map(Partition) {
                    let id = TaskId { subtopology, partition };
                    tasks.entry(id).or_default().push(TopicPartition { topic: topic.clone(), partition });
                }
            }
        }
        Ok(tasks)
    }

    pub(crate) fn commit_log(
        &self,
        topology: &Topology,
        task: TaskId,
        specs: &[StoreSpec],
    ) -> Result<CommitLog, TopologyError> {
        let at = |topic: &TopicName| TopicPartition { topic: topic.clone(), partition: task.partition };
        let changelogs: Vec<Option<TopicPartition>> =
            specs.iter().map(|spec| spec.changelog.as_ref().map(at)).collect();
        let first = changelogs.iter().flatten().next().cloned();
        let partition = first.unwrap_or_else(|| at(&commits_topic(self.resolved.application_id())));
        let mut topics: Vec<TopicName> = changelogs.iter().flatten().map(|log| log.topic.clone()).collect();
        let mut partitions = 0;
        if let Some(part) = topology.subtopologies().get(task.subtopology as usize) {
            for source in &part.sources {
                let name = self.resolved.name(source)?;
                partitions = partitions.max(self.resolved.partitions(&name)?);
                topics.push(name);
            }
        }
        let topic_ids = topics.into_iter().filter_map(|topic| Some((topic.clone(), self.resolved.id(&topic)?)));
        let topic_ids = topic_ids.collect();
        let topology_hash = topology.stores_hash(task.subtopology);
        let tombstones = changelogs.iter().flatten().filter_map(|log| self.tombstones.get(&log.topic)).min();
        let tombstones = tombstones.copied().unwrap_or(DELETE_RETENTION);
        Ok(CommitLog { partition, changelogs, topic_ids, partitions, topology_hash, tombstones })
    }
}

fn dead_letter_topic(name: &TopicName, replication_factor: i32) -> crate::broker::NewTopic {
    crate::broker::NewTopic { name: name.clone(), partitions: 1, replication_factor, configs: BTreeMap::new() }
}
