//! What stops a stream thread.

use crate::broker::BrokerError;
use crate::error::Recovery;
use crate::record::TaskId;
use crate::state::StoreError;
use crate::task::{Refusal, TaskError};
use crate::topology::TopologyError;

/// An error of the runtime. Transient ones never get here: the thread mends them itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker refused, or cannot be reached in a way that waiting does not mend.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A task failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The topology does not fit the topics.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A store failed outside a task.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state directory's instance name cannot be used.
    #[error(transparent)]
    Instance(#[from] super::instance::InstanceError),
    /// Two processes fence each other.
    #[error(
        "instance={instance}: fenced {times} times in a minute; another process runs under the same instance name, or its application.id and instance make the same transactional.id: give each its own `instance`"
    )]
    DuplicateInstance {
        /// The transactional id.
        instance: String,
        /// How often.
        times: usize,
    },
    /// The group's client breaks, again and again.
    #[error(
        "{times} clients of the group broke within a minute, the last with: {source}; nothing is lost, start again"
    )]
    ClientBroken {
        /// How many.
        times: usize,
        /// The last failure.
        source: BrokerError,
    },
    /// The state of a task is damaged, again and again.
    #[error(
        "the state of task {task} was damaged {times} times within an hour, the last time: {source}; nothing is lost, changelogs have it: look at the disk under state.dir, then start again"
    )]
    DamagedAgain {
        /// Whose.
        task: TaskId,
        /// How often.
        times: usize,
        /// What was found last; it was not set aside, so that what was found first is still there.
        source: Box<Self>,
    },
    /// Transactions fail on a record that the broker refuses, again and again.
    #[error("{times} transactions failed within minutes: {source}; nothing is lost, the same input would fail again")]
    NoProgress {
        /// How many.
        times: usize,
        /// The last failure.
        source: BrokerError,
    },
    /// Committed offsets point outside the log.
    #[error(
        "input is gone: {source}; records were deleted before they were processed, or the topic was recreated: reset the application to go on with what is there"
    )]
    InputGone {
        /// What the broker said.
        source: BrokerError,
    },
    /// A thread ended without an error of its own.
    #[error("stream thread {thread} panicked; please report it with the log")]
    Panicked {
        /// Its number.
        thread: usize,
    },
    /// Ours.
    #[error("broken invariant: {invariant}; please report it")]
    Bug {
        /// Which.
        invariant: &'static str,
    },
}

impl Error {
    /// What the process must do.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Broker(error) => error.recovery(),
            Self::Task(error) => error.recovery(),
            Self::Store(error) => error.recovery(),
            _ => Recovery::Shutdown,
        }
    }

    pub(crate) const fn bug(invariant: &'static str) -> Self {
        Self::Bug { invariant }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Task(TaskError::Refused(refusal))
    }
}
