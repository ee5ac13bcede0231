//! Breakages of a task's part of the protocol, for the tests that must find them. Not in other builds.

use super::{Task, TaskError};
use crate::broker::CommitReceipt;
use crate::record::Offset;
use crate::state::CommitBatch;
use crate::time::Timestamp;

impl Task {
    /// The next failure leaves the overlay as it is.
    pub(crate) const fn keep_overlay(&mut self, keep: bool) {
        self.keeps_overlay = keep;
    }

    /// Writes the checkpoint of the commit in flight before its rows.
    pub(crate) fn write_checkpoint_first(&mut self, receipt: &CommitReceipt, now: Timestamp) -> Result<(), TaskError> {
        let (Some(commit), Some(stores)) = (&self.in_flight, &self.stores) else { return Ok(()) };
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.input.clone_from(&commit.input);
        checkpoint.sequence = commit.sequence;
        self.stamp(&mut checkpoint, now);
        for changelog in self.log.changelogs.iter().flatten() {
            if let Some(last) = receipt.last_offsets.get(changelog) {
                checkpoint.changelog.insert(changelog.clone(), last.next());
            }
        }
        stores.apply_restored(&CommitBatch { checkpoint, ..CommitBatch::default() })?;
        Ok(())
    }

    /// A receipt that claims some offsets more than were written.
    pub(crate) fn past(receipt: &CommitReceipt) -> CommitReceipt {
        let past = receipt.last_offsets.iter().map(|(at, last)| (at.clone(), Offset(last.0 + 3)));
        CommitReceipt { last_offsets: past.collect() }
    }
}
