//! The runtime: the one loop, the commit, the restore, rebalances, and what a process needs around them.

mod breakage;
mod commit;
pub mod config;
mod error;
mod fencing;
pub mod health;
mod histogram;
mod instance;
mod internal_settings;
pub mod letters;
mod meter;
pub mod observer;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod pace;
mod patience;
pub mod process;
mod publish;
pub mod query;
mod rebalance;
mod replay;
pub mod reset;
mod restore;
mod spans;
pub mod stats;
mod streams;
mod thread;
mod topics;
mod transaction;
mod view;
mod waits;

#[cfg(any(test, feature = "testing"))]
pub use breakage::Breakage;
pub use error::Error;
pub use instance::{Instance, InstanceError};
pub use restore::RestoreProgress;
pub use streams::Streams;
pub use thread::{Application, Progress, StreamThread, ThreadConfig, ThreadCounters};
pub use topics::Topics;
pub use view::TaskView;

pub use crate::task::{ErrorPolicy, Refusal, StartKind, TaskCounters, TaskError, TaskStart, TaskState};
