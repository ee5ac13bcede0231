//! `metrics`: the reference table, from the one table in the code.

use std::fmt::Write as _;

use clap::Args;
use millpond::metrics::{Metric, OwnMetrics, PROCESS, TABLE};
use serde_json::{Value, json};

use super::Failure;
use super::output::{Output, table};

/// How to print it.
#[derive(Debug, Clone, Args)]
pub(crate) struct MetricsArgs {
    /// As a table in Markdown
    #[arg(long)]
    markdown: bool,
}

/// `own` are the application's own; a program without an application has none.
pub(crate) fn run(args: &MetricsArgs, own: Option<&dyn OwnMetrics>, out: &mut Output<'_>) -> Result<(), Failure> {
    let own = own.map_or(&[][..], OwnMetrics::table);
    let metrics: Vec<&Metric> = own.iter().chain(TABLE.iter()).chain(&PROCESS).collect();
    if args.markdown && !out.json {
        return out.write(&markdown(&metrics));
    }
    out.answer(
        || json_table(&metrics),
        || {
            let rows = metrics.iter().map(|metric| {
                let labels = metric.labels.join(",");
                let [kind, unit, level] = words(metric);
                [metric.name, kind, unit, level, &labels, metric.help].map(str::to_owned).to_vec()
            });
            table(&["name", "kind", "unit", "level", "labels", "help"], rows)
        },
    )
}

fn words(metric: &Metric) -> [&'static str; 3] {
    [metric.kind.as_str(), metric.unit.as_str(), metric.level.as_str()]
}

fn json_table(metrics: &[&Metric]) -> Value {
    let metrics = metrics.iter().map(|metric| {
        let [kind, unit, level] = words(metric);
        json!({
            "name": metric.name, "kind": kind, "unit": unit, "level": level,
            "labels": metric.labels, "help": metric.help,
        })
    });
    json!({ "metrics": metrics.collect::<Vec<_>>() })
}

fn markdown(metrics: &[&Metric]) -> String {
    let mut text = "| Name | Kind | Unit | Level | Labels | Help |\n|---|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let [kind, unit, level] = words(metric);
        let (labels, help) = (labels.join(", "), metric.help.replace('|', "\\|"));
        // Writing to a String does not fail.
        let _ = writeln!(text, "| `{}` | {kind} | {unit} | {level} | {labels} | {help} |", metric.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use millpond::metrics::{Kind, Samples};

    use super::*;

    #[derive(Debug)]
    struct Own;

    impl OwnMetrics for Own {
        fn table(&self) -> &'static [Metric] {
            static OWN: [Metric; 1] = [Metric::own("millpond_orders_total", Kind::Counter, "Orders that were shipped")];
            &OWN
        }

        fn read(&self, _metric: &Metric, _out: &mut Samples) {}
    }

    fn printed(json: bool, markdown: bool) -> String {
        let mut bytes = Vec::new();
        run(&MetricsArgs { markdown }, Some(&Own), &mut Output::new(json, &mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_form_has_every_metric() {
        let parsed: Value = serde_json::from_str(&printed(true, false)).unwrap();
        assert_eq!(parsed["metrics"].as_array().unwrap().len(), TABLE.iter().count() + PROCESS.len() + 1);
        for text in [printed(false, false), printed(false, true)] {
            for metric in TABLE.iter().chain(&PROCESS).chain(Own.table()) {
                assert_eq!(text.lines().filter(|line| line.contains(metric.help)).count(), 1, "{}", metric.name);
            }
        }
        assert!(printed(false, true).starts_with("| Name |"));
    }
}
