//! What an operator asks of a cluster.

use millpond::broker::kafka::{Resource, Right};
use millpond_harness::Outgoing;

use super::*;

#[test]
fn an_operator_sees_nodes_topics_settings_and_groups() {
    let broker = broker();
    create(&broker, "seen", 2);
    let cluster = broker.describe_cluster().unwrap();
    let servers = Kafka::shared().unwrap().bootstrap_servers();
    assert_eq!(cluster.nodes.iter().map(|node| node.address.as_str()).collect::<Vec<_>>(), [servers]);
    assert!(!cluster.id.is_empty());
    assert!(cluster.rights.contains(&Right::AlterConfigs), "nobody is refused anything here: {:?}", cluster.rights);

    assert!(broker.topic_names().unwrap().contains("seen"));
    let inspected = broker.inspect_topics(&["seen".into(), "seen-not".into()]).unwrap();
    assert_eq!(inspected.keys().map(|name| &**name).collect::<Vec<_>>(), ["seen"]);
    let seen = &inspected["seen"];
    assert_eq!(seen.id, broker.describe_topics(&["seen".into()]).unwrap()["seen"].id);
    assert_eq!(seen.partitions.len(), 2);
    assert!(seen.partitions.iter().all(|copies| copies.led && (copies.all, copies.in_sync) == (1, 1)));
    assert!(seen.rights.contains(&Right::Write));
    assert_eq!(broker.inspect_topics(&[]).unwrap(), BTreeMap::new());

    assert_eq!(broker.topic_settings("seen").unwrap()["cleanup.policy"], "delete");
    let node = cluster.nodes[0].id;
    assert_eq!(broker.node_settings(node).unwrap()["node.id"], node.to_string());
    let missing = broker.topic_settings("seen-not").unwrap_err();
    assert!(missing.reason.contains("seen-not"), "{missing}");

    let (consumer, _) = joined(&broker, &member("seen-group", "0"), "seen");
    assert!(broker.groups().unwrap().contains("seen-group"));
    let group = broker.describe_group("seen-group").unwrap();
    assert_eq!(group.members.iter().map(|member| member.instance_id.as_str()).collect::<Vec<_>>(), ["seen-group-0"]);
    assert!(group.rights.contains(&Right::Read));
    consumer.close(true).unwrap();
    assert_eq!(broker.describe_group("seen-nobody").unwrap().members, []);
    let grant = broker.grant(&[Right::Read, Right::Describe], &Resource::Topic("it's".into()));
    assert!(grant.contains("--operation Read --operation Describe --topic 'it'\\''s'"), "{grant}");
}

#[test]
fn a_topic_that_could_not_be_made_is_refused_before_it_is_made() {
    let broker = broker();
    let topic = |configs| NewTopic { name: "asked".into(), partitions: 1, replication_factor: -1, configs };
    broker.may_create_topic(&topic(BTreeMap::new())).unwrap();
    assert!(!broker.topic_names().unwrap().contains("asked"), "it was only asked");
    let wrong = topic(BTreeMap::from([("cleanup.policy".to_owned(), "never".to_owned())]));
    assert_eq!(broker.may_create_topic(&wrong).unwrap_err().kind, BrokerErrorKind::Configuration);
    create(&broker, "asked", 1);
    broker.delete_topics(&["asked".into(), "asked-not".into()]).unwrap();
    assert!(!broker.topic_names().unwrap().contains("asked"));
    broker.delete_topics(&[]).unwrap();
}

/// events-0: 1 2 3 at 1000, 2000, 3000 ms; committed offset 0 → 2 → none
#[test]
fn offsets_of_a_group_without_members_are_set_found_by_time_and_forgotten() {
    let broker = broker();
    create(&broker, "times", 2);
    let (events, empty) = (at("times", 0), at("times", 1));
    let record = |ms| Outgoing { partition: Some(0), timestamp_ms: Some(ms), ..Outgoing::value("v") };
    Kafka::shared().unwrap().client().produce("times", [1_000, 2_000, 3_000].map(record)).unwrap();
    let both = BTreeSet::from([events.clone(), empty.clone()]);

    let first_since = |ms| {
        let found = broker.offsets_at(&both, Timestamp::from_millis(ms)).unwrap();
        (found[&events], found[&empty])
    };
    assert_eq!(first_since(0), (Some(Offset(0)), None));
    assert_eq!(first_since(1_001), (Some(Offset(1)), None));
    assert_eq!(first_since(3_000), (Some(Offset(2)), None));
    assert_eq!(first_since(3_001), (None, None), "no record is as young");
    assert_eq!(broker.offsets_at(&BTreeSet::new(), Timestamp::from_millis(0)).unwrap(), BTreeMap::new());
    for ranges in [broker.log_ranges(&both).unwrap(), broker.committed_ranges(&both).unwrap()] {
        assert_eq!((ranges[&events].start, ranges[&events].end), (Offset(0), Offset(3)));
        assert_eq!((ranges[&empty].start, ranges[&empty].end), (Offset(0), Offset(0)));
    }

    assert_eq!(broker.group_offsets("times-group").unwrap(), BTreeMap::new());
    broker.set_group_offsets("times-group", &offsets(&events, 2, "by hand")).unwrap();
    assert_eq!(broker.group_offsets("times-group").unwrap(), offsets(&events, 2, "by hand"));
    assert_eq!(broker.query_addresses("times-group").unwrap(), BTreeMap::new(), "whoever set them answers no queries");
    broker.set_group_offsets("times-group", &BTreeMap::new()).unwrap();
    broker.delete_group_offsets("times-group", &BTreeSet::new()).unwrap();
    broker.delete_group_offsets("times-group", &BTreeSet::from([events])).unwrap();
    assert_eq!(broker.group_offsets("times-group").unwrap(), BTreeMap::new());
}

/// in-0: a b | open: c ; the end of what is committed stays before c until the transaction ends
#[test]
fn what_an_open_transaction_has_written_is_behind_the_end_of_what_is_committed() {
    let broker = broker();
    create(&broker, "open", 1);
    let target = at("open", 0);
    let mut producer = broker.producer("open-producer").unwrap();
    commit(&mut producer, &target, &["a", "b"]);
    producer.begin().unwrap();
    producer.send(record(&target, "c")).unwrap();
    let begun = Instant::now();
    while !producer.poll_delivered(&target, 1, POLL).unwrap() {
        assert!(begun.elapsed() < LIMIT);
    }
    let ends = || {
        let partitions = BTreeSet::from([target.clone()]);
        let end = |ranges: BTreeMap<TopicPartition, millpond::broker::LogRange>| ranges[&target].end.0;
        (end(broker.committed_ranges(&partitions).unwrap()), end(broker.log_ranges(&partitions).unwrap()))
    };
    assert_eq!(ends(), (3, 4), "two records and a marker, then one that is open");
    producer.commit(LIMIT).unwrap();
    let begun = Instant::now();
    while ends() != (5, 5) {
        assert!(begun.elapsed() < LIMIT, "{:?}", ends());
    }
}
