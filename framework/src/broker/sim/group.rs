//! A consumer group under the classic protocol: generations, static members, eager rebalances, offsets.
//!
//! ```text
//! Empty ─▶ Preparing (members see it at their next heartbeat, revoke, join again) ─▶ Stable, generation + 1
//!            ▲                                                                          │
//!            └────────── a member joins, leaves or expires; a topic changes ────────────┘
//! ```
//!
//! Kafka's steps `JoinGroup` and `SyncGroup` are one here: when the last member has joined, the generation begins and the
//! assignment is made. A static member that comes back with the same `group.instance.id` and topics gets a new member
//! id, the old one is fenced, and neither the generation nor the assignment changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::broker::{CommittedOffset, MemberConfig, Membership};
use crate::record::{TopicName, TopicPartition};
use crate::time::Timestamp;

use super::assignor::{self, Subscription};
use super::code::ErrorCode;
use super::log::Topics;

/// Kafka's default of `offset.metadata.max.bytes`.
const OFFSET_METADATA_BYTES_MAX: usize = 4096;

/// The time limits of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// `session.timeout.ms`: silent for longer, and the member is gone.
    pub(super) session: Duration,
    /// How long a rebalance waits for members to join again (`max.poll.interval.ms` in Kafka).
    pub(super) rebalance: Duration,
    /// `max.poll.interval.ms`: a client that does not poll for longer falls silent by itself.
    pub(super) poll_interval: Duration,
}

#[derive(Default)]
pub(super) struct Group {
    generation: i32,
    /// Since when the group waits for its members to join again; `None`: stable, or empty.
    preparing: Option<Timestamp>,
    members: BTreeMap<String, Member>,
    /// Member ids whose `group.instance.id` another client has taken.
    fenced: BTreeSet<String>,
    /// Every member id there ever was.
    known: BTreeSet<String>,
    /// Every topic that was ever subscribed to.
    topics: BTreeSet<TopicName>,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Offsets of open transactions by producer id.
    pending: BTreeMap<u64, BTreeMap<TopicPartition, CommittedOffset>>,
    /// Newest epoch seen of each producer.
    epochs: BTreeMap<u64, i32>,
    /// Commits that moved an offset back, for the tests that forbid it.
    gone_back: Vec<String>,
}

struct Member {
    /// Empty: a dynamic member.
    instance_id: String,
    topics: Vec<TopicName>,
    /// Has joined the rebalance that is being prepared.
    joined: bool,
    assignment: Vec<TopicPartition>,
    last_poll: Timestamp,
    /// Since when no heartbeat comes: crashed, frozen, or closed without leaving.
    silent_since: Option<Timestamp>,
}

/// What the coordinator answers to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heartbeat {
    Stable,
    /// `REBALANCE_IN_PROGRESS`, and this member has not joined it yet.
    Rebalancing,
    /// Joined; the others have not.
    Waiting,
}

impl Group {
    /// `JoinGroup`. `member_id` is empty for a client that has none (any more); `fresh` becomes its new one.
    pub(super) fn join(
        &mut self,
        config: &MemberConfig,
        member_id: &str,
        topics: &[TopicName],
        (fresh, now): (String, Timestamp),
    ) -> Result<String, ErrorCode> {
        self.topics.extend(topics.iter().cloned());
        if self.fenced.contains(member_id) {
            return Err(ErrorCode::FencedInstanceId);
        }
        if let Some(member) = self.members.get_mut(member_id) {
            let changed = member.topics != topics;
            topics.clone_into(&mut member.topics);
            if changed && self.preparing.is_none() {
                self.rebalance(now);
            }
            self.rejoined(member_id, now);
            return Ok(member_id.to_owned());
        }
        self.known.insert(fresh.clone());
        let mut member = Member {
            instance_id: config.group_instance_id.clone(),
            topics: topics.to_vec(),
            joined: true,
            assignment: Vec::new(),
            last_poll: now,
            silent_since: None,
        };
        let before = self.static_member(&config.group_instance_id);
        let replaced = before.and_then(|id| self.members.remove_entry(&id));
        let quiet = replaced.as_ref().is_some_and(|(_, old)| old.topics == topics);
        if let Some((id, old)) = replaced {
            self.fenced.insert(id);
            member.assignment = old.assignment;
        }
        self.members.insert(fresh.clone(), member);
        if !quiet && self.preparing.is_none() {
            self.rebalance(now);
        }
        self.rejoined(&fresh, now);
        Ok(fresh)
    }

