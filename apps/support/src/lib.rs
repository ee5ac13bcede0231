//! What the four applications share: the event model, start-up and shutdown, the command line.

/// For the whole process, librdkafka and RocksDB included. Records are made on one thread and freed on another, which the C
/// library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod args;
pub mod cli;
pub mod event;
mod finding;
mod formats;
mod logs;
mod mask;
mod offsets;
mod probe;
mod program;
mod run;
mod spans;
pub mod startup;
pub mod stop;
mod sweep;

pub use event::{EVENTS, Event, EventJson, EventName};
pub use finding::{Finding, Health};
pub use mask::Mask;
pub use millpond::formats::StoreFormats;
pub use offsets::OffsetTable;
pub use program::{Look, Program};
pub use run::{Shown, instance, serve};
pub use spans::Spans;
pub use startup::{App, Env, StartupError};
pub use stop::Stop;
pub use sweep::Sweep;
