//! Repartitioning: equal keys meet in one task, nothing is lost, nothing is added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millpond::dsl::{Grouped, Materialized, Repartitioned, StreamsBuilder, Topic};
use millpond::partitioner::partition_for_key;
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::{Headers, Record, TaskId};
use millpond::serde::{Int64, Null, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;
use proptest::prelude::*;

use crate::{OUT, WORDS, driver, driver_with, pipe_words, text};

/// Which tasks saw a key.
type Seen = Arc<Mutex<BTreeMap<String, BTreeSet<TaskId>>>>;

struct Witness(Seen);

impl Processor for Witness {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        self.0.lock().unwrap().entry(record.key.clone()).or_default().insert(context.task_id());
        context.forward(record)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn equal_keys_meet_in_one_task_and_no_record_is_lost(
        records in prop::collection::vec(("[a-z]{0,3}", any::<i64>()), 0..40),
        partitions in 1_usize..5,
        own in prop::option::of(1_i32..7),
    ) {
        const RAW: Topic<(), i64> = Topic::new("raw", &Null, &Int64);
        let seen = Seen::default();
        let keys: Vec<String> = records.iter().map(|(key, _)| key.clone()).collect();
        let builder = StreamsBuilder::new();
        let mut by = Repartitioned::named("by-key", &Utf8, &Int64);
        if let Some(own) = own {
            by = by.partitions(own);
        }
        let witness = seen.clone();
        // The value is the place of the key in the list: records have no key on the wire.
        builder
            .stream(&RAW)
            .select_key(move |(), place| keys[usize::try_from(*place).unwrap()].clone())
            .repartition(by)
            .process("witness", &(), move |()| Witness(witness.clone()))
            .to(&OUT);
        let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).partitions(partitions).build();
        for place in 0..records.len() {
            let place = i64::try_from(place).unwrap();
            driver.pipe(&RAW, (), place, place);
        }
        driver.commit();

        let count = own.unwrap_or(i32::try_from(partitions).unwrap());
        for (key, tasks) in seen.lock().unwrap().iter() {
            let partition = partition_for_key(key.as_bytes(), count);
            prop_assert_eq!(tasks, &BTreeSet::from([TaskId { subtopology: 1, partition }]));
        }
        let mut out = driver.read_committed(&OUT);
        out.sort();
        let mut naive: Vec<(String, i64)> = (0..).zip(&records).map(|(place, (key, _))| (key.clone(), place)).collect();
        naive.sort();
        prop_assert_eq!(out, naive);
        prop_assert_eq!(driver.lag(), 0);
    }
}

#[test]
fn headers_timestamps_and_null_keys_survive_a_repartition() {
    const RAW: Topic<(), i64> = Topic::new("raw", &Null, &Int64);
    const RAW_OUT: Topic<(), i64> = Topic::new("raw-out", &Null, &Int64);
    let mut driver =
        driver_with(2, |b| b.stream(&RAW).repartition(Repartitioned::named("again", &Null, &Int64)).to(&RAW_OUT));
    let headers: Headers = [("trace", Some(Bytes::from_static(b"1")))].into_iter().collect();
    driver.pipe_record(&RAW, Record { headers: headers.clone(), ..Record::new((), 7, Timestamp::from_millis(42)) });
    driver.commit();
    let out = driver.records("raw-out");
    assert_eq!((&out[0].key, out[0].timestamp, &out[0].headers), (&None, Timestamp::from_millis(42), &headers));
}

#[test]
fn a_repartition_is_a_sub_topology_of_its_own_with_a_topic_of_the_application() {
    let driver = driver(|b| b.stream(&WORDS).repartition(Repartitioned::named("again", &Utf8, &Int64)).to(&OUT));
    let tasks: Vec<String> = driver.thread().tasks().map(|task| task.id().to_string()).collect();
    assert_eq!(tasks, ["0_0", "1_0"]);
    assert_eq!(driver.broker().partitions("test-again-repartition").len(), 1);
}

#[test]
fn grouping_by_the_key_as_it_is_needs_no_repartition() {
    let count = |b: &StreamsBuilder, change_key: bool| {
        let words = b.stream(&WORDS);
        let words = if change_key { words.select_key(|key, _| key.clone()) } else { words.map_values(|_, n| n) };
        let grouped = words.group_by_key(Grouped::named("words", &Utf8, &Int64));
        grouped.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&OUT);
    };
    for (change_key, repartitions) in [(false, 0), (true, 1)] {
        let mut driver = driver(|b| count(b, change_key));
        pipe_words(&mut driver, &[("a", 0), ("a", 0)]);
        assert_eq!(driver.broker().partitions("test-words-repartition").len(), repartitions);
        assert_eq!(driver.read_committed(&OUT), [(text("a"), 1), (text("a"), 2)]);
    }
}

#[test]
fn a_key_that_is_marked_as_partitioned_is_not_repartitioned() {
    let mut driver = driver(|b| {
        let words = b.stream(&WORDS).select_key(|key, _| format!("{key}!")).mark_partitioned();
        let grouped = words.group_by_key(Grouped::named("words", &Utf8, &Int64));
        grouped.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&OUT);
    });
    pipe_words(&mut driver, &[("a", 0), ("a", 0)]);
    assert_eq!(driver.broker().partitions("test-words-repartition").len(), 0);
    assert_eq!(driver.read_committed(&OUT), [(text("a!"), 1), (text("a!"), 2)]);
}
