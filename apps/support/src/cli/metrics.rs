//! `metrics`: the reference table, from the one table in the code.

use std::fmt::Write as _;

use clap::Args;
use millpond::metrics::{Kind, Level, Metric, PROCESS, TABLE, Unit};
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

pub(crate) fn run(args: &MetricsArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    if args.markdown && !out.json {
        return out.write(&markdown());
    }
    out.answer(json_table, || {
        let rows = TABLE.iter().map(|metric| {
            let labels = metric.labels.join(",");
            [metric.name, kind(metric), unit(metric), level(metric), &labels, metric.help].map(str::to_owned).to_vec()
        });
        table(&["name", "kind", "unit", "level", "labels", "help"], rows)
    })
}

fn json_table() -> Value {
    let metrics = TABLE.iter().map(|metric| {
        json!({
            "name": metric.name, "kind": kind(metric), "unit": unit(metric), "level": level(metric),
            "labels": metric.labels, "help": metric.help,
        })
    });
    json!({ "metrics": metrics.collect::<Vec<_>>(), "process": PROCESS })
}

fn markdown() -> String {
    let mut text = "| Name | Kind | Unit | Level | Labels | Help |\n|---|---|---|---|---|---|\n".to_owned();
    for metric in TABLE {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            metric.name,
            kind(metric),
            unit(metric),
            level(metric),
            labels.join(", "),
            metric.help.replace('|', "\\|"),
        );
    }
    text
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn unit(metric: &Metric) -> &'static str {
    match metric.unit {
        Unit::Count => "count",
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
        Unit::Offset => "offset",
        Unit::Truth => "0 or 1",
    }
}

fn level(metric: &Metric) -> &'static str {
    match metric.level {
        Level::Application => "application",
        Level::Thread => "thread",
        Level::Task => "task",
        Level::Partition => "partition",
        Level::Store => "store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool, markdown: bool) -> String {
        let mut bytes = Vec::new();
        run(&MetricsArgs { markdown }, &mut Output::new(json, &mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_form_has_every_metric() {
        let parsed: Value = serde_json::from_str(&printed(true, false)).unwrap();
        assert_eq!(parsed["metrics"].as_array().unwrap().len(), TABLE.len());
        for text in [printed(false, false), printed(false, true)] {
            for metric in TABLE {
                assert_eq!(text.lines().filter(|line| line.contains(metric.help)).count(), 1, "{}", metric.name);
            }
        }
        assert!(printed(false, true).starts_with("| Name |"));
    }
}
