//! Operators without state against what an iterator would do.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millpond::dsl::Topic;
use millpond::processor::ProcessorError;
use millpond::record::{Headers, Record};
use millpond::serde::{Int64, Utf8};
use millpond::time::Timestamp;

use crate::{OUT, WORDS, driver, driver_with, pairs, pipe_words, run, text};

const INPUT: &[(&str, i64)] = &[("a", 1), ("b", -2), ("a", 3), ("c", 0)];

#[test]
fn filter_keeps_what_the_predicate_wants() {
    let out = run(INPUT, |b| b.stream(&WORDS).filter(|key, n| key == "a" && *n > 1).to(&OUT));
    assert_eq!(out, pairs(&[("a", 3)]));
}

#[test]
fn filter_not_drops_what_the_predicate_wants() {
    let out = run(INPUT, |b| b.stream(&WORDS).filter_not(|key, _| key == "a").to(&OUT));
    assert_eq!(out, pairs(&[("b", -2), ("c", 0)]));
}

#[test]
fn map_gives_another_key_and_value() {
    let out = run(INPUT, |b| b.stream(&WORDS).map(|key, n| (format!("{key}{n}"), n * 2)).to(&OUT));
    assert_eq!(out, pairs(&[("a1", 2), ("b-2", -4), ("a3", 6), ("c0", 0)]));
}

#[test]
fn map_values_keeps_the_key() {
    let length = |key: &String, n: i64| n + i64::try_from(key.len()).unwrap();
    let out = run(INPUT, |b| b.stream(&WORDS).map_values(length).to(&OUT));
    assert_eq!(out, pairs(&[("a", 2), ("b", -1), ("a", 4), ("c", 1)]));
}

#[test]
fn flat_map_gives_any_number_of_records_in_order() {
    let repeat = |key: String, n: i64| (0..n).map(move |i| (format!("{key}{i}"), i));
    let out = run(INPUT, |b| b.stream(&WORDS).flat_map(repeat).to(&OUT));
    assert_eq!(out, pairs(&[("a0", 0), ("a0", 0), ("a1", 1), ("a2", 2)]));
}

#[test]
fn flat_map_values_gives_any_number_of_values_under_one_key() {
    let out = run(INPUT, |b| b.stream(&WORDS).flat_map_values(|_, n| 0..n).to(&OUT));
    assert_eq!(out, pairs(&[("a", 0), ("a", 0), ("a", 1), ("a", 2)]));
}

#[test]
fn select_key_gives_another_key() {
    let out = run(INPUT, |b| b.stream(&WORDS).select_key(|_, n| n.to_string()).to(&OUT));
    assert_eq!(out, pairs(&[("1", 1), ("-2", -2), ("3", 3), ("0", 0)]));
}

#[test]
fn try_map_gives_a_whole_new_record() {
    let relabel = |record: Record<String, i64>| {
        let mut record = record.with_timestamp(Timestamp::from_millis(77));
        record.headers.push("seen", None);
        Ok::<_, ProcessorError>(record)
    };
    let mut driver = driver(|b| b.stream(&WORDS).try_map(relabel).to(&OUT));
    pipe_words(&mut driver, &[("a", 1)]);
    let out = driver.records("out");
    assert_eq!(out[0].timestamp, Timestamp::from_millis(77));
    assert_eq!(out[0].headers.last("seen"), Some(None));
}

#[test]
fn peek_looks_and_passes_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = seen.clone();
    let out =
        run(INPUT, |b| b.stream(&WORDS).peek(move |key, n| look.lock().unwrap().push((key.clone(), *n))).to(&OUT));
    assert_eq!(out, pairs(INPUT));
    assert_eq!(*seen.lock().unwrap(), pairs(INPUT));
}

#[test]
fn for_each_sees_every_record_and_ends_the_stream() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let act = seen.clone();
    let mut driver = driver(|b| b.stream(&WORDS).for_each(move |key, n| act.lock().unwrap().push((key.clone(), *n))));
    pipe_words(&mut driver, INPUT);
    assert_eq!(*seen.lock().unwrap(), pairs(INPUT));
    assert_eq!(driver.lag(), 0);
}

#[test]
fn a_stream_with_several_children_goes_to_each_in_order() {
    let out = run(&[("a", 1)], |b| {
        let words = b.stream(&WORDS);
        words.map_values(|_, n| n + 10).to(&OUT);
        words.map_values(|_, n| n + 20).to(&OUT);
        words.to(&OUT);
    });
    assert_eq!(out, pairs(&[("a", 11), ("a", 21), ("a", 1)]));
}

