//! Real services for tests, benchmarks and the demo: a Kafka broker, a PostgreSQL server and application processes.
//!
//! Everything that this crate starts dies with the process that started it, also when that process is killed with
//! SIGKILL (see [`process`]); the one exception is what is detached, as `./dev up` does.
//! Calls block; they may be used from asynchronous tests too.
//!
//! ```no_run
//! use millpond_harness::{Kafka, Outgoing};
//!
//! # fn main() -> Result<(), millpond_harness::Error> {
//! let kafka = Kafka::shared()?;
//! let client = kafka.client();
//! client.create_topics(&["events"], 3, &[])?;
//! client.produce("events", [Outgoing::value("{}")])?;
//! assert_eq!(client.read_committed("events")?.len(), 1);
//! # Ok(())
//! # }
//! ```

mod binaries;
mod browser;
mod client;
mod collector;
mod error;
mod ghost;
mod install;
mod kafka;
mod lag;
mod port;
mod postgres;
pub mod process;
mod prometheus;
pub mod proxy;
mod record;
mod scratch;
mod wait;

pub use binaries::{beside_this_program, built, built_example};
pub use browser::{Browser, Screen, Tab};
pub use client::{Client, Writer};
pub use collector::{CollectedSpan, Collector};
pub use error::Error;
pub use ghost::leave_transaction_open;
pub use install::axe;
pub use kafka::{KEY_PASSWORD, Kafka, KafkaOptions, Role, Secured, Security};
pub use lag::{Group, PartitionLag};
pub use postgres::{Postgres, PostgresOptions, query};
pub use process::{Detached, Launch, Process};
pub use prometheus::{Prometheus, promtool};
pub use proxy::Proxy;
pub use record::{Outgoing, Received};
pub use scratch::Scratch;
pub use wait::{try_wait_for, wait_for};
