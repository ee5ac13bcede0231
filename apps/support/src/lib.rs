//! What the four applications share: the event model, start-up and shutdown.

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
