//! The transactional producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::acl::Resource;
use super::admin::EventServer;
use super::calls::{Calls, Job, Last, Offsets, Step, Waiting};
use super::consumer::list_of_committed;
use super::deliveries::{Delivered, Reports};
use super::error;
use super::ffi::{Failure, Group, Handle, Outgoing, Topic};
use super::groups::Groups;
use super::link::Link;
use crate::broker::{
    BrokerError, BrokerErrorKind, CommitReceipt, CommittedOffset, Membership, Producer, TransactionEnd,
};
use crate::record::{Partition, ProducerRecord, TopicName, TopicPartition};

/// One try of a call that librdkafka resumes when it is called again.
const SLICE: Duration = Duration::from_secs(1);
/// How long one call of `init_transactions` waits. The coordinator answers a successor of a killed producer with "concurrent
/// transactions" until the open one is aborted, which takes milliseconds; librdkafka then lets half a second pass, unless it is
/// called again: each call asks at once, if no request is under way (`rd_kafka_idemp_start`).
const INIT_SLICE: Duration = Duration::from_millis(50);
/// One wait for the delivery of what was sent.
const FLUSH_SLICE: Duration = Duration::from_millis(100);
/// A commit slower than this is held to have had trouble that nobody told.
const SLOW_COMMIT: Duration = Duration::from_secs(3);

/// An initialised transactional producer. Any failure but a retriable one ends its life; dropping it never waits.
///
/// A thread of its own serves delivery reports: without it a commit would wait for its own reports for ever. Another makes
/// the calls that wait for brokers.
pub struct KafkaProducer {
    transactional_id: String,
    // Topics before the client: they are given back first.
    outlets: Vec<Outlet>,
    targets: Vec<TopicPartition>,
    handle: Handle,
    client: Arc<BaseProducer<Reports>>,
    groups: Groups,
    /// Whose offsets went into the last transaction.
    group: Option<String>,
    /// How long `send` and `send_offsets` may take: the broker would abort the transaction soon after.
    patience: Duration,
    /// After all that holds the client: the last hold is given back on the thread that serves its events.
    calls: Calls,
}

/// A topic's handle and the tags of its partitions. Few: looked through from the front for each record, and a name is most
/// often equal by its address.
struct Outlet {
    name: TopicName,
    topic: Arc<Topic>,
    tags: BTreeMap<Partition, usize>,
}

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducer").field("transactional_id", &self.transactional_id).finish_non_exhaustive()
    }
}

/// How a producer waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For `init_transactions`.
    pub(super) init: Duration,
    /// For everything inside a transaction.
    pub(super) transaction: Duration,
}

impl KafkaProducer {
    pub(super) fn new(
        config: &ClientConfig,
        link: Link,
        transactional_id: &str,
        groups: Groups,
        patience: Patience,
    ) -> Result<Self, BrokerError> {
        const OPERATION: &str = "init_transactions";
        let reports = Reports::new(link);
        let client: BaseProducer<Reports> =
            config.create_with_context(reports).map_err(|error| error::of_creation(OPERATION, &error))?;
        let client = Arc::new(client);
        let server = EventServer::start(&format!("reports-{transactional_id}"), Arc::clone(&client));
        let server = server.map_err(|error| error::no_thread(OPERATION, &error))?;
        let handle = Handle::of_producer(&client);
        let waiting = ClientCalls { handle: handle.clone(), client: Arc::clone(&client) };
        // Reports are served as long as a call may wait for them. Purging, the last reports and librdkafka's own threads take
        // up to a second, more with brokers that do not answer: the last hold on the client is given back on the thread that
        // serves its events.
        let calls = Calls::start(&format!("calls-{transactional_id}"), waiting, move || drop(server));
        let calls = calls.map_err(|error| error::no_thread(OPERATION, &error))?;
        let producer = Self {
            transactional_id: transactional_id.to_owned(),
            outlets: Vec::new(),
            targets: Vec::new(),
            calls,
            handle,
            client,
            groups,
            group: None,
            patience: patience.transaction,
        };
        producer.init(patience.init)?;
        // Trouble while connecting is no trouble of a transaction.
        producer.reports().link.watch();
        producer.reports().link.accepted();
        Ok(producer)
    }

