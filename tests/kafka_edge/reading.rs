//! Reading: what is delivered, from where, in which batches.

use super::*;

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

/// A batch that was damaged in the broker's log. librdkafka tells of it and goes on behind it; what lies there must not be
/// processed, or its commit would pass the damage.
///
/// ```text
/// damaged-0: before C │ damaged C │ behind C
/// ```
#[test]
fn a_damaged_batch_is_named_and_nothing_behind_it_is_delivered() {
    let scratch = Scratch::new("damaged").unwrap();
    let mut kafka = Kafka::start_with(scratch.path(), KafkaOptions::default()).unwrap();
    let broker = KafkaBroker::connect(KafkaConfig::new(kafka.bootstrap_servers())).unwrap();
    create(&broker, "damaged", 1);
    let target = at("damaged", 0);
    let mut producer = broker.producer("damaged").unwrap();
    for value in ["before", "it is damaged", "behind"] {
        // Too short to be compressed.
        commit(&mut producer, &target, &[value]);
    }
    drop(producer);
    drop(broker);
    // In good order: after a crash the broker would cut its log there.
    kafka.stop().unwrap();
    let mut flipped = 0;
    for entry in std::fs::read_dir(scratch.path().join("data/damaged-0")).unwrap() {
        let path = entry.unwrap().path();
        let mut segment = std::fs::read(&path).unwrap();
        if let Some(place) = segment.windows(10).position(|window| window == b"is damaged") {
            segment[place] ^= 1;
            std::fs::write(&path, segment).unwrap();
            flipped += 1;
        }
    }
    assert_eq!(flipped, 1);
    kafka.restart().unwrap();

    let broker = KafkaBroker::connect(KafkaConfig::new(kafka.bootstrap_servers())).unwrap();
    let (mut consumer, _) = joined(&broker, &member("damaged", "a"), "damaged");
    consumer.start_at(&target, Offset(0)).unwrap();
    let begun = Instant::now();
    let mut records = Vec::new();
    let error = loop {
        assert!(begun.elapsed() < LIMIT, "no failure");
        match consumer.poll(POLL) {
            Ok(Polled::Records(more)) => records.extend(more),
            Ok(Polled::Idle | Polled::Rebalance(_)) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(texts(&records), ["before"]);
    assert_eq!(consumer.position(&target), Some(Offset(1)));
    let text = error.to_string();
    assert!(
        text.contains("damaged-0 at 1") && text.contains("CRC32C") && text.contains("damaged in the log"),
        "{text}"
    );
    assert_eq!(error.kind, BrokerErrorKind::MemberFenced, "read again with a new client: {text}");
    assert!(matches!(consumer.poll(POLL), Ok(Polled::Idle)), "nothing comes from behind it");
    consumer.start_at(&target, Offset(3)).unwrap();
    let behind = read(&mut consumer, 1);
    assert_eq!(texts(&behind), ["behind"], "unless somebody says so");
    kafka.stop().unwrap();
}

/// A topic that was gone for a moment has new queues in librdkafka; those that were split before are dead, and its records come
/// past them. What comes there must be read or told: the client counts it as read.
#[test]
fn records_that_come_past_their_queue_are_told_and_not_skipped() {
    let mut config = KafkaConfig::new(Kafka::shared().unwrap().bootstrap_servers());
    // It looks for its topic every second, and believes at once that it is gone.
    for (property, value) in
        [("topic.metadata.refresh.interval.ms", "1000"), ("topic.metadata.propagation.max.ms", "0")]
    {
        config.properties.insert(property.to_owned(), value.to_owned());
    }
    let broker = KafkaBroker::connect(config).unwrap();
    create(&broker, "twice", 1);
    let target = at("twice", 0);
    let mut producer = broker.producer("twice").unwrap();
    commit(&mut producer, &target, &["first life"]);
    let (mut consumer, _) = joined(&broker, &member("twice", "a"), "twice");
    consumer.start_at(&target, Offset(0)).unwrap();
    assert_eq!(texts(&read(&mut consumer, 1)), ["first life"]);
    drop(producer);
    Kafka::shared().unwrap().client().delete_topics(&["twice"]).unwrap();
    let (Rebalance::Revoke(_) | Rebalance::Lost(_)) = next_rebalance(&mut consumer) else {
        panic!("the topic is gone")
    };
    consumer.acknowledge().unwrap();
    create(&broker, "twice", 1);
    let values: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    commit(&mut broker.producer("twice").unwrap(), &target, &values);
    let begun = Instant::now();
    let mut records = Vec::new();
    let told = loop {
        assert!(begun.elapsed() < LIMIT * 2, "neither records nor a failure: {}", records.len());
        match consumer.poll(POLL) {
            Ok(Polled::Records(more)) => records.extend(more),
            Ok(Polled::Rebalance(Rebalance::Assign(partitions))) => {
                consumer.acknowledge().unwrap();
                if partitions.contains(&target) {
                    consumer.start_at(&target, Offset(0)).unwrap();
                }
            }
            Ok(Polled::Rebalance(_)) => consumer.acknowledge().unwrap(),
            Ok(Polled::Idle) => {}
            Err(error) => break Some(error),
        }
        let delivered = i64::try_from(records.len()).unwrap();
        if delivered == 10 {
            break None;
        }
        assert!(
            consumer.position(&target).is_none_or(|at| at <= Offset(delivered)),
            "a position passes what was not read"
        );
    };
    match told {
        None => assert_eq!(texts(&records), values),
        Some(error) => assert_eq!(error.kind, BrokerErrorKind::MemberFenced, "a new client reads them: {error}"),
    }
}
