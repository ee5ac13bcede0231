//! Loads Kafka topics into PostgreSQL tables, each record exactly once.
//!
//! Rows and the offset behind them are committed in one SQL transaction, under a claim of the partition that every
//! transaction checks; PostgreSQL alone decides what was loaded. The offsets that the consumer group shows follow it.
//!
//! | File | Holds |
//! |---|---|
//! | `route`, `row`, `statement`, `batch`, `bisection` | what becomes of a record: pure |
//! | `postgres` | claims, and transactions that hold rows and offsets together |
//! | `dead_letter` | records that cannot be loaded, sent exactly once |
//! | `loader`, `partitions`, `run` | the loop: polls, claims, writes, answers rebalances |
//!
//! Assumptions: the tables and `sink_offset` are restored together or not at all; PostgreSQL keeps what it has committed
//! (`synchronous_commit` and `fsync` as they are by default); loaders with one application id and one database read one
//! Kafka cluster.
//!
//! It is not a general connector: it only inserts and upserts, and it changes no schema but its own migrations.

mod backoff;
mod batch;
mod bisection;
mod config;
mod dead_letter;
mod error;
mod examine;
mod identifier;
mod kept;
mod loader;
mod measures;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod partitions;
mod publish;
mod route;
mod row;
mod run;
mod settings;
mod statement;
mod status;
mod story;

pub mod postgres;

pub use config::{BatchLimits, LoaderConfig, StartPolicy};
pub use error::Error;
pub use examine::examine;
pub use identifier::{Identifier, TableName};
pub use kept::kept_offsets;
pub use loader::Loader;
pub use measures::Measures;
pub use publish::Publisher;
pub use route::{Column, ColumnType, Field, Route, RouteError, RouteKind, Routes, SOURCE_COLUMNS};
pub use row::{Cell, Reason, Refused, Row};
pub use run::run;
pub use settings::{DatabaseAuth, Settings, SettingsError};
pub use status::{LoaderStatus, PartitionState, PartitionStatus, Progress, SharedStatus, TableStatus};
pub use story::LoaderStory;