    /// Fences predecessors of the same id and waits until their open transaction is resolved.
    fn init(&self, patience: Duration) -> Result<(), BrokerError> {
        const OPERATION: &str = "init_transactions";
        let deadline = Instant::now() + patience;
        loop {
            let Err(error) = self.client.init_transactions(INIT_SLICE) else { return Ok(()) };
            let failure = failure_of(&error);
            if let Some(refusal) = self.reports().link.refusal() {
                return Err(self.reports().link.explain(error::of_client(OPERATION, &refusal), &refusal));
            }
            if !failure.retriable {
                return Err(self.judged(OPERATION, &failure));
            }
            if Instant::now() >= deadline {
                let failure = self.reports().link.with_trouble(failure);
                return Err(BrokerError::new(OPERATION, BrokerErrorKind::Retriable, failure.reason));
            }
        }
    }

    fn reports(&self) -> &Reports {
        self.client.context()
    }

    /// The failure's class; a fatal one is told in full by the client.
    fn judged(&self, operation: &'static str, failure: &Failure) -> BrokerError {
        let told = if failure.fatal || failure.code == Code::Fatal { self.client.client().fatal_error() } else { None };
        let failure = match told {
            Some((code, reason)) => Failure { reason, fatal: true, ..Failure::of(code) },
            None => failure.clone(),
        };
        let failure = Failure { reason: self.reports().link.scrub(&failure.reason), ..failure };
        let link = &self.reports().link;
        // Offsets are the group's and are about topics that are read; what else is refused is about one that is written to.
        let of_offsets = || topic_of_offsets(&failure.reason).map(|topic| Resource::Topic(topic.to_owned()));
        let (operation, on) = match failure.code {
            Code::GroupAuthorizationFailed => (operation, self.group.clone().map(Resource::Group)),
            Code::TopicAuthorizationFailed => match failure.on.clone().or_else(of_offsets) {
                Some(on) => (operation, Some(on)),
                None => ("send", self.refused_topic()),
            },
            _ => (operation, failure.on.clone()),
        };
        let failure = Failure { on, ..failure };
        link.explain(error::of_transaction(operation, &failure), &failure)
    }

    /// Begins a transaction; why that failed. Inside of one that has failed it changes nothing and tells why that has.
    fn begin_failure(&self) -> Option<Failure> {
        self.client.begin_transaction().err().as_ref().map(failure_of)
    }

    /// The topic that was refused: the client's log, which tells it, may come a moment later than the failure.
    fn refused_topic(&self) -> Option<Resource> {
        let deadline = Instant::now() + SLICE;
        while Instant::now() < deadline {
            if let Some(topic) = self.reports().link.refused_topic() {
                return Some(Resource::Topic(topic));
            }
            self.reports().wait_for_delivery(Duration::from_millis(10));
        }
        None
    }

    /// Why a commit failed: a record that was refused explains more than the commit's own words, and less where it was only
    /// given up with its transaction, which then failed for a reason of its own. That comes this late when the topic was not
    /// known yet: a partition is added to the transaction, and refused, behind the offsets.
    fn judged_commit(&self, failure: &Failure) -> BrokerError {
        const OPERATION: &str = "commit_transaction";
        let refused = self.reports().deliveries().refused;
        let refused = refused.and_then(|(tag, code)| Some((self.targets.get(tag)?, code)));
        match refused {
            Some((at, code)) if failure.abortable && !matches!(code, Code::PurgeQueue | Code::PurgeInflight) => {
                let kind = match error::class(code) {
                    Some(kind @ (BrokerErrorKind::RecordRejected | BrokerErrorKind::Unauthorized)) => kind,
                    // librdkafka waited for the partition for the whole message time-out: it does not exist.
                    _ if matches!(
                        code,
                        Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition
                    ) =>
                    {
                        BrokerErrorKind::RecordRejected
                    }
                    _ => BrokerErrorKind::Abortable,
                };
                let reason = format!("a record to {at} was not delivered: {code:?}: {code}");
                let refused = Failure::of(code).on_topic(&at.topic);
                self.reports().link.explain(BrokerError::new(OPERATION, kind, reason), &refused)
            }
            _ => {
                let judged = self.judged(OPERATION, failure);
                if failure.fatal && judged.kind == BrokerErrorKind::Abortable {
                    // Fatal and not fenced: the broker may have ended the transaction before it went wrong.
                    BrokerError::new(OPERATION, BrokerErrorKind::OutcomeUnknown, judged.reason)
                } else {
                    judged
                }
            }
        }
    }

