//! The one state behind all handles: clock, topics, groups, transactions, requests in flight, faults, trace.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::broker::{BrokerError, BrokerErrorKind, CommittedOffset, Membership};
use crate::record::{TopicName, TopicPartition};
use crate::time::Timestamp;

use super::config::SimConfig;
use super::fault::Fault;
use super::faults::{Delay, Faults};
use super::group::{Group, Limits};
use super::log::{ProducerStamp, Topics};
use super::trace::{Trace, TraceEvent, What};
use super::transaction::{MarkerTarget, Transactions};

#[derive(Default)]
pub(super) struct Cluster {
    pub(super) config: SimConfig,
    pub(super) now: Timestamp,
    pub(super) topics: Topics,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) transactions: Transactions,
    pub(super) faults: Faults,
    pub(super) hits: BTreeMap<Fault, u64>,
    pub(super) trace: Trace,
    pub(super) held_topics: BTreeSet<TopicName>,
    pub(super) held_groups: BTreeSet<String>,
    /// Instances whose replaced members have not heard of it: the answers to their heartbeats are on their way.
    pub(super) unheard: BTreeSet<String>,
    /// The process whose call is running has died of this; nothing it does has an effect any more.
    pub(super) crashed: Option<Fault>,
    pub(super) on_pause: Option<OnPause>,
    /// How long the last poll of a member would have waited.
    pub(super) poll_timeout: Duration,
    in_flight: Vec<(Delay, Request)>,
    members_made: u64,
}

/// What others do while a process stands still.
pub(super) type OnPause = Box<dyn FnMut()>;

/// Lets the process stand still when the fault strikes now. To be called while nothing of the cluster is borrowed: the
/// others call it meanwhile. Nobody else stands still at the same time.
pub(super) fn pause(shared: &RefCell<Cluster>, who: &str) {
    let on_pause = {
        let mut cluster = shared.borrow_mut();
        if cluster.on_pause.is_none() || cluster.crashed.is_some() || cluster.strikes(who, Fault::Paused).is_none() {
            return;
        }
        cluster.on_pause.take()
    };
    if let Some(mut meanwhile) = on_pause {
        meanwhile();
        shared.borrow_mut().on_pause = Some(meanwhile);
    }
}

/// A request between two machines that takes its time.
#[derive(Debug, Clone)]
pub(super) enum Request {
    EndTxn {
        id: String,
        producer: ProducerStamp,
        commit: bool,
    },
    /// Of a producer that was left behind in the middle of its commit: when they are in, it goes on to the end.
    Offsets {
        id: String,
        producer: ProducerStamp,
        group: String,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        membership: Membership,
        end_after: u64,
    },
    WriteMarker {
        id: String,
        target: MarkerTarget,
    },
}

impl Cluster {
    pub(super) fn new(config: SimConfig) -> Self {
        Self { now: config.start, config, ..Self::default() }
    }

    /// Every client call begins here: one step of time for what is in flight, and nothing more for a dead process.
    pub(super) fn enter(&mut self, operation: &'static str) -> Result<(), BrokerError> {
        self.tick();
        match self.crashed {
            Some(fault) => Err(dead(operation, fault)),
            None => Ok(()),
        }
    }

    /// One step of time for what is in flight.
    pub(super) fn tick(&mut self) {
        let mut due = Vec::new();
        for (delay, request) in std::mem::take(&mut self.in_flight) {
            match delay {
                Delay::Calls(calls) if calls <= 1 => due.push(request),
                Delay::Calls(calls) => self.in_flight.push((Delay::Calls(calls - 1), request)),
                Delay::Held => self.in_flight.push((delay, request)),
            }
        }
        for request in due {
            self.deliver(request);
        }
    }

    pub(super) fn delay(&mut self, delay: Delay, request: Request) {
        self.in_flight.push((delay, request));
    }

    /// Lets everything that is held arrive, in the order it was sent. Gives how much it was.
    pub(super) fn release(&mut self) -> usize {
        self.held_topics.clear();
        self.held_groups.clear();
        self.unheard.clear();
        let in_flight = std::mem::take(&mut self.in_flight);
        let count = in_flight.len();
        for (_, request) in in_flight {
            self.deliver(request);
        }
        count
    }

