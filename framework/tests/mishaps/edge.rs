//! The simulated broker behind clients that fail on demand, where its own faults have no name for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use millpond::broker::sim::{SimBroker, SimConsumer, SimProducer, SimReader};
use millpond::broker::{
    Broker, BrokerError, BrokerErrorKind, ChangelogReader, CommitReceipt, CommittedOffset, Consumer, LogRange,
    MemberConfig, Membership, NewTopic, Polled, Producer, TopicDescription, TransactionEnd,
};
use millpond::record::{ConsumedRecord, Offset, ProducerRecord, TopicName, TopicPartition};

/// Who a client says that it is, from who it is.
pub(crate) type Claim = fn(Membership) -> Membership;

#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) sim: SimBroker,
    failures: Rc<RefCell<BTreeMap<String, (BrokerErrorKind, u32)>>>,
    calls: Rc<RefCell<BTreeMap<String, usize>>>,
    waits: Rc<RefCell<Vec<Duration>>>,
    claim: Rc<Cell<Option<Claim>>>,
    late: Rc<Cell<u32>>,
    silent: Rc<Cell<bool>>,
}

impl Edge {
    pub(crate) fn new(sim: SimBroker) -> Self {
        Self {
            sim,
            failures: Rc::default(),
            calls: Rc::default(),
            waits: Rc::default(),
            claim: Rc::default(),
            late: Rc::default(),
            silent: Rc::default(),
        }
    }

    /// Whether nothing is heard of commits from now on.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.set(silent);
    }

    /// The next `times` waits for a begin record end without it.
    pub(crate) fn late(&self, times: u32) {
        self.late.set(times);
    }

    /// The next `times` calls of that name fail, and do nothing.
    pub(crate) fn fail(&self, call: &str, kind: BrokerErrorKind, times: u32) {
        self.failures.borrow_mut().insert(call.to_owned(), (kind, times));
    }

    /// How often a call was made, failures included.
    pub(crate) fn calls(&self, call: &str) -> usize {
        self.calls.borrow().get(call).copied().unwrap_or(0)
    }

    /// How long each poll since the last call was allowed to wait.
    pub(crate) fn take_waits(&self) -> Vec<Duration> {
        self.waits.take()
    }

    /// What consumers say of their membership from now on; `None`: what is so.
    pub(crate) fn claim(&self, claim: Option<Claim>) {
        self.claim.set(claim);
    }

    fn enter(&self, operation: &'static str, call: &str) -> Result<(), BrokerError> {
        *self.calls.borrow_mut().entry(call.to_owned()).or_default() += 1;
        match self.failures.borrow_mut().get_mut(call) {
            Some((kind, times)) if *times > 0 => {
                *times -= 1;
                Err(BrokerError::new(operation, *kind, "fails on demand"))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) struct EdgeConsumer(SimConsumer, Edge);

pub(crate) struct EdgeProducer(SimProducer, Edge);

pub(crate) struct EdgeReader(SimReader, Edge);

impl Broker for Edge {
    type Consumer = EdgeConsumer;
    type Producer = EdgeProducer;
    type Reader = EdgeReader;

    fn consumer(&self, member: &MemberConfig) -> Result<EdgeConsumer, BrokerError> {
        Ok(EdgeConsumer(self.sim.consumer(member)?, self.clone()))
    }
    fn producer(&self, id: &str) -> Result<EdgeProducer, BrokerError> {
        self.enter("init_transactions", "producer")?;
        Ok(EdgeProducer(self.sim.producer(id)?, self.clone()))
    }
    fn reader(&self) -> Result<EdgeReader, BrokerError> {
        Ok(EdgeReader(self.sim.reader()?, self.clone()))
    }
    fn describe_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError> {
        self.enter("describe_topics", "describe_topics")?;
        self.sim.describe_topics(topics)
    }
    fn topic_settings(&self, topic: &TopicName) -> Result<BTreeMap<String, String>, BrokerError> {
        self.enter("describe_configs", "topic_settings")?;
        self.sim.topic_settings(topic)
    }
    fn create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.sim.create_topic(topic)
    }
    fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        self.enter("delete_records", "delete_records")?;
        self.sim.delete_records(before)
    }
}

impl Consumer for EdgeConsumer {
    fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), BrokerError> {
        self.0.subscribe(topics)
    }
    fn poll(&mut self, timeout: Duration) -> Result<Polled, BrokerError> {
        self.1.enter("poll", "poll")?;
        self.1.waits.borrow_mut().push(timeout);
        self.0.poll(timeout)
    }
    fn acknowledge(&mut self) -> Result<(), BrokerError> {
        self.1.enter("acknowledge", "acknowledge")?;
        self.0.acknowledge()
    }
    fn membership(&self) -> Membership {
        let so = self.0.membership();
        match self.1.claim.get() {
            Some(claim) => claim(so),
            None => so,
        }
    }
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, BrokerError> {
        self.0.committed(partitions, timeout)
    }
    fn log_range(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<LogRange, BrokerError> {
        self.1.enter("log_range", &format!("log_range {partition}"))?;
        self.0.log_range(partition, timeout)
    }
    fn start_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BrokerError> {
        self.1.enter("start_at", "start_at")?;
        self.0.start_at(partition, offset)
    }
    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.position(partition)
    }
    fn known_end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.known_end(partition)
    }
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.0.pause(partitions)
    }
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.0.resume(partitions)
    }
    fn close(self, leave_group: bool) -> Result<(), BrokerError> {
        self.0.close(leave_group)
    }
}

impl Producer for EdgeProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.0.begin()
    }
    fn send(&mut self, record: ProducerRecord) -> Result<(), BrokerError> {
        self.0.send(record)
    }
    fn poll_delivered(&mut self, partition: &TopicPartition, count: u64, wait: Duration) -> Result<bool, BrokerError> {
        if self.1.late.get() > 0 && !wait.is_zero() {
            self.1.late.set(self.1.late.get() - 1);
            return Ok(false);
        }
        self.0.poll_delivered(partition, count, wait)
    }
    fn send_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError> {
        self.1.enter("send_offsets", "send_offsets")?;
        self.0.send_offsets(offsets, membership)
    }
    fn commit(&mut self, timeout: Duration) -> Result<CommitReceipt, BrokerError> {
        self.1.enter("commit_transaction", "commit")?;
        self.0.commit(timeout)
    }
    fn start_commit(
        &mut self,
        end: TransactionEnd,
        membership: &Membership,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        self.1.enter("commit_transaction", "start_commit")?;
        self.0.start_commit(end, membership, timeout)
    }
    fn poll_commit(&mut self, wait: Duration) -> Result<Option<CommitReceipt>, BrokerError> {
        if self.1.silent.get() { Ok(None) } else { self.0.poll_commit(wait) }
    }
    fn taint(&self) -> Option<&'static str> {
        self.0.taint()
    }
}

impl ChangelogReader for EdgeReader {
    fn log_ranges(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        self.0.log_ranges(partitions, timeout)
    }
    fn assign(&mut self, positions: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        self.0.assign(positions)
    }
    fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, BrokerError> {
        self.1.enter("poll", "poll of changelogs")?;
        self.0.poll(timeout)
    }
    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.position(partition)
    }
    fn idle(&mut self) {
        self.0.idle();
    }
}
