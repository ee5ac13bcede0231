//! The transaction of a stream thread: begun lazily, and with each task's begin record before its first other record. While
//! its commit is in flight nothing is sent: the next one begins when this one has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Error;
use super::observer::Moment;
use super::rebalance::Ownership;
use crate::broker::{BrokerError, BrokerErrorKind, CommitReceipt, CommittedOffset, Membership, Producer};
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
    tasks: BTreeSet<TaskId>,
    /// Of the tasks' outputs.
    bytes: usize,
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
    pub(crate) records: Vec<ProducerRecord>,
    pub(crate) offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// The offsets go into a transaction of their own: when that is broken on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) offsets_apart: bool,
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
        self.open.as_ref().is_some_and(|open| open.tasks.contains(&task))
    }

    /// Sends outputs of a task; begins the transaction when none is open.
    pub(crate) fn send(&mut self, task: &Task, outputs: Vec<ProducerRecord>, now: Timestamp) -> Result<(), Error> {
        if outputs.is_empty() {
            return Ok(());
        }
        self.enlist(task, now)?;
        for record in outputs {
            if let Some(open) = &mut self.open {
                open.bytes = open.bytes.saturating_add(record.size());
            }
            let letter = COMPILED && record.headers.last("__streams.errors.reason").is_some();
            crate::failpoint!("dead_letter.before_send", if letter);
            self.producer.send(record)?;
            crate::failpoint!("dead_letter.after_send", if letter);
        }
        Ok(())
    }

    /// Makes the task part of the transaction. The begin record must go out before anything else of the task: a
    /// transaction that is torn apart then shows as a begin record without its commit record.
    pub(crate) fn enlist(&mut self, task: &Task, now: Timestamp) -> Result<(), Error> {
        if self.in_flight.is_some() {
            return Err(Error::bug("a record is sent while a commit is in flight"));
        }
        if self.open.is_none() {
            crate::failpoint!("commit.before_begin_txn");
            self.producer.begin()?;
            self.unended_since = Some(now);
        }
        let open = self.open.get_or_insert_with(|| Open { since: now, tasks: BTreeSet::new(), bytes: 0 });
        if open.tasks.insert(task.id()) {
            self.producer.send(task.begin_record(now)?)?;
            crate::failpoint!("commit.after_begin_record");
        }
        Ok(())
    }

    /// Changelogs and commit records, then offsets, then the end. The order is the protocol: offsets last, so that
    /// nothing can be committed without them; and only while the partitions are ours. Does not wait for the end.
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
        #[cfg(any(test, feature = "testing"))]
        if plan.offsets_apart {
            self.producer.commit(timeout)?;
            self.producer.begin()?;
        }
        self.producer.start_commit(&plan.offsets, membership, timeout)?;
        self.in_flight = Some(in_flight);
        Ok(())
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
