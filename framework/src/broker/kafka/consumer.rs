//! The group member: rebalances as data, partitions read by queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::admin::Admin;
use super::error;
use super::fetch::Fetch;
use super::ffi::{Failure, Handle, Queue};
use super::groups::Groups;
use super::link::Link;
use super::wakeup::Wakeup;
use crate::broker::{
    BrokerError, BrokerErrorKind, CommittedOffset, Consumer, LogRange, MemberConfig, Membership, Polled, Rebalance,
};
use crate::record::{Offset, Partition, TopicName, TopicPartition};

/// The longest single wait: a wake-up that is lost costs no more than this.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// The client is polled at least this often, whatever there is to read.
const POLL_MIN: Duration = Duration::from_secs(1);
/// How long `assign`, `seek` and leaving may take; they are answered by librdkafka's own thread.
const CLIENT_CALL_MAX: Duration = Duration::from_secs(5);
/// How long closing may keep the stream thread.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// A member that is fenced so soon after its own session has ended is fenced by itself: librdkafka has joined again as a new
/// member, and then sends a heartbeat of the old one that was left over (librdkafka#3437). It joins again, with a new client.
/// A new client has had no session that ended, so that a twin which threw this one out, and is thrown out for it, stays.
const OWN_FENCING: Duration = Duration::from_secs(30);

/// A member of a Kafka consumer group: classic protocol, `range`, static membership.
///
/// Life of an assignment: `poll` brings `Assign` → `acknowledge` pauses and assigns → `start_at` per partition seeks and
/// resumes → `poll` brings records.
pub struct KafkaConsumer {
    fetch: Fetch,
    events: Queue,
    client: Handle,
    consumer: Arc<BaseConsumer<Events>>,
    wakeup: Arc<Wakeup>,
    owned: BTreeSet<TopicPartition>,
    /// Started partitions whose fetcher may sleep; woken together by the next poll.
    asleep: Vec<TopicPartition>,
    /// The rebalance that was returned and not acknowledged yet.
    pending: Option<Rebalance>,
    /// When the client was last polled itself, not a partition's queue.
    polled: Instant,
    member: MemberConfig,
    groups: Groups,
    admin: Arc<Admin>,
}

impl std::fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConsumer")
            .field("member", &self.member)
            .field("owned", &self.owned)
            .finish_non_exhaustive()
    }
}

impl KafkaConsumer {
    pub(super) fn new(
        config: &ClientConfig,
        link: Link,
        member: &MemberConfig,
        groups: Groups,
        admin: Arc<Admin>,
    ) -> Result<Self, BrokerError> {
        const OPERATION: &str = "consumer";
        let principal = link.principal().clone();
        let events = Events { link, rebalances: Mutex::default(), closing: AtomicBool::new(false) };
        let consumer: BaseConsumer<Events> =
            config.create_with_context(events).map_err(|error| error::of_creation(OPERATION, &error))?;
        let consumer = Arc::new(consumer);
        let client = Handle::of_consumer(&consumer);
        let wakeup = Arc::new(Wakeup::default());
        let events = client.event_queue(&wakeup).ok_or_else(|| {
            BrokerError::new(OPERATION, BrokerErrorKind::Configuration, "the client has no event queue")
        })?;
        Ok(Self {
            fetch: Fetch::new(client.clone(), principal),
            events,
            client,
            consumer,
            wakeup,
            owned: BTreeSet::new(),
            asleep: Vec::new(),
            pending: None,
            polled: Instant::now(),
            member: member.clone(),
            groups,
            admin,
        })
    }

