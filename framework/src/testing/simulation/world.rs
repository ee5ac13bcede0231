//! The cluster, the machines and the threads of a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::machine::Machine;
use super::oracle::Commits;
use super::schedule::{Disk, Schedule};
use super::zombie::Zombie;
use super::{Shared, Simulation};
use crate::broker::CommittedOffset;
use crate::broker::sim::{SimBroker, SimConfig, SplitMix64};
use crate::record::{Offset, TopicName, TopicPartition};
use crate::runtime::config::StartFrom;
use crate::runtime::query::Asker;
use crate::runtime::{StreamThread, TaskState, ThreadConfig};
use crate::task::RESET;
use crate::time::Timestamp;
use crate::topology::Topology;

/// The application, which is its group, too.
pub(super) const APPLICATION: &str = "app";
/// The simulated clock begins in 2023: what nobody has set must not look like now.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// So many cycles without rest mean that something goes round in a circle.
const CYCLES_MAX: usize = 3_000;

/// Everything there is.
pub(super) struct World {
    pub(super) broker: SimBroker,
    pub(super) topology: Arc<Topology>,
    pub(super) slots: Vec<RefCell<Slot>>,
    pub(super) machines: RefCell<Vec<Machine>>,
    pub(super) zombies: RefCell<Vec<Zombie>>,
    /// For what depends on how a run goes: how long a dead process stays down, what others do in a pause.
    pub(super) rng: RefCell<SplitMix64>,
    pub(super) facts: RefCell<Facts>,
}

/// A stream thread, or the place of one.
pub(super) struct Slot {
    pub(super) config: ThreadConfig,
    pub(super) machine: usize,
    pub(super) thread: Option<StreamThread<SimBroker>>,
    /// By how much its clock is off, in milliseconds.
    pub(super) skew: i64,
    /// Rounds until it starts again.
    pub(super) down: u32,
    /// Rounds until it wakes.
    pub(super) frozen: u32,
    /// Asks the thread.
    pub(super) asker: Option<Asker>,
    /// Rounds so far, of all its threads.
    pub(super) rounds: u64,
}

impl Slot {
    /// What its clock shows.
    pub(super) fn now(&self, broker: &SimBroker) -> Timestamp {
        let off = Duration::from_millis(self.skew.unsigned_abs());
        if self.skew < 0 { broker.now().minus(off) } else { broker.now().plus(off) }
    }
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What must not be.
    pub(super) wrong: Vec<String>,
    /// A process has stopped and named a torn transaction: the end of a run that tears.
    pub(super) refused: Option<String>,
    /// Why processes stopped.
    pub(super) stops: Vec<String>,
    /// Wipes by threads that are gone.
    pub(super) wipes: u64,
    /// What has happened that excuses something.
    pub(super) notes: BTreeSet<Note>,
    /// How often each event happened.
    pub(super) events: BTreeMap<&'static str, u64>,
    /// Queries whose answers were compared with the log.
    pub(super) answers: u64,
    /// Of each log with commit records, how far they were looked at.
    pub(super) commits: BTreeMap<TopicPartition, Commits>,
}

/// What excuses something later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// State was damaged, or too long away by some clock: it may be wiped.
    OldState,
    /// Two processes ran under one name: one of them may say so and stop.
    Twins,
    /// Transactions are torn: a process may say so and stop.
    Tearing,
    /// Logs were compacted: they have holes.
    Compacted,
    /// An operator has made a mistake: a process may say so and stop.
    Mistaken,
    /// Changelogs have lost rows: they are on disks only.
    Cut,
    /// Offsets were moved by hand: a commit that was on its way then may set them back.
    Moved,
}

impl World {
    pub(super) fn new(simulation: &Simulation, schedule: &Schedule) -> Shared<Self> {
        let settings = &schedule.settings;
        let broker = SimBroker::with_config(SimConfig {
            start: START,
            max_poll_records: settings.max_poll_records,
            ..SimConfig::default()
        });
        for topic in simulation.topology.external_topics() {
            broker.add_topic(&topic, simulation.partitions);
            if settings.latest && simulation.inputs.iter().any(|input| input.topic == topic) {
                let begin = CommittedOffset { next: Offset::default(), metadata: RESET.to_owned() };
                for at in broker.partitions(&topic) {
                    broker.set_committed_offset(APPLICATION, &at, begin.clone());
                }
            }
        }
        broker.set_faults(schedule.faults.clone());
        let slot = |(thread, &machine): (usize, &usize)| {
            let mut config = ThreadConfig::new(APPLICATION, &format!("{APPLICATION}-{thread}"));
            config.poll_timeout = Duration::ZERO;
            config.commit_interval = settings.commit_interval;
            config.records_per_round = settings.records_per_round;
            config.buffered_records_per_partition = settings.buffered_records;
            config.uncommitted_bytes_max = settings.uncommitted_bytes;
            config.errors = simulation.errors.clone();
            config.breakage = simulation.breakage;
            if settings.latest {
                config.start_from = StartFrom::Latest;
            }
            RefCell::new(Slot { config, machine, thread: None, skew: 0, down: 0, frozen: 0, asker: None, rounds: 0 })
        };
        let machines = settings.machine_of.iter().max().map_or(0, |last| last + 1);
        let notes = simulation.tearing.then_some(Note::Tearing).into_iter().collect();
        let world = Rc::new(Self {
            broker,
            topology: simulation.shared_topology(),
            slots: settings.machine_of.iter().enumerate().map(slot).collect(),
            machines: RefCell::new((0..machines).map(|_| Machine::default()).collect()),
            zombies: RefCell::new(Vec::new()),
            rng: RefCell::new(SplitMix64::new(schedule.seed ^ 0x3057_E910)),
            facts: RefCell::new(Facts { notes, ..Facts::default() }),
        });
        let weak = Rc::downgrade(&world);
        world.broker.on_pause(Some(Box::new(move || {
            if let Some(world) = weak.upgrade() {
                world.meanwhile();
            }
        })));
        world
    }

