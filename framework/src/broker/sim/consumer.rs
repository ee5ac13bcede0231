//! The group member. Its heartbeats go on by themselves, as librdkafka's, until it is dropped, frozen, or not polled for
//! `max.poll.interval.ms`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::broker::{
    BrokerError, BrokerErrorKind, CommittedOffset, Consumer, LogRange, MemberConfig, Membership, Polled, Rebalance,
};
use crate::record::{ConsumedRecord, Offset, TopicName, TopicPartition};
use crate::time::Timestamp;

use super::SharedCluster;
use super::cluster::{Cluster, pause};
use super::code::ErrorCode;
use super::fault::Fault;
use super::group::Heartbeat;
use super::log::Isolation;
use super::trace::What;

/// A consumer of the simulated broker. Dropping it is `kill -9`: its partitions wait for it until the session ends.
pub struct SimConsumer {
    cluster: SharedCluster,
    config: MemberConfig,
    topics: Vec<TopicName>,
    state: State,
    membership: Membership,
    assigned: BTreeMap<TopicPartition, Assigned>,
    /// Which partition the next fetch begins with, so that none starves.
    turn: usize,
    last_poll: Timestamp,
}

/// ```text
/// Out ─join─▶ Joined ─Assign, acknowledged─▶ Owning ─Revoke, acknowledged─▶ Joined
///  ▲             └── unknown member ──▶ Out     └─Lost, acknowledged─▶ Out
/// ```
#[derive(Debug, Clone)]
enum State {
    /// Not in the group; joins at the next poll when subscribed.
    Out,
    /// Waits for the generation to begin.
    Joined,
    Owning,
    /// A rebalance was reported and is not yet confirmed.
    Unconfirmed(Rebalance),
    /// Another client has taken the instance id: for good.
    Fenced,
    Closed,
}

#[derive(Debug, Default)]
struct Assigned {
    position: Option<Offset>,
    paused: bool,
}

impl SimConsumer {
    pub(super) fn new(cluster: SharedCluster, config: MemberConfig) -> Self {
        let last_poll = cluster.borrow().now;
        Self {
            cluster,
            config,
            topics: Vec::new(),
            state: State::Out,
            membership: nobody(),
            assigned: BTreeMap::new(),
            turn: 0,
            last_poll,
        }
    }

    fn who(&self) -> String {
        self.config.group_instance_id.clone()
    }

    fn note(&self, what: What) {
        self.cluster.borrow_mut().note(&self.config.group_instance_id, what);
    }

    /// `JoinGroup`.
    fn join(&mut self) -> Result<(), BrokerError> {
        let mut cluster = self.cluster.borrow_mut();
        let fresh = cluster.fresh_member_id(&self.config.group_instance_id);
        let now = cluster.now;
        let group = cluster.group(&self.config.group_id);
        match group.join(&self.config, &self.membership.member_id, &self.topics, (fresh, now)) {
            Ok(member_id) => {
                cluster.note(&self.config.group_instance_id, What::Joined(member_id.clone()));
                self.membership.member_id = member_id;
                self.state = State::Joined;
                cluster.settle_groups();
                Ok(())
            }
            Err(code) => {
                self.state = State::Fenced;
                Err(fenced("join_group", code))
            }
        }
    }

    /// Not a member any more: everything owned is lost.
    fn lose(&mut self) -> Polled {
        self.membership = nobody();
        let lost: Vec<TopicPartition> = self.assigned.keys().cloned().collect();
        self.note(What::Lost(lost.len()));
        self.report(Rebalance::Lost(lost))
    }

    fn report(&mut self, change: Rebalance) -> Polled {
        self.state = State::Unconfirmed(change.clone());
        Polled::Rebalance(change)
    }