    fn rejoined(&mut self, member_id: &str, now: Timestamp) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.joined = true;
            member.last_poll = now;
            member.silent_since = None;
        }
    }

    fn static_member(&self, instance_id: &str) -> Option<String> {
        let mut members = self.members.iter();
        members.find(|(_, m)| !instance_id.is_empty() && m.instance_id == instance_id).map(|(id, _)| id.clone())
    }

    /// Begins a rebalance; all members must join again.
    pub(super) fn rebalance(&mut self, now: Timestamp) {
        self.preparing = Some(now);
        for member in self.members.values_mut() {
            member.joined = false;
        }
    }

    /// Ends the rebalance when nobody is missing: the next generation begins. True when it did.
    pub(super) fn complete_rebalance(&mut self, topics: &Topics) -> bool {
        let all_joined = self.members.values().all(|member| member.joined);
        if self.preparing.is_none() || !all_joined {
            return false;
        }
        self.preparing = None;
        self.generation += 1;
        let subscription = |(id, member): (&String, &Member)| {
            let order =
                if member.instance_id.is_empty() { (true, id.clone()) } else { (false, member.instance_id.clone()) };
            Subscription { order, member_id: id.clone(), topics: member.topics.clone() }
        };
        let mut assignment = assignor::range(self.members.iter().map(subscription).collect(), topics);
        for (id, member) in &mut self.members {
            member.assignment = assignment.remove(id).unwrap_or_default();
        }
        true
    }

    /// A heartbeat of a member that believes in `generation`.
    pub(super) fn heartbeat(&self, member_id: &str, generation: i32) -> Result<Heartbeat, ErrorCode> {
        let member = self.member(member_id)?;
        match self.preparing {
            Some(_) if member.joined => Ok(Heartbeat::Waiting),
            Some(_) => Ok(Heartbeat::Rebalancing),
            None if generation == self.generation => Ok(Heartbeat::Stable),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// `SyncGroup`: generation and assignment, once the group is stable.
    pub(super) fn assignment(&self, member_id: &str) -> Result<Option<(i32, Vec<TopicPartition>)>, ErrorCode> {
        let member = self.member(member_id)?;
        Ok(self.preparing.is_none().then(|| (self.generation, member.assignment.clone())))
    }

    fn member(&self, member_id: &str) -> Result<&Member, ErrorCode> {
        if self.fenced.contains(member_id) {
            return Err(ErrorCode::FencedInstanceId);
        }
        self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)
    }

    /// The application called `poll`.
    pub(super) fn polled(&mut self, member_id: &str, now: Timestamp) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.last_poll = now;
        }
    }

    /// Heartbeats stop, or come again.
    pub(super) fn set_silent(&mut self, member_id: &str, since: Option<Timestamp>) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.silent_since = since;
        }
    }

    /// Member id of an instance that is in the group.
    pub(super) fn member_of(&self, instance_id: &str) -> Option<String> {
        self.static_member(instance_id)
    }

    /// `LeaveGroup`, or thrown out.
    pub(super) fn remove(&mut self, member_id: &str, now: Timestamp) {
        if self.members.remove(member_id).is_some() {
            self.rebalance_again(now);
        }
    }

    /// Throws out who was silent for too long, and ends a rebalance that waited too long. Gives the expired member ids.
    pub(super) fn expire(&mut self, now: Timestamp, limits: Limits) -> Vec<String> {
        let silent_since = |member: &Member| {
            let no_poll = member.last_poll.plus(limits.poll_interval);
            member.silent_since.or_else(|| (no_poll <= now).then_some(no_poll))
        };
        let gone = |member: &Member| silent_since(member).is_some_and(|since| since.plus(limits.session) <= now);
        let expired: Vec<String> = self.members.iter().filter(|(_, m)| gone(m)).map(|(id, _)| id.clone()).collect();
        for id in &expired {
            self.members.remove(id);
        }
        if !expired.is_empty() {
            self.rebalance_again(now);
        }
        if self.preparing.is_some_and(|since| since.plus(limits.rebalance) <= now) {
            // Kafka keeps static members that did not come, with an assignment, until their session ends.
            self.members.retain(|_, member| member.joined || !member.instance_id.is_empty());
            self.members.values_mut().for_each(|member| member.joined = true);
        }
        expired
    }

    /// A member is gone: a rebalance begins, or the one that waits for it goes on without it.
    fn rebalance_again(&mut self, now: Timestamp) {
        if self.preparing.is_none() {
            self.rebalance(now);
        }
    }

    /// A topic was created, deleted or grew: its subscribers join again.
    pub(super) fn topic_changed(&mut self, topic: &str, now: Timestamp) {
        let subscribed = self.members.values().any(|member| member.topics.iter().any(|name| &**name == topic));
        if subscribed {
            self.rebalance_again(now);
        }
    }

    /// What fences a zombie's offsets (`TxnOffsetCommit`): the member must be known and its generation current. The
    /// broker does not check who owns the partitions, and checks nothing at all for `(-1, "")`.
    pub(super) fn check_membership(&self, membership: &Membership) -> Result<(), ErrorCode> {
        if membership.generation < 0 && membership.member_id.is_empty() {
            return Ok(());
        }
        self.member(&membership.member_id)?;
        if membership.generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// Refuses producers older than the newest one seen here.
    pub(super) fn check_epoch(&self, id: u64, epoch: i32) -> Result<(), ErrorCode> {
        if self.epochs.get(&id).is_some_and(|&newest| newest > epoch) { Err(ErrorCode::ProducerFenced) } else { Ok(()) }
    }

    /// Whether offsets of that producer are pending.
    pub(super) fn has_pending(&self, producer: u64) -> bool {
        self.pending.contains_key(&producer)
    }

    /// Offsets that become the group's when the producer's transaction commits.
    pub(super) fn add_pending(
        &mut self,
        producer: u64,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), ErrorCode> {
        if offsets.values().any(|offset| offset.metadata.len() > OFFSET_METADATA_BYTES_MAX) {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let mine = self.pending.entry(producer).or_default();
        mine.extend(offsets.iter().map(|(at, offset)| (at.clone(), offset.clone())));
        Ok(())
    }

    /// The marker of a transaction has reached the group's offsets.
    pub(super) fn end_transaction(&mut self, producer: u64, epoch: i32, commit: bool) {
        self.epochs.insert(producer, epoch);
        let offsets = self.pending.remove(&producer).unwrap_or_default();
        if !commit {
            return;
        }
        for (at, offset) in &offsets {
            if let Some(before) = self.offsets.get(at).filter(|before| before.next > offset.next) {
                self.gone_back.push(format!("{at} from {} to {}", before.next, offset.next));
            }
        }
        self.offsets.extend(offsets);
    }

    pub(super) fn gone_back(&self) -> &[String] {
        &self.gone_back
    }

    /// `OffsetFetch` with `require_stable`.
    pub(super) fn stable_offset(&self, at: &TopicPartition) -> Result<Option<CommittedOffset>, ErrorCode> {
        if self.pending.values().any(|offsets| offsets.contains_key(at)) {
            return Err(ErrorCode::UnstableOffsetCommit);
        }
        Ok(self.offsets.get(at).cloned())
    }

    pub(super) const fn offsets(&self) -> &BTreeMap<TopicPartition, CommittedOffset> {
        &self.offsets
    }

    pub(super) const fn offsets_mut(&mut self) -> &mut BTreeMap<TopicPartition, CommittedOffset> {
        &mut self.offsets
    }

    pub(super) const fn topics(&self) -> &BTreeSet<TopicName> {
        &self.topics
    }

    pub(super) const fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) const fn is_rebalancing(&self) -> bool {
        self.preparing.is_some()
    }

    /// Instance id (or member id) of each member with its partitions.
    pub(super) fn assignments(&self) -> BTreeMap<String, Vec<TopicPartition>> {
        let name = |id: &String, member: &Member| {
            if member.instance_id.is_empty() { id.clone() } else { member.instance_id.clone() }
        };
        self.members.iter().map(|(id, member)| (name(id, member), member.assignment.clone())).collect()
    }

    /// Whether this id was ever a member's.
    pub(super) fn ever_knew(&self, member_id: &str) -> bool {
        self.known.contains(member_id)
    }
}
