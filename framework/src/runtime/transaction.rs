//! The transaction of a stream thread: begun lazily, and with each task's begin record before its first other record. While
//! its commit is in flight nothing is sent: the next one begins when this one has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use super::observer::Moment;
use super::rebalance::Ownership;
use crate::broker::{BrokerError, BrokerErrorKind, CommitReceipt, Membership, Producer, TransactionEnd};
use crate::failpoint::COMPILED;
use crate::record::{ProducerRecord, TaskId, TopicPartition};
use crate::task::Task;
use crate::time::Timestamp;

/// A producer with at most one open transaction. Any error ends its life (I6: nothing is sent after the first failure).
#[derive(Debug)]
pub(crate) struct Transaction<P> {
    producer: P,
    open: Option<Open>,
    in_flight: Option<InFlight>,
    /// When the last transaction that has not ended cleanly began: also after a commit that failed.
    unended_since: Option<Timestamp>,
    /// Broken on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) unknown_is_committed: bool,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    tasks: BTreeMap<TaskId, Begun>,
    /// Begin records that were sent, by the partition they went to. Until a commit nothing else goes there.
    begins: BTreeMap<TopicPartition, u64>,
    /// It should have been committed, and its begin records are still on their way.
    is_late: bool,
    /// Of the tasks' outputs.
    bytes: usize,
}

/// A task's begin record on its way.
#[derive(Debug)]
struct Begun {
    log: TopicPartition,
    /// It is delivered when so many records are.
    count: u64,
    delivered: bool,
}

/// A commit that was started and has not ended.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The tasks that are committed.
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) started: Moment,
    /// Of the tasks' outputs.
    pub(crate) bytes: usize,
}

/// Everything of a commit that goes into the transaction.
#[derive(Debug, Default)]
pub(crate) struct CommitPlan {
    /// Rows of the changelogs.
    pub(crate) records: Vec<ProducerRecord>,
    /// Commit records and offsets.
    pub(crate) end: TransactionEnd,
    /// The offsets go into a transaction of their own: when that is broken on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) offsets_apart: bool,
    /// What comes last does not wait for the rest: the same.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) end_early: bool,
}

impl<P: Producer> Transaction<P> {
    pub(crate) const fn new(producer: P) -> Self {
        Self {
            producer,
            open: None,
            in_flight: None,
            unended_since: None,
            #[cfg(any(test, feature = "testing"))]
            unknown_is_committed: false,
        }
    }