    /// Serves what waits on the event queue: logs, statistics, token refreshes, errors, up to the next rebalance.
    fn serve_events(&mut self) -> Result<(), BrokerError> {
        // A bound, so that a flood of log lines cannot keep records waiting.
        for _ in 0..256 {
            // Also without events now and then. The client counts polls, of a partition's queue, too; but where all
            // partitions are paused or wait for a restore, none of those is asked, and after `max.poll.interval.ms` it
            // would leave the group.
            let due = self.polled.elapsed() >= POLL_MIN;
            if (self.events.is_empty() && !due) || self.consumer.context().rebalance_waits() {
                break;
            }
            self.polled = Instant::now();
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) => self.judge(&error)?,
                // A topic that was gone for a moment, by the word of one broker, has new queues; ours are dead. The client
                // counts what is taken here as read: it is given up before anything is committed.
                Some(Ok(message)) => {
                    let reason = format!(
                        "a record of {}-{} came past its partition's queue",
                        message.topic(),
                        message.partition()
                    );
                    return Err(BrokerError::new("poll", BrokerErrorKind::MemberFenced, reason));
                }
                None => {}
            }
        }
        match self.consumer.context().link.refusal() {
            Some(refusal) => Err(self.explained(error::of_client("poll", &refusal), &refusal)),
            None => Ok(()),
        }
    }

    fn explained(&self, error: BrokerError, failure: &Failure) -> BrokerError {
        self.consumer.context().link.explain(error, failure)
    }

    /// Which errors of the event queue the caller must see.
    fn judge(&self, error: &KafkaError) -> Result<(), BrokerError> {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        let said = self.consumer.client().fatal_error().filter(|_| fatal).map(|(_, reason)| reason);
        let reason = said.unwrap_or_else(|| code.to_string());
        let failure = Failure { reason: self.consumer.context().link.scrub(&reason), fatal, ..Failure::of(code) };
        let judged = self.explained(error::of_client("poll", &failure), &failure);
        match (fatal, judged.kind) {
            (false, BrokerErrorKind::Retriable) => Ok(()),
            // Told by the connection: it decides when a refusal is one, after this.
            (false, BrokerErrorKind::Unauthorized) if matches!(code, Code::Authentication | Code::SSL) => Ok(()),
            // A rebalance that says `Lost` follows.
            (false, _) if code == Code::PollExceeded => Ok(()),
            (false, BrokerErrorKind::MemberFenced) if error::class(code).is_none() => {
                tracing::warn!(group = self.member.group_id, %judged, "the client reports a failure and goes on");
                Ok(())
            }
            (_, BrokerErrorKind::InstanceFenced) if self.consumer.context().link.session_ended_within(OWN_FENCING) => {
                let reason = format!("{}, after its session had ended and it had joined anew", judged.reason);
                Err(BrokerError::new("poll", BrokerErrorKind::MemberFenced, reason))
            }
            _ => Err(judged),
        }
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        const OPERATION: &str = "assign";
        // Split before assign: what is fetched before the split would go to the event queue.
        for at in partitions {
            let split = self.fetch.queue(at, |client| client.partition_queue(at, &self.wakeup));
            split.map_err(|failure| error::of_client(OPERATION, &failure))?;
            self.fetch.discard(at);
        }
        // Pause before assign, and assign at a concrete offset: nothing may be fetched before the seek. From a logical
        // offset (the end, the committed one) librdkafka sends a query whose late answer undoes a seek, and the partition
        // jumps to the end: records are lost without a word. A fetch from a wrong offset is no better: out of range, it
        // kills the partition although a seek came in between.
        let list = list_of(partitions, |_| Some(rdkafka::Offset::Offset(0)))?;
        self.consumer.pause(&list).map_err(|error| error::of_crate(OPERATION, &error))?;
        self.consumer.assign(&list).map_err(|error| error::of_crate(OPERATION, &error))?;
        self.owned = partitions.iter().cloned().collect();
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), BrokerError> {
        self.fetch.clear();
        self.owned.clear();
        self.asleep.clear();
        self.consumer.unassign().map_err(|error| error::of_crate("unassign", &error))
    }

    fn require_owned(&self, operation: &'static str, at: &TopicPartition) -> Result<(), BrokerError> {
        if self.owned.contains(at) {
            return Ok(());
        }
        Err(BrokerError::new(operation, BrokerErrorKind::Abortable, format!("{at} is not assigned")))
    }

    /// Seeks, and again while the assignment is still on its way to the partition's own thread.
    fn seek(&self, at: &TopicPartition, offset: Offset) -> Result<(), BrokerError> {
        const OPERATION: &str = "seek";
        let deadline = Instant::now() + CLIENT_CALL_MAX;
        loop {
            let list = list_of([at], |_| Some(rdkafka::Offset::Offset(offset.0)))?;
            let sought = self.consumer.seek_partitions(list, CLIENT_CALL_MAX);
            let list =
                sought.map_err(|error| BrokerError::new(OPERATION, BrokerErrorKind::Retriable, error.to_string()))?;
            let failed = list.elements().iter().find_map(|element| element.error().err());
            match failed.and_then(|error| error.rdkafka_error_code()) {
                None => return Ok(()),
                Some(Code::State | Code::PreviousInProgress) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Some(code) => return Err(error::of_client(OPERATION, &Failure::of(code))),
            }
        }
    }

    /// Leaves the group, so that its partitions are handed on now rather than when the session ends.
    fn leave(&mut self) {
        self.consumer.unsubscribe();
        let deadline = Instant::now() + CLIENT_CALL_MAX;
        // The member id is given up at the moment the request to leave is sent; closing waits for the answer.
        while !self.client.membership().member_id.is_empty() && Instant::now() < deadline {
            self.consumer.poll(Duration::from_millis(10));
        }
    }

    /// From here on rebalances are answered without asking.
    fn begin_close(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Release);
        self.groups.forget(&self.member);
        self.fetch.clear();
        if self.pending.take().is_some() || self.consumer.context().rebalance_waits() {
            self.consumer.context().forget_rebalances();
            if let Err(error) = self.unassign() {
                tracing::debug!(group = self.member.group_id, %error, "closing without the last assignment");
            }
        }
    }
}

