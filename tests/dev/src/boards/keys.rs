//! The page of all keys of the configuration.

use std::fmt::Write as _;

use millpond::runtime::config::{REFUSED, StreamsConfig};

const HEAD: &str = "# Configuration

Written by `./dev boards` from the table in the code: [`src/runtime/config/key.rs`](src/runtime/config/key.rs).

A key is said in a file (`commit.interval.ms = 100`), in the environment (`MILLPOND_COMMIT_INTERVAL_MS`: capitals, and `_` for
each dot) or by a flag (`--set commit.interval.ms=100`). Flags override the environment, which overrides the file given by
`--config`, which overrides the application's defaults, which override these; `--show-config` tells what holds, and who said it.
Bytes may be said as a number or as in `\"64 MiB\"`. The application's own keys, `[app]`, are in the [README](../README.md).

| Key | What it is | What may be said | Default |
|---|---|---|---|
";

const PROPERTIES: &str = "
## Properties of librdkafka

`[kafka]` passes [any property](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) on: `linger.ms = 5`
there, `MILLPOND_KAFKA_LINGER_MS`, `--set kafka.linger.ms=5`. But for these, which are refused
([`src/runtime/config/kafka.rs`](src/runtime/config/kafka.rs)):

| Property | Why |
|---|---|
";

pub(super) fn page() -> String {
    let mut text = HEAD.to_owned();
    for key in StreamsConfig::keys() {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let _ = writeln!(text, "| `{}` | {} | {} | {default} |", key.name, key.meaning, key.accepts);
    }
    text += PROPERTIES;
    for refused in REFUSED {
        let _ = writeln!(text, "| `{}` | {} |", refused.property, refused.reason);
    }
    text
}
