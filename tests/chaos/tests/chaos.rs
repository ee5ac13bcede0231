//! A short run of everything that `./dev chaos` can do to processes.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a test panics where it fails")]

use millpond_chaos::{Fault, Options, run};

/// How long it may take, to the comparison of the last output.
const SECONDS_MAX: u64 = 300;

/// One kill at each failpoint, with all outputs compared.
#[test]
fn a_kill_at_every_failpoint_changes_nothing() {
    let options = Options {
        kills: 70,
        seconds: 240,
        faults: vec![Fault::Failpoint, Fault::Kill, Fault::Fence, Fault::Backends],
        seed: 1,
        rate: 1_000,
        events: 0,
        json: true,
    };
    let report = run(&options).unwrap();
    println!("{:#}", report.json());
    assert!(report.is_good(), "{:#}", report.json());
    let seconds = report.json()["seconds"].as_u64().unwrap();
    assert!(seconds <= SECONDS_MAX, "{seconds} s: `./dev test` waits for it");
}
