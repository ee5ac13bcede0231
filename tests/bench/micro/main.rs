//! Micro-benchmarks of what every record meets: `cargo bench -p millpond-bench`.
//!
//! They show where time goes and whether a change pays; what the whole costs is measured by `./dev bench`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    unused_results,
    reason = "a measurement: what fails ends it where it stands, and criterion's macros write no documentation"
)]

mod engine;
mod graph;
mod keys;
mod metrics;
mod overlay;
mod restore;
mod serde;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    micro,
    overlay::measure,
    serde::measure,
    keys::measure,
    graph::measure,
    restore::measure,
    metrics::measure,
    engine::measure
);
criterion_main!(micro);
