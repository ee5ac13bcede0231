//! What the core needs from Kafka, as traits that the core owns. `sim` is the simulated broker, `kafka` the real one;
//! one contract suite runs on both.
//!
//! A stream thread owns one [`Consumer`], one [`Producer`] and one [`ChangelogReader`]; all calls come from that thread.
//! Nothing here chooses an offset by a reset policy: a partition is read only after [`Consumer::start_at`].

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(any(test, feature = "testing"))]
pub mod sim;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Recovery;
use crate::record::{ConsumedRecord, Offset, ProducerRecord, TopicName, TopicPartition};

/// A connection factory: everything a stream thread needs, made by one configuration.
pub trait Broker {
    /// The group member.
    type Consumer: Consumer;
    /// The transactional producer.
    type Producer: Producer;
    /// The reader of changelogs.
    type Reader: ChangelogReader;

    /// A member of the group, not yet subscribed. Reads committed records only.
    ///
    /// # Errors
    /// [`BrokerError`] when the client cannot be made: the configuration is wrong.
    fn consumer(&self, member: &MemberConfig) -> Result<Self::Consumer, BrokerError>;

    /// A producer whose `init_transactions` has returned: predecessors of the same id are fenced and their open
    /// transactions resolved. Must be called *before* the consumer subscribes, so that no offset is read while the
    /// predecessor's transaction is open.
    ///
    /// # Errors
    /// [`BrokerError`]; `Retry` ones after a while, with the consumer polled in between.
    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, BrokerError>;

    /// A reader of changelogs, outside any group. Reads committed records only.
    ///
    /// # Errors
    /// [`BrokerError`] when the client cannot be made.
    fn reader(&self) -> Result<Self::Reader, BrokerError>;

    /// Descriptions of those of `topics` that exist.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing has happened then.
    fn describe_topics(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError>;

    /// The effective settings of a topic that exists, by Kafka's names.
    ///
    /// # Errors
    /// [`BrokerError`]; `Unauthorized` without the right to read them.
    fn topic_settings(&self, topic: &TopicName) -> Result<BTreeMap<String, String>, BrokerError>;

    /// Creates a topic; one that exists already is left as it is and is no error.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker refuses, for example without the right to create.
    fn create_topic(&self, topic: &NewTopic) -> Result<(), BrokerError>;

    /// Deletes the records before `before` of each partition (repartition topics, after a commit).
    ///
    /// # Errors
    /// [`BrokerError`]; harmless to the caller, the records stay a while longer.
    fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError>;
}

/// Who joins which group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberConfig {
    /// `group.id`: the application id.
    pub group_id: String,
    /// `group.instance.id`: static membership.
    pub group_instance_id: String,
}

/// What exists under a topic's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's id: changes when the topic is deleted and created again.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many copies the partition with the fewest has.
    pub replicas: usize,
}

/// Kafka's 128-bit topic id, as 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Reads 32 hexadecimal digits, as [`Display`](std::fmt::Display) writes them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
        Some(Self(id.to_be_bytes()))
    }
}

impl std::fmt::Display for TopicId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: i32,
    /// Replicas of each partition; -1 is the broker's default.
    pub replication_factor: i32,
    /// Topic configuration by Kafka's names.
    pub configs: BTreeMap<String, String>,
}

/// What a poll brought. Rebalances arrive as data, in order with the records.
#[derive(Debug)]
pub enum Polled {
    /// Records; those of one partition are in offset order.
    Records(Vec<ConsumedRecord>),
    /// The assignment changes. The group waits until [`Consumer::acknowledge`] is called; no records come before that.
    Rebalance(Rebalance),
    /// Nothing within the timeout.
    Idle,
}

/// A change of the assignment. Eager: a revocation always takes everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// All these partitions are taken back in order: commit what was processed, then acknowledge.
    Revoke(Vec<TopicPartition>),
    /// These partitions are already another member's, or the membership is gone: forget their tasks without a commit.
    Lost(Vec<TopicPartition>),
    /// These partitions, and no others, are now owned. May be empty.
    Assign(Vec<TopicPartition>),
}

