//! A schedule from its first step to rest, and what is wrong then.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Simulation;
use super::finished::Finished;
use super::input::Feed;
use super::schedule::{Schedule, Step};
use super::world::World;
use crate::broker::sim::Strike;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything holds.
    Exact,
    /// A process has stopped and named a torn transaction or a mistake, as [`Simulation::tearing`] and
    /// [`Simulation::mistaken`] allow.
    Stopped(String),
    /// What does not hold.
    Failed(Vec<String>),
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// A number for all that happened at the broker: equal runs have equal ones.
    pub trace_digest: u64,
    /// How often each fault and event has struck.
    pub hits: BTreeMap<String, u64>,
    /// Queries whose answers were compared with the log.
    pub answers: u64,
    /// What has struck at the broker.
    pub(super) strikes: Vec<Strike>,
    /// The logs of a failed run.
    pub(super) logs: Vec<String>,
    /// Why processes stopped.
    pub(super) stops: Vec<String>,
}

impl Run {
    /// True when something does not hold.
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

/// Runs a schedule; a panic on the way is a failure.
pub(super) fn play(simulation: &Simulation, schedule: &Schedule) -> Run {
    let run = catch_unwind(AssertUnwindSafe(|| run(simulation, schedule)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Run {
            seed: schedule.seed,
            outcome: Outcome::Failed(vec![format!("panicked: {}", text.unwrap_or("no text"))]),
            trace_digest: 0,
            hits: BTreeMap::new(),
            answers: 0,
            strikes: Vec::new(),
            logs: Vec::new(),
            stops: Vec::new(),
        }
    })
}

fn run(simulation: &Simulation, schedule: &Schedule) -> Run {
    let world = World::new(simulation, schedule);
    let mut feed = Feed::new(schedule.seed, simulation.records);
    for step in &schedule.steps {
        if let Step::Input(count) = step {
            feed.feed(&world.broker, &simulation.inputs, *count);
        }
        world.step(step);
        if world.is_over() {
            break;
        }
    }
    let strikes = world.broker.strikes();
    world.heal();
    let mut wrong = Vec::new();
    if !world.is_over() {
        wrong.extend(rest(simulation, &world, &mut feed).err());
    }
    wrong.append(&mut world.facts.borrow_mut().wrong);
    let mut refused = world.facts.borrow_mut().refused.take();
    if wrong.is_empty() && (simulation.tearing || simulation.mistaken) {
        // A supervisor starts what has stopped, and one day what runs. Each start says no, or all is well.
        world.start_again();
        wrong.extend(rest(simulation, &world, &mut feed).err());
        wrong.append(&mut world.facts.borrow_mut().wrong);
        refused = world.facts.borrow_mut().refused.take();
    }
    if wrong.is_empty() && refused.is_none() {
        wrong.extend(world.check());
        let finished = Finished { world: &world, feed: &feed };
        wrong.extend(simulation.check(&finished).err());
    } else if wrong.is_empty() {
        // Nobody knows how far the output came.
        wrong.extend(world.check_stopped());
    }
    let logs = if wrong.is_empty() { Vec::new() } else { world.logs() };
    let outcome = match refused {
        _ if !wrong.is_empty() => Outcome::Failed(wrong),
        Some(reason) => Outcome::Stopped(reason),
        None => Outcome::Exact,
    };
    let trace_digest = world.broker.trace_digest();
    let answers = world.facts.borrow().answers;
    let (hits, stops) = (world.hits(), world.stops());
    Run { seed: schedule.seed, outcome, trace_digest, hits, answers, strikes, logs, stops }
}

/// Feeds what is left and comes to rest, also after the time that punctuators need.
fn rest(simulation: &Simulation, world: &World, feed: &mut Feed) -> Result<(), String> {
    feed.feed(&world.broker, &simulation.inputs, usize::MAX);
    world.come_to_rest()?;
    if simulation.closing > 0 {
        feed.allow(simulation.closing);
        feed.feed(&world.broker, &simulation.inputs, usize::MAX);
        world.come_to_rest()?;
    }
    if !simulation.settle.is_zero() {
        // In two steps: who counts from the first look at the clock has looked at it before the second.
        for _ in 0..2 {
            world.broker.advance(simulation.settle);
            world.come_to_rest()?;
        }
    }
    Ok(())
}
