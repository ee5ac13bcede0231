//! What a run has shown, as one object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::options::Options;
use crate::tally::Counts;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    value: Value,
    good: bool,
}

fn quantile(sorted: &[u64], per_cent: usize) -> Option<u64> {
    sorted.get((sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1))).copied()
}

fn times(values: &[u64]) -> Value {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    json!({ "count": sorted.len(), "p50": quantile(&sorted, 50), "p99": quantile(&sorted, 99), "max": sorted.last() })
}

impl Report {
    pub(crate) fn new(options: &Options, counts: &Counts, seconds: u64) -> Self {
        let asked: Vec<Fault> = Fault::ALL.iter().copied().filter(|fault| options.has(*fault)).collect();
        let injections: BTreeMap<&str, u64> = asked
            .iter()
            .map(|fault| (fault.name(), counts.injections.get(fault.name()).copied().unwrap_or(0)))
            .collect();
        let unhit: Vec<&str> = injections.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        let failpoints: BTreeMap<&str, u64> = millpond::failpoint::NAMES
            .iter()
            .map(|name| (*name, counts.failpoints.get(name).copied().unwrap_or(0)))
            .collect();
        let least = failpoints.values().min().copied().unwrap_or(0);
        let findings = &counts.findings;
        let exact = findings.is_clean() && counts.wiped == 0 && counts.torn == 0;
        let hit = unhit.is_empty() && (!options.has(Fault::Failpoint) || least > 0);
        let good = exact && hit && counts.stuck == 0 && counts.complaints.is_empty() && counts.events > 0;
        let value = json!({
            "good": good,
            "seed": options.seed,
            "seconds": seconds,
            "rounds": counts.rounds,
            "kills": counts.kills,
            "injections": injections,
            "not_hit": unhit,
            "failpoints": failpoints,
            "failpoint_kills_least": least,
            "failpoints_missed": counts.missed,
            "events": counts.events,
            "records_in": counts.records_in,
            "results_compared": findings.compared,
            "lost": findings.lost,
            "duplicated": findings.duplicated,
            "disordered": findings.disordered,
            "wrong": findings.wrong,
            "dirty_rows": findings.dirty,
            "wiped": counts.wiped,
            "torn_transactions": counts.torn,
            "restored_records_per_crash": times(&counts.restored),
            "resume_ms": times(&counts.resumes_without_servers_ms),
            "resume_ms_with_all_faults": times(&counts.resumes_ms),
            "stuck": counts.stuck,
            "left_open_by_kafka": counts.left_open_by_kafka,
            "exits": counts.exits,
            "complaints": counts.complaints,
        });
        Self { value, good }
    }

    /// True when results are exact and every fault that was asked for has struck.
    pub const fn is_good(&self) -> bool {
        self.good
    }

    /// The object.
    pub const fn json(&self) -> &Value {
        &self.value
    }
}
