//! Members of a group.

use super::*;

/// A member that joins takes its share by a revocation that waits for the acknowledgement; one that leaves gives its
/// partitions back at once; one that restarts keeps them.
#[test]
fn members_join_leave_and_restart() {
    let broker = broker();
    create(&broker, "members-a", 4);
    create(&broker, "members-b", 4);
    let topics = ["members-a".into(), "members-b".into()];
    let mut first = broker.consumer(&member("members", "0")).unwrap();
    first.subscribe(&topics).unwrap();
    let Rebalance::Assign(all) = next_rebalance(&mut first) else { panic!("assign") };
    first.acknowledge().unwrap();
    assert_eq!(all.len(), 8);
    for partition in &all {
        first.start_at(partition, Offset(0)).unwrap();
    }

    let mut second = broker.consumer(&member("members", "1")).unwrap();
    second.subscribe(&topics).unwrap();
    let begun = Instant::now();
    let revoked = loop {
        assert!(begun.elapsed() < LIMIT);
        assert!(matches!(second.poll(Duration::ZERO).unwrap(), Polled::Idle));
        match first.poll(Duration::from_millis(20)).unwrap() {
            Polled::Rebalance(Rebalance::Revoke(revoked)) => break revoked,
            Polled::Rebalance(other) => panic!("{other:?}"),
            _ => {}
        }
    };
    assert_eq!(BTreeSet::from_iter(&revoked), BTreeSet::from_iter(&all), "eager: everything is taken back");
    // Until it is acknowledged the group waits, and the old owner may commit.
    let mut producer = broker.producer("members").unwrap();
    producer.begin().unwrap();
    producer.send_offsets(&offsets(&revoked[0], 3, ""), &first.membership()).unwrap();
    producer.commit(LIMIT).unwrap();
    assert!(matches!(second.poll(POLL).unwrap(), Polled::Idle));
    first.acknowledge().unwrap();
    let halves = assignments([&mut first, &mut second]);
    for half in &halves {
        let of = |topic: &str| half.iter().filter(|at| &*at.topic == topic).map(|at| at.partition).collect::<Vec<_>>();
        assert_eq!((of("members-a").len(), of("members-a")), (2, of("members-b")), "range keeps topics together");
    }

    // A restart: the same instance gets the same partitions, nobody else notices.
    let begun = Instant::now();
    second.close(false).unwrap();
    let mut second = broker.consumer(&member("members", "1")).unwrap();
    second.subscribe(&topics).unwrap();
    assert_eq!(next_rebalance(&mut second), Rebalance::Assign(halves[1].clone()));
    second.acknowledge().unwrap();
    println!("a static member had its partitions back {:?} after closing began", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(matches!(first.poll(POLL).unwrap(), Polled::Idle));

    // Leaving for good: the other member is asked at once, not after the session.
    let begun = Instant::now();
    second.close(true).unwrap();
    let Rebalance::Revoke(_) = next_rebalance(&mut first) else { panic!("revoke") };
    first.acknowledge().unwrap();
    let Rebalance::Assign(again) = next_rebalance(&mut first) else { panic!("assign") };
    println!("a member that left was replaced {:?} after closing began", begun.elapsed());
    assert_eq!(again.len(), 8);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    first.acknowledge().unwrap();
    assert!(first.acknowledge().is_err(), "there is nothing left to confirm");
}

/// The assignments of two members, acknowledged.
fn assignments(consumers: [&mut KafkaConsumer; 2]) -> [Vec<TopicPartition>; 2] {
    let begun = Instant::now();
    let mut found = [None, None];
    let mut consumers = consumers;
    while found.iter().any(Option::is_none) {
        assert!(begun.elapsed() < LIMIT);
        for (found, consumer) in found.iter_mut().zip(&mut consumers) {
            if let Polled::Rebalance(Rebalance::Assign(partitions)) = consumer.poll(Duration::from_millis(20)).unwrap()
            {
                consumer.acknowledge().unwrap();
                *found = Some(partitions);
            }
        }
    }
    found.map(Option::unwrap)
}

#[test]
fn a_second_process_of_an_instance_fences_the_first() {
    let broker = broker();
    create(&broker, "twice", 1);
    let twin = member("twice", "0");
    let (mut first, _) = joined(&broker, &twin, "twice");
    let stale = first.membership();
    let (second, _) = joined(&broker, &twin, "twice");
    let mut producer = broker.producer("twice").unwrap();
    producer.begin().unwrap();
    let refused = producer.send_offsets(&offsets(&at("twice", 0), 1, ""), &stale).unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::NotAMember, "{refused}");
    let begun = Instant::now();
    let fenced = loop {
        assert!(begun.elapsed() < LIMIT, "the first never learns it");
        match first.poll(POLL) {
            Ok(Polled::Rebalance(_)) => first.acknowledge().unwrap(),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(fenced.kind, BrokerErrorKind::InstanceFenced, "{fenced}");
    assert!(second.membership().is_fencing());
}

/// Nothing is started, as while a restore waits: no queue of a partition is asked, and still the member must not be taken for
/// one that hangs.
#[test]
fn a_member_with_nothing_to_read_outlives_the_longest_time_between_two_polls() {
    let limit = Duration::from_secs(6);
    let servers = Kafka::shared().unwrap().bootstrap_servers();
    let config = KafkaConfig { session_timeout: limit, max_poll_interval: limit, ..KafkaConfig::new(servers) };
    let broker = KafkaBroker::connect(config).unwrap();
    create(&broker, "edge-patience", 1);
    let (mut consumer, _) = joined(&broker, &member("edge-patience", "0"), "edge-patience");
    let end = Instant::now() + limit + limit / 2;
    while Instant::now() < end {
        let polled = consumer.poll(POLL).unwrap();
        assert!(matches!(polled, Polled::Idle), "{polled:?}");
    }
    consumer.close(true).unwrap();
}