/// Proof of membership that goes with offsets into a transaction, so that the broker can refuse a zombie's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Generation of the group. Not positive: not a member, the broker would check nothing.
    pub generation: i32,
    /// Member id. Empty: not a member.
    pub member_id: String,
}

impl Membership {
    /// True when the broker can check this membership. `(-1, "")` passes the broker unfenced, so it must be refused here.
    pub fn is_fencing(&self) -> bool {
        self.generation > 0 && !self.member_id.is_empty()
    }
}

/// A committed offset of the group, with the metadata text stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub next: Offset,
    /// The text that was committed with it.
    pub metadata: String,
}

/// A member of the consumer group.
pub trait Consumer {
    /// Joins the group for these topics, from the next polls on. Every member subscribes to the whole topology:
    /// `range` keeps co-partitioned topics together only then.
    ///
    /// # Errors
    /// [`BrokerError`] when the subscription is refused.
    fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), BrokerError>;

    /// Waits up to `timeout` for records or a rebalance. Must be called at least every `max.poll.interval.ms`.
    ///
    /// # Errors
    /// [`BrokerError`]; `RejoinGroup` when this client instance is fenced or unusable: treat everything as lost.
    fn poll(&mut self, timeout: Duration) -> Result<Polled, BrokerError>;

    /// Confirms the last rebalance that [`poll`](Self::poll) returned. After a confirmed revocation nothing may be
    /// committed for those partitions. After a confirmed assignment all its partitions stand still until
    /// [`start_at`](Self::start_at).
    ///
    /// # Errors
    /// [`BrokerError`] when there is nothing to confirm, or the client refuses.
    fn acknowledge(&mut self) -> Result<(), BrokerError>;

    /// Who we are in the group right now. Compare it with what was seen at the assignment before every commit.
    fn membership(&self) -> Membership;

    /// The group's committed offsets, stable: waits until no transaction that carries offsets for them is pending.
    /// `None` where none is committed.
    ///
    /// # Errors
    /// [`BrokerError`] with `Retry` when a transaction stays pending, or the coordinator moves.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, BrokerError>;

    /// First and next-to-be-written *committed* offsets (the last stable offset) of a partition: for lag, and for the
    /// explicit choice of a start where nothing is committed yet.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing has happened then.
    fn log_range(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<LogRange, BrokerError>;

    /// Reads an assigned partition from `offset` on, paused or not before; drops anything fetched before.
    ///
    /// # Errors
    /// [`BrokerError`] when the partition is not assigned.
    fn start_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BrokerError>;

    /// The next offset that [`poll`](Self::poll) will look at: it passes transaction markers and aborted records, which
    /// records do not show. `None` before [`start_at`](Self::start_at).
    fn position(&self, partition: &TopicPartition) -> Option<Offset>;

    /// The end of an assigned partition as the client last heard of it, without a request: for lag. It may be a little
    /// behind, and counts what is not committed yet; `None` before the first fetch.
    fn known_end(&self, partition: &TopicPartition) -> Option<Offset>;

    /// Stops delivering from these partitions until [`resume`](Self::resume); what was fetched is kept. Polling goes on.
    ///
    /// # Errors
    /// [`BrokerError`] when a partition is not assigned.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError>;

    /// Delivers from paused partitions again, from where they stood.
    ///
    /// # Errors
    /// [`BrokerError`] when a partition is not assigned.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError>;

    /// Leaves for good: with `leave_group` the others take over at once (scale-in), without it the partitions wait for
    /// the same static member (restart). No rebalance is reported after this.
    ///
    /// # Errors
    /// [`BrokerError`]; the consumer is closed all the same.
    fn close(self, leave_group: bool) -> Result<(), BrokerError>;
}

/// First offset and end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// The first offset still there.
    pub start: Offset,
    /// The next offset to be written.
    pub end: Offset,
}

