//! Counts the records of each key, in one store or in several.

use std::process::ExitCode;

use bytes::Bytes;
use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::serde::{Int64, Raw, Utf8};
use millpond_support::App;
use serde::Deserialize;

const COUNT: App<'static> = App {
    name: "bench-count",
    version: env!("CARGO_PKG_VERSION"),
    about: "Counts the records of each key, for the benchmark",
    defaults: &[("application.id", "bench-count"), ("app.input", "events"), ("app.output", "counts")],
    placeholders: &[],
};

const EVENTS: Topic<String, Bytes> = Topic::new("events", &Utf8, &Raw);
const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    input: String,
    output: String,
    stores: Option<u32>,
}

fn main() -> ExitCode {
    COUNT.run(|env| {
        let settings: Settings = env.config.app.get()?;
        let builder = StreamsBuilder::new();
        let events = builder.stream(&EVENTS.named(settings.input));
        let events = events.group_by_key(Grouped::named("counts", &Utf8, &Raw));
        let counts = events.count(Materialized::persistent("counts", &Utf8, &Int64));
        counts.updates().to(&COUNTS.named(settings.output));
        for more in 1..settings.stores.unwrap_or(1) {
            let _ = events.count(Materialized::persistent(&format!("counts-{more}"), &Utf8, &Int64));
        }
        Ok(builder.build()?)
    })
}