    /// Why records are not delivered: one that was refused for its own sake explains more than the transaction's failure, and that
    /// more than the report of a record that was given up with it.
    fn judged_delivery(&self, failure: Failure) -> BrokerError {
        let of_record = self.judged_commit(&Failure { abortable: true, fatal: false, ..failure });
        match failure_inside(&self.client) {
            Some(failure) if of_record.kind == BrokerErrorKind::Abortable => self.judged("send", &failure),
            _ => of_record,
        }
    }

    /// Makes the topic known, and its partition: the tag is the number that comes back with a record's delivery report.
    fn open(&mut self, at: &TopicPartition) -> Result<(), Failure> {
        if !self.outlets.iter().any(|outlet| outlet.name == at.topic) {
            let topic = Arc::new(self.handle.topic(&at.topic)?);
            self.outlets.push(Outlet { name: TopicName::clone(&at.topic), topic, tags: BTreeMap::new() });
        }
        if let Some(outlet) = self.outlets.iter_mut().find(|outlet| outlet.name == at.topic) {
            outlet.tags.insert(at.partition, self.targets.len());
            self.targets.push(at.clone());
            let mut deliveries = self.reports().deliveries();
            deliveries.last.push(Delivered::Nothing);
            deliveries.counts.push(0);
        }
        Ok(())
    }

    fn target(&self, at: &TopicPartition) -> Option<(&Arc<Topic>, usize)> {
        let outlet = self.outlets.iter().find(|outlet| outlet.name == at.topic)?;
        Some((&outlet.topic, *outlet.tags.get(&at.partition)?))
    }

    /// Queues a record, waiting for room while delivery reports make some.
    fn queue(&mut self, record: &ProducerRecord) -> Result<(), Failure> {
        if self.target(&record.target).is_none() {
            self.open(&record.target)?;
        }
        let Some((topic, tag)) = self.target(&record.target) else { return Ok(()) };
        let outgoing = outgoing(record, tag);
        let mut deadline = None;
        loop {
            match topic.produce(&outgoing) {
                Err(failure) if failure.code == Code::QueueFull => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience);
                    if Instant::now() >= deadline {
                        return Err(failure);
                    }
                    self.reports().wait_for_delivery(Duration::from_millis(10));
                }
                done => return done,
            }
        }
    }

    /// Records that are sent when all others are delivered, ready for the thread that waits for that.
    fn last(&mut self, records: Vec<ProducerRecord>) -> Result<Vec<Last>, BrokerError> {
        let mut last = Vec::with_capacity(records.len());
        for record in records {
            if self.target(&record.target).is_none() {
                self.open(&record.target).map_err(|failure| self.judged("send", &failure))?;
            }
            let target = self.target(&record.target).map(|(topic, tag)| (Arc::clone(topic), tag));
            last.extend(target.map(|(topic, tag)| Last { topic, tag, record }));
        }
        Ok(last)
    }

    /// Offsets with the membership that the broker checks. What it would not check is refused here.
    fn offsets(
        &self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<Offsets, BrokerError> {
        const OPERATION: &str = "send_offsets";
        let refuse = |reason: &str| Err(BrokerError::new(OPERATION, BrokerErrorKind::NotAMember, reason));
        // The broker accepts (-1, "") from anybody: it must not leave this process.
        if !membership.is_fencing() {
            return refuse("this is no membership that the broker could check");
        }
        let Some(member) = self.groups.find(membership) else {
            return refuse("this member id belongs to no consumer of this connection");
        };
        Ok(Offsets {
            list: list_of_committed(OPERATION, offsets)?,
            group_id: member.group_id,
            instance_id: member.group_instance_id,
            membership: membership.clone(),
            timeout: self.patience,
        })
    }

    fn begin_calls(&mut self, operation: &'static str, job: Job) -> Result<(), BrokerError> {
        let begun = self.calls.begin(job);
        begun.map_err(|failure| self.judged(operation, &failure))
    }

    /// What became of the calls.
    fn told(&self, ended: Result<(), (Step, Failure)>) -> Result<CommitReceipt, BrokerError> {
        match ended {
            Ok(()) => {
                let last_offsets = self.reports().deliveries().last_offsets(&self.targets);
                Ok(CommitReceipt { last_offsets, offsets_took: self.calls.offsets_took() })
            }
            Err((Step::Records, failure)) => Err(self.judged_delivery(failure)),
            Err((Step::Offsets, failure)) => Err(self.judged("send_offsets", &failure)),
            Err((Step::Commit, failure)) => Err(self.judged_commit(&failure)),
            Err((Step::Unanswered, failure)) => {
                let reason = format!("{:?}: {}", failure.code, failure.reason);
                Err(BrokerError::new("commit_transaction", BrokerErrorKind::OutcomeUnknown, reason))
            }
        }
    }
}

