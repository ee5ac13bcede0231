//! `count`, `reduce`, `aggregate` against folds over a map.

use std::collections::BTreeMap;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder};
use millpond::record::Record;
use millpond::serde::{Int64, Utf8};
use millpond::time::Timestamp;

use crate::{OUT, TEXT_OUT, WORDS, driver, driver_with, pipe_words, run, text};

const INPUT: &[(&str, i64)] = &[("a", 1), ("b", 2), ("a", 3), ("a", -5), ("b", 4)];

fn grouped(b: &StreamsBuilder) -> millpond::dsl::KGroupedStream<String, i64> {
    b.stream(&WORDS).group_by_key(Grouped::named("by-key", &Utf8, &Int64))
}

/// Every update in order, as a loop over the input would make them.
fn naive(fold: impl Fn(Option<i64>, i64) -> i64) -> Vec<(String, i64)> {
    let mut state = BTreeMap::new();
    let step = |&(key, n): &(&'static str, i64)| {
        let new = fold(state.get(key).copied(), n);
        state.insert(key, new);
        (text(key), new)
    };
    INPUT.iter().map(step).collect()
}

#[test]
fn count_counts_the_records_of_a_key() {
    let store = || Materialized::persistent("counts", &Utf8, &Int64);
    let out = run(INPUT, |b| grouped(b).count(store()).updates().to(&OUT));
    assert_eq!(out, naive(|old, _| old.unwrap_or(0) + 1));
}

#[test]
fn reduce_folds_values_and_begins_with_the_first() {
    let store = || Materialized::persistent("max", &Utf8, &Int64);
    let out = run(INPUT, |b| grouped(b).reduce(Ord::max, store()).updates().to(&OUT));
    assert_eq!(out, naive(|old, n| old.map_or(n, |old| old.max(n))));
}

#[test]
fn aggregate_folds_into_another_type_and_begins_with_its_own_value() {
    let mut driver = driver(|b| {
        let trail = |_: &String, n: i64, trail: &mut String| *trail = format!("{trail} {n}");
        let store = Materialized::persistent("trails", &Utf8, &Utf8);
        grouped(b).aggregate(|| text("trail:"), trail, store).updates().to(&TEXT_OUT);
    });
    pipe_words(&mut driver, INPUT);
    let last: BTreeMap<String, String> = driver.read_committed(&TEXT_OUT).into_iter().collect();
    assert_eq!(last, BTreeMap::from([(text("a"), text("trail: 1 3 -5")), (text("b"), text("trail: 2 4"))]));
}

#[test]
fn group_by_meets_equal_new_keys_across_partitions() {
    let mut driver = driver_with(4, |b| {
        let parity = |_: &String, n: &i64| if n % 2 == 0 { text("even") } else { text("odd") };
        let grouped = b.stream(&WORDS).group_by(parity, Grouped::named("parity", &Utf8, &Int64));
        grouped.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&OUT);
    });
    for i in 0..51 {
        driver.pipe(&WORDS, format!("key{i}"), i, i);
    }
    driver.commit();
    let last: BTreeMap<String, i64> = driver.read_committed(&OUT).into_iter().collect();
    assert_eq!(last, BTreeMap::from([(text("even"), 26), (text("odd"), 25)]));
}

#[test]
fn two_aggregations_of_one_grouping_share_its_repartition() {
    let mut driver = driver(|b| {
        let grouped = b.stream(&WORDS).group_by(|_, n| n.to_string(), Grouped::named("n", &Utf8, &Int64));
        grouped.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&OUT);
        grouped.reduce(|a, b| a + b, Materialized::persistent("sums", &Utf8, &Int64)).updates().to(&OUT);
    });
    pipe_words(&mut driver, &[("a", 7), ("b", 7)]);
    assert_eq!(driver.records("test-n-repartition").len(), 2);
    let mut out = driver.read_committed(&OUT);
    out.sort();
    assert_eq!(out, [(text("7"), 1), (text("7"), 2), (text("7"), 7), (text("7"), 14)]);
}

#[test]
fn an_aggregate_carries_the_largest_timestamp_of_its_records() {
    let mut driver = driver(|b| {
        grouped(b).count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&OUT);
    });
    for at in [10, 30, 20] {
        driver.pipe_record(&WORDS, Record::new(text("a"), 1, Timestamp::from_millis(at)));
    }
    driver.commit();
    let times: Vec<i64> = driver.records("out").iter().map(|record| record.timestamp.as_millis()).collect();
    assert_eq!(times, [10, 30, 30]);
}
