//! A bounded number of seeds of each topology. `./dev simulate` runs as many as one likes.

use millpond::runtime::Breakage;
use millpond::testing::Simulation;
use millpond::testing::simulation::Outcome;

use crate::topologies::{copy, counts, memory, table};

#[test]
fn a_copy_is_exact_under_every_fault() {
    let summary = copy().seeds(0..60);
    assert_eq!(summary.exact, 60, "{summary}");
}

#[test]
fn counts_over_a_repartition_are_exact_under_every_fault() {
    let summary = counts().seeds(0..150);
    assert_eq!(summary.exact, 150, "{summary}");
    assert_eq!(summary.never_hit(false), Vec::<String>::new(), "a fault that never struck shows nothing");
}

#[test]
fn counts_in_memory_are_exact_under_every_fault() {
    let summary = memory().seeds(0..60);
    assert_eq!(summary.exact, 60, "{summary}");
}

#[test]
fn a_table_with_deletions_is_exact_under_every_fault() {
    let summary = table().seeds(0..60);
    assert_eq!(summary.exact, 60, "{summary}");
}

/// Every thread is asked for all rows now and then, whatever goes wrong: each answer has exactly the rows that the changelog had
/// at the commit that the answer names.
#[test]
fn queries_tell_the_rows_of_a_commit_under_every_fault() {
    for simulation in [counts(), memory(), table()] {
        let summary = simulation.seeds(200..240);
        assert!(summary.exact == 40 && summary.answers > 400, "{summary}");
    }
}

/// A copy of a commit request that nobody noticed tears a transaction: that may be told, it may not be hidden.
#[test]
fn a_torn_transaction_stops_by_name_or_does_no_harm() {
    for simulation in [copy(), counts(), table()] {
        let summary = simulation.tearing().seeds(0..60);
        assert!(summary.stopped > 0 && summary.exact > 0, "{summary}");
    }
}

/// Offsets moved by hand, topics made again, changelogs cut: told by name, or no harm.
#[test]
fn a_mistake_of_an_operator_stops_by_name_or_does_no_harm() {
    for simulation in [copy(), counts(), table()] {
        let summary = simulation.mistaken().seeds(0..60);
        assert!(summary.stopped > 0 && summary.exact > 0, "{summary}");
    }
}

#[test]
fn a_seed_is_a_run() {
    let runs = |simulation: &Simulation| (0..6).map(|seed| simulation.run(seed)).collect::<Vec<_>>();
    let first = runs(&counts());
    assert_eq!(first, runs(&counts()));
    assert!(first.windows(2).all(|pair| pair[0].trace_digest != pair[1].trace_digest));
    assert!(first.iter().all(|run| run.outcome == Outcome::Exact));
}

#[test]
fn a_seed_that_fails_tells_few_faults_and_the_logs() {
    let broken = counts().broken(Breakage::UnknownIsCommitted);
    let failing = (0..200).map(|seed| broken.run(seed)).find(millpond::testing::simulation::Run::failed).unwrap();
    let struck: u64 = failing.hits.values().sum();
    let report = broken.report(failing.seed);
    let (_, takes) = report.split_once("faults that it takes:").unwrap();
    let (takes, rest) = takes.split_once("processes that stopped:").unwrap();
    let left = takes.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(report.starts_with(&format!("seed {} fails", failing.seed)), "{report}");
    assert!(left > 0 && left < 6 && u64::try_from(left).unwrap() < struck, "{left} of {struck}: {report}");
    assert!(rest.contains("app-counts-changelog-0  "), "{report}");
}
