//! What a test does from outside: the clock, foreign producers and readers, operators' mistakes, faults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::broker::{CommittedOffset, TopicId};
use crate::record::{ConsumedRecord, Offset, ProducerRecord, TopicName, TopicPartition};
use crate::time::Timestamp;

use super::code::ErrorCode;
use super::fault::Fault;
use super::faults::{Faults, Strike};
use super::log::{Isolation, PartitionLog};
use super::trace::TraceEvent;
use super::{Cluster, SimBroker};

/// A consumer group from outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupView {
    /// The current generation; zero before the first.
    pub generation: i32,
    /// Whether members are still to join the next generation.
    pub rebalancing: bool,
    /// Partitions of each member by `group.instance.id` (member id of dynamic members).
    pub assignments: BTreeMap<String, Vec<TopicPartition>>,
}

/// Time and faults.
impl SimBroker {
    /// What the simulated clock shows.
    pub fn now(&self) -> Timestamp {
        self.cluster.borrow().now
    }

    /// Lets time pass: sessions, rebalances and transactions run out.
    pub fn advance(&self, by: Duration) {
        self.cluster.borrow_mut().advance(by);
    }

    /// Replaces the schedule of faults.
    pub fn set_faults(&self, faults: Faults) {
        self.cluster.borrow_mut().faults = faults;
    }

    /// The fault strikes the next time a client passes its step. Delays last until [`release`](Self::release).
    pub fn fail_next(&self, fault: Fault) {
        self.fail_after(fault, 0);
    }

    /// The fault strikes once, after that many passes of its step.
    pub fn fail_after(&self, fault: Fault, passes: u32) {
        self.cluster.borrow_mut().faults.schedule(fault, passes);
    }

    /// What has struck of a schedule that is [`Faults::recorded`].
    pub fn strikes(&self) -> Vec<Strike> {
        self.cluster.borrow().faults.strikes().to_vec()
    }

    /// What the others do while a process stands still ([`Fault::Paused`]); it may call every handle of this broker.
    /// Without it that fault never strikes. `None` takes it away again, with everything it holds.
    pub fn on_pause(&self, meanwhile: Option<Box<dyn FnMut()>>) {
        self.cluster.borrow_mut().on_pause = meanwhile;
    }

    /// How long the last poll of any member would have waited for records, had the clock gone on.
    pub fn last_poll_timeout(&self) -> Duration {
        self.cluster.borrow().poll_timeout
    }

    /// How often each fault has struck.
    pub fn faults_hit(&self) -> BTreeMap<Fault, u64> {
        self.cluster.borrow().hits.clone()
    }

    /// Transaction markers for this topic's partitions stay on their way until [`release`](Self::release).
    pub fn hold_markers_of_topic(&self, topic: &str) {
        self.cluster.borrow_mut().held_topics.insert(topic.into());
    }

    /// Transaction markers for this group's offsets stay on their way until [`release`](Self::release).
    pub fn hold_markers_of_group(&self, group_id: &str) {
        self.cluster.borrow_mut().held_groups.insert(group_id.to_owned());
    }

    /// A replaced member of that instance has not heard of it: the answer to its heartbeat is on its way until
    /// [`release`](Self::release).
    pub fn hold_heartbeats(&self, instance_id: &str) {
        self.cluster.borrow_mut().unheard.insert(instance_id.to_owned());
    }

    /// Everything on its way arrives, in the order it was sent; nothing is held any more. Gives how much it was.
    pub fn release(&self) -> usize {
        self.cluster.borrow_mut().release()
    }

    /// The fault that has killed the running process, once. Whoever drives an instance asks after every round, and drops
    /// the instance when there is one: until then every call of every client fails without an effect.
    pub fn take_crash(&self) -> Option<Fault> {
        self.cluster.borrow_mut().crashed.take()
    }

    /// The newest events, at most 65,536 of them. Equal seeds and calls give equal traces.
    pub fn trace(&self) -> Vec<TraceEvent> {
        self.cluster.borrow().trace.events()
    }

    /// A number for all events there ever were: differs when two runs differ.
    pub fn trace_digest(&self) -> u64 {
        self.cluster.borrow().trace.digest()
    }
}

