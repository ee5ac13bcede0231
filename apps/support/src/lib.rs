//! What the four applications share: the event model, start-up and shutdown.

pub mod event;
mod sweep;

pub use event::{EVENTS, Event, EventJson, EventName};
pub use sweep::Sweep;
