//! Rebalances. A revocation commits, then suspends, then acknowledges; an assignment acknowledges, then restores.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Error;
use super::breakage::broken;
use super::thread::StreamThread;
use super::transaction::Transaction;
use crate::broker::{Broker, BrokerError, BrokerErrorKind, Consumer, Membership, Rebalance};
use crate::error::Recovery;
use crate::record::{TaskId, TopicPartition};
use crate::state::{StateDirectory, StoreError, TaskStores};
use crate::task::{Task, TaskState};
use crate::time::Timestamp;
use crate::topology::TopologyError;

/// How long the state of a task may be locked by another thread after an assignment.
const LOCKED_MAX: Duration = Duration::from_mins(1);

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
                self.lose_all(now);
                self.acknowledge()
            }
            Rebalance::Assign(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.assign(&partitions, now)
            }
        }
    }

    fn revoke(&mut self, now: Timestamp) -> Result<(), Error> {
        crate::failpoint!("rebalance.before_revoke_commit");
        if broken!(self, CommitAfterAcknowledge) {
            return self.acknowledge();
        }
        // One transaction for all tasks. If it fails the partitions are given up all the same: the next owner reads the
        // committed offsets, whatever they are.
        let committed = self.commit(now);
        self.drop_batches("revoked");
        self.restoration = None;
        self.waiting.clear();
        for task in self.tasks.values_mut() {
            task.suspend(now);
        }
        // Before the acknowledgement: afterwards nothing may be committed for these partitions.
        drop(self.ownership.take());
        crate::failpoint!("rebalance.before_revoke_ack");
        let acknowledged = self.acknowledge();
        crate::failpoint!("rebalance.after_revoke_ack");
        match committed {
            Err(error) if error.recovery() == Recovery::Shutdown => Err(error),
            // Without a confirmation no assignment comes any more, whatever became of the commit: its failure goes first.
            committed => acknowledged.and(committed.map(drop)),
        }
    }

    /// An acknowledgement that fails cannot be repeated, whatever the client says: the assignment it belonged to is gone.
    fn acknowledge(&mut self) -> Result<(), Error> {
        let rejoin =
            |error: BrokerError| BrokerError::new(error.operation, BrokerErrorKind::MemberFenced, error.reason);
        let keep = |error: &BrokerError| error.recovery() == Recovery::Shutdown;
        let acknowledged = self.consumer()?.acknowledge();
        acknowledged.map_err(|error| if keep(&error) { error } else { rejoin(error) }.into())
    }

    /// Forgets all tasks without a commit. Their stores hold the last commit, which is right.
    pub(super) fn lose_all(&mut self, now: Timestamp) {
        self.drop_batches("lost");
        self.ownership = None;
        self.restoration = None;
        self.offsets_missing_since = None;
        self.doubted.clear();
        self.waiting.clear();
        if !broken!(self, KeepTransactionWhenLost) {
            // An open transaction may hold records of lost tasks: it must never be committed.
            self.transaction = None;
        }
        self.routes.clear();
        for (id, mut task) in std::mem::take(&mut self.tasks) {
            task.begin_restore(now);
            self.counters.retired.absorb(task.counters());
            if let Err(error) = task.close() {
                tracing::warn!(task = %id, %error, "a lost task did not close cleanly");
            }
        }
    }

    fn assign(&mut self, partitions: &[TopicPartition], now: Timestamp) -> Result<(), Error> {
        crate::failpoint!("rebalance.before_assign_ack");
        // All partitions stand still after this until each task says where to start.
        self.acknowledge()?;
        crate::failpoint!("rebalance.after_assign_ack");
        let kept = broken!(self, CommitAfterAcknowledge, KeepTransactionWhenLost);
        let begun =
            |transaction: &Transaction<B::Producer>| transaction.is_in_flight() || transaction.open_since().is_some();
        if !kept && self.transaction.as_ref().is_some_and(begun) {
            // Not after a revocation, which ends it. Whose it was is not ours any more: a new producer resolves it.
            self.transaction = None;
        }
        let membership = self.consumer()?.membership();
        self.ownership = Some(Ownership { membership });
        self.fencing.confirmed();
        if broken!(self, CommitAfterAcknowledge) {
            self.commit(now)?;
        }
        // Nothing, after a revocation.
        self.drop_batches("assigned");
        let wanted = self.tasks_of(partitions)?;
        let gone: Vec<TaskId> = self.tasks.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
        for id in gone {
            if let Some(task) = self.tasks.remove(&id) {
                self.counters.retired.absorb(task.counters());
                // Its rows are safe whatever the close says; the tasks that stay must not wait for it.
                if let Err(error) = task.close() {
                    tracing::warn!(task = %id, %error, "a task that moved away did not close cleanly");
                }
            }
        }
        self.routes.clear();
        self.restoration = None;
        self.offsets_missing_since = None;
        self.doubted.clear();
        self.last_commit = now;
        // A topic that is deleted, or made again, begins a rebalance.
        self.topics_doubted_since = Some(now);
        self.waiting.clear();
        self.waiting_since = now;
        for (id, inputs) in wanted {
            self.routes.extend(inputs.iter().map(|input| (input.clone(), id)));
            if let Some(task) = self.tasks.get_mut(&id) {
                task.begin_restore(now);
            } else {
                self.waiting.insert(id, inputs);
            }
        }
        self.open_waiting(now)?;
        crate::failpoint!("rebalance.after_open");
        Ok(())
    }

    /// Opens the tasks that are assigned and not open yet. A state that is locked belongs to another thread of this process
    /// that has not yet heard of its own new assignment: it is tried again in the next round.
    pub(super) fn open_waiting(&mut self, now: Timestamp) -> Result<bool, Error> {
        let mut opened = false;
        // A clock that was set back must not make it wait longer.
        self.waiting_since = self.waiting_since.min(now);
        for (id, inputs) in std::mem::take(&mut self.waiting) {
            match self.open_task(id, inputs.clone()) {
                Ok(task) => {
                    // Damage that was met while it was opened.
                    self.counters.corruptions += u64::from(task.is_wiped());
                    self.counters.state_wipes += u64::from(task.is_wiped());
                    self.tasks.insert(id, task);
                    opened = true;
                }
                Err(Error::Store(StoreError::Locked { .. })) if now.since(self.waiting_since) < LOCKED_MAX => {
                    self.waiting.insert(id, inputs);
                }
                Err(error) => return Err(error),
            }
        }
        if opened {
            // A restore under way does not know the new tasks: it begins again, with all of them.
            self.restoration = None;
        }
        Ok(opened)
    }

    /// The tasks all of whose partitions are in the assignment, with those partitions.
    fn tasks_of(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TaskId, Vec<TopicPartition>>, Error> {
        let owned: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let mut tasks = BTreeMap::new();
        let all = self.topics.tasks(&self.topology)?;
        let known: BTreeSet<&TopicPartition> = all.values().flatten().collect();
        if let Some(added) = partitions.iter().find(|partition| !known.contains(partition)) {
            // Keys have moved to it, and no task would read it.
            let expected = self.topics.partitions(&added.topic).unwrap_or(0);
            let actual = added.partition.0 + 1;
            return Err(TopologyError::PartitionsAdded { topic: added.topic.to_string(), expected, actual }.into());
        }
        for (id, inputs) in all {
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
        let stateful = |backend| {
            let task = Task::new(id, inputs, Some(TaskStores::new(id, specs.clone(), backend)), log);
            task.answering_at(self.config.application_server.clone())
        };
        let backend = match self.directory.open(id, &specs) {
            Err(StoreError::Corrupt { reason, .. }) => {
                let moved = self.directory.quarantine(id)?;
                tracing::error!(task = %id, reason, moved_to = %moved.display(), "damaged state is set aside");
                let backend = self.directory.open(id, &specs)?;
                let mut task = stateful(backend);
                task.mark_wiped();
                return Ok(task);
            }
            opened => opened?,
        };
        Ok(stateful(backend))
    }

    /// Sets the state of a task aside and opens an empty one, to be restored.
    pub(super) fn quarantine(&mut self, id: TaskId, now: Timestamp) -> Result<(), Error> {
        self.reopen(id, now, |directory| {
            let moved = directory.quarantine(id)?;
            tracing::error!(task = %id, moved_to = %moved.display(), "state is set aside");
            Ok(())
        })
    }

    /// Removes the state of a task and opens an empty one, to be restored.
    pub(super) fn wipe(&mut self, id: TaskId, now: Timestamp) -> Result<(), Error> {
        self.reopen(id, now, |directory| directory.wipe(id))
    }

    fn reopen(
        &mut self,
        id: TaskId,
        now: Timestamp,
        clear: impl FnOnce(&dyn StateDirectory) -> Result<(), StoreError>,
    ) -> Result<(), Error> {
        let Some(mut task) = self.tasks.remove(&id) else { return Ok(()) };
        let inputs: Vec<_> = task.inputs().cloned().collect();
        task.begin_restore(now);
        self.counters.retired.absorb(task.counters());
        // A damaged store may fail to close; what matters is that its lock is released.
        if let Err(error) = task.close() {
            tracing::warn!(task = %id, %error, "did not close cleanly");
        }
        self.counters.state_wipes += 1;
        clear(&*self.directory)?;
        let mut task = self.open_task(id, inputs)?;
        task.mark_wiped();
        debug_assert_eq!(task.state(), TaskState::Restoring);
        self.tasks.insert(id, task);
        Ok(())
    }
}
