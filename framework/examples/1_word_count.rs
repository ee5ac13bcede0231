//! Counts words. Lines come without a key, so equal words meet through a repartition topic; the counts are a table whose
//! every update is written.
//!
//! ```text
//! cargo run --example 1_word_count --no-default-features --features testing
//! cargo run --example 1_word_count -- --bootstrap-servers localhost:9092
//! ```
//!
//! With a real broker: write lines to the topic `lines`, read `word-counts`.

use std::error::Error;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::serde::{Int64, Null, Utf8};
use millpond::topology::{Topology, TopologyError};

#[path = "run/mod.rs"]
mod run;

/// What is read: lines of text without keys.
const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
/// What is written: a word, and how often it has been seen.
const COUNTS: Topic<String, i64> = Topic::new("word-counts", &Utf8, &Int64);

/// The whole application.
pub(crate) fn topology() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream(&LINES)
        .flat_map_values(|(), line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|(), word| word.clone(), Grouped::named("words", &Utf8, &Utf8))
        .count(Materialized::persistent("counts", &Utf8, &Int64))
        .updates()
        .to(&COUNTS);
    builder.build()
}

fn main() -> Result<(), Box<dyn Error>> {
    run::run("word-count", topology()?, simulate)
}

#[cfg(feature = "testing")]
pub(crate) fn simulate(topology: Topology) -> Vec<String> {
    use millpond::testing::TopologyTestDriver;

    let mut driver = TopologyTestDriver::builder(topology).partitions(3).build();
    driver.pipe(&LINES, (), "the mill and the pond".to_owned(), 1);
    let mut lines = vec![format!("before the commit: {:?}", driver.read_committed(&COUNTS))];
    // The process dies: nothing was committed, so nothing was counted, and the line is read again.
    driver.crash();
    driver.pipe(&LINES, (), "The end".to_owned(), 2);
    driver.commit();
    lines.extend(driver.read_committed(&COUNTS).into_iter().map(|(word, count)| format!("{word} {count}")));
    lines
}

#[cfg(not(feature = "testing"))]
fn simulate(_topology: Topology) -> Vec<String> {
    vec!["no simulated broker in this build: add --features testing, or --bootstrap-servers HOST:PORT".to_owned()]
}
