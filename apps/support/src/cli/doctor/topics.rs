//! The application's topics: those that it reads and writes, and its own.

use std::collections::{BTreeMap, BTreeSet};

use millpond::broker::kafka::{Cluster, Resource, Right, Settings, TopicDetails};
use millpond::broker::{BrokerErrorKind, NewTopic, TopicDescription};
use millpond::record::TopicName;
use millpond::runtime::config::OnError;
use millpond::topology::{InternalTopic, InternalTopicKind, ResolvedTopics};

use super::{Patient, rights, settings};
use crate::finding::Finding;

/// What is known of one topic.
struct Seen<'a> {
    name: &'a TopicName,
    details: Option<&'a TopicDetails>,
    settings: Option<Settings>,
}

/// What a topic is in.
struct Around<'a> {
    patient: &'a Patient<'a>,
    nodes: usize,
}

pub(super) fn examine(patient: &Patient<'_>, cluster: &Cluster) -> Vec<Finding> {
    let (inputs, outputs) = external(patient);
    let dead_letters = dead_letters(patient);
    let mut names: BTreeSet<TopicName> = inputs.iter().chain(&outputs).chain(&dead_letters).cloned().collect();
    if let Some(topology) = patient.topology {
        names.extend(topology.internal_topic_names(&patient.config.application_id));
    }
    let all: Vec<TopicName> = names.iter().cloned().collect();
    let (details, mut findings) = look(patient, &all);
    // What cannot be looked at is told once, with why.
    let is_told = |name: &TopicName| findings.iter().any(|finding| finding.what.contains(&format!("topic {name} ")));
    let inputs: BTreeSet<TopicName> = inputs.into_iter().filter(|name| !is_told(name)).collect();
    let outputs: BTreeSet<TopicName> = outputs.into_iter().filter(|name| !is_told(name)).collect();
    let dead_letters: BTreeSet<TopicName> = dead_letters.into_iter().filter(|name| !is_told(name)).collect();
    let around = Around { patient, nodes: cluster.nodes.len() };
    let see = |name| {
        let details = details.get(name);
        Seen { name, details, settings: details.and_then(|_| patient.broker.topic_settings(name).ok()) }
    };
    for name in &inputs {
        findings.extend(user(&see(name), &[Right::Read, Right::Describe], &around));
    }
    for name in &outputs {
        findings.extend(user(&see(name), &[Right::Write, Right::Describe], &around));
    }
    for name in &dead_letters {
        findings.extend(letters(&see(name), &around));
    }
    findings.extend(internal(&around, &details));
    findings
}

/// All topics at once; one by one when one of them is refused.
fn look(patient: &Patient<'_>, all: &[TopicName]) -> (BTreeMap<TopicName, TopicDetails>, Vec<Finding>) {
    if let Ok(details) = patient.broker.inspect_topics(all) {
        return (details, Vec::new());
    }
    let (mut found, mut findings) = (BTreeMap::new(), Vec::new());
    for name in all {
        match patient.broker.inspect_topics(std::slice::from_ref(name)) {
            Ok(details) => found.extend(details),
            Err(error) => {
                let what = format!("topic {name} cannot be looked at: {}", error.reason);
                findings.push(Finding::broken("rights", what, error.advice));
            }
        }
    }
    (found, findings)
}

/// The topics that must be there: those that are read, and those that are only written.
fn external(patient: &Patient<'_>) -> (BTreeSet<TopicName>, BTreeSet<TopicName>) {
    let Some(topology) = patient.topology else {
        let inputs = patient.inputs.iter().map(|name| TopicName::from(name.as_str()));
        return (inputs.collect(), BTreeSet::new());
    };
    let inputs = topology.input_topics();
    let outputs = topology.external_topics().difference(&inputs).cloned().collect();
    (inputs, outputs)
}

fn dead_letters(patient: &Patient<'_>) -> BTreeSet<TopicName> {
    let config = patient.config;
    let wanted = [config.on_deserialization_error, config.on_processing_error].contains(&OnError::DeadLetter);
    wanted.then(|| config.dead_letter_topic_name().into()).into_iter().collect()
}

fn user(seen: &Seen<'_>, needs: &[Right], around: &Around<'_>) -> Vec<Finding> {
    let name = seen.name;
    let Some(details) = seen.details else {
        let what = format!("there is no topic {name}, or this principal may not see it");
        let grant = around.patient.grant(&[Right::Describe], &topic(name));
        let fix = format!("create it (kafka-topics.sh --create --topic {name}), or let it be seen: {grant}");
        return vec![Finding::broken("topic-missing", what, fix)];
    };
    with_copies(seen, details, needs, around, Vec::new())
}

