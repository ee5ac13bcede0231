//! The boards. That they are what `./dev boards` writes is tested beside it; here they are read as Grafana reads them.

use std::collections::BTreeSet;
use std::fs;

use millpond::metrics::Kind;
use serde_json::Value;

use crate::names::{metric, names, unknown};
use crate::path;

const BOARDS: [&str; 5] = ["attribution", "fleet", "fraud", "loader", "redaction"];

/// Rows that every board must have, in the words of the design.
const ROWS: [&str; 8] = [
    "Health",
    "Throughput",
    "Latency",
    "Lag",
    "Transactions",
    "State and restore",
    "Kafka client",
    "Errors and dead letters",
];

struct Target {
    panel: String,
    expression: String,
    legend: String,
}

fn boards() -> Vec<(String, Value)> {
    let board = |name: &str| {
        let text = fs::read(path(&format!("dashboards/{name}.json"))).unwrap();
        (name.to_owned(), serde_json::from_slice(&text).unwrap())
    };
    BOARDS.into_iter().map(board).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn targets(board: &Value) -> Vec<Target> {
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| Target {
            panel: text(&panel["title"]),
            expression: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
        })
    });
    targets.collect()
}

fn all_targets() -> impl Iterator<Item = Target> {
    boards().into_iter().flat_map(|(_, board)| targets(&board))
}

#[test]
fn every_name_on_a_board_is_a_metric_or_one_of_its_labels() {
    for Target { panel, expression, legend } in all_targets() {
        assert_eq!(unknown(&expression, &BTreeSet::new()), Vec::<String>::new(), "{panel}");
        let grouped = expression.split("by (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
            assert!(
                grouped.split(", ").any(|by| by == label),
                "{panel}: {label} in the legend is lost in {expression}"
            );
        }
    }
}

#[test]
fn counters_are_seen_as_rates_and_gauges_never() {
    for Target { panel, expression, .. } in all_targets() {
        for name in names(&expression).iter().filter(|name| name.starts_with("millpond_")) {
            let Some(metric) = metric(name) else { continue };
            let rated = ["rate(", "increase("].iter().any(|function| expression.contains(&format!("{function}{name}")));
            // How often it has happened since the start is itself the figure.
            let counted = ["millpond_state_wipes_total", "millpond_state_corruptions_total"].contains(&name.as_str())
                || name == "millpond_rocksdb_background_errors_total";
            assert_eq!(rated || counted, metric.kind != Kind::Gauge, "{panel}: {expression}");
        }
    }
}

#[test]
fn every_board_has_its_rows_and_panels_do_not_overlap() {
    for (name, board) in boards() {
        let panels = board["panels"].as_array().unwrap();
        let rows: Vec<String> =
            panels.iter().filter(|panel| panel["type"] == "row").map(|panel| text(&panel["title"])).collect();
        for wanted in ROWS.into_iter().chain(["Process", "Business"]) {
            assert!(rows.iter().any(|row| row == wanted), "{name} has no row {wanted}: {rows:?}");
        }
        let has_stores = ["fleet", "fraud", "attribution"].contains(&name.as_str());
        assert_eq!(rows.iter().any(|row| row == "RocksDB"), has_stores, "{name}");
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in panels {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: an id stands twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(place.0 < 24 && taken.insert(place), "{name}: {} overlaps", panel["title"]);
            }
        }
    }
}
