//! Any topology, on several instances, under everything that goes wrong: one seed is one run, and the same run each time.
//!
//! A run feeds drawn input to instances that go round in drawn order through the production loop
//! ([`StreamThread::run_once`](crate::runtime::StreamThread::run_once)), on the simulated broker and simulated disks.
//! Meanwhile requests are lost, late, doubled and out of order, processes die at every step, stand still and wake as
//! zombies, disks fail, vanish and come back old, clocks jump, logs are compacted. Then everything heals, and it is checked:
//!
//! - the committed output is what [`against`](Simulation::against) says of the input;
//! - every store is the fold of its changelog, and every commit there is whole and has its number in turn;
//! - no committed offset ever went back, no transaction is left open, nothing of the input is left;
//! - no state was wiped, but after damage and days of absence; a process that died is at most one commit behind its log;
//! - every process that stopped has said a reason that the schedule explains.
//!
//! Where a run ends with a process that stops by name, as [`tearing`](Simulation::tearing) and
//! [`mistaken`](Simulation::mistaken) allow, offsets and wipes are checked all the same.
//!
//! A seed that fails prints what is wrong, the faults and events without which it would not be, and the logs.
//!
//! | File | Holds |
//! |---|---|
//! | `schedule` | what happens when, drawn from the seed |
//! | `faults` | which faults of the broker a seed has, and how often |
//! | `world`, `machine`, `events`, `zombie` | instances, their rounds, deaths and disks |
//! | `mistakes` | what operators do |
//! | `play` | a schedule from its first step to rest |
//! | `oracle`, `finished` | what must hold then; what the reference is shown |
//! | `shrink`, `report` | fewer faults that fail all the same; the text of a failure |
//! | `summary` | many seeds |

mod events;
mod faults;
mod finished;
mod input;
mod inquiry;
mod machine;
mod mistakes;
mod oracle;
mod play;
mod report;
mod schedule;
mod shrink;
mod summary;
mod world;
mod zombie;

use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use finished::{Finished, same};
pub use play::{Outcome, Run};
pub use summary::Summary;

use crate::broker::sim::SplitMix64;
use crate::dsl::Topic;
use crate::record::{Record, TopicName};
use crate::runtime::{Breakage, ErrorPolicy};
use crate::topology::Topology;
use input::{Input, Raw, encoded};
use schedule::Schedule;

