//! Rebalances. A revocation commits, then suspends, then acknowledges; an assignment acknowledges, then restores.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::thread::StreamThread;
use crate::broker::{Broker, Consumer, Membership, Rebalance};
use crate::record::{TaskId, TopicPartition};
use crate::state::{StateDirectory, StoreError, TaskStores};
use crate::task::{Task, TaskState};
use crate::time::Timestamp;

/// The right to commit for the assigned partitions. It is given up, by value, before a revocation is acknowledged: there
/// is then nothing left to commit with (I4).
#[derive(Debug)]
pub(crate) struct Ownership {
    membership: Membership,
}

impl Ownership {
    pub(crate) const fn membership(&self) -> &Membership {
        &self.membership
    }
}

impl<B: Broker> StreamThread<B> {
    pub(super) fn rebalance(&mut self, change: Rebalance, now: Timestamp) -> Result<(), Error> {
        self.counters.rebalances += 1;
        match change {
            Rebalance::Revoke(partitions) => {
                tracing::info!(partitions = partitions.len(), "revoked");
                self.revoke(now)
            }
            Rebalance::Lost(partitions) => {
                tracing::warn!(partitions = partitions.len(), "lost: another member owns them");
                self.lose_all();
                self.consumer()?.acknowledge()?;
                Ok(())
            }
            Rebalance::Assign(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.assign(&partitions, now)
            }
        }
    }

    fn revoke(&mut self, now: Timestamp) -> Result<(), Error> {
        // One transaction for all tasks. If it fails the partitions are given up all the same: the next owner reads the
        // committed offsets, whatever they are.
        let committed = self.commit(now);
        self.restoration = None;
        for task in self.tasks.values_mut() {
            task.suspend();
        }
        // Before the acknowledgement: afterwards nothing may be committed for these partitions.
        drop(self.ownership.take());
        self.consumer()?.acknowledge()?;
        committed.map(|_| ())
    }

    /// Forgets all tasks without a commit. Their stores hold the last commit, which is right.
    pub(super) fn lose_all(&mut self) {
        self.ownership = None;
        self.restoration = None;
        // An open transaction may hold records of lost tasks: it must never be committed.
        self.transaction = None;
        self.routes.clear();
        for (id, mut task) in std::mem::take(&mut self.tasks) {
            task.begin_restore();
            self.counters.retired.absorb(task.counters());
            if let Err(error) = task.close() {
                tracing::warn!(task = %id, %error, "a lost task did not close cleanly");
            }
        }
    }

    fn assign(&mut self, partitions: &[TopicPartition], now: Timestamp) -> Result<(), Error> {
        // All partitions stand still after this until each task says where to start.
        self.consumer()?.acknowledge()?;
        let membership = self.consumer()?.membership();
        self.ownership = Some(Ownership { membership });
        let wanted = self.tasks_of(partitions)?;
        let gone: Vec<TaskId> = self.tasks.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
        for id in gone {
            if let Some(task) = self.tasks.remove(&id) {
                self.counters.retired.absorb(task.counters());
                task.close()?;
            }
        }
        self.routes.clear();
        for (id, inputs) in wanted {
            self.routes.extend(inputs.iter().map(|input| (input.clone(), id)));
            if let Some(task) = self.tasks.get_mut(&id) {
                task.begin_restore();
            } else {
                let task = self.open_task(id, inputs)?;
                self.tasks.insert(id, task);
            }
        }
        self.restoration = None;
        self.last_commit = now;
        Ok(())
    }

    /// The tasks all of whose partitions are in the assignment, with those partitions.
    fn tasks_of(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TaskId, Vec<TopicPartition>>, Error> {
        let owned: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let mut tasks = BTreeMap::new();
        for (id, inputs) in self.topics.tasks(&self.topology)? {
            if inputs.iter().all(|input| owned.contains(input)) {
                tasks.insert(id, inputs);
            }
        }
        Ok(tasks)
    }

    fn open_task(&self, id: TaskId, inputs: Vec<TopicPartition>) -> Result<Task, Error> {
        let specs = self.topology.store_specs(id.subtopology, self.topics.resolved());
        let log = self.topics.commit_log(&self.topology, id, &specs)?;
        if specs.is_empty() {
            return Ok(Task::new(id, inputs, None, log));
        }
        let backend = match self.directory.open(id, &specs) {
            Err(StoreError::Corrupt { reason, .. }) => {
                let moved = self.directory.quarantine(id)?;
                tracing::error!(task = %id, reason, moved_to = %moved.display(), "damaged state is set aside");
                self.directory.open(id, &specs)?
            }
            opened => opened?,
        };
        Ok(Task::new(id, inputs, Some(TaskStores::new(id, specs, backend)), log))
    }

    /// Sets the state of a task aside and opens an empty one, to be restored.
    pub(super) fn quarantine(&mut self, id: TaskId) -> Result<(), Error> {
        self.reopen(id, |directory| {
            let moved = directory.quarantine(id)?;
            tracing::error!(task = %id, moved_to = %moved.display(), "state is set aside");
            Ok(())
        })
    }

    /// Removes the state of a task and opens an empty one, to be restored.
    pub(super) fn wipe(&mut self, id: TaskId) -> Result<(), Error> {
        self.reopen(id, |directory| directory.wipe(id))
    }

    fn reopen(
        &mut self,
        id: TaskId,
        clear: impl FnOnce(&dyn StateDirectory) -> Result<(), StoreError>,
    ) -> Result<(), Error> {
        let Some(mut task) = self.tasks.remove(&id) else { return Ok(()) };
        let inputs: Vec<_> = task.inputs().cloned().collect();
        task.begin_restore();
        self.counters.retired.absorb(task.counters());
        // A damaged store may fail to close; what matters is that its lock is released.
        if let Err(error) = task.close() {
            tracing::warn!(task = %id, %error, "did not close cleanly");
        }
        self.counters.state_wipes += 1;
        clear(&*self.directory)?;
        let task = self.open_task(id, inputs)?;
        debug_assert_eq!(task.state(), TaskState::Restoring);
        self.tasks.insert(id, task);
        Ok(())
    }
}
