//! The transactional producer, as librdkafka behaves: its own queue, its own idea of what is in the transaction.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::broker::{
    BrokerError, BrokerErrorKind, CommitReceipt, CommittedOffset, Membership, Producer, TransactionEnd,
};
use crate::record::{Offset, ProducerRecord, TopicPartition};

use super::cluster::{Cluster, Request, pause};
use super::code::ErrorCode;
use super::fault::Fault;
use super::faults::Delay;
use super::log::ProducerStamp;
use super::{SharedCluster, SimBroker};

/// How many steps of time a call waits inside for markers that are on their way.
const PATIENCE_CALLS: usize = 64;

/// A producer of the simulated broker. Dropping it leaves an open transaction open, as `kill -9` does.
pub struct SimProducer {
    cluster: SharedCluster,
    id: String,
    stamp: ProducerStamp,
    state: State,
    in_flight: Option<InFlight>,
    taint: Option<&'static str>,
}

/// A commit that was started.
struct InFlight {
    /// So many looks until it is told; `None`: until somebody waits for it.
    looks: Option<u64>,
    work: Work,
}

/// How much of it the broker has heard of.
enum Work {
    Ahead {
        end: TransactionEnd,
        membership: Membership,
    },
    /// The offsets are in the transaction, its end is not asked for.
    OffsetsIn,
    Done(Result<CommitReceipt, BrokerError>),
}

/// A look that waits is worth so many that do not.
const LOOKS_OF_A_WAIT: u64 = 8;

enum State {
    Ready,
    Open(Transaction),
    Dead(BrokerError),
}

/// What the client believes of its transaction.
#[derive(Default)]
struct Transaction {
    queue: VecDeque<ProducerRecord>,
    /// Partitions that the coordinator was told of; it is not told twice.
    added: BTreeSet<TopicPartition>,
    offsets_sent: bool,
    /// Last offset of each partition by delivery report; `None` when a report came without.
    delivered: BTreeMap<TopicPartition, Option<Offset>>,
    /// How many records each partition has got.
    counts: BTreeMap<TopicPartition, u64>,
    /// Partitions whose records wait while those of others go ahead, until somebody waits for them.
    slow: BTreeSet<TopicPartition>,
    /// The first failed delivery: surfaces at the next call.
    failed: Option<BrokerError>,
}

impl SimProducer {
    pub(super) fn init(broker: &SimBroker, id: &str) -> Result<Self, BrokerError> {
        let operation = "init_transactions";
        let cluster = broker.shared();
        pause(&cluster, id);
        let mut state = cluster.borrow_mut();
        state.enter(operation)?;
        state.fails(id, (operation, Fault::InitRetriable, BrokerErrorKind::Retriable))?;
        let stamp = state.init_producer(id).map_err(|code| code.during(operation))?;
        state.crashes(id, operation, Fault::CrashAfterInit)?;
        drop(state);
        Ok(Self { cluster, id: id.to_owned(), stamp, state: State::Ready, in_flight: None, taint: None })
    }