/// A transactional producer, initialised. One transaction at a time; any error but `Retry` ends its life: drop it.
pub trait Producer {
    /// Begins a transaction.
    ///
    /// # Errors
    /// [`BrokerError`] when it is fenced or broken.
    fn begin(&mut self) -> Result<(), BrokerError>;

    /// Queues a record; blocks for a bounded time when the queue is full. Failures of delivery surface at
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`BrokerError`] when the producer is fenced, the record can never be sent, or the queue stays full.
    fn send(&mut self, record: ProducerRecord) -> Result<(), BrokerError>;

    /// True when the first `count` records that were sent to the partition in the open transaction are in its log. Waits for
    /// at most `wait`, and lets nothing of this producer wait for others meanwhile; without a wait it only looks.
    ///
    /// # Errors
    /// [`BrokerError`] when they will not be: the transaction cannot be completed.
    fn poll_delivered(&mut self, partition: &TopicPartition, count: u64, wait: Duration) -> Result<bool, BrokerError>;

    /// Puts the next offsets to read, with metadata, into the transaction.
    ///
    /// # Errors
    /// [`BrokerError`]: `AbortTransaction` for a zombie (illegal generation, unknown member, fenced instance).
    fn send_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError>;

    /// Ends the transaction. Waits for the delivery of everything sent before.
    ///
    /// # Errors
    /// [`BrokerError`]; with `outcome_unknown` the transaction may or may not be committed: only a new producer of the
    /// same id followed by a stable offset fetch can tell.
    fn commit(&mut self, timeout: Duration) -> Result<CommitReceipt, BrokerError>;

    /// Sends the records of `end` once everything before them is in its log, then does
    /// [`send_offsets`](Self::send_offsets), then [`commit`](Self::commit), without waiting for any of it: the caller may
    /// go on with whatever is not this producer until [`poll_commit`](Self::poll_commit) tells how it ended. `timeout` is
    /// that of the whole.
    ///
    /// # Errors
    /// [`BrokerError`] when it could not be started; nothing is committed then, nor will be.
    fn start_commit(
        &mut self,
        end: TransactionEnd,
        membership: &Membership,
        timeout: Duration,
    ) -> Result<(), BrokerError>;

    /// How the commit that was started has ended; `None` when it has not, after waiting for at most `wait`. It ends within
    /// a bounded time, whatever the client or the broker does.
    ///
    /// # Errors
    /// [`BrokerError`] as [`send_offsets`](Self::send_offsets) and [`commit`](Self::commit).
    fn poll_commit(&mut self, wait: Duration) -> Result<Option<CommitReceipt>, BrokerError>;

    /// Why this producer must not begin another transaction although its last commit was fine: a time-out, a retry or
    /// a disconnect during the transaction. A delayed request of it could complete the next one (no KIP-890 in
    /// librdkafka). `None`: it may be used on.
    fn taint(&self) -> Option<&'static str>;
}

/// What comes last in a transaction: it says that everything before it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionEnd {
    /// Commit records.
    pub records: Vec<ProducerRecord>,
    /// The next offsets to read, with metadata.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

/// What a clean commit tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitReceipt {
    /// The offset of the last record delivered to each partition, from delivery reports. Missing where a duplicate
    /// was filtered and the offset is not known: keep the older checkpoint then.
    pub last_offsets: BTreeMap<TopicPartition, Offset>,
    /// How long the offsets took, where that was measured: for metrics, decides nothing.
    pub offsets_took: Option<Duration>,
}

