//! What happens when. A schedule follows from its seed alone, so that a step can be left out and the rest stays.

use std::fmt;
use std::time::Duration;

use super::mistakes::Mistake;
use super::{Simulation, faults};
use crate::broker::sim::{Faults, SplitMix64, Strike};
use crate::state::StoreFault;

/// A run before it is run.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) settings: Settings,
    pub(super) steps: Vec<Step>,
    pub(super) faults: Faults,
}

/// What a seed says once for its whole run.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The machine of each thread.
    pub(super) machine_of: Vec<usize>,
    pub(super) max_poll_records: usize,
    pub(super) commit_interval: Duration,
    pub(super) records_per_round: usize,
    pub(super) buffered_records: usize,
    pub(super) uncommitted_bytes: usize,
    /// `start.from` is the end. The offsets of the user's inputs are those of a reset: everything is still to be read.
    pub(super) latest: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// One round of that thread.
    Round(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// So many records of input.
    Input(usize),
    /// Something out of the ordinary.
    Event(Event),
}

/// Something out of the ordinary. Threads and machines are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Time passes that is long for sessions and transactions, in milliseconds.
    LongWait(u64),
    /// The process of a thread stands still between two rounds, for so many of them.
    Freeze(usize, u32),
    /// The process of a thread dies between two rounds.
    Kill(usize, Disk),
    /// The process of a thread stops in order, with or without leaving the group.
    Close(usize, bool),
    /// The process stands still; another with the same name starts elsewhere; then the first one wakes.
    Twin(usize),
    /// The clock of a thread is off by so many milliseconds from now on.
    Skew(usize, i64),
    /// An image of a machine's disk is kept.
    Image(usize),
    /// Changelogs are compacted; tombstones stay.
    Compact,
    /// A day and an hour pass; changelogs are compacted, tombstones go.
    Day,
    /// Input that is committed is deleted.
    Retain,
    /// The disk of a machine fails, after so many batches.
    DiskFault(usize, StoreFault, u32),
    /// A task's files on a machine are damaged.
    Corrupt(usize),
    /// An operator makes a mistake: only where [`mistaken`](Simulation::mistaken) is asked for.
    Mistake(Mistake),
}

/// What becomes of the disk when a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// The process alone died.
    Kept,
    /// The machine died: so many batches at most were not on the disk yet.
    TailLost(usize),
    /// The machine is gone.
    Lost,
    /// The volume of an earlier image is attached instead, if there is one.
    Old,
}

impl Event {
    /// Every name that [`name`](Self::name) gives, but for those of mistakes.
    pub(super) const NAMES: [&'static str; 16] = [
        "LongWait",
        "Freeze",
        "Kill",
        "MachineCrash",
        "DiskLost",
        "OldDiskAttached",
        "Leave",
        "Restart",
        "Twin",
        "ClockJump",
        "Image",
        "Compaction",
        "TombstonesPurged",
        "Retention",
        "DiskFault",
        "Corruption",
    ];