    /// `send_offsets` without this client's own check: what a careless client does. The broker lets `(-1, "")` pass.
    ///
    /// # Errors
    /// [`BrokerError`] as [`Producer::send_offsets`].
    pub fn send_offsets_unchecked(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError> {
        let operation = "send_offsets";
        self.run(operation, |cluster, (id, stamp), open| {
            open.check()?;
            cluster.crashes(id, operation, Fault::CrashBeforeSendOffsets)?;
            cluster.fails(id, (operation, Fault::SendOffsets, BrokerErrorKind::Abortable))?;
            let group = cluster.group_of(id, membership).ok_or(ErrorCode::UnknownMemberId.during(operation))?;
            patiently(cluster, |cluster| cluster.send_offsets((id, stamp), &group, offsets, membership))
                .map_err(|code| code.during(operation))
                .map_err(abortable_at_least)?;
            open.offsets_sent = true;
            cluster.crashes(id, operation, Fault::CrashAfterSendOffsets)?;
            cluster.fails(id, (operation, Fault::SendOffsetsResponseLost, BrokerErrorKind::Abortable))
        })
    }

    /// Everything that was sent is in its log, then the records of `end`, then its offsets.
    fn send_end(&mut self, end: TransactionEnd, membership: &Membership) -> Result<(), BrokerError> {
        let operation = "produce";
        self.run(operation, |cluster, (id, stamp), open| {
            open.slow.clear();
            for _ in 0..PATIENCE_CALLS {
                open.deliver(cluster, id, stamp);
                open.check()?;
                if open.queue.is_empty() {
                    return Ok(());
                }
                cluster.tick();
            }
            Err(BrokerError::new(operation, BrokerErrorKind::Abortable, "time-out while records were delivered"))
        })?;
        for record in end.records {
            self.send(record).map_err(abortable_at_least)?;
        }
        self.send_offsets(&end.offsets, membership)
    }

    /// Runs a call inside the transaction; an error that is not `Retriable` ends the producer's life.
    fn run<T>(
        &mut self,
        operation: &'static str,
        call: impl FnOnce(&mut Cluster, (&str, ProducerStamp), &mut Transaction) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        pause(&self.cluster, &self.id);
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        let open = match &mut self.state {
            State::Open(open) => open,
            State::Dead(error) => return Err(error.clone()),
            State::Ready => {
                return Err(BrokerError::new(operation, BrokerErrorKind::Abortable, "no transaction is open"));
            }
        };
        let result = call(&mut cluster, (&self.id, self.stamp), open);
        if let Err(error) = &result
            && error.kind != BrokerErrorKind::Retriable
        {
            self.state = State::Dead(error.clone());
        }
        result
    }
}

impl Transaction {
    /// Sends what is queued, each partition's in order, until the coordinator asks to wait.
    fn deliver(&mut self, cluster: &mut Cluster, id: &str, stamp: ProducerStamp) {
        let is_ready = |this: &Self| this.queue.iter().position(|record| !this.slow.contains(&record.target));
        while let Some(place) = is_ready(self) {
            let Some(at) = self.queue.get(place).map(|record| record.target.clone()) else { return };
            if !self.added.contains(&at) {
                match cluster.add_partition(id, stamp, &at) {
                    Ok(()) => {}
                    Err(ErrorCode::ConcurrentTransactions) => return,
                    Err(code) => return self.fail(code),
                }
                self.added.insert(at.clone());
            }
            let Some(record) = self.queue.remove(place) else { return };
            match cluster.produce(id, stamp, record) {
                Ok(offset) => {
                    let known = cluster.strikes(id, Fault::DeliveryOffsetUnknown).is_none();
                    *self.counts.entry(at.clone()).or_default() += 1;
                    self.delivered.insert(at, known.then_some(offset));
                }
                Err(code) => return self.fail(code),
            }
        }
    }

    fn fail(&mut self, code: ErrorCode) {
        let error = match code {
            ErrorCode::UnknownTopicOrPartition => {
                BrokerError::new("produce", BrokerErrorKind::RecordRejected, code.to_string())
            }
            _ => code.during("produce"),
        };
        self.failed.get_or_insert(error);
        self.queue.clear();
    }

    fn check(&self) -> Result<(), BrokerError> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

/// Asks again while markers of the last transaction are on their way: a client does so inside the call.
fn patiently<T>(
    cluster: &mut Cluster,
    mut request: impl FnMut(&mut Cluster) -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    for _ in 0..PATIENCE_CALLS {
        match request(cluster) {
            Err(ErrorCode::ConcurrentTransactions) => cluster.tick(),
            answer => return answer,
        }
    }
    request(cluster)
}

/// A call inside a transaction that gave up waiting: the transaction cannot be completed.
fn abortable_at_least(error: BrokerError) -> BrokerError {
    match error.kind {
        BrokerErrorKind::Retriable => BrokerError::new(error.operation, BrokerErrorKind::Abortable, error.reason),
        _ => error,
    }
}

impl Producer for SimProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.cluster.borrow_mut().enter("begin_transaction")?;
        match &self.state {
            State::Dead(error) => Err(error.clone()),
            State::Open(_) => {
                let reason = "a transaction is open already";
                Err(BrokerError::new("begin_transaction", BrokerErrorKind::Abortable, reason))
            }
            State::Ready => {
                self.state = State::Open(Transaction::default());
                Ok(())
            }
        }
    }

