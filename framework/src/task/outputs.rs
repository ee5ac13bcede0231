//! What a task has produced and the thread has not sent: it waits for the end of a commit, or for the task's begin record.

use super::{Phase, Task};
use crate::record::ProducerRecord;

/// Outputs that wait for the end of a commit, as far as they are counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Task {
    /// What was produced since the last call, in order.
    pub(crate) fn take_outputs(&mut self) -> Vec<ProducerRecord> {
        let Phase::Running { context, .. } = &mut self.phase else { return Vec::new() };
        self.counters.produced += context.outputs.len() as u64;
        self.held = Held::default();
        std::mem::take(&mut context.outputs)
    }

    /// True when something was produced since the last call of [`take_outputs`](Self::take_outputs).
    pub(crate) const fn has_outputs(&self) -> bool {
        matches!(&self.phase, Phase::Running { context, .. } if !context.outputs.is_empty())
    }

    /// True when a transaction of this task may have records, so far or with its commit, in other partitions than the one of its
    /// begin record.
    pub(crate) fn writes_elsewhere(&self) -> bool {
        self.has_outputs() || self.log.changelogs.iter().flatten().any(|changelog| *changelog != self.log.partition)
    }

    /// Counts the outputs that stay here, because a commit is in flight or the begin record is on its way.
    pub(crate) fn hold_outputs(&mut self) {
        let Phase::Running { context, .. } = &self.phase else { return };
        let new = context.outputs.get(self.held.records..).unwrap_or_default();
        self.held.bytes += new.iter().map(ProducerRecord::memory).sum::<usize>();
        self.held.records = context.outputs.len();
    }
}
