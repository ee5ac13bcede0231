//! Many runs.

use std::collections::BTreeMap;
use std::fmt;

use super::play::{Outcome, Run};
use super::schedule::Event;
use crate::broker::sim::Fault;
use crate::state::StoreFault;

/// What many seeds have come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Runs in which everything held.
    pub exact: u64,
    /// Runs that ended with a named torn transaction.
    pub stopped: u64,
    /// Seeds that failed.
    pub failed: Vec<u64>,
    /// How often each fault and event has struck.
    pub hits: BTreeMap<String, u64>,
    /// Queries whose answers were compared with the log, and were right.
    pub answers: u64,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.answers += run.answers;
        match &run.outcome {
            Outcome::Exact => self.exact += 1,
            Outcome::Stopped(_) => self.stopped += 1,
            Outcome::Failed(_) => self.failed.push(run.seed),
        }
        for (fault, hits) in &run.hits {
            *self.hits.entry(fault.clone()).or_default() += hits;
        }
    }

    /// Faults and events that never struck, of those that a topology with stores can meet: they show nothing.
    pub fn never_hit(&self, tearing: bool) -> Vec<String> {
        let faults = Fault::ALL.into_iter().filter(|fault| tearing || *fault != Fault::EndTxnDuplicatedUnnoticed);
        let all = faults.map(|fault| format!("{fault:?}"));
        let all = all.chain(StoreFault::ALL.into_iter().map(|fault| format!("{fault:?}")));
        let all = all.chain(Event::NAMES.into_iter().map(str::to_owned));
        all.filter(|name| !self.hits.contains_key(name)).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, exact, stopped, failed, hits, answers } = self;
        let struck: u64 = hits.values().sum();
        write!(
            f,
            "seeds={seeds} exact={exact} stopped={stopped} failed={} kinds={} hits={struck} answers={answers}",
            failed.len(),
            hits.len()
        )
    }
}
