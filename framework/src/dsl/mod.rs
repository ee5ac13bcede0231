//! The DSL: streams and tables that are described once and run as tasks.
//!
//! Stores and repartitions are named by you; node names are generated as Kafka Streams generates them.

mod builder;
mod grouped;
mod kstream;
mod ktable;
mod materialized;
mod operators;
mod store_ref;
mod topic;

pub use builder::StreamsBuilder;
pub use grouped::{Grouped, KGroupedStream, Repartitioned};
pub use kstream::{Branched, KStream};
pub use ktable::{Change, KTable};
pub use materialized::{Materialized, Stores};
pub use operators::branch::Split;
pub use store_ref::{ConnectStores, KeyValueStoreRef, StoreOpener};
pub use topic::Topic;
