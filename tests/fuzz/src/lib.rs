//! What bytes from outside must never do to a decoder, as one function for each: it takes anything, and panics where a promise
//! is broken. `./dev fuzz` looks for bytes that do; a test replays those that are known.
//!
//! Each file in `corpus/<target>` is an input to begin with, or one that once broke something.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a broken promise panics: that is what a fuzzer looks for"
)]

mod commands;
mod configuration;
mod disk;
mod events;
mod kafka;
mod queries;
mod redacting;
mod rows;
mod services;
mod stores;
mod tokens;
mod traces;
mod values;

/// A decoder with its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. A new one needs a directory of that name in `corpus`.
pub const TARGETS: &[Target] = &[
    ("aws", services::aws),
    ("bincode", values::bincode),
    ("changelog", kafka::changelog),
    ("checkpoint", disk::checkpoint),
    ("command_line", commands::said),
    ("commit_record", kafka::commit_record),
    ("configuration", configuration::file),
    ("dead_letter", kafka::dead_letter),
    ("envelope", values::envelope),
    ("event", events::event),
    ("http_host", services::http_host),
    ("http_request", services::http_request),
    ("json", values::json),
    ("loader_row", events::loader_row),
    ("metadata", kafka::metadata),
    ("ordered_key", values::ordered_key),
    ("query", queries::query),
    ("query_answer", queries::query_answer),
    ("redaction", redacting::record),
    ("redaction_text", redacting::text),
    ("routes", configuration::routes),
    ("statistics", kafka::statistics),
    ("stored_rows", stores::rows),
    ("token_file", tokens::file),
    ("traceparent", traces::traceparent),
];

/// The target of that name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Bytes up to a separator, and the rest: several texts in one input.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default())
}
