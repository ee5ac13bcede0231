//! Fewer faults and events that fail all the same.

use super::Simulation;
use super::play::{Run, play};
use super::schedule::{Schedule, Step};
use crate::broker::sim::Strike;

/// Most runs of a search.
const RUNS_MAX: usize = 600;

/// Leaves out faults, events and late steps while the run still fails.
pub(super) fn shrink(simulation: &Simulation, schedule: Schedule, run: Run) -> (Schedule, Run) {
    let mut search = Search { simulation, runs: 0, strikes: run.strikes.clone(), schedule, run };
    // The same strikes by their places. If that run does not fail there is nothing to leave out.
    if !search.keeps(search.strikes.clone(), search.schedule.clone()) {
        return (search.schedule, search.run);
    }
    loop {
        let before = (search.strikes.len(), search.schedule.steps.len());
        search.fewer_strikes();
        search.fewer_steps(|step| matches!(step, Step::Event(_)));
        search.fewer_steps(|_| true);
        if before == (search.strikes.len(), search.schedule.steps.len()) || search.runs >= RUNS_MAX {
            return (search.schedule.with_strikes(&search.strikes), search.run);
        }
    }
}

struct Search<'a> {
    simulation: &'a Simulation,
    runs: usize,
    strikes: Vec<Strike>,
    schedule: Schedule,
    run: Run,
}

impl Search<'_> {
    /// Takes these if they fail.
    fn keeps(&mut self, strikes: Vec<Strike>, schedule: Schedule) -> bool {
        self.runs += 1;
        let run = play(self.simulation, &schedule.with_strikes(&strikes));
        let fails = run.failed();
        if fails {
            (self.strikes, self.schedule, self.run) = (strikes, schedule, run);
        }
        fails
    }

    fn fewer_strikes(&mut self) {
        let mut size = self.strikes.len();
        while size > 0 {
            let mut at = 0;
            while at < self.strikes.len() && self.runs < RUNS_MAX {
                let fewer = without(&self.strikes, at..at + size);
                if !self.keeps(fewer, self.schedule.clone()) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn fewer_steps(&mut self, wanted: impl Fn(&Step) -> bool) {
        let places = |steps: &[Step]| {
            let places = steps.iter().enumerate().filter(|(_, step)| wanted(step));
            places.map(|(at, _)| at).collect::<Vec<usize>>()
        };
        let mut size = places(&self.schedule.steps).len();
        while size > 0 {
            let mut at = 0;
            loop {
                let all = places(&self.schedule.steps);
                let gone: Vec<usize> = all.iter().copied().skip(at).take(size).collect();
                if gone.is_empty() || self.runs >= RUNS_MAX {
                    break;
                }
                let kept = self.schedule.steps.iter().enumerate().filter(|(place, _)| !gone.contains(place));
                let steps = kept.map(|(_, step)| step.clone()).collect();
                let schedule = Schedule { steps, ..self.schedule.clone() };
                if !self.keeps(self.strikes.clone(), schedule) {
                    at += size;
                }
            }
            size /= 2;
        }
    }
}

fn without<T: Clone>(list: &[T], range: std::ops::Range<usize>) -> Vec<T> {
    list.iter().enumerate().filter(|(at, _)| !range.contains(at)).map(|(_, item)| item.clone()).collect()
}
