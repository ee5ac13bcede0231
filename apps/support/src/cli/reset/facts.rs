//! What there is to reset.

use std::collections::{BTreeMap, BTreeSet};

use millpond::broker::Broker;
use millpond::broker::kafka::KafkaBroker;
use millpond::record::{Partition, TopicName, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::reset::{ResetFacts, internal_topics_by_name};
use millpond::state::rocksdb::{aside, instances};
use millpond::topology::Topology;

use super::ResetArgs;
use crate::cli::Failure;
use crate::cli::progress::Progress;

/// Where to look.
pub(super) struct Source<'a> {
    pub(super) broker: &'a KafkaBroker,
    pub(super) config: &'a StreamsConfig,
    /// The application's graph; `None` in a program that does not know it.
    pub(super) topology: Option<&'a Topology>,
}

/// What was found.
pub(super) struct Found {
    pub(super) facts: ResetFacts,
    /// Topics that are named like internal ones, and are not of this topology.
    pub(super) left_alone: BTreeSet<TopicName>,
}

impl Source<'_> {
    pub(super) fn look(&self, args: &ResetArgs) -> Result<Found, Failure> {
        let (broker, application_id) = (self.broker, self.config.application_id.as_str());
        let progress = Progress::waiting("asking the cluster");
        let members = broker.describe_group(application_id)?.members.len();
        let committed = broker.group_offsets(application_id)?;
        progress.now("looking for its topics");
        let by_name = internal_topics_by_name(application_id, &broker.topic_names()?, &broker.groups()?);
        let internal = self.internal(args, &by_name)?;
        let wanted = self.inputs(args, committed.keys().map(|at| &at.topic), &by_name)?;
        let described = broker.describe_topics(&wanted.iter().cloned().collect::<Vec<_>>())?;
        if let Some(missing) = wanted.iter().find(|topic| !described.contains_key(*topic)) {
            let fix = "create it, or name the topics with --input-topics";
            return Err(Failure::new("unknown-topic", format!("there is no topic {missing}"), fix));
        }
        let mut partitions: BTreeSet<TopicPartition> = BTreeSet::new();
        for (topic, described) in &described {
            let all = (0..described.partitions).map(|number| TopicPartition::new(topic.clone(), Partition(number)));
            partitions.extend(all);
        }
        let inputs = broker.log_ranges(&partitions)?;
        let state = instances(&self.config.state_dir, application_id)?;
        let state: BTreeMap<_, _> = state.into_iter().map(|of| (of.path.clone(), aside(&of.path))).collect();
        let left_alone = by_name.difference(&internal).cloned().collect();
        Ok(Found { facts: ResetFacts { inputs, committed, internal, members, state }, left_alone })
    }

    fn internal(&self, args: &ResetArgs, by_name: &BTreeSet<TopicName>) -> Result<BTreeSet<TopicName>, Failure> {
        let own = self.topology.map(|topology| topology.internal_topic_names(&self.config.application_id));
        if args.internal_topics.is_empty() {
            return Ok(own.map_or_else(|| by_name.clone(), |own| own.intersection(by_name).cloned().collect()));
        }
        let mut named = BTreeSet::new();
        for topic in &args.internal_topics {
            let topic = TopicName::from(topic.trim());
            let known = own.as_ref().is_some_and(|own| own.contains(&topic)) || by_name.contains(&topic);
            // A second run of a reset that was cut short names what is gone already.
            let could_be = topic.starts_with(&format!("{}-", self.config.application_id));
            if !known && !could_be {
                let fix = "name internal topics of this application only; see the plan without --internal-topics";
                return Err(Failure::new("not-internal", format!("{topic} is no internal topic of it"), fix));
            }
            if by_name.contains(&topic) {
                named.insert(topic);
            }
        }
        Ok(named)
    }

    fn inputs<'b>(
        &self,
        args: &ResetArgs,
        committed: impl Iterator<Item = &'b TopicName>,
        by_name: &BTreeSet<TopicName>,
    ) -> Result<BTreeSet<TopicName>, Failure> {
        let known = self.topology.map(Topology::input_topics);
        let named: BTreeSet<TopicName> = args.input_topics.iter().map(|topic| TopicName::from(topic.trim())).collect();
        let known = known.unwrap_or_else(|| {
            let prefix = format!("{}-", self.config.application_id);
            // Also one that is gone: a reset that was cut short has deleted it, and left its offsets.
            let repartition = |topic: &TopicName| topic.starts_with(&prefix) && topic.ends_with("-repartition");
            let internal = |topic: &TopicName| by_name.contains(topic) || repartition(topic);
            committed.filter(|topic| !internal(topic)).cloned().collect()
        });
        if named.is_empty() {
            return Ok(known);
        }
        // All inputs begin anew together: a task reads several, and its state is of all of them.
        if let Some(left_out) = known.iter().find(|topic| !named.contains(*topic)) {
            let all: Vec<&str> = known.iter().map(|topic| &**topic).collect();
            let fix = format!("say all of them, {}, or nothing", all.join(","));
            let message = format!("{left_out} is an input as well, and the state is of all inputs together");
            return Err(Failure::new("part-of-input", message, fix));
        }
        if let Some(other) = named.iter().find(|topic| self.topology.is_some() && !known.contains(*topic)) {
            let fix = "see `topology` for what it reads; --input and [app] say which topic that is";
            return Err(Failure::new("not-an-input", format!("the application does not read {other}"), fix));
        }
        Ok(named)
    }
}
