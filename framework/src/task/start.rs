//! How a task came to run, for its log line and its metric.

use std::time::Duration;

use crate::record::Offset;

/// What a task found when it started, and had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StartKind {
    /// It never committed before.
    First,
    /// What it found was up to date.
    Resumed,
    /// The end of its changelogs was missing, and is replayed.
    Replayed,
    /// It found nothing, and has replayed everything: another machine, or a lost disk.
    Restored,
    /// What it found could not be used, and was removed or set aside. Everything is replayed.
    Wiped,
}

impl StartKind {
    /// All kinds, the harmless ones first.
    pub const ALL: [Self; 5] = [Self::First, Self::Resumed, Self::Replayed, Self::Restored, Self::Wiped];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Resumed => "resumed",
            Self::Replayed => "replayed",
            Self::Restored => "restored",
            Self::Wiped => "wiped",
        }
    }
}

/// The last start of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskStart {
    /// What it was.
    pub kind: StartKind,
    /// About how many rows its stores had then.
    pub rows: u64,
    /// How far its commit log was read: its first changelog, or the topic of commit records.
    pub offset: Offset,
    /// Changelog records replayed.
    pub replayed: u64,
    /// The last commit record and the group's offsets were compared, and agree.
    pub verified: bool,
    /// How long it took, from the plan of the restore on.
    pub took: Duration,
}
