//! What a run has shown, as one object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::options::Options;
use crate::points::per_point;
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

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// After so many.
    pub(crate) seconds: u64,
    /// Before everything that was asked for was injected, because its time was over.
    pub(crate) by_time: bool,
}

impl Report {
    pub(crate) fn new(options: &Options, counts: &Counts, end: End) -> Self {
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
        let wanted = per_point(options);
        // A run that was ended by its time has at least been everywhere.
        let hit = unhit.is_empty() && least >= if end.by_time { wanted.min(1) } else { wanted };
        let good = exact
            && hit
            && counts.stuck == 0
            && counts.open_at_the_end == 0
            && counts.complaints.is_empty()
            && counts.events > 0;
        let value = json!({
            "good": good,
            "seed": options.seed,
            "seconds": end.seconds,
            "ended_by_time": end.by_time,
            "rounds": counts.rounds,
            "kills": counts.kills,
            "broker_kills": counts.broker_kills,
            "controller_kills": counts.controller_kills,
            "injections": injections,
            "not_hit": unhit,
            "failpoints": failpoints,
            "failpoint_kills_least": least,
            "failpoint_kills_wanted": wanted,
            "missed": counts.missed,
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
            "open_at_the_end": counts.open_at_the_end,
            "exits": counts.exits,
            "complaints": counts.complaints,
        });
        Self { value, good }
    }

    /// True when results are exact, every fault that was asked for has struck, and every failpoint as often as was asked for.
    pub const fn is_good(&self) -> bool {
        self.good
    }

    /// The object.
    pub const fn json(&self) -> &Value {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a run ends that was not too short.
    const OVER: End = End { seconds: 60, by_time: false };

    /// Two kills at each failpoint, and some at the brokers.
    fn options() -> Options {
        let points = millpond::failpoint::NAMES.len() as u64;
        let faults = vec![Fault::Failpoint, Fault::Kill, Fault::ThreeNodes];
        Options { kills: 2 * points * 10 / 7, seconds: 240, faults, seed: 1, rate: 1_000, events: 0, json: true }
    }

    /// What a run has counted in which all is well.
    fn well() -> Counts {
        let faults = options().faults.into_iter();
        Counts {
            injections: faults.map(|fault| (fault.name(), 7)).collect(),
            failpoints: millpond::failpoint::NAMES.iter().map(|name| (*name, 2)).collect(),
            kills: 200,
            broker_kills: 6,
            controller_kills: 2,
            events: 1_000,
            ..Counts::default()
        }
    }

    fn with(change: impl FnOnce(&mut Counts)) -> Counts {
        let mut counts = well();
        change(&mut counts);
        counts
    }

    #[test]
    fn a_run_in_which_all_is_well_is_good() {
        let report = Report::new(&options(), &well(), OVER);
        assert!(report.is_good(), "{:#}", report.json());
        let value = report.json();
        assert_eq!(value["good"], true);
        assert_eq!((&value["failpoint_kills_least"], &value["failpoint_kills_wanted"]), (&json!(2), &json!(2)));
        assert_eq!((&value["broker_kills"], &value["controller_kills"]), (&json!(6), &json!(2)));
        assert_eq!((&value["seconds"], &value["ended_by_time"]), (&json!(60), &json!(false)));
    }

    #[test]
    fn a_run_in_which_anything_is_wrong_or_nothing_was_shown_is_not_good() {
        let cases: [(&str, Counts); 10] = [
            ("no event came through", with(|counts| counts.events = 0)),
            (
                "a fault that was asked for did not strike",
                with(|counts| counts.injections.retain(|name, _| *name != "kill")),
            ),
            ("a complaint", with(|counts| counts.complaints.push("something is not as it must be".to_owned()))),
            ("a record is lost", with(|counts| counts.findings.lost = 1)),
            ("a record is there twice", with(|counts| counts.findings.duplicated = 1)),
            ("a row of no commit", with(|counts| counts.findings.dirty = 1)),
            ("state was removed", with(|counts| counts.wiped = 1)),
            ("a transaction is torn", with(|counts| counts.torn = 1)),
            ("a transaction is still open", with(|counts| counts.open_at_the_end = 1)),
            ("an application stood still", with(|counts| counts.stuck = 1)),
        ];
        for (what, counts) in cases {
            let report = Report::new(&options(), &counts, OVER);
            assert!(!report.is_good() && report.json()["good"] == false, "{what}: {:#}", report.json());
        }
    }

    #[test]
    fn each_failpoint_kills_as_often_as_was_asked_for_unless_time_was_over() {
        let name = millpond::failpoint::NAMES[0];
        let with_kills = |kills| with(|counts| *counts.failpoints.entry(name).or_default() = kills);
        let good = |kills, by_time| {
            let report = Report::new(&options(), &with_kills(kills), End { by_time, ..OVER });
            assert_eq!(report.json()["ended_by_time"], by_time);
            report.is_good()
        };
        assert_eq!([good(2, false), good(1, false), good(0, false)], [true, false, false]);
        assert_eq!([good(2, true), good(1, true), good(0, true)], [true, true, false]);
        // Who asks for none misses none.
        let options = Options { faults: vec![Fault::Kill], ..options() };
        assert!(Report::new(&options, &with_kills(0), OVER).is_good());
    }
}