/// Reads changelog partitions by hand, outside the group.
pub trait ChangelogReader {
    /// First offset and *read-uncommitted* end of each partition. The end is the restore target: the last stable
    /// offset would stop short of a commit whose marker is still on its way (KAFKA-10167).
    ///
    /// # Errors
    /// [`BrokerError`]; nothing has happened then.
    fn log_ranges(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError>;

    /// Replaces what is read: these partitions, each from the given offset.
    ///
    /// # Errors
    /// [`BrokerError`] when the client refuses.
    fn assign(&mut self, positions: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError>;

    /// Committed records of the assigned partitions, those of one partition in offset order; empty when nothing came
    /// within the timeout.
    ///
    /// # Errors
    /// [`BrokerError`]: out of range and the like end the restore of the task.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, BrokerError>;

    /// The next offset to look at: passes markers and aborted records. A restore is done when it reaches the target.
    fn position(&self, partition: &TopicPartition) -> Option<Offset>;

    /// Takes what the client tells of itself while nothing is read, so that it does not pile up: to be called now and then.
    fn idle(&mut self);
}

/// What went wrong at the broker or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {reason} ({advice})")]
pub struct BrokerError {
    /// The call that failed, in Kafka's words: `send_offsets`, `commit_transaction`.
    pub operation: &'static str,
    /// The class of the failure.
    pub kind: BrokerErrorKind,
    /// What the client or broker said; never a payload or a secret.
    pub reason: String,
    /// What to do about it.
    pub advice: Cow<'static, str>,
}

/// Classes of failure; each has one way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerErrorKind {
    /// Nothing happened: time-out, coordinator moving, offsets not yet stable.
    Retriable,
    /// The transaction failed and must be dropped with its producer.
    Abortable,
    /// The commit may or may not have happened.
    OutcomeUnknown,
    /// Another producer has taken this transactional id.
    ProducerFenced,
    /// The group does not know, or no longer, the member that offsets were sent for. A poll tells what became of it.
    NotAMember,
    /// The membership is gone, or the client is broken: join again.
    MemberFenced,
    /// Another process has taken this instance id: joining again would only throw that one out.
    InstanceFenced,
    /// A position is outside the log: records were deleted, or the log was truncated.
    OffsetOutOfRange,
    /// A record can never be sent: too large, or to a partition that does not exist.
    RecordRejected,
    /// Not allowed, or not authenticated.
    Unauthorized,
    /// The configuration is wrong, or the broker cannot do it.
    Configuration,
}

impl BrokerError {
    /// An error of that class.
    pub fn new(operation: &'static str, kind: BrokerErrorKind, reason: impl Into<String>) -> Self {
        Self { operation, kind, reason: reason.into(), advice: Cow::Borrowed(kind.advice()) }
    }

    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        match self.kind {
            BrokerErrorKind::Retriable => Recovery::Retry,
            BrokerErrorKind::Abortable
            | BrokerErrorKind::OutcomeUnknown
            | BrokerErrorKind::ProducerFenced
            | BrokerErrorKind::NotAMember
            | BrokerErrorKind::OffsetOutOfRange
            | BrokerErrorKind::RecordRejected => Recovery::AbortTransaction,
            BrokerErrorKind::MemberFenced => Recovery::RejoinGroup,
            BrokerErrorKind::InstanceFenced | BrokerErrorKind::Unauthorized | BrokerErrorKind::Configuration => {
                Recovery::Shutdown
            }
        }
    }
}

impl BrokerErrorKind {
    const fn advice(self) -> &'static str {
        match self {
            Self::Retriable => {
                "it passes when the broker answers; if it lasts, look at the broker and at bootstrap.servers"
            }
            Self::Abortable => "the transaction is dropped and its input processed again",
            Self::NotAMember => "the transaction is dropped; the next poll tells who has its partitions",
            Self::OutcomeUnknown => "the committed offsets are read again to learn the outcome",
            Self::ProducerFenced => "another process uses the same instance name; give each its own",
            Self::MemberFenced => "it was away too long, or its client is broken; it joins again",
            Self::InstanceFenced => {
                "another process has started under the same instance name: give each its own. If none has, the broker was \
                 away for longer than session.timeout.ms: start this one again"
            }
            Self::OffsetOutOfRange => "records were deleted before they were read, or the topic was recreated",
            Self::RecordRejected => {
                "raise max.message.bytes of the topic, or make the record smaller; a timestamp over an hour ahead of the broker is refused, too"
            }
            Self::Unauthorized => "check the credentials and the ACLs of this principal",
            Self::Configuration => "correct the configuration",
        }
    }
}
