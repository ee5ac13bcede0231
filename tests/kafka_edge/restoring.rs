//! The reader of changelogs.

use millpond_harness::wait_for;

use super::*;

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

/// Statistics come every five seconds, also when nothing is read: whoever did not take them would collect them for ever.
#[test]
fn a_reader_tells_its_requests_and_round_trips_while_it_reads_and_while_it_rests() {
    let broker = broker();
    create(&broker, "told", 1);
    let target = at("told", 0);
    let mut producer = broker.producer("told").unwrap();
    commit(&mut producer, &target, &["a"]);
    // Brokers that have answered within the last five seconds.
    let answering = || {
        let readers = broker.clients().into_iter().filter(|client| client.role == "reader");
        let brokers = readers.flat_map(|reader| reader.brokers);
        brokers.filter(|broker| broker.round_trip_p50.is_some() && broker.counters.requests > 0).count()
    };
    let mut reader = broker.reader().unwrap();
    reader.assign(&BTreeMap::from([(target.clone(), Offset(0))])).unwrap();
    let told = wait_for(LIMIT, "requests are told", || {
        reader.poll(POLL).unwrap();
        answering() > 0
    });
    told.unwrap();
    assert_eq!(reader.position(&target), Some(Offset(2)));
    reader.assign(&BTreeMap::new()).unwrap();
    let told = wait_for(LIMIT, "it is told that nothing is asked any more", || {
        reader.idle();
        answering() == 0
    });
    told.unwrap();
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
