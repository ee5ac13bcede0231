//! Kafka's settings as numbers and lists, and what they must be. Pure.

use millpond::broker::kafka::{Replicas, Settings};
use millpond::runtime::config::StreamsConfig;
use millpond::state::DELETE_RETENTION;
use millpond::topology::InternalTopicKind;

use crate::finding::Finding;

/// The oldest brokers that give topics an id which clients can ask for.
const OLDEST: (u32, u32) = (3, 1);

pub(super) fn number(settings: &Settings, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

/// The version of a node, from its settings: those before 4.0 say it, 4.0 has taken the setting away.
pub(super) fn version(node: i32, settings: &Settings) -> Finding {
    const CODE: &str = "broker-version";
    let Some(said) = settings.get("inter.broker.protocol.version").filter(|said| !said.is_empty()) else {
        return Finding::fine(CODE, format!("node {node} has version 4.0 or later"));
    };
    let mut numbers = said.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        let fix = "use Kafka 3.1 or later, and raise inter.broker.protocol.version after the upgrade";
        return Finding::broken(CODE, format!("node {node} has version {said}"), fix);
    }
    Finding::fine(CODE, format!("node {node} has version {said}"))
}

/// What a node's settings must be for transactions and sessions of this configuration.
pub(super) fn node(node: i32, settings: &Settings, config: &StreamsConfig) -> Vec<Finding> {
    let mut findings = vec![version(node, settings)];
    let ours = i64::try_from(config.transaction_timeout.as_millis()).unwrap_or(i64::MAX);
    if let Some(most) = number(settings, "transaction.max.timeout.ms").filter(|most| ours > *most) {
        let what = format!("node {node} allows transactions of {most} ms, transaction.timeout.ms is {ours}");
        let fix =
            format!("set transaction.timeout.ms to {most} at most, or raise transaction.max.timeout.ms of the nodes");
        findings.push(Finding::broken("transaction-timeout", what, fix));
    }
    let session = i64::try_from(config.session_timeout.as_millis()).unwrap_or(i64::MAX);
    let (least, most) =
        (number(settings, "group.min.session.timeout.ms"), number(settings, "group.max.session.timeout.ms"));
    if least.is_some_and(|least| session < least) || most.is_some_and(|most| session > most) {
        let (least, most) = (least.unwrap_or(0), most.unwrap_or(i64::MAX));
        let what = format!("node {node} allows sessions of {least} to {most} ms, session.timeout.ms is {session}");
        findings.push(Finding::broken("session-timeout", what, "set session.timeout.ms to a value inside"));
    }
    if settings.get("unclean.leader.election.enable").is_some_and(|on| on == "true") {
        let what = format!("node {node} elects leaders that may lack acknowledged records");
        let fix = "set unclean.leader.election.enable=false: otherwise nothing is exactly once when nodes fail";
        findings.push(Finding::broken("unclean-leader-election", what, fix));
    }
    findings
}

/// Whether a topic's copies keep what was acknowledged.
pub(super) fn copies(topic: &str, partitions: &[Replicas], settings: Option<&Settings>, nodes: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let led = partitions.iter().filter(|partition| partition.led).count();
    if led < partitions.len() {
        let what =
            format!("topic {topic}: {} of {} partitions have no leader", partitions.len() - led, partitions.len());
        findings.push(Finding::broken("topic-no-leader", what, "start the nodes that have their copies"));
    }
    let behind = partitions.iter().filter(|partition| partition.in_sync < partition.all).count();
    if behind > 0 {
        let what = format!("topic {topic}: {behind} of {} partitions have copies that are behind", partitions.len());
        findings.push(Finding::warning(
            "topic-behind",
            what,
            "start the nodes that are away, and wait until they have caught up",
        ));
    }
    let fewest = partitions.iter().map(|partition| partition.all).min().unwrap_or(0);
    let in_sync = partitions.iter().map(|partition| partition.in_sync).min().unwrap_or(0);
    let wanted = settings.and_then(|settings| number(settings, "min.insync.replicas"));
    let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
    if let Some(wanted) = wanted.filter(|wanted| *wanted > in_sync) {
        let what = format!(
            "topic {topic}: min.insync.replicas={wanted}, and only {in_sync} copies are in sync: nothing can be written"
        );
        let fix = "start nodes, give the topic more replicas, or lower min.insync.replicas below their number";
        findings.push(Finding::broken("topic-min-insync", what, fix));
    }
    if nodes > 1 && fewest < 2 {
        let what = format!("topic {topic} has one copy on a cluster of {nodes} nodes");
        let fix = "give it 3 replicas (kafka-reassign-partitions); for internal topics set replication.factor=3 before the \
                   first start";
        findings.push(Finding::warning("topic-one-copy", what, fix));
    } else if fewest > 1 && wanted == Some(1) {
        let what = format!("topic {topic}: min.insync.replicas=1, so one node acknowledges for all {fewest}");
        findings.push(Finding::warning("topic-min-insync", what, "set min.insync.replicas=2"));
    }
    findings
}

/// What the settings of an internal topic must be.
pub(super) fn internal(topic: &str, kind: InternalTopicKind, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    let wanted = match kind {
        InternalTopicKind::Repartition => "delete",
        InternalTopicKind::Changelog | InternalTopicKind::Commits => "compact",
    };
    if policy != wanted {
        let why = match kind {
            InternalTopicKind::Repartition => "records on their way would be thrown together",
            InternalTopicKind::Changelog => "state would be lost by its age",
            InternalTopicKind::Commits => "commit records would be lost by their age",
        };
        let what = format!("topic {topic}: cleanup.policy={policy}: {why}");
        findings.push(Finding::broken("topic-cleanup-policy", what, format!("set cleanup.policy={wanted}")));
    }
    match kind {
        InternalTopicKind::Repartition => {
            for name in ["retention.ms", "retention.bytes"] {
                if let Some(value) = number(settings, name).filter(|value| *value != -1) {
                    let what = format!("topic {topic}: {name}={value}: records could be deleted before they are read");
                    let fix = format!("set {name}=-1: the application deletes them after each commit");
                    findings.push(Finding::broken("topic-retention", what, fix));
                }
            }
        }
        InternalTopicKind::Changelog => {
            let wanted = i64::try_from(DELETE_RETENTION.as_millis()).unwrap_or(i64::MAX);
            if let Some(value) = number(settings, "delete.retention.ms").filter(|value| *value < wanted) {
                let what = format!(
                    "topic {topic}: delete.retention.ms={value}: state that was away for half of that is restored in full"
                );
                let fix = format!("set delete.retention.ms={wanted} or more");
                findings.push(Finding::warning("topic-delete-retention", what, fix));
            }
        }
        InternalTopicKind::Commits => {}
    }
    if settings.get("message.timestamp.type").is_some_and(|kind| kind != "CreateTime") {
        let what = format!("topic {topic}: message.timestamp.type is not CreateTime: event times would be lost");
        findings.push(Finding::broken("topic-timestamp-type", what, "set message.timestamp.type=CreateTime"));
    }
    findings
}
