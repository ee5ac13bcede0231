//! Faults of the disk below [`MemoryDirectory`](super::MemoryDirectory): each strikes at a batch.

use std::collections::BTreeMap;

use super::StoreError;
use crate::record::TaskId;

/// What goes wrong when a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreFault {
    /// The write fails; nothing of the batch is applied.
    WriteFails,
    /// The process dies before the batch.
    CrashBeforeBatch,
    /// The process dies within the batch: its entry in the log is incomplete, and the next open drops it.
    CrashInBatch,
    /// The process dies when the batch is down, before it knows.
    CrashAfterBatch,
}

impl StoreFault {
    /// Every fault, in order.
    pub const ALL: [Self; 4] = [Self::WriteFails, Self::CrashBeforeBatch, Self::CrashInBatch, Self::CrashAfterBatch];

    pub(super) fn error(self, task: TaskId) -> StoreError {
        StoreError::Io { task, operation: "written", reason: format!("injected fault {self:?}") }
    }
}

/// What is to strike, and what has.
#[derive(Debug, Default)]
pub(super) struct DiskFaults {
    /// Fault, and how many batches pass first.
    scheduled: Vec<(StoreFault, u32)>,
    hits: BTreeMap<StoreFault, u64>,
    crashed: Option<StoreFault>,
}

impl DiskFaults {
    pub(super) fn schedule(&mut self, fault: StoreFault, batches: u32) {
        self.scheduled.push((fault, batches));
    }

    /// A batch is to be written: the fault that strikes it.
    pub(super) fn strike(&mut self) -> Option<StoreFault> {
        let mut due = None;
        for (index, (_, batches)) in self.scheduled.iter_mut().enumerate() {
            match batches.checked_sub(1) {
                Some(fewer) => *batches = fewer,
                None => due = due.or(Some(index)),
            }
        }
        let (fault, _) = self.scheduled.remove(due?);
        *self.hits.entry(fault).or_default() += 1;
        if fault != StoreFault::WriteFails {
            self.crashed = Some(fault);
        }
        Some(fault)
    }

    pub(super) const fn take_crash(&mut self) -> Option<StoreFault> {
        self.crashed.take()
    }

    pub(super) fn clear(&mut self) {
        self.scheduled.clear();
    }

    pub(super) const fn hits(&self) -> &BTreeMap<StoreFault, u64> {
        &self.hits
    }
}
