//! A short run of everything that `./dev chaos` can do to processes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails")]

use millpond_chaos::{Fault, Options, run};

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
}
