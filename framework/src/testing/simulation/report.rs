//! The text of a failure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::play::{Outcome, Run};
use super::schedule::Schedule;
use super::world::World;

/// Newest events of the broker that are shown.
const EVENTS_SHOWN: usize = 60;

impl World {
    /// How often each fault and event has struck.
    pub(super) fn hits(&self) -> BTreeMap<String, u64> {
        let broker = self.broker.faults_hit().into_iter().map(|(fault, hits)| (format!("{fault:?}"), hits));
        let mut all: BTreeMap<String, u64> = broker.collect();
        for (event, hits) in &self.facts.borrow().events {
            *all.entry((*event).to_owned()).or_default() += hits;
        }
        for machine in self.machines.borrow().iter() {
            for (fault, hits) in machine.directory.faults_hit() {
                *all.entry(format!("{fault:?}")).or_default() += hits;
            }
        }
        all
    }

    pub(super) fn stops(&self) -> Vec<String> {
        self.facts.borrow().stops.clone()
    }

    /// Every log, the group's offsets, and the last events.
    pub(super) fn logs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for topic in self.broker.topics() {
            for at in self.broker.partitions(&topic) {
                lines.push(format!("{at}  {}", self.broker.drawn(&at)));
            }
        }
        for (at, offset) in self.broker.committed_offsets(super::world::APPLICATION) {
            lines.push(format!("committed {at}  {} {}", offset.next, offset.metadata));
        }
        let trace = self.broker.trace();
        let newest = trace.len().saturating_sub(EVENTS_SHOWN);
        lines.extend(trace.iter().skip(newest).map(ToString::to_string));
        lines
    }
}

/// What is wrong, what led to it, and the logs.
pub(super) fn report(seed: u64, schedule: &Schedule, run: &Run) -> String {
    let mut text = format!("seed {seed} fails\n");
    let mut section = |title: &str, lines: &[String]| {
        let _written = writeln!(text, "\n{title}");
        for line in lines {
            let _written = writeln!(text, "  {line}");
        }
    };
    if let Outcome::Failed(wrong) = &run.outcome {
        section("what does not hold:", wrong);
    }
    let events: Vec<String> = schedule.events().map(|(at, event)| format!("step {at}: {event}")).collect();
    section("events that it takes:", &events);
    let strikes: Vec<String> = run.strikes.iter().map(ToString::to_string).collect();
    section("faults that it takes:", &strikes);
    section("processes that stopped:", &run.stops);
    section(&format!("settings: {:?}", schedule.settings), &[]);
    section("logs, then the newest events:", &run.logs);
    text
}
