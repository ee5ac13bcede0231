//! The four applications as processes on a real Kafka and a real PostgreSQL, events that a shop makes from a seed, and an
//! oracle that knows what must come of them. The end-to-end suite and `./dev chaos` are made of this.
//!
//! Building this crate turns the feature `failpoints` of `millpond` on for everything that is built with it.

mod application;
mod carts;
mod findings;
mod journal;
mod load;
mod oracle;
mod order;
mod page;
mod scene;
mod shop;
mod stores;
mod verdict;
mod wire;

pub use application::{Application, LIMIT};
pub use findings::Findings;
pub use journal::{Journal, Kill};
pub use load::Load;
pub use scene::{BINARIES, EVENTS_MAX, Place, Scene};
pub use shop::{BEGIN_MS, CANARY, PARTITIONS, STEP_MS, Shop, carts};
pub use verdict::Oracle;
pub use wire::wire_faults;
