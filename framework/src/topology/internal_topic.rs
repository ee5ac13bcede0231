//! Internal topics: their names, partitions and configurations, and what every topic is called at run time.

use std::collections::{BTreeMap, BTreeSet};

use super::{TopicRef, Topology, TopologyError};
use crate::broker::{NewTopic, TopicDescription, TopicId};
use crate::record::TopicName;

/// What an internal topic is for; decides its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InternalTopicKind {
    /// Rows of a store: compacted.
    Changelog,
    /// Records on their way to another partition: kept until purged after a commit.
    Repartition,
    /// Commit records of tasks without a changelog: compacted.
    Commits,
}

/// An internal topic with its number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalTopic {
    /// Its full name.
    pub name: TopicName,
    /// What it is for.
    pub kind: InternalTopicKind,
    /// How many partitions it must have.
    pub partitions: i32,
}

impl InternalTopic {
    /// How it is created.
    pub fn to_create(&self, replication_factor: i32) -> NewTopic {
        let configs: &[(&str, &str)] = match self.kind {
            InternalTopicKind::Changelog | InternalTopicKind::Commits => {
                &[("cleanup.policy", "compact"), ("message.timestamp.type", "CreateTime")]
            }
            // Event times may be old: time must never delete what is not yet processed.
            InternalTopicKind::Repartition => &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                ("message.timestamp.type", "CreateTime"),
            ],
        };
        NewTopic {
            name: self.name.clone(),
            partitions: self.partitions,
            replication_factor,
            configs: configs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// The topic for commit records of tasks that have no changelog.
pub fn commits_topic(application_id: &str) -> TopicName {
    format!("{application_id}-commits").into()
}

/// Topics by their names at run time, with partitions and ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedTopics {
    application_id: String,
    topics: BTreeMap<TopicName, TopicDescription>,
}

impl ResolvedTopics {
    /// Topics of that application.
    pub fn new(application_id: impl Into<String>, topics: BTreeMap<TopicName, TopicDescription>) -> Self {
        Self { application_id: application_id.into(), topics }
    }

    /// The application id.
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// The full name of an internal topic.
    pub fn internal_name(&self, short: &str) -> TopicName {
        format!("{}-{short}", self.application_id).into()
    }

    /// The full name of a topic that exists.
    ///
    /// # Errors
    /// [`TopologyError::MissingTopic`].
    pub fn name(&self, topic: &TopicRef) -> Result<TopicName, TopologyError> {
        let name = self.full_name(topic);
        match self.topics.get_key_value(&name) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(TopologyError::MissingTopic { topic: name.to_string() }),
        }
    }

    fn full_name(&self, topic: &TopicRef) -> TopicName {
        match topic {
            TopicRef::External(name) => name.clone(),
            TopicRef::Internal { name, .. } => self.internal_name(name),
        }
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`TopologyError::MissingTopic`].
    pub fn partitions(&self, topic: &str) -> Result<i32, TopologyError> {
        let description = self.topics.get(topic);
        description.map(|d| d.partitions).ok_or_else(|| TopologyError::MissingTopic { topic: topic.to_owned() })
    }

    /// A topic's id.
    pub fn id(&self, topic: &str) -> Option<TopicId> {
        self.topics.get(topic).map(|description| description.id)
    }

    /// Adds what was described or created later.
    pub fn extend(&mut self, topics: BTreeMap<TopicName, TopicDescription>) {
        self.topics.extend(topics);
    }
}

impl Topology {
    /// The topics of the user's that must exist: all that are read or written.
    pub fn external_topics(&self) -> BTreeSet<TopicName> {
        let topics = self.subtopologies().iter().flat_map(|part| part.sources.iter().chain(&part.sinks));
        topics
            .filter_map(|topic| match topic {
                TopicRef::External(name) => Some(name.clone()),
                TopicRef::Internal { .. } => None,
            })
            .collect()
    }

    /// The names of the internal topics of an application, whether they exist or not.
    pub fn internal_topic_names(&self, application_id: &str) -> BTreeSet<TopicName> {
        let topics = ResolvedTopics::new(application_id, BTreeMap::new());
        let repartitions = self.sources().into_iter().filter(|topic| matches!(topic, TopicRef::Internal { .. }));
        let repartitions = repartitions.map(|topic| topics.full_name(topic));
        let changelogs = self.stores().filter_map(|entry| Some(topics.internal_name(&entry.changelog()?)));
        repartitions.chain(changelogs).chain([commits_topic(application_id)]).collect()
    }

