//! `./dev demo --verify`: what a newcomer runs first.

use std::collections::BTreeMap;
use std::process::Command;

use millpond_harness::{Prometheus, Scratch, built};
use millpond_scene::BINARIES;
use serde_json::Value;

#[test]
fn the_demo_runs_all_four_applications_and_compares_every_output_and_prometheus_has_seen_them() {
    let scratch = Scratch::new("demo").unwrap();
    let output = Command::new(built("millpond-dev").unwrap())
        .args(["demo", "--verify", "--json", "--seconds", "5", "--rate", "1000", "--seed", "7"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    println!("{report}");
    assert_eq!((&report["verified"], &report["events"]), (&true.into(), &5_000.into()), "{report}");
    let applications: BTreeMap<String, Value> = serde_json::from_value(report["applications"].clone()).unwrap();
    for name in BINARIES {
        assert!(applications[name]["records_in"].as_f64().unwrap() > 0.0, "{name} of {report}");
    }
    // Where there is one; `tests/grafana_live` demands it.
    if Prometheus::is_installed() {
        assert_eq!(report["watched"]["applications"], BINARIES.len(), "{report}");
        assert!(report["watched"]["rules"].as_u64().unwrap() > 30, "{report}");
    }
}
