//! No secret and nothing of a record shows where people and programs look at an application: logs, pages, errors, commands.
//!
//! Each secret of a configuration and each part of a record that is somebody's holds a text that occurs nowhere else, a canary.
//! The four applications run at their most talkative (`RUST_LOG=trace`, librdkafka's `debug=all`) against real servers, well and
//! badly, and everything that they tell is searched: as it is, percent-encoded, in hexadecimal and in base64. Topics and tables
//! that records are meant for are no sinks, and are the proof that the canaries were there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod canary;
mod configuration;
mod connections;
mod database;
mod services;
mod shop;
mod sinks;
mod working;

use shop::Shop;
use sinks::Sinks;

/// One broker and one database for all of it: they go away last.
#[test]
fn no_canary_shows_in_anything_that_an_application_tells() {
    let mut shop = Shop::open();
    let mut sinks = Sinks::default();
    connections::refused(&shop, &mut sinks);
    working::works_and_breaks(&mut shop, &mut sinks);
    assert!(sinks.count() > 150, "{} sinks", sinks.count());
    sinks.report();
}
