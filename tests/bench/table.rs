//! Sums up the amounts of each key.

use std::process::ExitCode;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::serde::{Int64, Utf8};
use millpond_support::App;
use serde::Deserialize;

const TABLE: App<'static> = App {
    name: "bench-table",
    version: env!("CARGO_PKG_VERSION"),
    about: "Sums up the amounts of each key, for the benchmark",
    defaults: &[("application.id", "bench-table"), ("app.input", "amounts"), ("app.output", "sums")],
    placeholders: &[],
};

const AMOUNTS: Topic<String, String> = Topic::new("amounts", &Utf8, &Utf8);
const SUMS: Topic<String, i64> = Topic::new("sums", &Utf8, &Int64);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    input: String,
    output: String,
}

fn main() -> ExitCode {
    TABLE.run(|env| {
        let settings: Settings = env.config.app.get()?;
        let builder = StreamsBuilder::new();
        let amounts = builder.stream(&AMOUNTS.named(settings.input));
        let sums = amounts.group_by_key(Grouped::named("sums", &Utf8, &Utf8)).aggregate(
            || 0_i64,
            |_, amount: String, sum| *sum += amount.parse::<i64>().unwrap_or(0),
            Materialized::persistent("sums", &Utf8, &Int64),
        );
        sums.updates().to(&SUMS.named(settings.output));
        Ok(builder.build()?)
    })
}