/// Why the open transaction has failed, if it has: then nothing more is delivered, and no report tells of it. Where it has not,
/// beginning another one is refused and changes nothing.
fn failure_inside(client: &BaseProducer<Reports>) -> Option<Failure> {
    let failure = client.begin_transaction().err().as_ref().map(failure_of)?;
    Some(failure).filter(|failure| failure.abortable || failure.fatal)
}

/// A record as librdkafka takes it.
fn outgoing(record: &ProducerRecord, tag: usize) -> Outgoing<'_> {
    Outgoing {
        partition: record.target.partition,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &record.headers,
        timestamp: wire_timestamp(record.timestamp.as_millis()),
        tag,
    }
}

/// What the crate says of a call of a transaction.
fn failure_of(error: &KafkaError) -> Failure {
    match error {
        KafkaError::Transaction(error) => Failure {
            code: error.code(),
            reason: error.string(),
            fatal: error.is_fatal(),
            retriable: error.is_retriable(),
            abortable: error.txn_requires_abort(),
            on: None,
        },
        other => Failure::of(other.rdkafka_error_code().unwrap_or(Code::Unknown)),
    }
}

/// The first topic of `events((null))[0](Broker: Topic authorization failed)`, as librdkafka tells of offsets that were refused.
fn topic_of_offsets(reason: &str) -> Option<&str> {
    let (_, list) = reason.split_once("Failed to commit offsets to transaction on broker ")?;
    let (_, list) = list.split_once(": ")?;
    let (topic, _) = list.split_once('(')?;
    Some(topic).filter(|topic| !topic.is_empty())
}

/// librdkafka reads 0 as "now". A record of the epoch's first millisecond is sent as the second: a millisecond's error
/// instead of decades. No timestamp at all is "now" for Kafka's own producer too.
const fn wire_timestamp(ms: i64) -> i64 {
    match ms {
        0 => 1,
        ms if ms < 0 => 0,
        ms => ms,
    }
}

