//! Counts of a run, shared by its threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millpond_scene::Findings;

use crate::fault::Fault;

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) injections: BTreeMap<&'static str, u64>,
    pub(crate) failpoints: BTreeMap<&'static str, u64>,
    /// Failpoints that were not reached in time, and faults of which nothing showed.
    pub(crate) missed: BTreeMap<&'static str, u64>,
    /// Processes of applications killed.
    pub(crate) kills: u64,
    /// Of servers: brokers, and controllers apart from them.
    pub(crate) broker_kills: u64,
    pub(crate) controller_kills: u64,
    /// Ends that nobody asked for, by what the process said last.
    pub(crate) exits: BTreeMap<String, u64>,
    /// Milliseconds from a kill to the first commit of the next process, without faults of servers, and with them.
    pub(crate) resumes_ms: Vec<u64>,
    pub(crate) resumes_without_servers_ms: Vec<u64>,
    /// Changelog records that a start after a kill replayed.
    pub(crate) restored: Vec<u64>,
    pub(crate) events: u64,
    pub(crate) records_in: u64,
    pub(crate) findings: Findings,
    pub(crate) wiped: u64,
    pub(crate) torn: u64,
    pub(crate) stuck: u64,
    /// Partitions with a transaction that Kafka has left open, found behind a standstill.
    pub(crate) left_open_by_kafka: u64,
    /// Partitions in which a transaction was open when everything had ended, Kafka's own topics included.
    pub(crate) open_at_the_end: u64,
    pub(crate) rounds: u64,
    /// What was not as it must be, in words.
    pub(crate) complaints: Vec<String>,
}

/// The counts, behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An injection of this kind has struck.
    pub(crate) fn injected(&self, fault: Fault) {
        *self.counts().injections.entry(fault.name()).or_default() += 1;
    }

    /// An injection of this kind counts if it has shown, and is told either way.
    pub(crate) fn strikes(&self, fault: Fault, shown: bool) -> bool {
        if shown {
            self.injected(fault);
        } else {
            self.missed(fault.name());
        }
        shown
    }

    /// A failpoint was not reached, or nothing showed of a fault.
    pub(crate) fn missed(&self, name: &'static str) {
        *self.counts().missed.entry(name).or_default() += 1;
    }

    /// Something is not as it must be.
    pub(crate) fn complain(&self, complaint: impl Into<String>) {
        let complaint = complaint.into();
        eprint(&format!("complaint: {complaint}"));
        self.counts().complaints.push(complaint.chars().take(2_000).collect());
    }
}

/// A line on standard error, which may be closed.
pub(crate) fn eprint(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_which_nothing_shows_is_missed_and_does_not_count() {
        let tally = Tally::default();
        assert!(!tally.strikes(Fault::Zombie, false));
        assert!(tally.strikes(Fault::Fence, true));
        let counts = tally.counts();
        assert_eq!((counts.injections.get("zombie"), counts.missed.get("zombie")), (None, Some(&1)));
        assert_eq!((counts.injections.get("fence"), counts.missed.get("fence")), (Some(&1), None));
    }
}
