//! Stateful stream processing on Apache Kafka, as a library.

pub mod broker;
pub mod dsl;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod metrics;
pub mod partitioner;
pub mod processor;
pub mod record;
pub mod runtime;
pub mod serde;
pub mod state;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod topology;
