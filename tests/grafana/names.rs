//! Names in `PromQL`: metrics, labels and words of the language.

use std::collections::BTreeSet;

use millpond::metrics::{Kind, Metric, OwnMetrics as _, PROCESS, TABLE};

/// Words that stand where labels and metrics stand.
const LANGUAGE: &[&str] = &[
    "abs",
    "absent",
    "and",
    "by",
    "clamp_min",
    "deriv",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "on",
    "or",
    "predict_linear",
    "rate",
    "sum",
    "time",
    "timestamp",
    "unless",
];

/// Labels that Prometheus adds.
const OF_THE_TARGET: [&str; 4] = ["application_id", "instance", "job", "le"];

/// The names in a text, without texts in quotes, durations and variables.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    let unquoted: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = unquoted.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$' | ':'));
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// The metric that a series belongs to: histograms have three series each.
pub(crate) fn metric(series: &str) -> Option<&'static Metric> {
    let (measures, redacted) = (loader::Measures::default(), redaction::Totals::default());
    let (alerts, orders) = (fraud::Totals::default(), attribution::Totals::default());
    let own = [redacted.table(), alerts.table(), orders.table(), measures.table()];
    let mut all = TABLE.iter().chain(&PROCESS).chain(own.into_iter().flatten());
    all.find(|metric| match metric.kind {
        Kind::Histogram => {
            series.strip_prefix(metric.name).is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest))
        }
        Kind::Counter | Kind::Gauge => series == metric.name,
    })
}

/// What is wrong with the names of an expression: those of metrics that do not exist, and labels that none of its metrics
/// has. `recorded` are series that rules record, with any label.
pub(crate) fn unknown(expression: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let names = names(expression);
    let is_series = |name: &str| {
        name.starts_with("millpond_") || name.starts_with("process_") || recorded.contains(name) || name == "up"
    };
    let (series, rest): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_series(name));
    let mut wrong = Vec::new();
    if series.is_empty() {
        wrong.push(format!("no metric in {expression}"));
    }
    let mut labels = BTreeSet::from(OF_THE_TARGET);
    for name in &series {
        match metric(name) {
            Some(metric) => labels.extend(metric.labels),
            None if recorded.contains(*name) || *name == "up" => {}
            None => wrong.push(format!("{name} does not exist")),
        }
    }
    let any = series.iter().any(|name| recorded.contains(*name));
    for name in rest {
        if !labels.contains(name.as_str()) && !LANGUAGE.contains(&name.as_str()) && !any {
            wrong.push(format!("{name} is no label of the metrics in {expression}"));
        }
    }
    wrong
}

#[test]
fn names_are_found_as_prometheus_would_read_them() {
    let found =
        names("sum by (a, le) (rate(millpond_x_total{a=~\"$application\", b!=\"ok\"}[$__rate_interval])) or m:x:sum");
    let expected = ["a", "b", "by", "le", "m:x:sum", "millpond_x_total", "or", "rate", "sum"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_metric_or_label_that_does_not_exist_is_told() {
    let none = BTreeSet::new();
    assert_eq!(unknown("millpond_ready{application_id=\"a\"}", &none), Vec::<String>::new());
    assert_eq!(unknown("millpond_readdy", &none), ["millpond_readdy does not exist"]);
    assert_eq!(unknown("sum by (user) (millpond_ready)", &none).len(), 1);
    assert_eq!(unknown("1 > 0", &none).len(), 1);
}