/// Findings of a topic's copies and rights beside `more`; a word of praise when there are none.
fn with_copies(
    seen: &Seen<'_>,
    details: &TopicDetails,
    needs: &[Right],
    around: &Around<'_>,
    more: Vec<Finding>,
) -> Vec<Finding> {
    let name = seen.name;
    let mut findings = more;
    findings.extend(settings::copies(name, &details.partitions, seen.settings.as_ref(), around.nodes));
    findings
        .extend(rights::missing(&topic(name), &details.rights, needs, &|rights, on| around.patient.grant(rights, on)));
    if seen.settings.is_none() {
        let what = format!("settings of topic {name} cannot be read");
        let grant = around.patient.grant(&[Right::DescribeConfigs], &topic(name));
        findings.push(Finding::warning("topic-settings", what, format!("to have them checked: {grant}")));
    }
    if findings.is_empty() {
        findings.push(Finding::fine("topic", format!("topic {name} has partitions={}", details.partitions.len())));
    }
    findings
}

fn letters(seen: &Seen<'_>, around: &Around<'_>) -> Vec<Finding> {
    let Some(details) = seen.details else {
        let replication_factor = around.patient.config.replication_factor;
        let wanted = NewTopic { name: seen.name.clone(), partitions: 1, replication_factor, configs: BTreeMap::new() };
        return vec![unmade(around.patient, &wanted)];
    };
    let policy = seen.settings.as_ref().and_then(|settings| settings.get("cleanup.policy"));
    let compacts = policy.is_some_and(|policy| policy.contains("compact"));
    let findings = compacts.then(|| {
        let what = format!(
            "topic {}: cleanup.policy={}: records without keys are refused",
            seen.name,
            policy.map_or("", |p| p)
        );
        Finding::broken("topic-cleanup-policy", what, "set cleanup.policy=delete")
    });
    with_copies(seen, details, &[Right::Write, Right::Describe], around, findings.into_iter().collect())
}

/// The application's own topics: those that are there must be as they were made.
fn internal(around: &Around<'_>, details: &BTreeMap<TopicName, TopicDetails>) -> Vec<Finding> {
    let patient = around.patient;
    let Some(topology) = patient.topology else { return Vec::new() };
    let described = details.iter().map(|(name, details)| {
        let partitions = i32::try_from(details.partitions.len()).unwrap_or(i32::MAX);
        let replicas = details.partitions.iter().map(|partition| partition.all).min().unwrap_or(0);
        (name.clone(), TopicDescription { id: details.id, partitions, replicas })
    });
    let resolved = ResolvedTopics::new(patient.config.application_id.as_str(), described.collect());
    let wanted = match topology.internal_topics(&resolved) {
        Ok(wanted) => wanted,
        Err(error) => {
            let fix = "create the topics that are missing, with partitions that fit";
            return vec![Finding::broken("topics", error.to_string(), fix)];
        }
    };
    let mut findings = Vec::new();
    for topic in &wanted {
        match details.get(&topic.name) {
            Some(found) => {
                let settings = patient.broker.topic_settings(&topic.name).ok();
                findings.extend(made(topic, &Seen { name: &topic.name, details: Some(found), settings }, around));
            }
            None => findings.push(unmade(patient, &topic.to_create(patient.config.replication_factor))),
        }
    }
    findings
}

/// A topic of the application's own that is not there: the first start makes it, if it may.
fn unmade(patient: &Patient<'_>, wanted: &NewTopic) -> Finding {
    let name = &wanted.name;
    match patient.broker.may_create_topic(wanted) {
        Ok(()) => Finding::fine("topic", format!("topic {name} is not there yet: the first start makes it")),
        Err(error) if error.kind == BrokerErrorKind::Unauthorized => {
            let what = format!("topic {name} is not there, and this principal may not make it: {}", error.reason);
            Finding::broken("rights", what, error.advice)
        }
        Err(error) => {
            let what = format!("topic {name} is not there, and the cluster would not make it: {}", error.reason);
            Finding::broken("topic-create", what, error.advice)
        }
    }
}

fn topic(name: &TopicName) -> Resource {
    Resource::Topic(name.to_string())
}

fn made(internal: &InternalTopic, seen: &Seen<'_>, around: &Around<'_>) -> Vec<Finding> {
    let Some(details) = seen.details else { return Vec::new() };
    let mut findings = Vec::new();
    let found = i32::try_from(details.partitions.len()).unwrap_or(i32::MAX);
    // The topic of commit records is shared by sub-topologies: more partitions do no harm.
    let fits = if internal.kind == InternalTopicKind::Commits {
        found >= internal.partitions
    } else {
        found == internal.partitions
    };
    if !fits {
        let what = format!("topic {} has partitions={found}, its input needs {}", internal.name, internal.partitions);
        let fix = "go back to the former number of partitions of the input with a new topic, or reset the application";
        findings.push(Finding::broken("topic-partitions", what, fix));
    }
    if let Some(settings) = &seen.settings {
        findings.extend(settings::internal(&internal.name, internal.kind, settings));
    }
    let needs: &[Right] = match internal.kind {
        InternalTopicKind::Repartition => &[Right::Read, Right::Write, Right::Delete, Right::Describe],
        InternalTopicKind::Changelog | InternalTopicKind::Commits => &[Right::Read, Right::Write, Right::Describe],
    };
    with_copies(seen, details, needs, around, findings)
}
