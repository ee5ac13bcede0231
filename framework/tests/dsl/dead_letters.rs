//! Bad records: the task stops, or the record is set aside in the same transaction.

use bytes::Bytes;
use millpond::dsl::StreamsBuilder;
use millpond::error::Recovery;
use millpond::processor::ProcessorError;
use millpond::record::{ConsumedRecord, Headers, Partition, ProducerRecord, TopicPartition};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;
use millpond::topology::Topology;

use crate::{OUT, WORDS, pairs, text};

fn no_negatives() -> Topology {
    let builder = StreamsBuilder::new();
    let check = |record: millpond::record::Record<String, i64>| match record.value {
        ..0 => Err(ProcessorError::bad_record("negative")),
        _ => Ok(record),
    };
    builder.stream(&WORDS).try_map(check).to(&OUT);
    builder.build().unwrap()
}

fn headers() -> Headers {
    [("trace", Some(Bytes::from_static(b"1")))].into_iter().collect()
}

/// A good record, one with a value of three bytes, one without a key, one that the node refuses, a good one.
fn pipe(driver: &mut TopologyTestDriver) {
    let (key, good) = (Some(Bytes::from_static(b"k")), |n: i64| Some(Bytes::copy_from_slice(&n.to_be_bytes())));
    let records = [
        (key.clone(), good(1)),
        (key.clone(), Some(Bytes::from_static(b"\0\0\x01"))),
        (None, good(2)),
        (key.clone(), good(-3)),
        (key.clone(), None),
        (key, good(4)),
    ];
    for (at, (key, value)) in (100..).zip(records) {
        driver.pipe_raw("words", key, value, Timestamp::from_millis(at), headers());
    }
    driver.commit();
}

fn header<'a>(letter: &'a ConsumedRecord, name: &str) -> Option<&'a str> {
    letter.headers.last(&format!("__streams.errors.{name}")).flatten().and_then(|value| str::from_utf8(value).ok())
}

#[test]
fn dead_letters_with_payload_are_the_records_with_reason_and_source() {
    let mut driver = TopologyTestDriver::builder(no_negatives()).dead_letters(true).build();
    pipe(&mut driver);
    assert_eq!(driver.read_committed(&OUT), pairs(&[("k", 1), ("k", 4)]));
    let letters = driver.records("dead-letters");
    let reasons: Vec<_> = letters.iter().filter_map(|letter| header(letter, "reason")).collect();
    assert_eq!(reasons, ["malformed_value", "null_key", "negative", "null_value"]);
    let nodes: Vec<_> = letters.iter().filter_map(|letter| header(letter, "node")).collect();
    let source = "KSTREAM-SOURCE-0000000000";
    assert_eq!(nodes, [source, source, "KSTREAM-MAP-0000000001", source]);
    let first = &letters[0];
    assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"k"[..]), Some(&b"\0\0\x01"[..])));
    assert_eq!(first.headers.last("trace"), Some(Some(&Bytes::from_static(b"1"))));
    for (name, value) in [("topic", "words"), ("partition", "0"), ("offset", "1"), ("timestamp", "101")] {
        assert_eq!(header(first, name), Some(value), "{name}");
    }
    assert_eq!(driver.lag(), 0);
}

#[test]
fn dead_letters_without_payload_only_point_to_their_source() {
    let mut driver = TopologyTestDriver::builder(no_negatives()).dead_letters(false).build();
    pipe(&mut driver);
    let letters = driver.records("dead-letters");
    assert_eq!(letters.len(), 4);
    let keys: Vec<_> = letters.iter().filter_map(|letter| letter.key.as_deref()).collect();
    assert_eq!(keys, [&b"words-0@1"[..], b"words-0@2", b"words-0@3", b"words-0@4"]);
    assert!(letters.iter().all(|letter| letter.value.is_none() && letter.headers.last("trace").is_none()));
}

#[test]
fn dead_letters_appear_with_the_commit_and_once_after_a_crash() {
    let mut driver = TopologyTestDriver::builder(no_negatives()).dead_letters(true).build();
    driver.pipe(&WORDS, text("a"), -1, 0);
    assert_eq!(driver.records("dead-letters"), []);
    driver.crash();
    driver.commit();
    assert_eq!(driver.records("dead-letters").len(), 1);
    let counted: u64 = driver.thread().tasks().filter_map(|task| task.counters().dead_letters.get("negative")).sum();
    assert_eq!(counted, 1);
}

#[test]
fn without_a_dead_letter_topic_a_bad_record_stops_the_application_and_is_never_passed() {
    let mut driver = TopologyTestDriver::builder(no_negatives()).build();
    driver.pipe(&WORDS, text("a"), 1, 0);
    driver.commit();
    let target = TopicPartition::new("words", Partition(0));
    let (key, value) = (Some(Bytes::from_static(b"secret")), Some(Bytes::from_static(b"payload")));
    let record = ProducerRecord { target, timestamp: Timestamp::EPOCH, key, value, headers: Headers::new() };
    driver.broker().append(record).unwrap();
    let error = driver.try_run().unwrap_err();
    assert_eq!(error.recovery(), Recovery::Shutdown);
    assert_eq!(
        error.to_string(),
        "task 0_0: node=KSTREAM-SOURCE-0000000000: value: wrong length: expected=8 actual=7 bytes (record words-0 offset=1)"
    );
    assert_eq!(driver.lag(), 1);
}