    /// Its name in the table of what was hit.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::LongWait(_) => "LongWait",
            Self::Freeze(..) => "Freeze",
            Self::Kill(_, Disk::Kept) => "Kill",
            Self::Kill(_, Disk::TailLost(_)) => "MachineCrash",
            Self::Kill(_, Disk::Lost) => "DiskLost",
            Self::Kill(_, Disk::Old) => "OldDiskAttached",
            Self::Close(_, true) => "Leave",
            Self::Close(_, false) => "Restart",
            Self::Twin(_) => "Twin",
            Self::Skew(..) => "ClockJump",
            Self::Image(_) => "Image",
            Self::Compact => "Compaction",
            Self::Day => "TombstonesPurged",
            Self::Retain => "Retention",
            Self::DiskFault(..) => "DiskFault",
            Self::Corrupt(_) => "Corruption",
            Self::Mistake(mistake) => mistake.name(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Schedule {
    /// The schedule of a seed.
    pub(super) fn draw(simulation: &Simulation, seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let settings = Settings::draw(simulation, seed, &mut rng);
        let count = 150 + rng.below(250);
        let mut steps: Vec<Step> = (0..count).map(|_| Step::draw(simulation.instances, &mut rng)).collect();
        if simulation.mistaken {
            // Not too early: there must be something to spoil.
            let at = below(&mut rng, steps.len() / 2) + steps.len() / 3;
            steps.insert(at, Step::Event(Event::Mistake(Mistake::draw(&mut rng))));
        }
        let faults = faults::draw(seed, simulation.tearing, simulation.mistaken || settings.latest);
        Self { seed, settings, steps, faults }
    }

    /// The same with exactly these faults.
    pub(super) fn with_strikes(&self, strikes: &[Strike]) -> Self {
        Self { faults: Faults::exactly(strikes).recorded(), ..self.clone() }
    }

    /// The events with their place in the steps.
    pub(super) fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.steps.iter().enumerate().filter_map(|(at, step)| match step {
            Step::Event(event) => Some((at, event)),
            _ => None,
        })
    }
}

fn pick<T: Copy>(rng: &mut SplitMix64, from: &[T], otherwise: T) -> T {
    let index = rng.below(from.len() as u64);
    usize::try_from(index).ok().and_then(|index| from.get(index)).copied().unwrap_or(otherwise)
}

fn below(rng: &mut SplitMix64, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap_or(0)
}

impl Settings {
    fn draw(simulation: &Simulation, seed: u64, rng: &mut SplitMix64) -> Self {
        // Two threads of one process share a disk, and die together.
        let shared = usize::from(rng.one_in(3));
        Self {
            machine_of: (0..simulation.instances).map(|thread| thread.saturating_sub(shared)).collect(),
            max_poll_records: pick(rng, &[1, 3, 10, 500], 500),
            commit_interval: Duration::from_millis(pick(rng, &[0, 20, 100, 500], 100)),
            records_per_round: pick(rng, &[1, 4, 1000], 1000),
            buffered_records: pick(rng, &[2, 8, 10_000], 10_000),
            uncommitted_bytes: pick(rng, &[1, 1_000, 64 << 20, 64 << 20], 64 << 20),
            // Offsets that are gone before the first commit are a first start, which begins at the end as it was told to.
            latest: !simulation.mistaken && SplitMix64::new(seed ^ 0x001A_7E57).one_in(4),
        }
    }
}

impl Step {
    fn draw(instances: usize, rng: &mut SplitMix64) -> Self {
        match rng.below(100) {
            0..70 => Self::Round(below(rng, instances)),
            70..84 => Self::Wait(1 + rng.below(120)),
            84..96 => Self::Input(1 + below(rng, 6)),
            _ => Self::Event(Event::draw(instances, rng)),
        }
    }
}

impl Event {
    fn draw(instances: usize, rng: &mut SplitMix64) -> Self {
        let thread = below(rng, instances);
        match rng.below(28) {
            0..4 => Self::LongWait(pick(rng, &[2_000, 6_000, 11_000, 40_000, 70_000], 11_000)),
            4..7 => Self::Freeze(thread, 1 + u32::try_from(rng.below(30)).unwrap_or(0)),
            7..10 => Self::Kill(thread, Disk::Kept),
            10..12 => Self::Kill(thread, Disk::TailLost(1 + below(rng, 4))),
            12 => Self::Kill(thread, Disk::Lost),
            13 => Self::Kill(thread, Disk::Old),
            14..16 => Self::Close(thread, rng.one_in(2)),
            16 => Self::Twin(thread),
            17 => Self::Skew(thread, pick(rng, &[0, 300_000, -300_000, 7_200_000, -7_200_000], 0)),
            18..20 => Self::Image(thread),
            20..22 => Self::Compact,
            22 => Self::Day,
            23 => Self::Retain,
            24..27 => {
                let fault = pick(rng, &StoreFault::ALL, StoreFault::WriteFails);
                Self::DiskFault(thread, fault, u32::try_from(rng.below(6)).unwrap_or(0))
            }
            _ => Self::Corrupt(thread),
        }
    }
}
