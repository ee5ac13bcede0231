//! A table: the latest price of each item, kept in a store; a null value removes the item. Every change is written as text.
//!
//! ```text
//! cargo run --example 3_table --no-default-features --features testing
//! cargo run --example 3_table -- --bootstrap-servers localhost:9092
//! ```
//!
//! With a real broker: write prices to the topic `prices`, the item as the key, text as the value; read `price-changes`.

use std::error::Error;

use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::serde::Utf8;
use millpond::topology::{Topology, TopologyError};

#[path = "run/mod.rs"]
mod run;

/// What is read: an item and its price; null removes it.
const PRICES: Topic<String, String> = Topic::new("prices", &Utf8, &Utf8);
/// What is written: what happened to the item.
const CHANGES: Topic<String, String> = Topic::new("price-changes", &Utf8, &Utf8);

/// The whole application.
pub(crate) fn topology() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    builder
        .table(&PRICES, Materialized::persistent("prices", &Utf8, &Utf8))
        .to_stream()
        .map_values(|_item, price| price.map_or_else(|| "no longer sold".to_owned(), |price| format!("costs {price}")))
        .to(&CHANGES);
    builder.build()
}

fn main() -> Result<(), Box<dyn Error>> {
    run::run("price-table", topology()?, simulate)
}

#[cfg(feature = "testing")]
pub(crate) fn simulate(topology: Topology) -> Vec<String> {
    use millpond::serde::Nullable;
    use millpond::testing::TopologyTestDriver;

    const WITH_NULLS: Topic<String, Option<String>> = Topic::new("prices", &Utf8, &Nullable(&Utf8));

    let mut driver = TopologyTestDriver::builder(topology).build();
    driver.pipe(&PRICES, "flour".to_owned(), "1.20".to_owned(), 1);
    driver.commit();
    // The machine is replaced: the table comes back from its changelog.
    driver.crash_and_lose_disk();
    driver.pipe(&PRICES, "flour".to_owned(), "1.35".to_owned(), 2);
    driver.pipe(&WITH_NULLS, "flour".to_owned(), None, 3);
    // Nothing to remove, so nothing changes.
    driver.pipe(&WITH_NULLS, "bran".to_owned(), None, 4);
    driver.commit();
    driver.read_committed(&CHANGES).into_iter().map(|(item, change)| format!("{item} {change}")).collect()
}

#[cfg(not(feature = "testing"))]
fn simulate(_topology: Topology) -> Vec<String> {
    vec!["no simulated broker in this build: add --features testing, or --bootstrap-servers HOST:PORT".to_owned()]
}
