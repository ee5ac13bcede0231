//! What the caller of anything that failed must do.

use std::fmt;

use crate::record::TaskId;

/// The one question every public error answers: what must be done now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// The record is bad, the rest is fine: dead-letter it or skip it, by policy.
    SkipRecord,
    /// Nothing happened; the same call may be made again.
    Retry,
    /// The transaction is lost, or its outcome unknown: drop the producer, make a new one, restore all tasks.
    AbortTransaction,
    /// One task's state on disk cannot be used: close the task, restore it.
    ReviveTask(TaskId),
    /// This member is no longer what it thinks it is: forget all tasks without a commit, join again.
    RejoinGroup,
    /// Going on would risk data, or cannot help: stop, and let a person read the message.
    Shutdown,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SkipRecord => f.write_str("skip the record"),
            Self::Retry => f.write_str("try again"),
            Self::AbortTransaction => f.write_str("abort the transaction"),
            Self::ReviveTask(task) => write!(f, "restore task {task}"),
            Self::RejoinGroup => f.write_str("join the group again"),
            Self::Shutdown => f.write_str("stop"),
        }
    }
}

/// The framework's own reasons for dead letters, in the words of metrics and headers. Applications add theirs.
pub(crate) const DEAD_LETTER_REASONS: [&str; 7] = [
    "computed_topic_not_declared",
    "malformed_key",
    "malformed_value",
    "no_timestamp",
    "null_key",
    "null_value",
    "processing",
];
