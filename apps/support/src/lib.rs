//! What the four applications share: the event model, start-up and shutdown.

/// For the whole process, librdkafka and RocksDB included. Records are made on one thread and freed on another, which the C
/// library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod args;
pub mod event;
mod run;
pub mod startup;
pub mod stop;
mod sweep;

pub use event::{EVENTS, Event, EventJson, EventName};
pub use run::{instance, serve};
pub use startup::{App, Env, StartupError};
pub use stop::Stop;
pub use sweep::Sweep;
