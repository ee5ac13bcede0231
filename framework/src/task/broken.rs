//! Breakages of a task's part of the protocol, for the tests that must find them. Not in other builds.

use super::{Task, TaskError};
use crate::broker::CommitReceipt;
use crate::record::Offset;
use crate::state::CommitBatch;
use crate::time::Timestamp;

impl Task {
    /// Writes what is uncommitted to the store, as a store without an overlay would have done already.
    pub(crate) fn write_uncommitted(&self) -> Result<(), TaskError> {
        let Some(stores) = &self.stores else { return Ok(()) };
        if self.in_flight.is_none() {
            stores.freeze()?;
        }
        let batch = CommitBatch { rows: stores.frozen_rows(), checkpoint: stores.checkpoint()? };
        Ok(stores.apply_regardless(&batch)?)
    }

    /// Writes what was processed ahead of a commit to the store, as if it had been part of it.
    pub(crate) fn apply_ahead(&self) -> Result<(), TaskError> {
        let Some(stores) = &self.stores else { return Ok(()) };
        stores.freeze()?;
        Ok(stores.apply_frozen(self.checkpoint.clone())?)
    }

    /// Drops what is uncommitted, and goes on with the next record.
    pub(crate) fn go_on(&mut self) {
        if let Some(stores) = &self.stores {
            stores.discard();
        }
        self.in_flight = None;
        drop(self.take_outputs());
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
        stores.apply_regardless(&CommitBatch { checkpoint, ..CommitBatch::default() })?;
        Ok(())
    }

    /// A receipt that claims some offsets more than were written.
    pub(crate) fn past(receipt: &CommitReceipt) -> CommitReceipt {
        let past = receipt.last_offsets.iter().map(|(at, last)| (at.clone(), Offset(last.0 + 3)));
        CommitReceipt { last_offsets: past.collect(), offsets_took: None }
    }
}
