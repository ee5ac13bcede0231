//! Kafka's `RangeAssignor`: per topic, consecutive partitions to the members in order.

use std::collections::BTreeMap;

use crate::record::{TopicName, TopicPartition};

use super::log::Topics;

/// A subscription, ordered as the assignor orders members: by `group.instance.id`, dynamic members after, by member id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subscription {
    /// `(dynamic, instance id or member id)`.
    pub(super) order: (bool, String),
    pub(super) member_id: String,
    pub(super) topics: Vec<TopicName>,
}

/// The partitions of each member.
pub(super) fn range(mut members: Vec<Subscription>, topics: &Topics) -> BTreeMap<String, Vec<TopicPartition>> {
    members.sort();
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
    let mut names: Vec<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
    names.sort();
    names.dedup();
    for name in names {
        let mut partitions = topics.partitions(name).into_iter();
        let subscribed: Vec<&Subscription> = members.iter().filter(|member| member.topics.contains(name)).collect();
        let (quota, extra) = (partitions.len() / subscribed.len(), partitions.len() % subscribed.len());
        for (index, member) in subscribed.iter().enumerate() {
            let count = quota + usize::from(index < extra);
            assignment.entry(member.member_id.clone()).or_default().extend(partitions.by_ref().take(count));
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn member(id: &str, topics: &[&str]) -> Subscription {
        let topics = topics.iter().map(|&name| name.into()).collect();
        Subscription { order: (false, id.to_owned()), member_id: format!("{id}-1"), topics }
    }

    #[test]
    fn the_first_members_take_the_remainder_of_every_topic() {
        let mut topics = Topics::default();
        topics.create(&"a".into(), 5, BTreeMap::new());
        topics.create(&"b".into(), 5, BTreeMap::new());
        let both = ["a", "b", "missing"];
        let shown: Vec<String> = range(vec![member("y", &both), member("x", &both), member("z", &["b"])], &topics)
            .into_iter()
            .map(|(id, partitions)| {
                let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("{id}: {}", names.join(" "))
            })
            .collect();
        assert_eq!(shown, ["x-1: a-0 a-1 a-2 b-0 b-1", "y-1: a-3 a-4 b-2 b-3", "z-1: b-4"]);
    }
}