/// Topics and their logs. Questions about a partition that does not exist are answered `None`.
impl SimBroker {
    /// Creates a topic with so many partitions; false when it exists.
    pub fn add_topic(&self, name: &str, partitions: usize) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let created = cluster.topics.create(&name.into(), partitions, BTreeMap::new());
        cluster.topic_changed(name);
        created
    }

    /// Deletes a topic; false when there is none. Created again it is empty and has another id.
    pub fn delete_topic(&self, name: &str) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let deleted = cluster.topics.delete(name);
        cluster.topic_changed(name);
        deleted
    }

    /// Adds empty partitions to a topic.
    pub fn add_partitions(&self, name: &str, more: usize) {
        let mut cluster = self.cluster.borrow_mut();
        if let Some(topic) = cluster.topics.get_mut(name) {
            topic.logs.extend((0..more).map(|_| PartitionLog::default()));
        }
        cluster.topic_changed(name);
    }

    /// Changes a setting of a topic that exists. `max.message.bytes` and `cleanup.policy` decide what is refused; when
    /// compaction and retention take place is the test's to order.
    pub fn set_topic_setting(&self, topic: &str, setting: &str, value: &str) {
        if let Some(topic) = self.cluster.borrow_mut().topics.get_mut(topic) {
            topic.configs.insert(setting.to_owned(), value.to_owned());
        }
    }

    /// All topics in order of their names.
    pub fn topics(&self) -> Vec<TopicName> {
        self.cluster.borrow().topics.names().cloned().collect()
    }

    /// All partitions of a topic in order; none when it does not exist.
    pub fn partitions(&self, topic: &str) -> Vec<TopicPartition> {
        self.cluster.borrow().topics.partitions(&topic.into())
    }

    /// The id of a topic.
    pub fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.cluster.borrow().topics.get(topic).map(|topic| topic.id)
    }

    /// Appends a record as a producer without transactions does: committed at once.
    ///
    /// # Errors
    /// [`ErrorCode`] when there is no such partition, or the record is too large for its topic.
    pub fn append(&self, record: ProducerRecord) -> Result<Offset, ErrorCode> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.topics.accepts(&record)?;
        let log = cluster.topics.log_mut(&record.target.clone())?;
        Ok(log.append(record, None))
    }

    /// All records of a topic, by partition and offset.
    pub fn records(&self, topic: &str, isolation: Isolation) -> Vec<ConsumedRecord> {
        let cluster = self.cluster.borrow();
        let read = |at: TopicPartition| {
            let log = cluster.topics.log(&at).ok()?;
            Some(log.read(&at, log.start(), isolation, usize::MAX).ok()?.records)
        };
        cluster.topics.partitions(&topic.into()).into_iter().filter_map(read).flatten().collect()
    }

    /// The records of a partition from an offset on; none when it does not exist, or the offset is not in it.
    pub fn records_from(&self, at: &TopicPartition, from: Offset, isolation: Isolation) -> Vec<ConsumedRecord> {
        let cluster = self.cluster.borrow();
        let fetched = cluster.topics.log(at).and_then(|log| log.read(at, from, isolation, usize::MAX));
        fetched.map(|fetched| fetched.records).unwrap_or_default()
    }

    /// The first offset that is still there.
    pub fn log_start(&self, at: &TopicPartition) -> Option<Offset> {
        self.log(at, PartitionLog::start)
    }

    /// The high watermark: the next offset to be written.
    pub fn end_offset(&self, at: &TopicPartition) -> Option<Offset> {
        self.log(at, PartitionLog::end)
    }

    /// Where the first open transaction begins, or the end.
    pub fn last_stable_offset(&self, at: &TopicPartition) -> Option<Offset> {
        self.log(at, PartitionLog::last_stable)
    }

    fn log<T>(&self, at: &TopicPartition, ask: impl FnOnce(&PartitionLog) -> T) -> Option<T> {
        self.cluster.borrow().topics.log(at).ok().map(ask)
    }

    /// Compacts all partitions of a topic: of each key the last committed record stays. With `drop_tombstones` those go
    /// too, as after `delete.retention.ms`.
    pub fn compact(&self, topic: &str, drop_tombstones: bool) {
        if let Some(topic) = self.cluster.borrow_mut().topics.get_mut(topic) {
            topic.logs.iter_mut().for_each(|log| log.compact(drop_tombstones));
        }
    }

    /// Moves the start of a partition's log, as `DeleteRecords` or retention do.
    pub fn delete_records_before(&self, at: &TopicPartition, before: Offset) {
        if let Ok(log) = self.cluster.borrow_mut().topics.log_mut(at) {
            log.delete_before(before);
        }
    }

    /// Retention by time: of each partition the oldest records go, up to the first one that is not older than `before`
    /// or not stable yet.
    pub fn expire_records(&self, topic: &str, before: Timestamp) {
        if let Some(topic) = self.cluster.borrow_mut().topics.get_mut(topic) {
            topic.logs.iter_mut().for_each(|log| log.expire(before));
        }
    }

    /// Loses everything from `end` on, as an unclean leader election does.
    pub fn truncate(&self, at: &TopicPartition, end: Offset) {
        if let Ok(log) = self.cluster.borrow_mut().topics.log_mut(at) {
            log.truncate(end);
        }
    }

    /// Transactional ids whose transaction is open, or whose markers are not all written.
    pub fn unfinished_transactions(&self) -> Vec<String> {
        self.cluster.borrow().transactions.unfinished()
    }
}

