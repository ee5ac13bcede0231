//! What only a real Kafka shows of the Kafka edge: speed of a commit, batches, positions behind markers, refused
//! credentials, encryption, brokers that go away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond::broker::kafka::{KafkaBroker, KafkaConfig, KafkaConsumer, KafkaProducer};
use millpond::broker::{
    Broker, BrokerErrorKind, ChangelogReader, CommittedOffset, Consumer, MemberConfig, Membership, NewTopic, Polled,
    Producer, Rebalance,
};
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond_harness::{Kafka, KafkaOptions, Scratch};

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

fn broker() -> KafkaBroker {
    KafkaBroker::connect(KafkaConfig::new(Kafka::shared().unwrap().bootstrap_servers())).unwrap()
}

fn create(broker: &KafkaBroker, name: &str, partitions: i32) {
    let configs = BTreeMap::from([("cleanup.policy".to_owned(), "delete".to_owned())]);
    broker.create_topic(&NewTopic { name: name.into(), partitions, replication_factor: -1, configs }).unwrap();
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn record(target: &TopicPartition, value: impl Into<Bytes>) -> ProducerRecord {
    ProducerRecord {
        target: target.clone(),
        timestamp: Timestamp::from_millis(1_000),
        key: None,
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

/// Sends the values in one transaction and commits it.
fn commit(producer: &mut KafkaProducer, target: &TopicPartition, values: &[&str]) {
    producer.begin().unwrap();
    for value in values {
        producer.send(record(target, value.as_bytes().to_vec())).unwrap();
    }
    producer.commit(LIMIT).unwrap();
}

fn member(group: &str, instance: &str) -> MemberConfig {
    MemberConfig { group_id: group.into(), group_instance_id: format!("{group}-{instance}") }
}

/// Polls until a rebalance comes; records before it are an error of the test.
fn next_rebalance(consumer: &mut KafkaConsumer) -> Rebalance {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        match consumer.poll(POLL).unwrap() {
            Polled::Rebalance(change) => return change,
            Polled::Records(records) => panic!("{} records before the rebalance", records.len()),
            Polled::Idle => {}
        }
    }
    panic!("no rebalance within {LIMIT:?}");
}

/// A consumer that owns all partitions of `topic`, none of them started.
fn joined(broker: &KafkaBroker, member: &MemberConfig, topic: &str) -> (KafkaConsumer, Vec<TopicPartition>) {
    let mut consumer = broker.consumer(member).unwrap();
    consumer.subscribe(&[topic.into()]).unwrap();
    let Rebalance::Assign(partitions) = next_rebalance(&mut consumer) else { panic!("the first rebalance assigns") };
    consumer.acknowledge().unwrap();
    (consumer, partitions)
}

/// Polls until `count` records came.
fn read(consumer: &mut KafkaConsumer, count: usize) -> Vec<ConsumedRecord> {
    let begun = Instant::now();
    let mut records = Vec::new();
    while records.len() < count && begun.elapsed() < LIMIT {
        match consumer.poll(POLL).unwrap() {
            Polled::Records(more) => records.extend(more),
            Polled::Rebalance(change) => panic!("an unexpected rebalance: {change:?}"),
            Polled::Idle => {}
        }
    }
    assert_eq!(records.len(), count);
    records
}

fn texts(records: &[ConsumedRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()).collect()
}

fn offsets(partition: &TopicPartition, next: i64, metadata: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
    BTreeMap::from([(partition.clone(), CommittedOffset { next: Offset(next), metadata: metadata.into() })])
}

#[test]
fn a_record_survives_the_wire_unchanged() {
    let broker = broker();
    create(&broker, "wire", 2);
    let target = at("wire", 1);
    let bytes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let mut headers = Headers::new();
    for (name, value) in [("trace", bytes("a")), ("trace", bytes("b")), ("null", None), ("empty", bytes(""))] {
        headers.push(name, value);
    }
    let large = Bytes::from(vec![7; 300_000]);
    let sent: Vec<ProducerRecord> = [
        (bytes("k"), bytes("v"), headers),
        (None, bytes("v"), Headers::new()),
        (bytes("k"), None, Headers::new()),
        (bytes(""), bytes(""), Headers::new()),
        (None, None, Headers::new()),
        (bytes("k"), Some(large), Headers::new()),
    ]
    .into_iter()
    .zip([1, 1_700_000_000_000, 2, 3, 4, 5])
    .map(|((key, value, headers), ms)| ProducerRecord {
        target: target.clone(),
        timestamp: Timestamp::from_millis(ms),
        key,
        value,
        headers,
    })
    .collect();
    let mut producer = broker.producer("wire").unwrap();
    producer.begin().unwrap();
    for record in &sent {
        producer.send(record.clone()).unwrap();
    }
    let receipt = producer.commit(LIMIT).unwrap();
    assert_eq!(receipt.last_offsets, BTreeMap::from([(target.clone(), Offset(5))]));

    let (mut consumer, _) = joined(&broker, &member("wire", "0"), "wire");
    consumer.start_at(&target, Offset(0)).unwrap();
    let got = read(&mut consumer, sent.len());
    for (offset, (got, sent)) in (0..).zip(got.iter().zip(&sent)) {
        assert_eq!((&got.source, got.offset.0, got.timestamp), (&target, offset, sent.timestamp));
        assert_eq!((&got.key, &got.value, &got.headers), (&sent.key, &sent.value, &sent.headers));
    }
}

#[test]
fn a_commit_takes_a_fraction_of_what_the_crate_takes() {
    let broker = broker();
    create(&broker, "fast", 4);
    create(&broker, "fast-input", 1);
    let (consumer, _) = joined(&broker, &member("fast", "0"), "fast-input");
    let membership = consumer.membership();
    let mut producer = broker.producer("fast").unwrap();
    let (mut offset_times, mut commit_times) = (Vec::new(), Vec::new());
    for round in 0..60 {
        producer.begin().unwrap();
        for n in 0..400 {
            producer.send(record(&at("fast", n % 4), vec![b'x'; 100])).unwrap();
        }
        let begun = Instant::now();
        producer.send_offsets(&offsets(&at("fast-input", 0), round, ""), &membership).unwrap();
        offset_times.push(begun.elapsed());
        let begun = Instant::now();
        producer.commit(LIMIT).unwrap();
        commit_times.push(begun.elapsed());
    }
    for times in [&mut offset_times, &mut commit_times] {
        times.sort();
    }
    let median = commit_times[commit_times.len() / 2];
    println!(
        "back to back, 4 partitions: p50 send_offsets {:?}, commit {median:?}",
        offset_times[offset_times.len() / 2]
    );
    // The crate's own commit_transaction takes 101 ms, always.
    assert!(median < Duration::from_millis(50), "p50 {median:?}");
    assert_eq!(producer.taint(), None);
}

#[test]
fn records_come_in_bounded_batches_shared_among_partitions() {
    const RECORDS: usize = 200_000;
    let broker = broker();
    create(&broker, "batches", 4);
    let mut producer = broker.producer("batches").unwrap();
    producer.begin().unwrap();
    for n in 0..RECORDS {
        let partition = i32::try_from(n % 4).unwrap();
        producer.send(record(&at("batches", partition), vec![b'x'; 100])).unwrap();
    }
    let receipt = producer.commit(LIMIT).unwrap();
    assert_eq!(receipt.last_offsets.values().collect::<Vec<_>>(), [&Offset(49_999); 4]);

    let (mut consumer, partitions) = joined(&broker, &member("batches", "0"), "batches");
    for partition in &partitions {
        consumer.start_at(partition, Offset(0)).unwrap();
    }
    let (begun, mut next, mut polls) = (Instant::now(), BTreeMap::<TopicPartition, i64>::new(), 0);
    while next.values().sum::<i64>() < i64::try_from(RECORDS).unwrap() {
        assert!(begun.elapsed() < LIMIT);
        if let Polled::Records(records) = consumer.poll(POLL).unwrap() {
            polls += 1;
            assert!(records.len() <= 4096, "{}", records.len());
            for record in records {
                let next = next.entry(record.source).or_default();
                assert_eq!(record.offset.0, *next, "offset order, nothing lost, nothing twice");
                *next += 1;
            }
        }
    }
    println!("{RECORDS} records of 100 bytes in {:?} and {polls} polls, fetching included", begun.elapsed());
    assert!(polls < RECORDS / 100, "{polls} polls: records do not come in batches");
}

#[test]
fn nothing_is_delivered_before_start_at_nor_from_below_it() {
    let broker = broker();
    create(&broker, "start", 1);
    let target = at("start", 0);
    let mut producer = broker.producer("start").unwrap();
    commit(&mut producer, &target, &["a", "b", "c", "d"]);
    let (mut consumer, _) = joined(&broker, &member("start", "0"), "start");
    assert_eq!(consumer.position(&target), None);
    commit(&mut producer, &target, &["e"]);
    assert!(matches!(consumer.poll(Duration::from_millis(500)).unwrap(), Polled::Idle));

    let begun = Instant::now();
    consumer.start_at(&target, Offset(2)).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "resume and seek took {:?}", begun.elapsed());
    // p-0: a b c d C e C
    assert_eq!(texts(&read(&mut consumer, 3)), ["c", "d", "e"]);
    // Again, further down, over what was fetched already; and further up.
    consumer.start_at(&target, Offset(1)).unwrap();
    assert_eq!(texts(&read(&mut consumer, 4)), ["b", "c", "d", "e"]);
    consumer.start_at(&target, Offset(5)).unwrap();
    assert_eq!(texts(&read(&mut consumer, 1)), ["e"]);
    let unknown = consumer.start_at(&at("start", 7), Offset(0)).unwrap_err();
    assert!(unknown.reason.contains("start-7 is not assigned"), "{unknown}");
}

#[test]
fn an_idle_consumer_stands_at_the_end_behind_the_markers() {
    let broker = broker();
    create(&broker, "idle", 1);
    let target = at("idle", 0);
    let mut producer = broker.producer("idle").unwrap();
    commit(&mut producer, &target, &["a"]);
    // An aborted transaction at the end: its producer goes, the next one of the id aborts what it left.
    producer.begin().unwrap();
    producer.send(record(&target, "aborted")).unwrap();
    let (mut consumer, _) = joined(&broker, &member("idle", "0"), "idle");
    consumer.start_at(&target, Offset(0)).unwrap();
    assert_eq!(texts(&read(&mut consumer, 1)), ["a"]);
    drop(producer);
    let mut producer = broker.producer("idle").unwrap();
    // p-0: a C aborted A
    let begun = Instant::now();
    while consumer.position(&target) < Some(consumer.log_range(&target, LIMIT).unwrap().end) {
        assert!(begun.elapsed() < LIMIT, "position {:?}", consumer.position(&target));
        assert!(matches!(consumer.poll(POLL).unwrap(), Polled::Idle));
    }
    let end = consumer.log_range(&target, LIMIT).unwrap().end;
    assert_eq!(consumer.position(&target), Some(end), "never past the end");
    assert!(end >= Offset(2));
    commit(&mut producer, &target, &["b"]);
    assert_eq!(texts(&read(&mut consumer, 1)), ["b"]);
}

#[test]
fn a_restore_reaches_the_uncommitted_end_once_the_transaction_is_resolved() {
    let broker = broker();
    create(&broker, "changelog", 2);
    let (target, empty) = (at("changelog", 0), at("changelog", 1));
    let mut producer = broker.producer("changelog").unwrap();
    commit(&mut producer, &target, &["a", "b"]);
    producer.begin().unwrap();
    producer.send(record(&target, "open")).unwrap();
    // p-0: a b C open
    let mut reader = broker.reader().unwrap();
    let both = [target.clone(), empty.clone()];
    let begun = Instant::now();
    while reader.log_ranges(&both, LIMIT).unwrap()[&target].end < Offset(4) {
        assert!(begun.elapsed() < LIMIT, "the open record does not arrive");
    }
    let ranges = reader.log_ranges(&both, LIMIT).unwrap();
    assert_eq!((ranges[&target].start, ranges[&target].end), (Offset(0), Offset(4)));
    assert_eq!((ranges[&empty].start, ranges[&empty].end), (Offset(0), Offset(0)));
    let (mut consumer, _) = joined(&broker, &member("changelog", "0"), "changelog");
    assert_eq!(consumer.log_range(&target, LIMIT).unwrap().end, Offset(3), "the last stable offset");

    reader.assign(&BTreeMap::from([(target.clone(), Offset(1)), (empty.clone(), Offset(0))])).unwrap();
    assert_eq!((reader.position(&target), reader.position(&empty)), (Some(Offset(1)), Some(Offset(0))));
    let (begun, mut records) = (Instant::now(), Vec::new());
    while reader.position(&target) < Some(Offset(3)) {
        assert!(begun.elapsed() < LIMIT, "position {:?}", reader.position(&target));
        records.extend(reader.poll(POLL).unwrap());
    }
    assert_eq!(texts(&records), ["b"]);
    let held_back = reader.poll(Duration::from_millis(300)).unwrap();
    assert_eq!((held_back.len(), reader.position(&target)), (0, Some(Offset(3))), "the open transaction holds it back");

    producer.commit(LIMIT).unwrap();
    let begun = Instant::now();
    while reader.position(&target) < Some(Offset(5)) {
        assert!(begun.elapsed() < LIMIT, "position {:?}", reader.position(&target));
        records.extend(reader.poll(POLL).unwrap());
    }
    println!("the marker was passed {:?} after the commit", begun.elapsed());
    assert_eq!(texts(&records), ["b", "open"]);
    // Again from another place: what was fetched or reached before counts no more.
    reader.assign(&BTreeMap::from([(target.clone(), Offset(0))])).unwrap();
    assert_eq!((reader.position(&target), reader.position(&empty)), (Some(Offset(0)), None));
    let (begun, mut again) = (Instant::now(), Vec::new());
    while reader.position(&target) < Some(Offset(5)) {
        assert!(begun.elapsed() < LIMIT);
        again.extend(reader.poll(POLL).unwrap());
    }
    assert_eq!(texts(&again), ["a", "b", "open"]);
}

#[test]
fn a_restore_outside_the_log_says_so() {
    let broker = broker();
    create(&broker, "outside", 1);
    let target = at("outside", 0);
    let mut producer = broker.producer("outside").unwrap();
    commit(&mut producer, &target, &["a", "b"]);
    broker.delete_records(&BTreeMap::from([(target.clone(), Offset(2))])).unwrap();
    let mut reader = broker.reader().unwrap();
    assert_eq!(reader.log_ranges(std::slice::from_ref(&target), LIMIT).unwrap()[&target].start, Offset(2));
    for outside in [0, 99] {
        reader.assign(&BTreeMap::from([(target.clone(), Offset(outside))])).unwrap();
        let begun = Instant::now();
        let error = loop {
            assert!(begun.elapsed() < LIMIT);
            match reader.poll(POLL) {
                Ok(records) => assert_eq!(records, []),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, BrokerErrorKind::OffsetOutOfRange, "{error}");
        assert!(error.reason.contains("outside-0"), "{error}");
    }
    reader.assign(&BTreeMap::from([(target.clone(), Offset(2))])).unwrap();
    let begun = Instant::now();
    while reader.position(&target) < Some(Offset(3)) {
        assert!(begun.elapsed() < LIMIT);
        reader.poll(POLL).unwrap();
    }
}

#[test]
fn committed_offsets_wait_for_a_pending_transaction() {
    let broker = broker();
    create(&broker, "pending", 1);
    let input = at("pending", 0);
    let (mut consumer, _) = joined(&broker, &member("pending", "0"), "pending");
    let membership = consumer.membership();
    assert!(membership.is_fencing(), "{membership:?}");
    let partitions = std::slice::from_ref(&input);
    assert_eq!(consumer.committed(partitions, LIMIT).unwrap(), BTreeMap::from([(input.clone(), None)]));

    let mut producer = broker.producer("pending").unwrap();
    producer.begin().unwrap();
    producer.send_offsets(&offsets(&input, 7, "{\"t\":1}"), &membership).unwrap();
    let pending = consumer.committed(partitions, Duration::from_millis(500)).unwrap_err();
    assert_eq!(pending.kind, BrokerErrorKind::Retriable, "{pending}");
    producer.commit(LIMIT).unwrap();
    let committed = consumer.committed(partitions, LIMIT).unwrap();
    assert_eq!(committed[&input], Some(CommittedOffset { next: Offset(7), metadata: "{\"t\":1}".into() }));
}

#[test]
fn a_membership_that_proves_nothing_never_leaves_the_process() {
    let broker = broker();
    create(&broker, "proof", 1);
    let input = at("proof", 0);
    let (mut consumer, _) = joined(&broker, &member("proof", "0"), "proof");
    let mine = consumer.membership();
    let forged = [
        Membership { generation: -1, member_id: String::new() },
        Membership { generation: 0, member_id: mine.member_id.clone() },
        Membership { generation: 1, member_id: String::new() },
        Membership { generation: mine.generation, member_id: "somebody".into() },
        Membership { generation: mine.generation + 1, member_id: mine.member_id },
    ];
    for membership in forged {
        let mut producer = broker.producer("proof").unwrap();
        producer.begin().unwrap();
        let refused = producer.send_offsets(&offsets(&input, 7, ""), &membership).unwrap_err();
        assert_eq!(refused.kind, BrokerErrorKind::Abortable, "{membership:?}: {refused}");
    }
    assert_eq!(consumer.committed(std::slice::from_ref(&input), LIMIT).unwrap()[&input], None);
}

#[test]
fn a_second_producer_of_the_id_fences_the_first_and_aborts_its_transaction() {
    let broker = broker();
    create(&broker, "fence", 1);
    let target = at("fence", 0);
    let mut zombie = broker.producer("fence").unwrap();
    zombie.begin().unwrap();
    zombie.send(record(&target, "zombie")).unwrap();
    let begun = Instant::now();
    let mut successor = broker.producer("fence").unwrap();
    println!("the successor's init_transactions took {:?}", begun.elapsed());
    commit(&mut successor, &target, &["successor"]);
    let fenced = zombie.commit(LIMIT).unwrap_err();
    assert_eq!(fenced.kind, BrokerErrorKind::ProducerFenced, "{fenced}");
    assert!(zombie.begin().is_err());
    let committed = Kafka::shared().unwrap().client().read_committed("fence").unwrap();
    assert_eq!(committed.iter().map(millpond_harness::Received::text).collect::<Vec<_>>(), ["successor"]);
}

#[test]
fn a_record_that_can_never_be_sent_is_told_apart() {
    let broker = broker();
    create(&broker, "rejected", 1);
    // Larger than the broker takes, smaller than the client refuses by itself.
    let mut producer = broker.producer("rejected").unwrap();
    producer.begin().unwrap();
    let too_large = producer.send(record(&at("rejected", 0), vec![1; 3_000_000])).unwrap_err();
    assert_eq!(too_large.kind, BrokerErrorKind::RecordRejected, "{too_large}");

    let mut config = KafkaConfig::new(Kafka::shared().unwrap().bootstrap_servers());
    config.properties.insert("message.max.bytes".into(), "9000000".into());
    config.properties.insert("compression.type".into(), "none".into());
    let generous = KafkaBroker::connect(config).unwrap();
    let mut producer = generous.producer("rejected").unwrap();
    producer.begin().unwrap();
    producer.send(record(&at("rejected", 0), vec![1; 3_000_000])).unwrap();
    let refused = producer.commit(LIMIT).unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::RecordRejected, "{refused}");
    assert!(refused.reason.contains("rejected-0"), "{refused}");

    let mut producer = broker.producer("rejected").unwrap();
    producer.begin().unwrap();
    let unknown = producer.send(record(&at("rejected", 9), "x")).and_then(|()| producer.commit(LIMIT).map(drop));
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.kind, BrokerErrorKind::RecordRejected, "{unknown}");
}

