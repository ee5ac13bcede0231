//! Breakages of the protocol, on purpose: a check that finds none of them would not find a mistake either. Tests alone can
//! switch them on; in other builds `broken!` is `false`, and the code behind it is gone.

/// One step of the protocol that is left out or turned round.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Breakage {
    /// The rows go to the store before the transaction ends.
    ApplyBeforeCommit,
    /// The checkpoint is written in a batch of its own, before the rows.
    CheckpointBeforeRows,
    /// The checkpoint claims more of the changelog than the commit has written.
    CheckpointPastCommit,
    /// A restore ends at the last stable offset.
    RestoreToLastStable,
    /// The changelogs' ends are read before the group's offsets.
    EndsBeforeOffsets,
    /// A restore ends after its first poll.
    RestoreOnePoll,
    /// The position of a restore is that of its records: it does not pass markers.
    PositionOfRecords,
    /// A task that comes back goes on with the rows it had.
    ResumeWithoutReplay,
    /// A revocation is acknowledged first; what was processed is committed with the next assignment.
    CommitAfterAcknowledge,
    /// When the partitions are lost the open transaction is kept.
    KeepTransactionWhenLost,
    /// A commit of unknown outcome counts as committed.
    UnknownIsCommitted,
    /// After a failed transaction the tasks go on with the next record, with a new producer.
    GoOnAfterFailure,
    /// The writes of a failed transaction are in the store.
    DirtyStateSurvives,
    /// What was processed ahead of a commit goes into the store with it.
    ApplyAhead,
    /// Outputs that were produced ahead of a commit are not kept for the next one.
    ForgetAhead,
    /// A tainted producer goes on.
    KeepTaintedProducer,
    /// The offsets of the poll are committed, not those of the processing.
    CommitPolledOffsets,
    /// Outputs in one transaction, offsets in the next.
    OffsetsApart,
    /// Missing offsets of the group are believed at once.
    BelieveMissingOffsets,
    /// State is used however long it was away.
    IgnoreAge,
    /// A begin record without its commit record means nothing.
    IgnoreTorn,
    /// Outputs go out although the begin record before them may not be in its log yet.
    OutputsBeforeBegin,
    /// Commit records and offsets go out although what they speak of may not be in its log yet.
    EndBeforeDelivery,
}

#[cfg(any(test, feature = "testing"))]
impl Breakage {
    /// Every breakage, in order.
    pub const ALL: [Self; 23] = [
        Self::ApplyBeforeCommit,
        Self::CheckpointBeforeRows,
        Self::CheckpointPastCommit,
        Self::RestoreToLastStable,
        Self::EndsBeforeOffsets,
        Self::RestoreOnePoll,
        Self::PositionOfRecords,
        Self::ResumeWithoutReplay,
        Self::CommitAfterAcknowledge,
        Self::KeepTransactionWhenLost,
        Self::UnknownIsCommitted,
        Self::GoOnAfterFailure,
        Self::DirtyStateSurvives,
        Self::ApplyAhead,
        Self::ForgetAhead,
        Self::KeepTaintedProducer,
        Self::CommitPolledOffsets,
        Self::OffsetsApart,
        Self::BelieveMissingOffsets,
        Self::IgnoreAge,
        Self::IgnoreTorn,
        Self::OutputsBeforeBegin,
        Self::EndBeforeDelivery,
    ];
}

/// Whether a thread's protocol is broken there, in one of these ways.
#[cfg(any(test, feature = "testing"))]
macro_rules! broken {
    ($thread:expr, $($which:ident),+) => {
        matches!($thread.config.breakage, Some($($crate::runtime::Breakage::$which)|+))
    };
}
#[cfg(not(any(test, feature = "testing")))]
macro_rules! broken {
    ($thread:expr, $($which:ident),+) => {
        false
    };
}
pub(super) use broken;
