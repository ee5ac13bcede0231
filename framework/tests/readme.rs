//! The test that README.md shows: it runs here, and README.md must show these very lines.
#![cfg(feature = "testing")]

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::serde::{Int64, Null, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::topology::{Topology, TopologyError};

const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
const COUNTS: Topic<String, i64> = Topic::new("word-counts", &Utf8, &Int64);

/// Lines in, the count of each word out.
fn word_count() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .stream(&LINES)
        .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .group_by(|(), word| word.clone(), Grouped::named("by-word", &Utf8, &Utf8))
        .count(Materialized::persistent("counts", &Utf8, &Int64))
        .updates()
        .to(&COUNTS);
    builder.build()
}

#[test]
fn a_crash_before_the_commit_loses_nothing_and_repeats_nothing() {
    let mut driver = TopologyTestDriver::builder(word_count().unwrap()).partitions(3).build();
    driver.pipe(&LINES, (), "mill pond mill".to_owned(), 1_000); // the event time, in milliseconds
    assert_eq!(driver.read_committed(&COUNTS), []); // nothing is visible before the commit
    driver.crash(); // and nothing is lost
    driver.commit();
    let mut counts = driver.read_committed(&COUNTS);
    counts.sort();
    assert_eq!(counts, [("mill".to_owned(), 1), ("mill".to_owned(), 2), ("pond".to_owned(), 1)]);
}

#[test]
fn the_readme_shows_the_lines_of_this_file() {
    let here = include_str!("readme.rs");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    for function in ["fn word_count()", "#[test]\nfn a_crash_before_the_commit_loses_nothing_and_repeats_nothing()"] {
        let from = here.find(function).unwrap();
        let whole = &here[from..][..here[from..].find("\n}\n").unwrap() + 3];
        assert!(readme.contains(whole), "README.md lacks\n{whole}");
    }
    // What the test needs and the application does not.
    assert!(readme.contains("#[cfg(test)]\nuse millpond::testing::TopologyTestDriver;\n"));
}