#[test]
fn a_recreated_topic_has_another_id() {
    let broker = broker();
    let names = ["ids".into(), "ids-missing".into()];
    create(&broker, "ids", 3);
    create(&broker, "ids", 5);
    let before = broker.describe_topics(&names).unwrap();
    assert_eq!(before.keys().map(|name| &**name).collect::<Vec<_>>(), ["ids"]);
    assert_eq!(before["ids"].partitions, 3, "a topic that exists is left as it is");
    Kafka::shared().unwrap().client().delete_topics(&["ids"]).unwrap();
    let begun = Instant::now();
    while !broker.describe_topics(&names).unwrap().is_empty() {
        assert!(begun.elapsed() < LIMIT);
    }
    create(&broker, "ids", 3);
    let after = broker.describe_topics(&names).unwrap();
    assert_ne!(before["ids"].id, after["ids"].id);
    assert_ne!(after["ids"].id.0, [0; 16]);
}

#[test]
fn a_paused_partition_keeps_what_was_fetched() {
    let broker = broker();
    create(&broker, "pause", 2);
    let (stopped, running) = (at("pause", 0), at("pause", 1));
    let mut producer = broker.producer("pause").unwrap();
    let (mut consumer, _) = joined(&broker, &member("pause", "0"), "pause");
    consumer.start_at(&stopped, Offset(0)).unwrap();
    consumer.start_at(&running, Offset(0)).unwrap();
    consumer.pause(std::slice::from_ref(&stopped)).unwrap();
    commit(&mut producer, &stopped, &["kept"]);
    commit(&mut producer, &running, &["delivered"]);
    assert_eq!(texts(&read(&mut consumer, 1)), ["delivered"]);
    assert!(matches!(consumer.poll(Duration::from_millis(300)).unwrap(), Polled::Idle));
    assert_eq!(consumer.position(&stopped), Some(Offset(0)));
    consumer.resume(std::slice::from_ref(&stopped)).unwrap();
    assert_eq!(texts(&read(&mut consumer, 1)), ["kept"]);
}

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
    assert_eq!(refused.kind, BrokerErrorKind::Abortable, "{refused}");
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