impl Producer for KafkaProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        if let Some(failure) = self.begin_failure() {
            return Err(self.judged("begin_transaction", &failure));
        }
        self.reports().deliveries().forget();
        Ok(())
    }

    fn send(&mut self, record: ProducerRecord) -> Result<(), BrokerError> {
        let sent = self.queue(&record);
        sent.map_err(|failure| match failure.code {
            // Known at once, because the topic's partitions are.
            Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition => {
                let reason = format!("there is no partition {}", record.target);
                BrokerError::new("send", BrokerErrorKind::RecordRejected, reason)
            }
            // The transaction has failed before, and this call only says so.
            Code::State => self.judged("send", &self.begin_failure().unwrap_or(failure)),
            _ => self.judged("send", &failure),
        })
    }

    fn poll_delivered(&mut self, partition: &TopicPartition, count: u64, wait: Duration) -> Result<bool, BrokerError> {
        let Some((_, tag)) = self.target(partition) else { return Ok(count == 0) };
        let deadline = Instant::now() + wait;
        loop {
            let (delivered, refused) = self.reports().deliveries().told_of(tag);
            if delivered >= count {
                return Ok(true);
            }
            if refused {
                return Err(self.judged_delivery(Failure::of(Code::Fail)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if !self.handle.flush(left.min(FLUSH_SLICE))
                && let Some(failure) = failure_inside(&self.client)
            {
                return Err(self.judged_delivery(failure));
            }
        }
    }

    fn send_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError> {
        let offsets = Some(self.offsets(offsets, membership)?);
        self.group = offsets.as_ref().map(|offsets| offsets.group_id.clone());
        self.begin_calls("send_offsets", Job { offsets, ..Job::default() })?;
        let ended = self.calls.wait();
        self.told(ended).map(drop)
    }

    fn commit(&mut self, timeout: Duration) -> Result<CommitReceipt, BrokerError> {
        self.begin_calls("commit_transaction", Job { commit: Some(timeout), ..Job::default() })?;
        let ended = self.calls.wait();
        self.told(ended)
    }

    fn start_commit(
        &mut self,
        end: TransactionEnd,
        membership: &Membership,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let offsets = self.offsets(&end.offsets, membership)?;
        self.group = Some(offsets.group_id.clone());
        let offsets = Some(Offsets { timeout: offsets.timeout.min(timeout), ..offsets });
        let last = self.last(end.records)?;
        self.begin_calls("send_offsets", Job { last, offsets, commit: Some(timeout) })
    }

    fn poll_commit(&mut self, wait: Duration) -> Result<Option<CommitReceipt>, BrokerError> {
        let Some(ended) = self.calls.end(wait) else { return Ok(None) };
        self.told(ended).map(Some)
    }

    fn taint(&self) -> Option<&'static str> {
        self.reports().link.taint()
    }
}

/// librdkafka's own calls.
struct ClientCalls {
    handle: Handle,
    client: Arc<BaseProducer<Reports>>,
}

impl Waiting for ClientCalls {
    fn deliver(&self, last: &[Last], timeout: Duration) -> Result<(), Failure> {
        // Before the records, which say that the others are there: an end of the transaction that comes from elsewhere finds
        // both or not these.
        let deadline = Instant::now() + timeout;
        while !self.handle.flush(FLUSH_SLICE) {
            if let Some(failure) = failure_inside(&self.client) {
                return Err(failure);
            }
            if Instant::now() >= deadline {
                let reason = "records were not delivered in time".into();
                return Err(Failure { reason, ..Failure::of(Code::OperationTimedOut) });
            }
        }
        // A record whose partition is gone is no longer waited for, and librdkafka leaves the transaction as it is: it would
        // take the records and the offsets, and refuse the commit only then.
        if self.client.context().deliveries().refused.is_some() {
            return Err(Failure::of(Code::Fail));
        }
        last.iter().try_for_each(|last| last.topic.produce(&outgoing(&last.record, last.tag)))
    }

    fn send_offsets(&self, offsets: &Offsets) -> Result<(), Failure> {
        let group = Group { id: &offsets.group_id, instance_id: &offsets.instance_id, membership: &offsets.membership };
        self.handle.send_offsets(&offsets.list, &group, offsets.timeout)
    }

    fn commit(&self, timeout: Duration) -> Result<(), (Step, Failure)> {
        let link = &self.client.context().link;
        let begun = Instant::now();
        let deadline = begun + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match self.handle.commit_transaction(left) {
                Ok(()) => break,
                Err(failure) if failure.retriable => {
                    // Resumable; but an answer to the first request may still be on its way, so that a later OK counts
                    // for this transaction only.
                    link.mark("the commit was repeated");
                    if Instant::now() >= deadline {
                        return Err((Step::Unanswered, failure));
                    }
                }
                Err(failure) => return Err((Step::Commit, failure)),
            }
        }
        if begun.elapsed() > SLOW_COMMIT {
            link.mark("the commit was slow");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_whose_offsets_were_refused_is_found() {
        let reason = "Failed to commit offsets to transaction on broker sasl_ssl://127.0.0.1:9/1: events((null))[0](Broker: Topic authorization failed) (after 2ms)";
        assert_eq!(topic_of_offsets(reason), Some("events"));
        assert_eq!(topic_of_offsets("Failed to add partition(s) to transaction on broker TxnCoordinator/1"), None);
    }

    #[test]
    fn no_timestamp_becomes_now_by_accident() {
        assert_eq!([-1, 0, 1, 1_700_000_000_000].map(wire_timestamp), [0, 1, 1, 1_700_000_000_000]);
    }
}