    /// The topics of the user's that are read.
    pub fn input_topics(&self) -> BTreeSet<TopicName> {
        let external = |topic: &TopicRef| match topic {
            TopicRef::External(name) => Some(name.clone()),
            TopicRef::Internal { .. } => None,
        };
        self.sources().into_iter().filter_map(external).collect()
    }

    /// The internal topics with their partitions, derived from the topics that exist. A repartition topic without a
    /// number of its own has as many partitions as the widest source of the sub-topologies that write it.
    ///
    /// # Errors
    /// [`TopologyError`] when a user's topic is missing or partition counts do not fit.
    pub fn internal_topics(&self, topics: &ResolvedTopics) -> Result<Vec<InternalTopic>, TopologyError> {
        let mut counts: BTreeMap<TopicName, i32> = BTreeMap::new();
        let repartitions: BTreeSet<&TopicRef> =
            self.sources().into_iter().filter(|topic| matches!(topic, TopicRef::Internal { .. })).collect();
        // Each pass resolves at least one more topic, or there is a circle.
        for _ in 0..=repartitions.len() {
            for topic in &repartitions {
                if let Some(count) = self.repartition_count(topic, topics, &counts)? {
                    counts.insert(topics.full_name(topic), count);
                }
            }
        }
        let mut all = Vec::new();
        for topic in &repartitions {
            let name = topics.full_name(topic);
            let Some(&partitions) = counts.get(&name) else {
                return Err(TopologyError::NoPartitions { topic: name.to_string() });
            };
            all.push(InternalTopic { name, kind: InternalTopicKind::Repartition, partitions });
        }
        let mut widest_unlogged = 0;
        for (number, part) in self.subtopologies().iter().enumerate() {
            let partitions = self.task_count(number, topics, &counts)?;
            let mut logged = false;
            for entry in part.stores.iter().filter_map(|name| self.store(name)) {
                let Some(short) = entry.changelog() else { continue };
                logged = true;
                let name = topics.internal_name(&short);
                all.push(InternalTopic { name, kind: InternalTopicKind::Changelog, partitions });
            }
            if !logged {
                widest_unlogged = widest_unlogged.max(partitions);
            }
        }
        if widest_unlogged > 0 {
            let name = commits_topic(topics.application_id());
            all.push(InternalTopic { name, kind: InternalTopicKind::Commits, partitions: widest_unlogged });
        }
        Ok(all)
    }

    fn repartition_count(
        &self,
        topic: &TopicRef,
        topics: &ResolvedTopics,
        known: &BTreeMap<TopicName, i32>,
    ) -> Result<Option<i32>, TopologyError> {
        if let TopicRef::Internal { partitions: Some(partitions), .. } = topic {
            return Ok(Some(*partitions));
        }
        let mut widest = None;
        for part in self.subtopologies().iter().filter(|part| part.sinks.contains(topic)) {
            for source in &part.sources {
                let count = match source {
                    TopicRef::External(name) => Some(topics.partitions(name)?),
                    TopicRef::Internal { .. } => known.get(&topics.full_name(source)).copied(),
                };
                widest = widest.max(count);
            }
        }
        Ok(widest)
    }

    /// How many tasks a sub-topology has: the partitions of its sources, which must agree.
    fn task_count(
        &self,
        subtopology: usize,
        topics: &ResolvedTopics,
        known: &BTreeMap<TopicName, i32>,
    ) -> Result<i32, TopologyError> {
        let Some(part) = self.subtopologies().get(subtopology) else { return Ok(0) };
        let mut counts: Vec<(TopicName, i32)> = Vec::new();
        for source in &part.sources {
            let name = topics.full_name(source);
            let count = match known.get(&name) {
                Some(&count) => count,
                None => topics.partitions(&name)?,
            };
            counts.push((name, count));
        }
        let Some(&(_, first)) = counts.first() else { return Ok(0) };
        if counts.iter().any(|&(_, count)| count != first) {
            let list: Vec<String> = counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
            let subtopology = u32::try_from(subtopology).unwrap_or(u32::MAX);
            return Err(TopologyError::NotCoPartitioned { subtopology, topics: list.join(", ") });
        }
        Ok(first)
    }
}