#[test]
fn a_broker_that_goes_away_during_a_commit_taints_the_producer() {
    let scratch = Scratch::new("taint").unwrap();
    let mut kafka = Kafka::start_with(scratch.path(), KafkaOptions::default()).unwrap();
    let broker = KafkaBroker::connect(KafkaConfig::new(kafka.bootstrap_servers())).unwrap();
    create(&broker, "taint", 1);
    let target = at("taint", 0);
    let mut producer = broker.producer("taint").unwrap();
    commit(&mut producer, &target, &["before"]);
    assert_eq!(producer.taint(), None, "a quiet commit");
    producer.begin().unwrap();
    producer.send(record(&target, "during")).unwrap();
    kafka.kill().unwrap();
    let failed = producer.commit(Duration::from_secs(2)).unwrap_err();
    assert_eq!(failed.kind, BrokerErrorKind::OutcomeUnknown, "{failed}");
    assert!(producer.taint().is_some());
    let begun = Instant::now();
    drop(producer);
    assert!(begun.elapsed() < Duration::from_millis(200), "dropping waited {:?}", begun.elapsed());
    kafka.restart().unwrap();
    let mut producer = broker.producer("taint").unwrap();
    commit(&mut producer, &target, &["after"]);
    let committed = kafka.client().read_committed("taint").unwrap();
    let committed: Vec<_> = committed.iter().map(millpond_harness::Received::text).collect();
    assert_eq!(committed, ["before", "after"], "the new producer aborted what the old one left");
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_and_not_a_hang() {
    let mut config = KafkaConfig::new("127.0.0.1:1");
    config.request_timeout = Duration::from_secs(2);
    let broker = KafkaBroker::connect(config).unwrap();
    let begun = Instant::now();
    let described = broker.describe_topics(&["t".into()]).unwrap_err();
    let producer = broker.producer("nobody").unwrap_err();
    assert_eq!((described.kind, producer.kind), (BrokerErrorKind::Retriable, BrokerErrorKind::Retriable));
    let mut consumer = broker.consumer(&member("nobody", "0")).unwrap();
    consumer.subscribe(&["t".into()]).unwrap();
    assert!(matches!(consumer.poll(POLL).unwrap(), Polled::Idle));
    assert!(!consumer.membership().is_fencing());
    consumer.close(true).unwrap();
    drop(broker.reader().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
