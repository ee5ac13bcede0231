//! Topologies on the simulated broker, through the production loop.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: helpers fail it where they stand")]

use std::collections::BTreeMap;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::processor::ProcessorError;
use millpond::record::TaskId;
use millpond::runtime::TaskState;
use millpond::serde::{Int64, Null, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::topology::Topology;

const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
const UPPER: Topic<(), String> = Topic::new("upper", &Null, &Utf8);
const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);

fn upper_case() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&LINES).map_values(|(), line| line.to_uppercase()).to(&UPPER);
    builder.build().unwrap()
}

fn word_count() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream(&LINES)
        .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .group_by(|(), word| word.clone(), Grouped::named("words", &Utf8, &Utf8))
        .count(Materialized::persistent("counts", &Utf8, &Int64))
        .updates()
        .to(&COUNTS);
    builder.build().unwrap()
}

fn latest(counts: Vec<(String, i64)>) -> BTreeMap<String, i64> {
    counts.into_iter().collect()
}

fn counts(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
}

#[test]
fn nothing_is_visible_before_the_commit() {
    let mut driver = TopologyTestDriver::builder(upper_case()).partitions(3).build();
    driver.pipe(&LINES, (), "hello".to_owned(), 1);
    assert_eq!(driver.read_uncommitted(&UPPER), [((), "HELLO".to_owned())]);
    assert_eq!(driver.read_committed(&UPPER), []);
    driver.commit();
    assert_eq!(driver.read_committed(&UPPER), [((), "HELLO".to_owned())]);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn a_crash_before_the_commit_takes_the_output_back_and_the_input_is_processed_again() {
    let mut driver = TopologyTestDriver::builder(upper_case()).partitions(2).build();
    driver.pipe(&LINES, (), "a".to_owned(), 1);
    driver.commit();
    driver.pipe(&LINES, (), "b".to_owned(), 2);
    driver.crash();
    // p-0: A + C, p-1: B (aborted) + A + B
    driver.commit();
    let mut all = driver.read_committed(&UPPER);
    all.sort();
    assert_eq!(all, [((), "A".to_owned()), ((), "B".to_owned())]);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn counts_go_through_a_repartition_and_survive_crashes_and_lost_disks() {
    let mut driver = TopologyTestDriver::builder(word_count()).partitions(3).build();
    driver.pipe(&LINES, (), "the mill the pond".to_owned(), 1);
    driver.pipe(&LINES, (), "the wheel".to_owned(), 2);
    driver.commit();
    let expected = counts(&[("mill", 1), ("pond", 1), ("the", 3), ("wheel", 1)]);
    assert_eq!(latest(driver.read_committed(&COUNTS)), expected);

    driver.pipe(&LINES, (), "the end".to_owned(), 3);
    driver.crash();
    driver.commit();
    let expected = counts(&[("end", 1), ("mill", 1), ("pond", 1), ("the", 4), ("wheel", 1)]);
    assert_eq!(latest(driver.read_committed(&COUNTS)), expected);
    assert_eq!(driver.thread().counters().state_wipes, 0);

    driver.crash_and_lose_disk();
    driver.pipe(&LINES, (), "the mill".to_owned(), 4);
    driver.commit();
    let expected = counts(&[("end", 1), ("mill", 2), ("pond", 1), ("the", 5), ("wheel", 1)]);
    assert_eq!(latest(driver.read_committed(&COUNTS)), expected);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn a_crash_with_its_disk_replays_nothing() {
    let mut driver = TopologyTestDriver::builder(word_count()).build();
    for i in 0..100 {
        driver.pipe(&LINES, (), format!("word{i}"), i);
    }
    driver.commit();
    driver.crash();
    let restored: u64 = driver.thread().tasks().map(|task| task.counters().restored).sum();
    assert_eq!(restored, 0);
    assert!(driver.thread().tasks().all(|task| task.state() == TaskState::Running));
    driver.crash_and_lose_disk();
    let restored: u64 = driver.thread().tasks().map(|task| task.counters().restored).sum();
    assert_eq!(restored, 100);
}

#[test]
fn every_partition_of_every_sub_topology_is_a_task() {
    let driver = TopologyTestDriver::builder(word_count()).partitions(3).build();
    let ids: Vec<String> = driver.thread().tasks().map(|task| task.id()).map(|id: TaskId| id.to_string()).collect();
    assert_eq!(ids, ["0_0", "0_1", "0_2", "1_0", "1_1", "1_2"]);
}

#[test]
fn a_bad_record_is_set_aside_and_takes_its_writes_with_it() {
    let builder = StreamsBuilder::new();
    builder
        .stream(&COUNTS)
        .group_by_key(Grouped::named("n", &Utf8, &Int64))
        .reduce(|sum, n| sum + n, Materialized::persistent("sums", &Utf8, &Int64))
        .updates()
        .try_map(|record| if record.value < 0 { Err(ProcessorError::bad_record("negative_sum")) } else { Ok(record) })
        .to(&Topic::new("sums", &Utf8, &Int64));
    let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).dead_letters(true).build();
    for (n, at) in [(5, 1), (-7, 2), (1, 3)] {
        driver.pipe(&COUNTS, "k".to_owned(), n, at);
    }
    driver.commit();
    let sums = driver.read_committed(&Topic::new("sums", &Utf8, &Int64));
    // Without the roll-back the store would be at -2 after the second record, and the third would fail, too.
    assert_eq!(sums, [("k".to_owned(), 5), ("k".to_owned(), 6)]);
    let letters = driver.records("dead-letters");
    assert_eq!(letters.len(), 1);
    let header =
        |name: &str| letters[0].headers.last(name).flatten().map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(header("__streams.errors.reason").as_deref(), Some("negative_sum"));
    assert_eq!(header("__streams.errors.offset").as_deref(), Some("1"));
    assert_eq!(letters[0].value.as_deref(), Some(&(-7_i64).to_be_bytes()[..]));
}
