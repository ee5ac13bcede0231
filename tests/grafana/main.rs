//! Boards, rules and the tables of metrics cannot drift apart: every metric and label that they ask for exists, every alert
//! has a runbook and is proved to fire and to stay quiet.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod boards;
mod names;
mod rules;

use std::fs;
use std::path::PathBuf;

/// A file or directory below `grafana/`.
fn path(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../grafana").join(below)
}

fn text(below: &str) -> String {
    fs::read_to_string(path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}
