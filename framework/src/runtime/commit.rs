//! The exactly-once sequence. Its order is the protocol; `exactly-once` 7.3 says why.
//!
//! ```text
//! begin records, outputs … │ changelog rows │ commit records, offsets │ end of transaction │ rows + checkpoint, per task
//!  sent while processing                    │                         └─ the one durable moment
//!                                           └── from here to the end the commit is in flight: the thread processes ahead
//! ```
//! A crash before the end: nothing happened. After it: the rows are in the changelog, and are replayed.
//!
//! What is processed ahead stays with its task: writes in the overlay above the frozen one, outputs in a buffer. It is sent
//! when the commit has ended well, as the first of the next transaction, and dropped with everything else when it has not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use super::breakage::broken;
use super::observer::CommitPhase;
use super::thread::StreamThread;
use super::transaction::{CommitPlan, InFlight, Transaction};
use super::waits::Wait;
use crate::broker::{Broker, BrokerError, BrokerErrorKind, CommitReceipt, Consumer};
use crate::record::{Offset, TaskId, TopicPartition};
use crate::task::TaskState;
use crate::time::Timestamp;

/// How often an idle task says on disk that it is still owned.
const TOUCH_INTERVAL: Duration = Duration::from_mins(5);
/// `repartition.purge.interval.ms`, as in Kafka Streams.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);
/// So many transactions that fail on a refused record within [`REJECTED_WINDOW`] mean that it is the input. Commits in
/// between mean nothing: they are of other partitions.
const REJECTED_MAX: usize = 5;
const REJECTED_WINDOW: Duration = Duration::from_mins(10);

impl<B: Broker> StreamThread<B> {
    /// True at the interval, when too much was written or sent, when somebody asked, and well before the transaction's time-out.
    pub(super) fn commit_due(&mut self, now: Timestamp) -> bool {
        // All of them are asked: each answers once.
        if now < self.last_commit {
            // The clock was set back: the interval begins anew instead of lasting as long as the step.
            self.last_commit = now;
        }
        let asked = self.tasks.values_mut().filter_map(|task| task.take_commit_request().then_some(())).count() > 0;
        let open = self.transaction.as_ref().and_then(Transaction::open_since);
        // Whoever asked for the one that waits for a begin record does not ask again.
        asked
            || self.waits_for_begins()
            || self.uncommitted_bytes() > self.config.uncommitted_bytes_max
            || now.since(self.last_commit) >= self.config.commit_interval
            || open.is_some_and(|since| now.since(since) > self.config.transaction_timeout / 2)
    }

    /// Bytes of writes that are not committed, and of outputs; of those in flight and of those processed ahead, too.
    pub(super) fn uncommitted_bytes(&self) -> usize {
        let written: usize = self.tasks.values().map(crate::task::Task::uncommitted_bytes).sum();
        written.saturating_add(self.transaction.as_ref().map_or(0, Transaction::open_bytes))
    }

    /// Commits every task that has something to commit, and waits for the end: at most one transaction in flight, and one
    /// more for what was processed ahead of it, unless the producer must be replaced between the two. False when there is
    /// nothing to commit.
    ///
    /// # Errors
    /// [`Error`]; the caller must take the error path.
    pub fn commit(&mut self, now: Timestamp) -> Result<bool, Error> {
        let mut committed = self.finish_commit(now)?;
        if self.start_commit(self.config.request_timeout, now)? {
            committed |= self.finish_commit(now)?;
        } else if self.waits_for_begins() {
            let reason = "the begin record of a task was not delivered in time";
            return Err(BrokerError::new("send", BrokerErrorKind::Abortable, reason).into());
        }
        Ok(committed)
    }