    fn send(&mut self, record: ProducerRecord) -> Result<(), BrokerError> {
        let operation = "produce";
        self.run(operation, |cluster, (id, stamp), open| {
            open.check()?;
            cluster.fails(id, (operation, Fault::ProducerQueueFull, BrokerErrorKind::Retriable))?;
            cluster.crashes(id, operation, Fault::CrashBeforeSend)?;
            cluster.fails(id, (operation, Fault::BeforeSend, BrokerErrorKind::Abortable))?;
            if cluster.topics.log(&record.target).is_err() {
                let reason = format!("there is no partition {}", record.target);
                return Err(BrokerError::new(operation, BrokerErrorKind::RecordRejected, reason));
            }
            if cluster.strikes(id, Fault::DeliverySlow).is_some() {
                open.slow.insert(record.target.clone());
            }
            open.queue.push_back(record);
            if cluster.strikes(id, Fault::DeliveryHeld).is_none() {
                open.deliver(cluster, id, stamp);
            }
            cluster.crashes(id, operation, Fault::CrashAfterSend)?;
            cluster.fails(id, (operation, Fault::AfterSend, BrokerErrorKind::Abortable))
        })
    }

    fn poll_delivered(&mut self, partition: &TopicPartition, count: u64, wait: Duration) -> Result<bool, BrokerError> {
        let operation = "produce";
        if wait.is_zero() {
            return match &self.state {
                State::Open(open) => Ok(open.counts.get(partition).copied().unwrap_or(0) >= count),
                State::Dead(error) => Err(error.clone()),
                State::Ready => Ok(count == 0),
            };
        }
        self.run(operation, |cluster, (id, stamp), open| {
            open.slow.clear();
            for _ in 0..PATIENCE_CALLS {
                open.deliver(cluster, id, stamp);
                open.check()?;
                if open.counts.get(partition).copied().unwrap_or(0) >= count {
                    return Ok(true);
                }
                cluster.tick();
            }
            Ok(false)
        })
    }

    fn send_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError> {
        if !membership.is_fencing() {
            // Refused here, because the broker would not: it checks no membership at all for (-1, "").
            let reason = "not a member of the group at present";
            return self.run("send_offsets", |_, _, _| {
                Err(BrokerError::new("send_offsets", BrokerErrorKind::NotAMember, reason))
            });
        }
        self.send_offsets_unchecked(offsets, membership)
    }

    fn commit(&mut self, _timeout: Duration) -> Result<CommitReceipt, BrokerError> {
        let operation = "commit_transaction";
        let unknown = BrokerErrorKind::OutcomeUnknown;
        let mut taint = None;
        let result = self.run(operation, |cluster, (id, stamp), open| {
            cluster.fails(id, (operation, Fault::BeforeEndTxn, BrokerErrorKind::Abortable))?;
            // Everything is delivered before the coordinator is asked to commit it.
            open.slow.clear();
            for _ in 0..PATIENCE_CALLS {
                open.deliver(cluster, id, stamp);
                if open.queue.is_empty() {
                    break;
                }
                cluster.tick();
            }
            open.check()?;
            if !open.queue.is_empty() {
                return Err(BrokerError::new(operation, unknown, "time-out while records were delivered"));
            }
            if open.added.is_empty() && !open.offsets_sent {
                return Ok(CommitReceipt::default());
            }
            cluster.crashes(id, operation, Fault::CrashBeforeEndTxn)?;
            cluster.fails(id, (operation, Fault::EndTxnRequestLost, unknown))?;
            let copy = Request::EndTxn { id: id.to_owned(), producer: stamp, commit: true };
            if let Some(delay) = cluster.strikes(id, Fault::EndTxnDelayed) {
                cluster.delay(delay, copy);
                return Err(BrokerError::new(operation, unknown, "time-out, the request is in flight"));
            }
            patiently(cluster, |cluster| cluster.end_txn(id, stamp, true)).map_err(|code| match code {
                ErrorCode::ConcurrentTransactions => BrokerError::new(operation, unknown, code.to_string()),
                _ => code.during(operation),
            })?;
            cluster.crashes(id, operation, Fault::CrashAfterEndTxn)?;
            cluster.fails(id, (operation, Fault::EndTxnResponseLost, unknown))?;
            taint = retried(cluster, id, copy);
            let reports = std::mem::take(&mut open.delivered).into_iter();
            let last_offsets = reports.filter_map(|(at, offset)| Some((at, offset?))).collect();
            Ok(CommitReceipt { last_offsets, offsets_took: None })
        });
        if result.is_ok() {
            self.state = State::Ready;
        }
        self.taint = self.taint.or(taint);
        result
    }