/// What a reference says of a finished run.
type Reference = Box<dyn Fn(&Finished<'_>) -> Result<(), String>>;

/// Runs a topology from seeds, and checks each run.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
/// use millpond::record::Record;
/// use millpond::serde::{Int64, Utf8};
/// use millpond::testing::{Simulation, simulation::same};
/// use millpond::time::Timestamp;
///
/// const CLICKS: Topic<String, i64> = Topic::new("clicks", &Utf8, &Int64);
/// const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);
///
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream(&CLICKS).group_by_key(Grouped::named("clicks", &Utf8, &Int64));
/// clicks.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&COUNTS);
///
/// Simulation::of(builder.build()?)
///     .input(&CLICKS, |draw, n| Record::new(format!("u{}", draw.below(3)), 1, Timestamp::from_millis(n)))
///     .against(|run| {
///         // Each user's counts are 1, 2, 3, … as often as there were clicks.
///         let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
///         for (user, _) in run.input(&CLICKS) {
///             let counts = expected.entry(user).or_default();
///             counts.push(counts.len() as i64 + 1);
///         }
///         let mut actual: BTreeMap<String, Vec<i64>> = BTreeMap::new();
///         for (user, count) in run.committed(&COUNTS) {
///             actual.entry(user).or_default().push(count);
///         }
///         same("counts", &actual, &expected)
///     })
///     .seeds(0..3);
/// # Ok::<(), millpond::topology::TopologyError>(())
/// ```
pub struct Simulation {
    pub(super) topology: Arc<Topology>,
    partitions: usize,
    instances: usize,
    records: usize,
    closing: usize,
    errors: ErrorPolicy,
    inputs: Vec<Input>,
    reference: Option<Reference>,
    tearing: bool,
    mistaken: bool,
    settle: Duration,
    breakage: Option<Breakage>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("partitions", &self.partitions)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Runs of `topology` on three instances, with three partitions of each topic and 60 records of input.
    pub fn of(topology: Topology) -> Self {
        Self {
            topology: Arc::new(topology),
            partitions: 3,
            instances: 3,
            records: 60,
            closing: 0,
            errors: ErrorPolicy::default(),
            inputs: Vec::new(),
            reference: None,
            tearing: false,
            mistaken: false,
            settle: Duration::ZERO,
            breakage: None,
        }
    }

    /// How many partitions each of the user's topics has.
    #[must_use]
    pub const fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions;
        self
    }

    /// How many stream threads there are. Some seeds run two of them in one process.
    #[must_use]
    pub const fn instances(mut self, instances: usize) -> Self {
        self.instances = instances;
        self
    }

    /// How many records of input a run has, over all inputs.
    #[must_use]
    pub const fn records(mut self, records: usize) -> Self {
        self.records = records;
        self
    }

    /// So many more records of input come when everything before them has been processed: to let event time go on.
    #[must_use]
    pub const fn closing(mut self, records: usize) -> Self {
        self.closing = records;
        self
    }

    /// Sets bad records aside in the topic `dead-letters` instead of stopping.
    #[must_use]
    pub fn dead_letters(mut self, payload: bool) -> Self {
        self.errors = ErrorPolicy::all_to_dead_letters(payload);
        self
    }

    /// An input topic and how to draw a record of it; the number counts the records of a run from zero. Several inputs
    /// take turns by chance. The partition follows from the key, as in Kafka; records without a key take turns.
    #[must_use]
    pub fn input<K: 'static, V: 'static>(
        self,
        topic: &Topic<K, V>,
        draw: impl Fn(&mut SplitMix64, i64) -> Record<K, V> + 'static,
    ) -> Self {
        let typed = topic.clone();
        self.with_input(topic.name(), move |rng, number| encoded(&typed, draw(rng, number)))
    }

    /// As [`input`](Self::input), of bytes that may be no record at all.
    #[must_use]
    pub fn input_raw(
        self,
        topic: &str,
        draw: impl Fn(&mut SplitMix64, i64) -> Record<Option<bytes::Bytes>, Option<bytes::Bytes>> + 'static,
    ) -> Self {
        self.with_input(topic, move |rng, number| draw(rng, number))
    }

    fn with_input(mut self, topic: &str, draw: impl Fn(&mut SplitMix64, i64) -> Raw + 'static) -> Self {
        self.inputs.push(Input { topic: TopicName::from(topic), draw: Box::new(draw) });
        self
    }

    /// What the committed output must be: an error says what is wrong. Without it the output is not looked at.
    #[must_use]
    pub fn against(mut self, reference: impl Fn(&Finished<'_>) -> Result<(), String> + 'static) -> Self {
        self.reference = Some(Box::new(reference));
        self
    }

    /// After everything has come to rest the clock goes on by this much, and it must come to rest once more: for
    /// topologies with wall-clock punctuators.
    #[must_use]
    pub const fn settle(mut self, time: Duration) -> Self {
        self.settle = time;
        self
    }

    /// Lets a copy of a commit request arrive late that the client did not notice, which tears the next transaction. Then
    /// a run may also end with a process that stops and names the torn transaction; it may not end with wrong output.
    #[must_use]
    pub const fn tearing(mut self) -> Self {
        self.tearing = true;
        self
    }

    /// Lets an operator make a mistake once: move offsets, delete or make topics again, cut changelogs. Then a run may also
    /// end with a process that stops and names what is wrong; it may not end with wrong output.
    #[must_use]
    pub const fn mistaken(mut self) -> Self {
        self.mistaken = true;
        self
    }

    /// Breaks the protocol on purpose: the check must find it.
    #[must_use]
    pub const fn broken(mut self, breakage: Breakage) -> Self {
        self.breakage = Some(breakage);
        self
    }

    /// One run.
    pub fn run(&self, seed: u64) -> Run {
        play::play(self, &Schedule::draw(self, seed))
    }

    /// Runs each seed.
    ///
    /// # Panics
    /// With the [report](Self::report) of the first seed that fails.
    #[allow(clippy::panic, reason = "a simulation that fails must fail the test that runs it")]
    pub fn seeds(&self, seeds: Range<u64>) -> Summary {
        let mut summary = Summary::default();
        for seed in seeds {
            let run = self.run(seed);
            assert!(!run.failed(), "{}", self.report(seed));
            summary.add(&run);
        }
        summary
    }

    /// What is wrong with a seed: the failure, the fewest faults and events found that still lead to it, and the logs.
    pub fn report(&self, seed: u64) -> String {
        let schedule = Schedule::draw(self, seed);
        let run = play::play(self, &schedule);
        if !run.failed() {
            return format!("seed {seed} does not fail");
        }
        let (schedule, run) = shrink::shrink(self, schedule, run);
        report::report(seed, &schedule, &run)
    }

    fn check(&self, finished: &Finished<'_>) -> Result<(), String> {
        self.reference.as_ref().map_or(Ok(()), |reference| reference(finished))
    }

    fn shared_topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology)
    }
}

/// What every part of a run shares.
type Shared<T> = Rc<T>;
