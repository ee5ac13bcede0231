//! The loader against a real PostgreSQL, reading from the simulated broker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails"
)]

#[path = "loader/connecting.rs"]
mod connecting;
#[path = "loader/copying.rs"]
mod copying;
#[path = "loader/database.rs"]
mod database;
#[path = "loader/dead_letters.rs"]
mod dead_letters;
#[path = "loader/faults.rs"]
mod faults;
#[path = "loader/fixture.rs"]
mod fixture;
#[path = "loader/pair.rs"]
mod pair;
#[path = "loader/proxy.rs"]
mod proxy;
#[path = "loader/server.rs"]
mod server;
#[path = "loader/stream.rs"]
mod stream;
#[path = "loader/tls.rs"]
mod tls;
