//! The page of all metrics.

use std::fmt::Write as _;

use millpond::metrics::Level;

use super::catalog::{Catalog, Entry};

const HEAD: &str = "# Metrics

Written by `./dev boards` from the tables in the code: [`framework/src/metrics/table/`](../framework/src/metrics/table/mod.rs) and
one in each application. `APPLICATION metrics` prints the same for one application.

Every series has the label `application_id`. Names carry their unit and end in `_total` when they only grow. Labels are bounded:
none holds a key, a user or an address. Threads publish twice a second; a reader takes what was published last.
";

const LEVELS: [(Level, &str); 7] = [
    (Level::Application, "The process"),
    (Level::Thread, "Stream threads"),
    (Level::Task, "Tasks"),
    (Level::Partition, "Input partitions"),
    (Level::Store, "Stores"),
    (Level::Client, "Clients of Kafka"),
    (Level::Business, "Business"),
];

pub(super) fn page(catalog: &Catalog) -> String {
    let mut text = HEAD.to_owned();
    for (level, title) in LEVELS {
        let _ = writeln!(text, "\n## {title}\n\n| Name | Kind | Unit | Labels | What it is |\n|---|---|---|---|---|");
        for entry in catalog.iter().filter(|entry| entry.level == level) {
            let _ = writeln!(text, "{}", line(entry));
        }
    }
    text
}

fn line(entry: &Entry) -> String {
    let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
    let (kind, unit) = (entry.kind.as_str(), entry.unit.as_str());
    let whose = entry.application.map_or_else(String::new, |application| format!("`{application}`: "));
    let help = entry.help.replace('|', "\\|");
    format!("| `{}` | {kind} | {unit} | {} | {whose}{help} |", entry.name, labels.join(", "))
}
