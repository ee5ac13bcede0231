//! The Grafana board and the table of metrics cannot drift apart: every metric and label that the board asks for exists.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use millpond::metrics::{Kind, Metric, PROCESS, TABLE};
use serde_json::Value;

const BOARD: &str = include_str!("../grafana/dashboards/millpond.json");

/// Words of `PromQL` that stand where labels and metrics stand.
const LANGUAGE: &[&str] = &["by", "deriv", "histogram_quantile", "increase", "max", "min", "or", "rate", "sum", "time"];

struct Target {
    panel: String,
    expression: String,
    legend: String,
}

fn targets() -> Vec<Target> {
    let board: Value = serde_json::from_str(BOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
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

/// The names in a text: metrics, labels and words of the language, without texts in quotes, durations and variables.
fn names(text: &str) -> BTreeSet<String> {
    let unquoted: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = unquoted.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$'));
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// The metric that a series belongs to: histograms have three series each.
fn metric(series: &str) -> Option<&'static Metric> {
    TABLE.iter().find(|metric| match metric.kind {
        Kind::Histogram => {
            series.strip_prefix(metric.name).is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest))
        }
        Kind::Counter | Kind::Gauge => series == metric.name,
    })
}

#[test]
fn every_name_on_the_board_is_a_metric_or_one_of_its_labels() {
    let targets = targets();
    assert!(targets.len() > 30, "the board is nearly empty");
    for Target { panel, expression, legend } in &targets {
        let names = names(expression);
        let (metrics, rest): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| name.starts_with("millpond_") || name.starts_with("process_"));
        assert!(!metrics.is_empty(), "{panel}: no metric in {expression}");
        let mut labels = BTreeSet::from(["application_id", "le"]);
        for name in metrics {
            match metric(name) {
                Some(metric) => labels.extend(metric.labels),
                None => assert!(PROCESS.contains(&name.as_str()), "{panel}: {name} does not exist"),
            }
        }
        for name in rest {
            let known = labels.contains(name.as_str()) || LANGUAGE.contains(&name.as_str());
            assert!(known, "{panel}: {name} is no label of the metrics in {expression}");
        }
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
            assert!(labels.contains(label), "{panel}: {label} in the legend is no label of {expression}");
        }
    }
}

#[test]
fn counters_are_only_seen_as_rates_and_gauges_never() {
    for Target { panel, expression, .. } in targets() {
        for name in names(&expression).iter().filter(|name| name.starts_with("millpond_")) {
            let Some(metric) = metric(name) else { continue };
            let rated = ["rate(", "increase("].iter().any(|function| expression.contains(&format!("{function}{name}")));
            // How often state was wiped since the start is itself the figure.
            let counted = name == "millpond_state_wipes_total";
            assert_eq!(rated || counted, metric.kind != Kind::Gauge, "{panel}: {expression}");
        }
    }
}

#[test]
fn names_are_found_as_prometheus_would_read_them() {
    let found = names("sum by (a, le) (rate(millpond_x_total{a=~\"$application\", b!=\"ok\"}[$__rate_interval])) or 0");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "by", "le", "millpond_x_total", "or", "rate", "sum"]);
}