    /// True while a commit is in flight.
    pub(super) fn commit_in_flight(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::is_in_flight)
    }

    /// Sends everything that belongs to a commit, and asks for the end of the transaction without waiting for it. False when
    /// there is nothing to commit, or when a begin record was not delivered within `wait`: then it is due again.
    pub(super) fn start_commit(&mut self, wait: Duration, now: Timestamp) -> Result<bool, Error> {
        let dirty = self.dirty_tasks();
        if !self.all_have_begun(&dirty, wait, now)? {
            return Ok(false);
        }
        self.last_commit = now;
        let (Some(transaction), Some(consumer), Some(ownership)) =
            (&mut self.transaction, &self.consumer, &self.ownership)
        else {
            return Ok(false);
        };
        for task in self.tasks.values_mut().filter(|task| !dirty.contains(&task.id())) {
            task.touch(now, TOUCH_INTERVAL)?;
        }
        if dirty.is_empty() {
            return Ok(false);
        }
        let started = self.observer.start();
        let mut plan = CommitPlan::default();
        for id in &dirty {
            let Some(task) = self.tasks.get_mut(id) else { continue };
            // What was processed ahead; it must precede the task's commit record.
            let outputs = task.take_outputs();
            self.counters.count_sent(&outputs);
            transaction.send(outputs)?;
            let (commit, rows, record) = task.prepare_commit(|partition| consumer.position(partition), now)?;
            plan.end.offsets.extend(commit.offsets());
            plan.records.extend(rows);
            plan.end.records.push(record);
            if broken!(self, ApplyBeforeCommit) {
                task.apply_commit(&CommitReceipt::default(), now)?;
            }
            if broken!(self, CommitPolledOffsets) {
                for (partition, offset) in &mut plan.end.offsets {
                    offset.next = consumer.position(partition).max(Some(offset.next)).unwrap_or_default();
                }
            }
        }
        #[cfg(any(test, feature = "testing"))]
        {
            plan.offsets_apart = broken!(self, OffsetsApart);
            plan.end_early = broken!(self, EndBeforeDelivery);
        }
        let member = (ownership, &consumer.membership());
        let in_flight = InFlight { tasks: dirty, started, bytes: transaction.open_bytes() };
        transaction.start_commit(plan, in_flight, member, self.config.request_timeout)?;
        self.observer.committed(CommitPhase::Flush, started);
        transaction.flushed(self.observer.start());
        Ok(true)
    }

    /// Makes these tasks part of the transaction, all of them before the first is waited for: their begin records go together.
    /// False when one of a task that writes elsewhere, too, was not delivered within `wait`.
    fn all_have_begun(&mut self, tasks: &[TaskId], wait: Duration, now: Timestamp) -> Result<bool, Error> {
        let Some(transaction) = &mut self.transaction else { return Ok(true) };
        for task in tasks.iter().filter_map(|id| self.tasks.get(id)) {
            transaction.enlist(task, now)?;
        }
        let mut all = true;
        for task in tasks.iter().filter_map(|id| self.tasks.get(id)).filter(|task| task.writes_elsewhere()) {
            all = all && (broken!(self, OutputsBeforeBegin) || transaction.has_begun(task.id(), wait)?);
        }
        transaction.set_late(!all);
        Ok(all)
    }

    /// Waits for the commit in flight, if there is one. True when it has ended well.
    pub(super) fn finish_commit(&mut self, now: Timestamp) -> Result<bool, Error> {
        let mut ended = false;
        while self.commit_in_flight() {
            // It ends within a bounded time: that is the producer's promise.
            ended |= self.poll_commit(self.config.request_timeout, now)?;
        }
        Ok(ended)
    }

    /// Applies the commit in flight once it has ended; waits for at most `wait`. False when it has not, or there is none.
    pub(super) fn poll_commit(&mut self, wait: Duration, now: Timestamp) -> Result<bool, Error> {
        let Some(transaction) = &mut self.transaction else { return Ok(false) };
        #[cfg(any(test, feature = "testing"))]
        {
            transaction.unknown_is_committed = broken!(self, UnknownIsCommitted);
        }
        let Some((receipt, InFlight { tasks, started, .. })) = transaction.poll_commit(wait)? else { return Ok(false) };
        crate::failpoint!("commit.after_end_txn");
        if let Some(took) = receipt.offsets_took {
            let began = self.observer.start().before(took);
            self.observer.committed(CommitPhase::Offsets, began);
        }
        self.observer.committed(CommitPhase::Transaction, started.after(receipt.offsets_took.unwrap_or_default()));
        // Only now: what is not certainly committed never reaches a store (I1).
        self.apply(&tasks, &receipt, now)?;
        self.end_batches(&tasks);
        self.commit_ended = true;
        self.purge(now);
        Ok(true)
    }

    /// Deletes what is committed from repartition topics, now and then. A failure only leaves the records a while longer.
    fn purge(&mut self, now: Timestamp) {
        // A clock that was set back must not stop the purge.
        self.last_purge = self.last_purge.min(now);
        if now.since(self.last_purge) < PURGE_INTERVAL {
            return;
        }
        self.last_purge = now;
        // Committed offsets only: what is read but not committed may be needed again (KAFKA-6150).
        let committed = self.tasks.values().flat_map(|task| &task.checkpoint().input);
        let before: BTreeMap<TopicPartition, Offset> = committed
            .filter(|(partition, _)| self.topics.is_repartition(&partition.topic))
            .map(|(partition, &offset)| (partition.clone(), offset))
            .collect();
        if before.is_empty() {
            return;
        }
        match self.broker.delete_records(&before) {
            Ok(()) => self.purge_refused = false,
            Err(error) if error.kind == BrokerErrorKind::Retriable || self.purge_refused => {
                tracing::debug!(%error, "repartition topics were not purged");
            }
            Err(error) => {
                // It does not pass by itself, and these topics keep everything for ever.
                tracing::warn!(%error, "repartition topics cannot be purged, and grow until they can");
                self.purge_refused = true;
                self.last_error = Some((now, error.into()));
            }
        }
    }

    fn dirty_tasks(&self) -> Vec<TaskId> {
        let Some(consumer) = &self.consumer else { return Vec::new() };
        let sent = |task: TaskId| self.transaction.as_ref().is_some_and(|transaction| transaction.contains(task));
        let running = self.tasks.values().filter(|task| task.state() == TaskState::Running);
        let dirty = running.filter(|task| {
            sent(task.id()) || task.has_outputs() || task.is_dirty(|partition| consumer.position(partition))
        });
        dirty.map(crate::task::Task::id).collect()
    }

    fn apply(&mut self, dirty: &[TaskId], receipt: &CommitReceipt, now: Timestamp) -> Result<(), Error> {
        let started = self.observer.start();
        self.counters.commits += 1;
        for id in dirty {
            if let Some(task) = self.tasks.get_mut(id) {
                #[cfg(any(test, feature = "testing"))]
                if broken!(self, CheckpointBeforeRows) {
                    task.write_checkpoint_first(receipt, now)?;
                } else if broken!(self, CheckpointPastCommit) {
                    task.apply_commit(&crate::task::Task::past(receipt), now)?;
                }
                task.apply_commit(receipt, now)?;
                self.observer.visible(&task.take_committed_times());
                #[cfg(any(test, feature = "testing"))]
                if broken!(self, ApplyAhead) {
                    task.apply_ahead()?;
                }
                crate::failpoint!("commit.between_store_batches");
            }
        }
        crate::failpoint!("commit.after_store_batches");
        self.observer.committed(CommitPhase::Store, started);
        self.drop_tainted();
        Ok(())
    }

    /// Gives up a producer between two transactions when a delayed request of the last one could end the next.
    pub(super) fn drop_tainted(&mut self) {
        if broken!(self, KeepTaintedProducer) {
            return;
        }
        let idle =
            |transaction: &&Transaction<B::Producer>| transaction.open_since().is_none() && !transaction.is_in_flight();
        let idle = self.transaction.as_ref().filter(idle);
        if let Some(reason) = idle.and_then(Transaction::taint) {
            tracing::info!(reason, "the producer is replaced: a delayed request of it could end the next transaction");
            self.transaction = None;
            *self.counters.aborts.entry("taint").or_default() += 1;
        }
    }

    /// Makes a producer; this fences every predecessor and waits until its transaction is resolved. False when the broker
    /// asks to wait: it is tried again in the next round, with the consumer polled in between.
    pub(super) fn renew_producer(&mut self, now: Timestamp) -> Result<bool, Error> {
        crate::failpoint!("producer.inside_init");
        match self.broker.producer(&self.config.instance_id) {
            Ok(producer) => {
                crate::failpoint!("producer.after_init");
                self.counters.producers += 1;
                self.waits.over(Wait::Producer);
                self.transaction = Some(Transaction::new(producer));
                Ok(true)
            }
            Err(error) if error.kind == BrokerErrorKind::Retriable => {
                tracing::debug!(%error, "no producer yet");
                self.waits_for(Wait::Producer, &error, now);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// After a failed or unknown transaction: everything uncommitted is forgotten and every task restored. The new
    /// producer's `init_transactions` returns only when the old transaction is resolved, so that the offsets read
    /// afterwards tell its outcome.
    pub(super) fn revive(&mut self, error: Error, now: Timestamp) -> Result<(), Error> {
        let kind = match &error {
            Error::Broker(error) => error.kind,
            _ => BrokerErrorKind::Abortable,
        };
        // A failure of something else, while the brokers go on with a commit that nobody will hear of.
        let cause = if self.commit_in_flight() { cause(BrokerErrorKind::OutcomeUnknown) } else { cause(kind) };
        *self.counters.aborts.entry(cause).or_default() += 1;
        if kind == BrokerErrorKind::ProducerFenced {
            match self.transaction.as_ref().and_then(Transaction::unended_since) {
                // This round may have stood still since it began: the next one knows how old the transaction was.
                Some(since) => self.fencing.inside = Some(since),
                None => self.note_fencing(now)?,
            }
        } else if kind == BrokerErrorKind::NotAMember {
            self.hold_producer(now);
        }
        if let Error::Broker(source) = &error
            && kind == BrokerErrorKind::RecordRejected
        {
            self.rejected_at.retain(|at| at.is_within(REJECTED_WINDOW, now));
            self.rejected_at.push(now);
            if self.rejected_at.len() >= REJECTED_MAX {
                return Err(Error::NoProgress { times: self.rejected_at.len(), source: source.clone() });
            }
        }
        tracing::warn!(%error, "the transaction is dropped, all tasks are restored");
        crate::failpoint!("recover.before_revive");
        self.last_error = Some((now, error));
        self.transaction = None;
        self.restoration = None;
        self.offsets_missing_since = None;
        for task in self.tasks.values_mut() {
            if task.state() == TaskState::Running {
                #[cfg(any(test, feature = "testing"))]
                if broken!(self, GoOnAfterFailure) {
                    task.go_on();
                    continue;
                } else if broken!(self, DirtyStateSurvives) {
                    // A store that is damaged on top of it takes nothing.
                    drop(task.write_uncommitted());
                }
                task.begin_restore(now);
            }
        }
        crate::failpoint!("recover.after_revive");
        Ok(())
    }
}

pub(super) const fn cause(kind: BrokerErrorKind) -> &'static str {
    match kind {
        BrokerErrorKind::ProducerFenced | BrokerErrorKind::MemberFenced => "fenced",
        BrokerErrorKind::OutcomeUnknown => "unknown",
        BrokerErrorKind::RecordRejected => "rejected",
        _ => "aborted",
    }
}
