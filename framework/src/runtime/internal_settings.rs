//! The settings of internal topics: the first start makes them as they must be, and anybody may change them later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Error;
use crate::broker::{Broker, BrokerErrorKind, TopicDescription};
use crate::record::TopicName;
use crate::topology::{InternalTopic, InternalTopicKind, TopologyError};

/// Settings by Kafka's names.
type Settings = BTreeMap<String, String>;

/// Reads the settings of internal topics that exist, refuses those that lose records, and tells how long each changelog keeps
/// tombstones (`delete.retention.ms`), where that is known.
pub(super) fn examine<B: Broker>(
    broker: &B,
    topics: &[InternalTopic],
    (described, old): (&BTreeMap<TopicName, TopicDescription>, &BTreeSet<TopicName>),
) -> Result<BTreeMap<TopicName, Duration>, Error> {
    let mut kept = BTreeMap::new();
    for topic in topics {
        let settings = match broker.topic_settings(&topic.name) {
            Ok(settings) => settings,
            Err(error) if error.kind == BrokerErrorKind::Unauthorized => {
                tracing::warn!(topic = %topic.name, %error,
                    "settings of an internal topic cannot be read: Kafka's defaults are assumed; allow DescribeConfigs on it");
                continue;
            }
            // Made a moment ago, as it must be: the broker that was asked has not heard of it.
            Err(_) if !old.contains(&topic.name) => continue,
            Err(error) => return Err(error.into()),
        };
        check(topic, &settings)?;
        let copies = described.get(&topic.name).map_or(0, |description| description.replicas);
        if copies > 1 && number(&settings, "min.insync.replicas") == Some(1) {
            tracing::warn!(topic = %topic.name, copies,
                "min.insync.replicas=1: one node acknowledges for all copies, and what it alone has is lost with it; set 2");
        }
        if topic.kind == InternalTopicKind::Changelog
            && let Some(kept_ms) = number(&settings, "delete.retention.ms")
        {
            kept.insert(topic.name.clone(), Duration::from_millis(kept_ms));
        }
    }
    Ok(kept)
}

/// A topic whose records go by their age, or by their keys where each counts, loses them without a word.
fn check(topic: &InternalTopic, settings: &Settings) -> Result<(), TopologyError> {
    let refuse = |setting: &'static str, found: &str, expected: &'static str| {
        let topic = topic.name.to_string();
        Err(TopologyError::InternalTopicSetting { topic, setting, found: found.to_owned(), expected })
    };
    let expected = match topic.kind {
        InternalTopicKind::Changelog | InternalTopicKind::Commits => "compact",
        InternalTopicKind::Repartition => "delete",
    };
    match settings.get("cleanup.policy") {
        Some(found) if found != expected => return refuse("cleanup.policy", found, expected),
        _ => {}
    }
    if topic.kind == InternalTopicKind::Repartition {
        for setting in ["retention.ms", "retention.bytes"] {
            if let Some(found) = settings.get(setting).filter(|found| *found != "-1") {
                return refuse(setting, found, "-1");
            }
        }
    }
    Ok(())
}

fn number(settings: &Settings, name: &str) -> Option<u64> {
    settings.get(name)?.parse().ok()
}