impl Consumer for KafkaConsumer {
    fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), BrokerError> {
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let refused =
            |error: KafkaError| BrokerError::new("subscribe", BrokerErrorKind::Configuration, error.to_string());
        self.consumer.subscribe(&topics).map_err(refused)
    }

    fn poll(&mut self, timeout: Duration) -> Result<Polled, BrokerError> {
        let deadline = Instant::now() + timeout;
        if !self.asleep.is_empty() {
            if let Err(failure) = self.client.nudge(&self.asleep) {
                tracing::debug!(reason = failure.reason, "fetching starts a second later");
            }
            self.asleep.clear();
        }
        loop {
            // The flag goes down before the queues are looked at: what comes later puts it up again.
            self.wakeup.clear();
            self.serve_events()?;
            if self.pending.is_none() {
                if let Some(change) = self.consumer.context().next_rebalance() {
                    self.pending = Some(change.clone());
                    return Ok(Polled::Rebalance(change));
                }
                let drained = self.fetch.drain()?;
                if !drained.is_empty() {
                    self.consumer.context().link.accepted();
                }
                if !drained.records.is_empty() {
                    return Ok(Polled::Records(drained.records));
                }
                if drained.end_seen {
                    return Ok(Polled::Idle);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle);
            }
            self.wakeup.wait(left.min(WAIT_MAX));
        }
    }

    fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let Some(change) = self.pending.take() else {
            return Err(BrokerError::new(
                "acknowledge",
                BrokerErrorKind::Abortable,
                "there is no rebalance to confirm",
            ));
        };
        match change {
            Rebalance::Assign(partitions) => self.assign(&partitions),
            Rebalance::Revoke(_) | Rebalance::Lost(_) => self.unassign(),
        }
    }

    fn membership(&self) -> Membership {
        let membership = self.client.membership();
        self.groups.remember(&membership, &self.member);
        membership
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, BrokerError> {
        const OPERATION: &str = "committed";
        // librdkafka asks for stable offsets because this client reads committed records: the broker answers only when
        // no transaction with offsets for them is pending.
        let list = list_of(partitions, |_| None)?;
        let refused = |error: &KafkaError, topic: Option<&str>| {
            let failure = Failure::of(error.rdkafka_error_code().unwrap_or(Code::Unknown));
            let failure = topic.map_or(failure.clone(), |topic| failure.on_topic(topic));
            self.explained(error::of_crate(OPERATION, error), &failure)
        };
        let list = self.consumer.committed_offsets(list, timeout).map_err(|error| refused(&error, None))?;
        let mut found = BTreeMap::new();
        for element in list.elements() {
            let at = TopicPartition::new(element.topic(), Partition(element.partition()));
            element.error().map_err(|error| refused(&error, Some(element.topic())))?;
            let next = element.offset().to_raw().filter(|&offset| offset >= 0);
            let metadata = element.metadata().to_owned();
            found.insert(at, next.map(|next| CommittedOffset { next: Offset(next), metadata }));
        }
        Ok(found)
    }

    fn log_range(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<LogRange, BrokerError> {
        let ranges = self.admin.log_ranges(std::slice::from_ref(partition), true, timeout)?;
        ranges.get(partition).copied().ok_or_else(|| {
            BrokerError::new(
                "list_offsets",
                BrokerErrorKind::Retriable,
                format!("the broker told nothing of {partition}"),
            )
        })
    }

    fn start_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BrokerError> {
        const OPERATION: &str = "start_at";
        self.require_owned(OPERATION, partition)?;
        // Seek before resume: what is resumed must stand at the right offset. Seek after it: a resume does not wake the
        // fetcher, which may sleep for a second; a seek does.
        let list = list_of([partition], |_| None)?;
        self.seek(partition, offset)?;
        self.consumer.resume(&list).map_err(|error| error::of_crate(OPERATION, &error))?;
        self.seek(partition, offset)?;
        if offset <= Offset(0) {
            // A seek to 0 does not: it changes no state that librdkafka looks at.
            self.asleep.push(partition.clone());
        }
        self.fetch.start(partition, offset);
        Ok(())
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.fetch.position(partition)
    }

    fn known_end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.client.known_end(partition).map(Offset)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        // Not draining is the pause: librdkafka's own would throw away what was fetched.
        partitions.iter().try_for_each(|at| {
            self.require_owned("pause", at)?;
            self.fetch.pause(at, true);
            Ok(())
        })
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        partitions.iter().try_for_each(|at| {
            self.require_owned("resume", at)?;
            self.fetch.pause(at, false);
            Ok(())
        })
    }

    fn close(mut self, leave_group: bool) -> Result<(), BrokerError> {
        self.begin_close();
        if leave_group {
            self.leave();
        }
        // Closing talks to the coordinator; a thread of its own, so that a dead coordinator cannot keep ours.
        let (done, closed) = mpsc::channel();
        let name = format!("close-{}", self.member.group_instance_id);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            drop(self);
            // Nobody listens any more when closing took too long.
            done.send(()).ok();
        });
        let slow = |reason: &str| Err(BrokerError::new("close", BrokerErrorKind::Retriable, reason));
        match spawned.map(|_| closed.recv_timeout(CLOSE_MAX)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => slow("the coordinator does not answer; the membership ends with its session"),
            Err(_) => slow("no thread for closing; closed in place"),
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.begin_close();
    }
}

