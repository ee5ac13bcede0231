//! The four applications as processes, on a real Kafka and a real PostgreSQL: exact results whatever happens to them.
//!
//! Nothing here waits for time to pass: every wait names the fact that it waits for. Measured figures are printed as one
//! line of JSON each; `cargo test -p millpond-tests --test e2e -- --nocapture` shows them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test panics where it fails")]

mod exact;
mod kill;
mod members;
mod size;
mod torn;
mod wire;