#[test]
fn merge_has_the_records_of_both_streams() {
    const MORE: Topic<String, i64> = Topic::new("more", &Utf8, &Int64);
    let mut driver = driver_with(3, |b| b.stream(&WORDS).merge(&b.stream(&MORE).map_values(|_, n| n + 100)).to(&OUT));
    for i in 0..20 {
        driver.pipe(&WORDS, format!("w{i}"), i, i);
        driver.pipe(&MORE, format!("m{i}"), i, i);
    }
    driver.commit();
    let mut out = driver.read_committed(&OUT);
    out.sort();
    let mut naive: Vec<(String, i64)> =
        (0..20).flat_map(|i| [(format!("w{i}"), i), (format!("m{i}"), i + 100)]).collect();
    naive.sort();
    assert_eq!(out, naive);
}

#[test]
fn a_stream_merged_with_its_own_branch_has_each_record_twice() {
    let out = run(&[("a", 1), ("b", 2)], |b| {
        let words = b.stream(&WORDS);
        words.merge(&words.filter(|_, _| true)).to(&OUT);
    });
    assert_eq!(out, pairs(&[("a", 1), ("a", 1), ("b", 2), ("b", 2)]));
}

#[test]
fn split_sends_each_record_to_the_first_branch_that_wants_it() {
    let out = run(&[("a", 5), ("b", -1), ("c", 50), ("d", 0)], |b| {
        let branches = b
            .stream(&WORDS)
            .split()
            .branch("big", |_, n| *n > 9)
            .branch("positive", |_, n| *n > 0)
            .default_branch("rest")
            .build();
        assert_eq!(branches.keys().collect::<Vec<_>>(), ["big", "positive", "rest"]);
        for (name, stream) in branches {
            stream.map(move |key, n| (format!("{name}-{key}"), n)).to(&OUT);
        }
    });
    assert_eq!(out, pairs(&[("positive-a", 5), ("rest-b", -1), ("big-c", 50), ("rest-d", 0)]));
}

#[test]
fn split_without_a_default_drops_what_no_branch_wants() {
    let out = run(&[("a", 5), ("b", -1)], |b| {
        let branches = b.stream(&WORDS).split().branch("positive", |_, n| *n > 0).build();
        branches["positive"].to(&OUT);
    });
    assert_eq!(out, pairs(&[("a", 5)]));
}

#[test]
fn a_branch_that_goes_nowhere_takes_its_records_from_the_later_ones() {
    let out = run(&[("a", 5), ("b", -1)], |b| {
        let branches = b.stream(&WORDS).split().branch("positive", |_, n| *n > 0).default_branch("rest").build();
        branches["rest"].to(&OUT);
    });
    assert_eq!(out, pairs(&[("b", -1)]));
}

#[test]
fn to_computed_writes_each_record_to_the_topic_it_chooses() {
    const EVEN: Topic<String, i64> = Topic::new("even", &Utf8, &Int64);
    const ODD: Topic<String, i64> = Topic::new("odd", &Utf8, &Int64);
    let choose = |record: &Record<String, i64>| usize::from(record.value % 2 != 0);
    let mut driver = driver(|b| b.stream(&WORDS).to_computed(&[&EVEN, &ODD], choose));
    pipe_words(&mut driver, &[("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(driver.read_committed(&EVEN), pairs(&[("b", 2)]));
    assert_eq!(driver.read_committed(&ODD), pairs(&[("a", 1), ("c", 3)]));
}

#[test]
fn headers_and_timestamps_survive_every_stateless_hop() {
    let mut driver = driver(|b| {
        b.stream(&WORDS)
            .filter(|_, _| true)
            .map(|key, n| (key, n))
            .map_values(|_, n| n)
            .flat_map(|key, n| [(key, n)])
            .flat_map_values(|_, n| [n])
            .select_key(|key, _| key.clone())
            .peek(|_, _| ())
            .to(&OUT);
    });
    let headers: Headers = [("trace", Some(Bytes::from_static(b"1"))), ("trace", None)].into_iter().collect();
    let record = Record { headers: headers.clone(), ..Record::new(text("k"), 1, Timestamp::from_millis(42)) };
    driver.pipe_record(&WORDS, record);
    driver.commit();
    let out = driver.records("out");
    assert_eq!((out[0].timestamp, &out[0].headers), (Timestamp::from_millis(42), &headers));
}
