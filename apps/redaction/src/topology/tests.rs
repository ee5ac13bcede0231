//! The topology in the production loop on the simulated broker.

use millpond::record::{Headers, Partition};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;

use super::*;
use crate::{Class, Place};

#[expect(clippy::unnecessary_wraps, reason = "keys and values of records may be null")]
fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn records_are_redacted_and_refused_ones_are_dead_lettered_without_their_bytes() {
    let totals = Arc::new(Totals::default());
    let topology = topology(&EVENTS, &PROCESSED_EVENTS, Redactor::default(), &totals).unwrap();
    let mut driver = TopologyTestDriver::builder(topology).dead_letters(false).build();
    let headers: Headers = [("to", bytes("joe@example.com")), ("id", None)].into_iter().collect();
    let value = bytes("{\"e\": \"joe@example.com\"}");
    driver.pipe_record(
        &EVENTS,
        Record { key: bytes("joe@example.com"), value, timestamp: Timestamp::from_millis(7), headers },
    );
    driver.pipe(&EVENTS, bytes("joe@example.com"), bytes("{\"joe@example.com\""), 8);
    driver.pipe(&EVENTS, None, None, 9);
    assert_eq!(driver.read_committed(&PROCESSED_EVENTS), []);
    driver.commit();

    let redacted = driver.records("processed_events");
    let [first, second] = redacted.as_slice() else { panic!("{redacted:?}") };
    assert_eq!((&first.key, &first.value), (&bytes("[redacted]"), &bytes("{\"e\": \"[redacted]\"}")));
    let headers: Vec<_> = first.headers.iter().collect();
    assert_eq!(headers, [("to", bytes("[redacted]").as_ref()), ("id", None)]);
    assert_eq!((first.timestamp, first.source.partition), (Timestamp::from_millis(7), Partition(0)));
    assert_eq!((&second.key, &second.value, second.timestamp), (&None, &None, Timestamp::from_millis(9)));
    assert_eq!(totals.snapshot().get(Place::Header, Class::Plain), 1);
    assert_eq!(totals.snapshot().total(), 3);

    let dead = driver.records("dead-letters");
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(!format!("{dead:?}").contains("example.com"), "{dead:?}");
    assert!(dead.headers.iter().any(|(_, value)| value.is_some_and(|value| value == "not_json")), "{dead:?}");
    assert_eq!(driver.lag(), 0);
}