    fn deliver(&mut self, request: Request) {
        match request {
            // Whoever asked has gone away: an answer, good or bad, reaches nobody.
            Request::EndTxn { id, producer, commit } => drop(self.end_txn(&id, producer, commit)),
            Request::Offsets { id, producer, group, offsets, membership, end_after } => {
                if self.send_offsets((&id, producer), &group, &offsets, &membership).is_ok() {
                    self.delay(Delay::Calls(end_after), Request::EndTxn { id, producer, commit: true });
                }
            }
            Request::WriteMarker { id, target } => self.write_marker(&id, &target),
        }
    }

    /// Whether the fault strikes now.
    pub(super) fn strikes(&mut self, who: &str, fault: Fault) -> Option<Delay> {
        let delay = self.faults.strike(fault)?;
        *self.hits.entry(fault).or_default() += 1;
        self.note(who, What::Struck(fault));
        Some(delay)
    }

    /// An error of that kind when the fault strikes now.
    pub(super) fn fails(
        &mut self,
        who: &str,
        (operation, fault, kind): (&'static str, Fault, BrokerErrorKind),
    ) -> Result<(), BrokerError> {
        match self.strikes(who, fault) {
            Some(_) => Err(BrokerError::new(operation, kind, format!("injected fault {fault:?}"))),
            None => Ok(()),
        }
    }

    /// The process dies here when the fault strikes now.
    pub(super) fn crashes(&mut self, who: &str, operation: &'static str, fault: Fault) -> Result<(), BrokerError> {
        if self.strikes(who, fault).is_none() {
            return Ok(());
        }
        self.crashed = Some(fault);
        Err(dead(operation, fault))
    }

    pub(super) fn note(&mut self, who: &str, what: What) {
        self.trace.push(TraceEvent { at: self.now, who: who.into(), what });
    }

    /// Time passes: transactions and sessions run out; what is in flight makes a step.
    pub(super) fn advance(&mut self, by: Duration) {
        self.tick();
        self.now = self.now.plus(by);
        for (id, markers) in self.transactions.expire(self.now, self.config.transaction_timeout) {
            self.note(&id, What::TimedOut);
            self.spread_markers(&id, markers);
        }
        let limits = Limits {
            session: self.config.session_timeout,
            rebalance: self.config.rebalance_timeout,
            poll_interval: self.config.max_poll_interval,
        };
        let (now, mut gone) = (self.now, Vec::new());
        for (name, group) in &mut self.groups {
            gone.extend(group.expire(now, limits).into_iter().map(|member_id| (name.clone(), member_id)));
        }
        for (group, member_id) in gone {
            self.note(&group, What::Gone(member_id));
        }
        self.settle_groups();
    }

    /// Ends the rebalances that nobody is missing from.
    pub(super) fn settle_groups(&mut self) {
        let mut begun = Vec::new();
        for (name, group) in &mut self.groups {
            if group.complete_rebalance(&self.topics) {
                begun.push((name.clone(), group.generation()));
            }
        }
        for (name, generation) in begun {
            self.note(&name, What::Generation(generation));
        }
    }

    pub(super) fn group(&mut self, group_id: &str) -> &mut Group {
        self.groups.entry(group_id.to_owned()).or_default()
    }

    /// A member id that was never used.
    pub(super) fn fresh_member_id(&mut self, instance_id: &str) -> String {
        self.members_made += 1;
        let name = if instance_id.is_empty() { "member" } else { instance_id };
        format!("{name}-{:04}", self.members_made)
    }

    /// A topic came, went or grew: its subscribers join again.
    pub(super) fn topic_changed(&mut self, topic: &str) {
        let now = self.now;
        self.groups.values_mut().for_each(|group| group.topic_changed(topic, now));
        self.settle_groups();
    }

    /// Whether the marker of a transaction is to be late there.
    pub(super) fn marker_delay(&mut self, id: &str, target: &MarkerTarget) -> Option<Delay> {
        let (held, fault) = match target {
            MarkerTarget::Group(group) => (self.held_groups.contains(group), Fault::OffsetsMarkerDelayed),
            MarkerTarget::Partition(TopicPartition { topic, .. }) => {
                (self.held_topics.contains(topic), Fault::MarkerDelayed)
            }
        };
        if held { Some(Delay::Held) } else { self.strikes(id, fault) }
    }
}

fn dead(operation: &'static str, fault: Fault) -> BrokerError {
    BrokerError::new(operation, BrokerErrorKind::Configuration, format!("the simulated process has died: {fault:?}"))
}