/// What the client tells while its events are served.
struct Events {
    link: Link,
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Events {
    fn rebalance_waits(&self) -> bool {
        !self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn forget_rebalances(&self) {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ClientContext for Events {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.link.statistics(json);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
    }
}

impl ConsumerContext for Events {
    /// Records the change and does nothing: librdkafka waits until `assign` or `unassign` is called, which
    /// [`KafkaConsumer::acknowledge`] does.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "unassign while closing");
            }
            return;
        }
        let elements = list.elements();
        let partitions = elements.iter().map(|e| TopicPartition::new(e.topic(), Partition(e.partition()))).collect();
        let change = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else if consumer.assignment_lost() {
            Rebalance::Lost(partitions)
        } else {
            Rebalance::Revoke(partitions)
        };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

/// librdkafka's list of these partitions.
pub(super) fn list_of<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    offset: impl Fn(&TopicPartition) -> Option<rdkafka::Offset>,
) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        let mut element = list.add_partition(&at.topic, at.partition.0);
        if let Some(offset) = offset(at) {
            element.set_offset(offset).map_err(|error| error::of_crate("partition_list", &error))?;
        }
    }
    Ok(list)
}

/// librdkafka's list of offsets to commit.
pub(super) fn list_of_committed(
    operation: &'static str,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (at, committed) in offsets {
        let mut element = list.add_partition(&at.topic, at.partition.0);
        let offset = rdkafka::Offset::Offset(committed.next.0);
        element.set_offset(offset).map_err(|error| error::of_crate(operation, &error))?;
        element.set_metadata(committed.metadata.as_str());
    }
    Ok(list)
}
