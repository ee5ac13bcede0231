//! The table of rights, `applications.json`, is what the code reads, writes and makes. Terraform grants by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loader::{LoaderConfig, Routes};
use millpond::broker::{TopicDescription, TopicId};
use millpond::topology::{InternalTopicKind, ResolvedTopics, TopicRef, Topology};
use serde_json::Value;

use super::files::{APPLICATIONS, deployed, text, texts};

/// The topics of an application by what is done with them.
type Rights = BTreeMap<&'static str, BTreeSet<String>>;

pub(crate) fn table() -> BTreeMap<String, Value> {
    serde_json::from_str(&text(deployed("applications.json"))).unwrap()
}

/// What an application that has a topology runs, with its usual topics and rule.
pub(crate) fn topology(application: &str) -> Topology {
    match application {
        "attribution" => attribution::topology(&attribution::Topics::default(), attribution::Rule::default()).unwrap(),
        "fraud" => fraud::topology(&fraud::Topics::default(), fraud::Rule::default()).unwrap(),
        "redaction" => {
            let redactor = redaction::Redactor::new(redaction::Mode::default(), redaction::Policy::default());
            let totals = Arc::new(redaction::Totals::default());
            redaction::topology(&redaction::EVENTS, &redaction::PROCESSED_EVENTS, redactor, &totals).unwrap()
        }
        other => panic!("{other} has no topology"),
    }
}

fn rights_of_code(application: &str) -> Rights {
    let mut rights: Rights =
        ["reads", "writes", "repartitions", "changelogs", "commits"].map(|class| (class, BTreeSet::new())).into();
    let mut add = |class: &'static str, topic: &str| rights.get_mut(class).unwrap().insert(topic.to_owned());
    if application == "loader" {
        for route in &Routes::defaults().unwrap() {
            add("reads", route.topic());
        }
        return rights;
    }
    let topology = topology(application);
    let described = topology.external_topics().into_iter().zip(1_u8..);
    let described =
        described.map(|(topic, n)| (topic, TopicDescription { id: TopicId([n; 16]), partitions: 3, replicas: 1 }));
    let resolved = ResolvedTopics::new(application, described.collect());
    for part in topology.subtopologies() {
        for (class, topics) in [("reads", &part.sources), ("writes", &part.sinks)] {
            for topic in topics {
                if let TopicRef::External(name) = topic {
                    add(class, name);
                }
            }
        }
    }
    for topic in topology.internal_topics(&resolved).unwrap() {
        let class = match topic.kind {
            InternalTopicKind::Repartition => "repartitions",
            InternalTopicKind::Changelog => "changelogs",
            InternalTopicKind::Commits => "commits",
        };
        add(class, &topic.name);
    }
    rights
}

#[test]
fn each_application_is_granted_the_topics_of_its_code_and_no_others() {
    let table = table();
    assert_eq!(table.keys().collect::<Vec<_>>(), APPLICATIONS);
    for (application, row) in &table {
        for (class, topics) in rights_of_code(application) {
            let granted: BTreeSet<String> = texts(&row[class]).into_iter().collect();
            assert_eq!(granted, topics, "{application}: {class}");
        }
        assert_eq!(row["dead_letters"], format!("{application}-dead-letters"));
        assert_eq!(row["database"], application == "loader");
    }
    let loader = LoaderConfig::new("loader", "loader-0", "", Routes::defaults().unwrap());
    assert_eq!(table["loader"]["dead_letters"], *loader.dead_letter_topic);
}

/// A text with stars, as IAM reads it.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = regex::escape(pattern).replace("\\*", ".*");
    regex::Regex::new(&format!("^{pattern}$")).unwrap().is_match(text)
}

#[test]
fn a_pod_may_use_the_transactional_ids_of_its_own_application_and_of_no_other() {
    let table = table();
    for application in APPLICATIONS {
        for (pod, thread) in [(0, 0), (11, 3)] {
            let instance = format!("{application}-{pod}");
            let mut config = LoaderConfig::new(application, &instance, "", Routes::defaults().unwrap());
            config.thread = thread;
            // Loader and stream threads make it alike.
            let id = config.member().group_instance_id;
            assert_eq!(id, format!("{application}-{instance}-{thread}"));
            for (owner, row) in &table {
                let granted = matches(row["transactional_ids"].as_str().unwrap(), &id);
                assert_eq!(granted, owner == application, "{owner} and {id}");
            }
        }
    }
}

/// What Terraform grants on the topics of a class, without the prefix of the actions.
pub(crate) fn topic_actions() -> BTreeMap<String, Vec<String>> {
    let policies = text(deployed("terraform/policies.tf"));
    let (_, actions) = policies.split_once("topic_actions = {").unwrap();
    let (actions, _) = actions.split_once("\n  }\n").unwrap();
    let lines = actions.lines().filter_map(|line| line.split_once('='));
    lines.map(|(class, list)| (class.trim().to_owned(), quoted(list))).collect()
}

/// What the first statement of that name grants.
pub(crate) fn statement_actions(sid: &str) -> Vec<String> {
    let policies = text(deployed("terraform/policies.tf"));
    let statement = regex::Regex::new(&format!(r#"Sid\s*=\s*"{sid}"[^\[]*Action\s*=\s*\[([^\]]*)\]"#)).unwrap();
    let actions = quoted(&statement.captures(&policies).unwrap_or_else(|| panic!("a statement {sid}"))[1]);
    actions.iter().map(|action| action.strip_prefix("kafka-cluster:").unwrap().to_owned()).collect()
}

fn quoted(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_policies_know_every_class_of_the_table() {
    let policies = text(deployed("terraform/policies.tf"));
    assert!(policies.contains(r#"jsondecode(file("${path.module}/../applications.json"))"#));
    let table = table();
    let is_topics = |class: &&String| !["transactional_ids", "database"].contains(&class.as_str());
    let wanted: Vec<&String> = table["fraud"].as_object().unwrap().keys().filter(is_topics).collect();
    assert_eq!(topic_actions().keys().collect::<BTreeSet<_>>(), wanted.into_iter().collect());
}

/// Terraform's own test forbids actions that change more than records. It is run where there is Terraform; this holds it against
/// what is granted wherever the suite runs.
#[test]
fn what_terraform_grants_is_nothing_that_its_test_forbids() {
    let test = text(deployed("terraform/tests/policies.tftest.hcl"));
    let pattern = regex::Regex::new(r#"for action in statement\.Action : !can\(regex\("([^"]+)""#).unwrap();
    let forbidden = pattern.captures(&test).unwrap()[1].replace("\\\\", "\\");
    let forbidden = regex::Regex::new(&forbidden).unwrap();
    assert!(
        ["kafka-cluster:*", "AlterTopic", "AlterClusterDynamicConfiguration"].iter().all(|it| forbidden.is_match(it))
    );
    let statements = ["Connect", "Group", "Transactions"].map(statement_actions);
    for action in topic_actions().into_values().chain(statements).flatten() {
        assert!(!forbidden.is_match(&action), "{action}");
    }
}