    /// What the others do while one stands still in the middle of a call.
    fn meanwhile(&self) {
        let (steps, silent) = {
            let mut rng = self.rng.borrow_mut();
            (1 + rng.below(40), rng.one_in(2))
        };
        // Whoever cannot be borrowed is the one that stands still.
        let paused: Vec<usize> = (0..self.slots.len()).filter(|&thread| self.slot_is_busy(thread)).collect();
        let names = paused.iter().map(|thread| format!("{APPLICATION}-{thread}"));
        let names: Vec<String> = names.filter(|_| silent).collect();
        for name in &names {
            self.broker.freeze(APPLICATION, name);
        }
        for _ in 0..steps {
            let (thread, wait) = {
                let mut rng = self.rng.borrow_mut();
                let thread = usize::try_from(rng.below(self.slots.len() as u64)).unwrap_or(0);
                let wait = if rng.one_in(12) { 11_000 } else { rng.below(100) };
                (thread, wait)
            };
            self.broker.advance(Duration::from_millis(wait));
            self.round(thread);
        }
        for name in &names {
            self.broker.thaw(APPLICATION, name);
        }
    }

    fn slot_is_busy(&self, thread: usize) -> bool {
        self.slots.get(thread).is_some_and(|slot| slot.try_borrow_mut().is_err())
    }

    pub(super) fn note(&self, what: Note) {
        self.facts.borrow_mut().notes.insert(what);
    }

    pub(super) fn is_noted(&self, what: Note) -> bool {
        self.facts.borrow().notes.contains(&what)
    }

    pub(super) fn wrong(&self, what: impl Into<String>) {
        self.facts.borrow_mut().wrong.push(what.into());
    }

    /// The run is over before its schedule is.
    pub(super) fn is_over(&self) -> bool {
        let facts = self.facts.borrow();
        facts.refused.is_some() || !facts.wrong.is_empty()
    }

    /// Topics that are compacted.
    pub(super) fn compacted_topics(&self) -> Vec<TopicName> {
        let ours = |topic: &TopicName| topic.ends_with("-changelog") || topic.ends_with("-commits");
        self.broker.topics().into_iter().filter(ours).collect()
    }

    /// Nothing goes wrong any more: everything that is down starts, everything that sleeps wakes.
    pub(super) fn heal(&self) {
        self.broker.on_pause(None);
        self.broker.set_faults(crate::broker::sim::Faults::none());
        self.broker.release();
        for machine in self.machines.borrow().iter() {
            machine.directory.clear_faults();
        }
        for slot in &self.slots {
            let mut slot = slot.borrow_mut();
            slot.down = 0;
            slot.frozen = slot.frozen.min(1);
        }
        for zombie in self.zombies.borrow_mut().iter_mut() {
            zombie.wake();
        }
    }

    /// Everything that runs ends, and starts again: some machines with a new disk.
    pub(super) fn start_again(&self) {
        for thread in 0..self.slots.len() {
            let disk = if self.rng.borrow_mut().one_in(2) { Disk::Kept } else { Disk::Lost };
            self.kill(thread, disk);
        }
        self.heal();
    }

    /// Runs until nothing moves. An error says what still does, or does not.
    pub(super) fn come_to_rest(&self) -> Result<(), String> {
        let mut quiet = 0;
        for _ in 0..CYCLES_MAX {
            if self.is_over() {
                return Ok(());
            }
            let mut idle = true;
            for thread in 0..self.slots.len() {
                idle &= self.round(thread);
            }
            self.run_zombies();
            quiet = if idle && self.is_at_rest() { quiet + 1 } else { 0 };
            if quiet == 3 {
                return Ok(());
            }
            self.broker.advance(Duration::from_millis(if idle { 1_000 } else { 50 }));
        }
        Err(format!("no progress after {CYCLES_MAX} cycles without faults: {}", self.state()))
    }

    fn is_at_rest(&self) -> bool {
        let settled = |slot: &RefCell<Slot>| {
            let slot = slot.borrow();
            slot.thread.as_ref().is_some_and(|thread| {
                thread.is_assigned() && thread.tasks().all(|task| task.state() == TaskState::Running)
            })
        };
        self.slots.iter().all(settled) && self.broker.lag(APPLICATION).values().all(|&lag| lag == 0)
    }

    /// Where everybody is, for a person.
    fn state(&self) -> String {
        let mut lines = vec![format!("lag={:?}", self.broker.lag(APPLICATION))];
        for slot in &self.slots {
            let slot = slot.borrow();
            let tasks = slot.thread.as_ref().map(|thread| {
                thread.tasks().map(|task| format!("{} {:?}", task.id(), task.state())).collect::<Vec<_>>()
            });
            lines.push(format!("{}: {tasks:?} down={} frozen={}", slot.config.instance_id, slot.down, slot.frozen));
        }
        lines.push(format!("stops={:?}", self.facts.borrow().stops));
        lines.join("; ")
    }
}
