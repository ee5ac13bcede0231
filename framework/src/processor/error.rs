//! Why a record could not be processed.

use std::fmt;
use std::sync::Arc;

use crate::error::Recovery;
use crate::serde::SerdeError;
use crate::state::StoreError;

/// A failure in a node, with the node's name once it has left it.
#[derive(Debug)]
pub struct ProcessorError {
    node: Option<Arc<str>>,
    cause: Cause,
}

/// Fixed words for why a record was refused: the label of the metric and the header of the dead letter.
pub type Reason = &'static str;

#[derive(Debug)]
enum Cause {
    BadRecord(Reason),
    Serde { part: &'static str, source: SerdeError },
    Store(StoreError),
    Other(Box<dyn std::error::Error + Send + Sync>),
    Bug(&'static str),
}

impl ProcessorError {
    /// The record is bad, for a reason in fixed words (never a part of the record: it ends up in metrics and logs).
    pub const fn bad_record(reason: Reason) -> Self {
        Self { node: None, cause: Cause::BadRecord(reason) }
    }

    /// Any other error of user code. Its text goes to logs and dead letters: keep payloads out of it.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { node: None, cause: Cause::Other(error.into()) }
    }

    /// A key or value that did not pass its serde; `part` is `key` or `value`.
    pub(crate) const fn serde(part: &'static str, source: SerdeError) -> Self {
        Self { node: None, cause: Cause::Serde { part, source } }
    }

    pub(crate) const fn bug(invariant: &'static str) -> Self {
        Self { node: None, cause: Cause::Bug(invariant) }
    }

    /// Names the node, unless an inner one is named already.
    #[must_use]
    pub(crate) fn at(mut self, node: &Arc<str>) -> Self {
        self.node.get_or_insert_with(|| node.clone());
        self
    }

    /// The node in which it happened.
    pub fn node(&self) -> &str {
        self.node.as_deref().unwrap_or("")
    }

    /// The reason in fixed words, fit for a metric's label.
    pub fn reason(&self) -> Reason {
        match &self.cause {
            Cause::BadRecord(reason) => reason,
            Cause::Serde { part: "key", source } => serde_reason(source, true),
            Cause::Serde { source, .. } => serde_reason(source, false),
            Cause::Store(_) => "store",
            Cause::Other(_) => "processing",
            Cause::Bug(_) => "bug",
        }
    }

    /// The kind of failure, in one word.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.cause {
            Cause::BadRecord(_) => "BadRecord",
            Cause::Serde { .. } => "Serde",
            Cause::Store(_) => "Store",
            Cause::Other(_) => "Processing",
            Cause::Bug(_) => "Bug",
        }
    }

    /// True when the record's bytes are not what the topic's types say.
    pub(crate) fn is_deserialization(&self) -> bool {
        matches!(self.cause, Cause::Serde { .. } | Cause::BadRecord("no_timestamp"))
    }

    /// What the task must do: `SkipRecord` leaves the choice to the error policy.
    pub fn recovery(&self) -> Recovery {
        match &self.cause {
            Cause::BadRecord(_) | Cause::Serde { .. } | Cause::Other(_) => Recovery::SkipRecord,
            Cause::Store(error) => error.recovery(),
            Cause::Bug(_) => Recovery::Shutdown,
        }
    }
}

fn serde_reason(error: &SerdeError, key: bool) -> Reason {
    match (error, key) {
        (SerdeError::Null, true) => "null_key",
        (SerdeError::Null, false) => "null_value",
        (_, true) => "malformed_key",
        (_, false) => "malformed_value",
    }
}

impl fmt::Display for ProcessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node={node}: ")?;
        }
        match &self.cause {
            Cause::BadRecord(reason) => write!(f, "bad record: {reason}"),
            Cause::Serde { part, source } => write!(f, "{part}: {source}"),
            Cause::Store(error) => error.fmt(f),
            Cause::Other(error) => error.fmt(f),
            Cause::Bug(invariant) => write!(f, "broken invariant: {invariant}; please report it"),
        }
    }
}

impl std::error::Error for ProcessorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            // The texts of the others are already part of ours.
            Cause::Other(error) => error.source(),
            _ => None,
        }
    }
}

impl From<StoreError> for ProcessorError {
    fn from(error: StoreError) -> Self {
        Self { node: None, cause: Cause::Store(error) }
    }
}

impl From<SerdeError> for ProcessorError {
    fn from(error: SerdeError) -> Self {
        Self::serde("value", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DEAD_LETTER_REASONS;

    #[test]
    fn the_frameworks_own_reasons_are_counted_from_the_start() {
        for part in ["key", "value"] {
            for source in [SerdeError::Null, SerdeError::Utf8 { position: 0 }] {
                assert!(DEAD_LETTER_REASONS.contains(&ProcessorError::serde(part, source).reason()));
            }
        }
        assert!(DEAD_LETTER_REASONS.contains(&ProcessorError::other("no").reason()));
    }
}
