//! Every operator of the DSL and the Processor API, one fact each, on the simulated broker through the production loop.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: helpers fail it where they stand")]

mod aggregations;
mod crashes;
mod dead_letters;
mod mistakes;
mod processors;
mod repartitions;
mod stateless;
mod stores;
mod tables;

use millpond::dsl::{StreamsBuilder, Topic};
use millpond::serde::{Int64, Nullable, Utf8};
use millpond::testing::TopologyTestDriver;

const WORDS: Topic<String, i64> = Topic::new("words", &Utf8, &Int64);
const OUT: Topic<String, i64> = Topic::new("out", &Utf8, &Int64);
const TEXT: Topic<String, String> = Topic::new("text", &Utf8, &Utf8);
const TEXT_OUT: Topic<String, String> = Topic::new("text-out", &Utf8, &Utf8);
const CHANGES: Topic<String, Option<i64>> = Topic::new("changes", &Utf8, &Nullable(&Int64));

fn text(s: &str) -> String {
    s.to_owned()
}

fn pairs(list: &[(&str, i64)]) -> Vec<(String, i64)> {
    list.iter().map(|&(key, value)| (text(key), value)).collect()
}

/// Describes a topology and starts it on one partition.
fn driver(describe: impl FnOnce(&StreamsBuilder)) -> TopologyTestDriver {
    driver_with(1, describe)
}

fn driver_with(partitions: usize, describe: impl FnOnce(&StreamsBuilder)) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    describe(&builder);
    TopologyTestDriver::builder(builder.build().unwrap()).partitions(partitions).build()
}

/// Pipes words, a millisecond apart, and commits.
fn pipe_words(driver: &mut TopologyTestDriver, words: &[(&str, i64)]) {
    for (at, &(key, value)) in (0..).zip(words) {
        driver.pipe(&WORDS, text(key), value, at);
    }
    driver.commit();
}

/// What comes out of a topology on one partition.
fn run(words: &[(&str, i64)], describe: impl FnOnce(&StreamsBuilder)) -> Vec<(String, i64)> {
    let mut driver = driver(describe);
    pipe_words(&mut driver, words);
    driver.read_committed(&OUT)
}