    /// When the open transaction began.
    pub(crate) fn open_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.since)
    }

    /// True when the open transaction should have been committed, and its begin records are still on their way.
    pub(crate) fn waits_for_begins(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_late)
    }

    /// Says so, or that they are there.
    pub(crate) const fn set_late(&mut self, is_late: bool) {
        if let Some(open) = &mut self.open {
            open.is_late = is_late;
        }
    }

    /// True while a commit was started and has not ended.
    pub(crate) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// When the transaction began that this producer has failed in; `None` between two transactions.
    pub(crate) const fn unended_since(&self) -> Option<Timestamp> {
        self.unended_since
    }

    /// Bytes of outputs in the open transaction, or in the one whose commit is in flight.
    pub(crate) fn open_bytes(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map_or(0, |in_flight| in_flight.bytes);
        self.open.as_ref().map_or(in_flight, |open| open.bytes)
    }

    /// True when the task has sent records in the open transaction.
    pub(crate) fn contains(&self, task: TaskId) -> bool {
        self.open.as_ref().is_some_and(|open| open.tasks.contains_key(&task))
    }

    /// Sends outputs of a task that [has begun](Self::has_begun).
    pub(crate) fn send(&mut self, outputs: Vec<ProducerRecord>) -> Result<(), Error> {
        for record in outputs {
            if let Some(open) = &mut self.open {
                open.bytes = open.bytes.saturating_add(record.memory());
            }
            let letter = COMPILED && record.headers.last("__streams.errors.reason").is_some();
            crate::failpoint!("dead_letter.before_send", if letter);
            self.producer.send(record)?;
            crate::failpoint!("dead_letter.after_send", if letter);
        }
        Ok(())
    }

    /// Makes the task part of the transaction. The begin record must go out before anything else of the task, and be in its log
    /// ([`has_begun`](Self::has_begun)) before anything goes elsewhere: whatever a late request commits of a transaction that
    /// is torn apart, a begin record without its commit record is part of it.
    pub(crate) fn enlist(&mut self, task: &Task, now: Timestamp) -> Result<(), Error> {
        if self.in_flight.is_some() {
            return Err(Error::bug("a record is sent while a commit is in flight"));
        }
        if self.open.is_none() {
            crate::failpoint!("commit.before_begin_txn");
            self.producer.begin()?;
            self.unended_since = Some(now);
        }
        let new = || Open { since: now, tasks: BTreeMap::new(), begins: BTreeMap::new(), is_late: false, bytes: 0 };
        let open = self.open.get_or_insert_with(new);
        if open.tasks.contains_key(&task.id()) {
            return Ok(());
        }
        let record = task.begin_record(now)?;
        let log = record.target.clone();
        let count = open.begins.entry(log.clone()).or_default();
        *count += 1;
        open.tasks.insert(task.id(), Begun { log, count: *count, delivered: false });
        self.producer.send(record)?;
        crate::failpoint!("commit.after_begin_record");
        Ok(())
    }

    /// True when the task's begin record is in its log; waits for at most `wait`.
    pub(crate) fn has_begun(&mut self, task: TaskId, wait: Duration) -> Result<bool, Error> {
        let Some(begun) = self.open.as_mut().and_then(|open| open.tasks.get_mut(&task)) else { return Ok(false) };
        if !begun.delivered {
            begun.delivered = self.producer.poll_delivered(&begun.log, begun.count, wait)?;
        }
        Ok(begun.delivered)
    }

    /// Changelogs; when all of it is in its log the commit records and the offsets, which say so; then the end. The order is the
    /// protocol: an end that comes from elsewhere finds everything, or a commit record or offsets are missing, which the next
    /// start finds out. And only while the partitions are ours. Does not wait for the end.
    pub(crate) fn start_commit(
        &mut self,
        plan: CommitPlan,
        in_flight: InFlight,
        (ownership, membership): (&Ownership, &Membership),
        timeout: Duration,
    ) -> Result<(), Error> {
        if self.open.take().is_none() {
            return Err(Error::bug("a commit without a transaction"));
        }
        crate::failpoint!("commit.before_changelog");
        for record in plan.records {
            self.producer.send(record)?;
            crate::failpoint!("commit.inside_changelog");
        }
        if !membership.is_fencing() || membership != ownership.membership() {
            // The broker would accept some of these unchecked (the pre-join identity, for one).
            let kind = BrokerErrorKind::NotAMember;
            return Err(BrokerError::new("send_offsets", kind, "no longer the member that was assigned").into());
        }
        crate::failpoint!("commit.before_send_offsets");
        let end = plan.end;
        #[cfg(any(test, feature = "testing"))]
        let end = self.end_broken(end, (plan.offsets_apart, plan.end_early), membership, timeout)?;
        self.producer.start_commit(end, membership, timeout)?;
        self.in_flight = Some(in_flight);
        Ok(())
    }

    /// Ends the transaction as the breakages `OffsetsApart` and `EndBeforeDelivery` do; what they leave is still to be sent.
    #[cfg(any(test, feature = "testing"))]
    fn end_broken(
        &mut self,
        mut end: TransactionEnd,
        (offsets_apart, end_early): (bool, bool),
        membership: &Membership,
        timeout: Duration,
    ) -> Result<TransactionEnd, Error> {
        if offsets_apart {
            for record in std::mem::take(&mut end.records) {
                self.producer.send(record)?;
            }
            self.producer.commit(timeout)?;
            self.producer.begin()?;
        }
        if end_early {
            let TransactionEnd { records, offsets } = std::mem::take(&mut end);
            records.into_iter().try_for_each(|record| self.producer.send(record))?;
            self.producer.send_offsets(&offsets, membership)?;
        }
        Ok(end)
    }

    /// Everything was handed over at that moment: what comes now is waiting.
    pub(crate) const fn flushed(&mut self, at: Moment) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.started = at;
        }
    }

    /// What the commit in flight has done, and whose it was, once it has ended; waits for at most `wait`.
    pub(crate) fn poll_commit(&mut self, wait: Duration) -> Result<Option<(CommitReceipt, InFlight)>, Error> {
        if self.in_flight.is_none() {
            return Ok(None);
        }
        let receipt = match self.producer.poll_commit(wait) {
            Ok(None) => return Ok(None),
            Ok(Some(receipt)) => receipt,
            #[cfg(any(test, feature = "testing"))]
            Err(error) if self.unknown_is_committed && error.kind == BrokerErrorKind::OutcomeUnknown => {
                CommitReceipt::default()
            }
            Err(error) => {
                self.in_flight = None;
                return Err(error.into());
            }
        };
        self.unended_since = None;
        Ok(self.in_flight.take().map(|in_flight| (receipt, in_flight)))
    }

    /// Why the producer must be replaced before the next transaction.
    pub(crate) fn taint(&self) -> Option<&'static str> {
        self.producer.taint()
    }
}