    fn start_commit(
        &mut self,
        end: TransactionEnd,
        membership: &Membership,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let operation = "commit_transaction";
        let slow = self.run(operation, |cluster, (id, _), _| Ok(cluster.strikes(id, Fault::CommitSlow)))?;
        if let Some(delay) = slow {
            let work = Work::Ahead { end, membership: membership.clone() };
            self.in_flight = Some(InFlight { looks: delay.calls(), work });
            return Ok(());
        }
        let done = self.send_end(end, membership).and_then(|()| self.commit(timeout));
        let late = self.cluster.borrow_mut().strikes(&self.id, Fault::CommitToldLate);
        let looks = late.map_or(Some(0), Delay::calls);
        self.in_flight = Some(InFlight { looks, work: Work::Done(done) });
        Ok(())
    }

    fn poll_commit(&mut self, wait: Duration) -> Result<Option<CommitReceipt>, BrokerError> {
        let Some(in_flight) = self.in_flight.take() else {
            let reason = "no commit was started";
            return Err(BrokerError::new("commit_transaction", BrokerErrorKind::Abortable, reason));
        };
        let InFlight { looks, mut work } = in_flight;
        let worth = if wait.is_zero() { 1 } else { LOOKS_OF_A_WAIT };
        let ended = match looks {
            Some(looks) => looks < worth || looks == 0,
            None => !wait.is_zero(),
        };
        if ended {
            return match work {
                Work::Ahead { end, membership } => {
                    self.send_end(end, &membership)?;
                    self.commit(wait).map(Some)
                }
                Work::OffsetsIn => self.commit(wait).map(Some),
                Work::Done(result) => result.map(Some),
            };
        }
        let looks = looks.map(|looks| looks - worth);
        // At some look in between the client gets through with the first half.
        if let (Work::Ahead { end, membership }, Some(true)) = (&work, looks.map(|looks| looks % 3 == 0)) {
            let sent = self.send_end(end.clone(), membership);
            work = sent.map_or_else(|error| Work::Done(Err(error)), |()| Work::OffsetsIn);
        }
        self.in_flight = Some(InFlight { looks, work });
        self.cluster.borrow_mut().enter("commit_transaction")?;
        Ok(None)
    }

    fn taint(&self) -> Option<&'static str> {
        self.taint
    }
}

/// Whether the commit was retried on the way, and a copy of the request is still in flight.
fn retried(cluster: &mut Cluster, id: &str, copy: Request) -> Option<&'static str> {
    if let Some(delay) = cluster.strikes(id, Fault::EndTxnDuplicatedUnnoticed) {
        cluster.delay(delay, copy.clone());
    }
    let duplicated = cluster.strikes(id, Fault::EndTxnDuplicated);
    if let Some(delay) = duplicated {
        cluster.delay(delay, copy);
    }
    let noticed = duplicated.is_some() || cluster.strikes(id, Fault::EndTxnRetried).is_some();
    noticed.then_some("the commit request was retried")
}

impl Drop for SimProducer {
    /// A commit in flight goes on behind the back of whoever drops the producer, if all records were delivered: the client's
    /// calls return when they return.
    fn drop(&mut self) {
        let (Some(InFlight { looks: Some(looks), work }), State::Open(open)) = (self.in_flight.take(), &mut self.state)
        else {
            return;
        };
        // A cluster in use is one in which a process dies.
        let Ok(mut cluster) = self.cluster.try_borrow_mut() else { return };
        if cluster.crashed.is_some() {
            return;
        }
        open.slow.clear();
        open.deliver(&mut cluster, &self.id, self.stamp);
        if let (Work::Ahead { end, .. }, true) = (&work, open.queue.is_empty()) {
            open.queue.extend(end.records.iter().cloned());
            open.deliver(&mut cluster, &self.id, self.stamp);
        }
        if !open.queue.is_empty() || open.failed.is_some() {
            return;
        }
        let (id, producer, delay) = (self.id.clone(), self.stamp, Delay::Calls(1 + looks));
        match work {
            Work::Ahead { end: TransactionEnd { offsets, .. }, membership } => {
                let Some(group) = cluster.group_of(&id, &membership) else { return };
                let request = Request::Offsets { id, producer, group, offsets, membership, end_after: 1 + looks };
                cluster.delay(delay, request);
            }
            Work::OffsetsIn => cluster.delay(delay, Request::EndTxn { id, producer, commit: true }),
            Work::Done(_) => {}
        }
    }
}

impl fmt::Debug for SimProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimProducer").field("id", &self.id).field("epoch", &self.stamp.epoch).finish_non_exhaustive()
    }
}