    /// What the group has to say to a member that owns its assignment.
    fn heartbeat(&mut self) -> Result<Option<Polled>, BrokerError> {
        let answer = {
            let mut cluster = self.cluster.borrow_mut();
            let group = cluster.group(&self.config.group_id);
            group.heartbeat(&self.membership.member_id, self.membership.generation)
        };
        match answer {
            Ok(Heartbeat::Stable | Heartbeat::Waiting) => Ok(None),
            Ok(Heartbeat::Rebalancing) if self.assigned.is_empty() => {
                // Nothing to give back: no callback, straight into the rebalance.
                self.join()?;
                self.synchronise()
            }
            Ok(Heartbeat::Rebalancing) => {
                let owned: Vec<TopicPartition> = self.assigned.keys().cloned().collect();
                self.note(What::Revoked(owned.len()));
                Ok(Some(self.report(Rebalance::Revoke(owned))))
            }
            Err(ErrorCode::FencedInstanceId)
                if self.cluster.borrow().unheard.contains(&self.config.group_instance_id) =>
            {
                Ok(None)
            }
            Err(code @ ErrorCode::FencedInstanceId) => {
                self.state = State::Fenced;
                Err(fenced("heartbeat", code))
            }
            Err(_) => Ok(Some(self.lose())),
        }
    }

    /// `SyncGroup`: the assignment, once the generation has begun.
    fn synchronise(&mut self) -> Result<Option<Polled>, BrokerError> {
        let (answer, heartbeat) = {
            let mut cluster = self.cluster.borrow_mut();
            let group = cluster.group(&self.config.group_id);
            (group.assignment(&self.membership.member_id), group.heartbeat(&self.membership.member_id, 0))
        };
        match answer {
            Ok(Some((generation, partitions))) => {
                self.membership.generation = generation;
                self.note(What::Assigned(partitions.len()));
                Ok(Some(self.report(Rebalance::Assign(partitions))))
            }
            Ok(None) => {
                if heartbeat == Ok(Heartbeat::Rebalancing) {
                    self.join()?;
                }
                Ok(None)
            }
            Err(code @ ErrorCode::FencedInstanceId) => {
                self.state = State::Fenced;
                Err(fenced("sync_group", code))
            }
            Err(_) => {
                // Thrown out while waiting: nothing is owned, so there is nothing to lose.
                self.membership = nobody();
                self.join()?;
                Ok(None)
            }
        }
    }

    /// Faults of the group, and the client's own watch over its poll interval. True: the membership is gone.
    fn thrown_out(&mut self, cluster: &mut Cluster) -> bool {
        let now = cluster.now;
        let overdue = self.last_poll.plus(cluster.config.max_poll_interval);
        let group_id = &self.config.group_id;
        let member_id = &self.membership.member_id;
        let late = overdue <= now && now > self.last_poll;
        self.last_poll = now;
        if cluster.strikes(&self.config.group_instance_id, Fault::GroupSessionExpired).is_some() {
            cluster.group(group_id).remove(member_id, now);
            cluster.settle_groups();
            return true;
        }
        if late {
            // A static member does not leave: the group notices at the end of its session.
            cluster.group(group_id).set_silent(member_id, Some(overdue));
            return true;
        }
        if cluster.strikes(&self.config.group_instance_id, Fault::GroupRebalance).is_some()
            && !cluster.group(group_id).is_rebalancing()
        {
            cluster.group(group_id).rebalance(now);
        }
        cluster.group(group_id).polled(member_id, now);
        false
    }

    fn fetch(&mut self) -> Result<Polled, BrokerError> {
        let who = self.who();
        let mut cluster = self.cluster.borrow_mut();
        let ready: Vec<TopicPartition> =
            self.assigned.iter().filter(|(_, a)| !a.paused && a.position.is_some()).map(|(at, _)| at.clone()).collect();
        if ready.is_empty() || cluster.strikes(&who, Fault::FetchEmpty).is_some() {
            return Ok(Polled::Idle);
        }
        let short = cluster.strikes(&who, Fault::FetchShort).is_some();
        let max = if short { 1 } else { cluster.config.max_poll_records };
        self.turn = (self.turn + 1) % ready.len();
        let mut records: Vec<ConsumedRecord> = Vec::new();
        for at in ready.iter().cycle().skip(self.turn).take(ready.len()) {
            let Some(assigned) = self.assigned.get_mut(at) else { continue };
            let Some(position) = assigned.position else { continue };
            // A deleted topic brings nothing: clients go on asking for its leader.
            let Ok(log) = cluster.topics.log(at) else { continue };
            let room = max.saturating_sub(records.len());
            match log.read(at, position, Isolation::ReadCommitted, room) {
                Ok(fetched) => {
                    assigned.position = Some(fetched.next);
                    if !fetched.records.is_empty() {
                        cluster.note(&who, What::Fetched(at.clone(), fetched.next));
                    }
                    records.extend(fetched.records);
                }
                Err(code) if records.is_empty() => return Err(code.during("fetch")),
                // What the others brought is delivered first; the error comes again with a later poll.
                Err(_) => break,
            }
        }
        Ok(if records.is_empty() { Polled::Idle } else { Polled::Records(records) })
    }

