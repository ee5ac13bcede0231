//! The nodes, the group, and Kafka's own topics.

use millpond::broker::kafka::{Cluster, Resource, Right};
use millpond::record::TopicName;

use super::{Patient, rights, settings};
use crate::finding::Finding;

/// Where Kafka keeps transactions and groups.
const KAFKAS_OWN: [&str; 2] = ["__transaction_state", "__consumer_offsets"];

pub(super) fn examine(patient: &Patient<'_>, cluster: &Cluster) -> Vec<Finding> {
    let addresses: Vec<&str> = cluster.nodes.iter().map(|node| node.address.as_str()).collect();
    let mut findings =
        vec![Finding::fine("broker", format!("cluster {} answers: {}", cluster.id, addresses.join(", ")))];
    for node in &cluster.nodes {
        match patient.broker.node_settings(node.id) {
            Ok(found) => findings.extend(settings::node(node.id, &found, patient.config)),
            Err(error) => {
                let what = format!("settings of node {} cannot be read: {}", node.id, error.reason);
                let grant = patient.grant(&[Right::DescribeConfigs], &Resource::Cluster);
                let fix = format!("to have versions and transaction settings checked: {grant}");
                findings.push(Finding::warning("broker-settings", what, fix));
            }
        }
    }
    findings.extend(group(patient));
    findings.extend(kafkas_own(patient, cluster));
    findings
}

fn group(patient: &Patient<'_>) -> Vec<Finding> {
    let id = &patient.config.application_id;
    match patient.broker.describe_group(id) {
        Ok(group) => {
            let members = Finding::fine("group", format!("group {id} has members={}", group.members.len()));
            let missing =
                rights::missing(&Resource::Group(id.clone()), &group.rights, &[Right::Read], &|rights, on| {
                    patient.grant(rights, on)
                });
            std::iter::once(members).chain(missing).collect()
        }
        Err(error) => {
            let what = format!("group {id} cannot be looked at: {}", error.reason);
            vec![Finding::broken("group", what, error.advice)]
        }
    }
}

/// They are made at their first use; a principal need not see them.
fn kafkas_own(patient: &Patient<'_>, cluster: &Cluster) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in KAFKAS_OWN {
        let Ok(found) = patient.broker.inspect_topics(&[TopicName::from(name)]) else { continue };
        let Some(details) = found.get(name) else { continue };
        let settings = patient.broker.topic_settings(name).ok();
        let of_topic = settings::copies(name, &details.partitions, settings.as_ref(), cluster.nodes.len());
        if of_topic.is_empty() {
            let copies = details.partitions.iter().map(|partition| partition.all).min().unwrap_or(0);
            findings.push(Finding::fine("kafka-topics", format!("{name} has replicas={copies}, all in sync")));
        }
        findings.extend(of_topic);
    }
    findings
}