/// Groups.
impl SimBroker {
    /// Generation, members and assignments.
    pub fn group(&self, group_id: &str) -> GroupView {
        let cluster = self.cluster.borrow();
        cluster.groups.get(group_id).map_or_else(GroupView::default, |group| GroupView {
            generation: group.generation(),
            rebalancing: group.is_rebalancing(),
            assignments: group.assignments(),
        })
    }

    /// The group's committed offsets. Those of open transactions are not among them.
    pub fn committed_offsets(&self, group_id: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        let cluster = self.cluster.borrow();
        cluster.groups.get(group_id).map(|group| group.offsets().clone()).unwrap_or_default()
    }

    /// Commits that moved an offset of the group back, one line each: there must be none.
    pub fn offsets_gone_back(&self, group_id: &str) -> Vec<String> {
        let cluster = self.cluster.borrow();
        cluster.groups.get(group_id).map(|group| group.gone_back().to_vec()).unwrap_or_default()
    }

    /// Sets a committed offset, as an operator's `--reset-offsets` does.
    pub fn set_committed_offset(&self, group_id: &str, at: &TopicPartition, offset: CommittedOffset) {
        self.cluster.borrow_mut().group(group_id).offsets_mut().insert(at.clone(), offset);
    }

    /// Deletes all committed offsets of a group, as their expiry does.
    pub fn delete_group_offsets(&self, group_id: &str) {
        self.cluster.borrow_mut().group(group_id).offsets_mut().clear();
    }

    /// Committed records not yet passed by the group, for every partition it ever subscribed to or committed for:
    /// last stable offset less committed offset, markers included as Kafka's tools count them.
    pub fn lag(&self, group_id: &str) -> BTreeMap<TopicPartition, u64> {
        let cluster = self.cluster.borrow();
        let Some(group) = cluster.groups.get(group_id) else { return BTreeMap::new() };
        let committed = group.offsets().keys().map(|at| &at.topic);
        let topics: BTreeSet<&TopicName> = group.topics().iter().chain(committed).collect();
        let lag = |at: TopicPartition| {
            let log = cluster.topics.log(&at).ok()?;
            let next = group.offsets().get(&at).map_or(log.start(), |offset| offset.next.max(log.start()));
            Some((at, u64::try_from(log.last_stable().0.saturating_sub(next.0)).unwrap_or(0)))
        };
        topics.into_iter().flat_map(|topic| cluster.topics.partitions(topic)).filter_map(lag).collect()
    }

    /// The member's process stands still: no heartbeats from now on. The test does not call its clients meanwhile.
    pub fn freeze(&self, group_id: &str, instance_id: &str) {
        self.set_silent(group_id, instance_id, |cluster| Some(cluster.now));
    }

    /// The member's process runs on: heartbeats come again, if the group still has it.
    pub fn thaw(&self, group_id: &str, instance_id: &str) {
        self.set_silent(group_id, instance_id, |_| None);
    }

    fn set_silent(&self, group_id: &str, instance_id: &str, since: impl FnOnce(&Cluster) -> Option<Timestamp>) {
        let mut cluster = self.cluster.borrow_mut();
        let since = since(&cluster);
        let group = cluster.group(group_id);
        if let Some(member_id) = group.member_of(instance_id) {
            group.set_silent(&member_id, since);
        }
    }

    /// Throws a member out, as when its session ended: it learns at its next poll.
    pub fn expire_session(&self, group_id: &str, instance_id: &str) {
        let mut cluster = self.cluster.borrow_mut();
        let now = cluster.now;
        let group = cluster.group(group_id);
        if let Some(member_id) = group.member_of(instance_id) {
            group.remove(&member_id, now);
        }
        cluster.settle_groups();
    }
}