    fn each_assigned(
        &mut self,
        operation: &'static str,
        partitions: &[TopicPartition],
        change: impl Fn(&mut Assigned),
    ) -> Result<(), BrokerError> {
        self.cluster.borrow_mut().enter(operation)?;
        for partition in partitions {
            match self.assigned.get_mut(partition) {
                Some(assigned) => change(assigned),
                None => return Err(not_assigned(operation, partition)),
            }
        }
        Ok(())
    }
}

impl Consumer for SimConsumer {
    fn subscribe(&mut self, topics: &[TopicName]) -> Result<(), BrokerError> {
        self.cluster.borrow_mut().enter("subscribe")?;
        topics.clone_into(&mut self.topics);
        self.topics.sort();
        if matches!(self.state, State::Owning | State::Joined) {
            // The group learns of the new topics by a join; a change of them begins a rebalance.
            let now = self.cluster.borrow().now;
            let mut cluster = self.cluster.borrow_mut();
            let group = cluster.group(&self.config.group_id);
            if !group.is_rebalancing() {
                group.rebalance(now);
            }
        }
        Ok(())
    }

    /// Never blocks: gives what is there now. The clock does not move.
    fn poll(&mut self, timeout: Duration) -> Result<Polled, BrokerError> {
        let cluster = self.cluster.clone();
        cluster.borrow_mut().poll_timeout = timeout;
        pause(&cluster, &self.config.group_instance_id);
        cluster.borrow_mut().enter("poll")?;
        match self.state {
            State::Fenced => return Err(fenced("poll", ErrorCode::FencedInstanceId)),
            State::Closed | State::Unconfirmed(_) => {
                self.last_poll = cluster.borrow().now;
                return Ok(Polled::Idle);
            }
            State::Out if self.topics.is_empty() => return Ok(Polled::Idle),
            State::Out => {
                self.last_poll = cluster.borrow().now;
                self.join()?;
            }
            State::Joined | State::Owning => {
                if self.thrown_out(&mut cluster.borrow_mut()) {
                    return if matches!(self.state, State::Owning) {
                        Ok(self.lose())
                    } else {
                        self.membership = nobody();
                        self.state = State::Out;
                        Ok(Polled::Idle)
                    };
                }
            }
        }
        let news = match self.state {
            State::Owning => self.heartbeat()?,
            _ => self.synchronise()?,
        };
        match news {
            Some(polled) => Ok(polled),
            None if matches!(self.state, State::Owning) => self.fetch(),
            None => Ok(Polled::Idle),
        }
    }

    fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let operation = "acknowledge";
        pause(&self.cluster, &self.config.group_instance_id);
        {
            let mut cluster = self.cluster.borrow_mut();
            cluster.enter(operation)?;
            cluster.crashes(&self.config.group_instance_id, operation, Fault::CrashBeforeAcknowledge)?;
        }
        let State::Unconfirmed(change) = self.state.clone() else {
            let reason = "there is no rebalance to confirm";
            return Err(BrokerError::new(operation, BrokerErrorKind::Configuration, reason));
        };
        self.assigned.clear();
        match change {
            Rebalance::Assign(partitions) => {
                self.assigned = partitions.into_iter().map(|at| (at, Assigned::default())).collect();
                self.state = State::Owning;
                Ok(())
            }
            Rebalance::Lost(_) => {
                self.state = State::Out;
                Ok(())
            }
            Rebalance::Revoke(_) => {
                self.join().or_else(|error| {
                    // Fenced in the meantime: the revocation is confirmed all the same, the next poll tells.
                    let gone = matches!(error.kind, BrokerErrorKind::MemberFenced | BrokerErrorKind::InstanceFenced);
                    if gone { Ok(()) } else { Err(error) }
                })
            }
        }
    }

    fn membership(&self) -> Membership {
        self.membership.clone()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        _timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, BrokerError> {
        let operation = "offset_fetch";
        let who = self.who();
        pause(&self.cluster, &who);
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        cluster.crashes(&who, operation, Fault::CrashInOffsetFetch)?;
        cluster.fails(&who, (operation, Fault::OffsetFetchTimeout, BrokerErrorKind::Retriable))?;
        if cluster.strikes(&who, Fault::CommittedOffsetTransientlyMissing).is_some() {
            return Ok(partitions.iter().map(|at| (at.clone(), None)).collect());
        }
        let group = cluster.group(&self.config.group_id);
        let answer: Result<_, ErrorCode> =
            partitions.iter().map(|at| Ok((at.clone(), group.stable_offset(at)?))).collect();
        answer.map_err(|code| code.during(operation))
    }

    fn log_range(&mut self, partition: &TopicPartition, _timeout: Duration) -> Result<LogRange, BrokerError> {
        let operation = "list_offsets";
        let who = self.who();
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        cluster.fails(&who, (operation, Fault::ListOffsetsTimeout, BrokerErrorKind::Retriable))?;
        let log = cluster.topics.log(partition).map_err(|code| code.during(operation))?;
        Ok(LogRange { start: log.start(), end: log.last_stable() })
    }

    fn start_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BrokerError> {
        self.each_assigned("start_at", std::slice::from_ref(partition), |assigned| {
            assigned.position = Some(offset);
            assigned.paused = false;
        })
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.get(partition).and_then(|assigned| assigned.position)
    }

    fn known_end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.get(partition)?;
        self.cluster.borrow().topics.log(partition).ok().map(super::log::PartitionLog::end)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.each_assigned("pause", partitions, |assigned| assigned.paused = true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.each_assigned("resume", partitions, |assigned| assigned.paused = false)
    }

    fn close(mut self, leave_group: bool) -> Result<(), BrokerError> {
        let mut cluster = self.cluster.borrow_mut();
        let entered = cluster.enter("close");
        let dynamic = self.config.group_instance_id.is_empty();
        if entered.is_ok() && (leave_group || dynamic) && !self.membership.member_id.is_empty() {
            let now = cluster.now;
            cluster.note(&self.config.group_instance_id, What::Gone(self.membership.member_id.clone()));
            cluster.group(&self.config.group_id).remove(&self.membership.member_id, now);
            cluster.settle_groups();
            self.state = State::Closed;
        }
        drop(cluster);
        entered
    }
}

impl Drop for SimConsumer {
    /// From now on no heartbeat comes.
    fn drop(&mut self) {
        if !matches!(self.state, State::Closed)
            && let Ok(mut cluster) = self.cluster.try_borrow_mut()
        {
            let now = cluster.now;
            cluster.group(&self.config.group_id).set_silent(&self.membership.member_id, Some(now));
        }
    }
}

impl fmt::Debug for SimConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimConsumer")
            .field("config", &self.config)
            .field("state", &self.state)
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

/// Before the join, and after everything was lost.
const fn nobody() -> Membership {
    Membership { generation: -1, member_id: String::new() }
}

fn fenced(operation: &'static str, code: ErrorCode) -> BrokerError {
    let kind = match code {
        ErrorCode::FencedInstanceId => BrokerErrorKind::InstanceFenced,
        _ => BrokerErrorKind::MemberFenced,
    };
    BrokerError::new(operation, kind, code.to_string())
}

fn not_assigned(operation: &'static str, partition: &TopicPartition) -> BrokerError {
    BrokerError::new(operation, BrokerErrorKind::Configuration, format!("{partition} is not assigned"))
}
