//! What the loader counts for its own metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples, Unit};
use millpond::runtime::stats::Histogram;

use crate::status::{LoaderStatus, SharedStatus};

static TABLE: [Metric; 7] = [
    Metric::own("millpond_loader_rows_total", Kind::Counter, "Rows inserted or replaced, in committed transactions")
        .labelled(&["table"]),
    Metric::own(
        "millpond_loader_rows_present_total",
        Kind::Counter,
        "Records whose rows were there already: zero, unless offsets were reset by hand",
    )
    .labelled(&["table"]),
    Metric::own(
        "millpond_loader_write_seconds",
        Kind::Histogram,
        "Time of one batch, from BEGIN to the answer of COMMIT",
    )
    .of(Unit::Seconds),
    Metric::own(
        "millpond_loader_connections",
        Kind::Gauge,
        "Connections to PostgreSQL that worked when they were last used; one for each thread when all is well",
    ),
    Metric::own("millpond_loader_postgres_errors_total", Kind::Counter, "Errors of PostgreSQL that were survived"),
    Metric::own("millpond_loader_kafka_errors_total", Kind::Counter, "Errors of Kafka that were survived"),
    Metric::own(
        "millpond_loader_unknown_commits_total",
        Kind::Counter,
        "COMMITs without an answer, by what the database said afterwards",
    )
    .labelled(&["outcome"]),
];

/// The loaders of a process, for its metrics.
#[derive(Debug, Default)]
pub struct Measures(Mutex<Vec<SharedStatus>>);

impl Measures {
    /// Reads these from now on.
    pub fn follow(&self, statuses: &[SharedStatus]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses.to_vec();
    }

    fn statuses(&self) -> Vec<LoaderStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(SharedStatus::get).collect()
    }
}

impl OwnMetrics for Measures {
    fn table(&self) -> &'static [Metric] {
        &TABLE
    }

    fn read(&self, metric: &Metric, out: &mut Samples) {
        let statuses = self.statuses();
        let sum = |count: fn(&LoaderStatus) -> u64| statuses.iter().map(count).sum::<u64>();
        match metric.name {
            "millpond_loader_rows_total" => tables(&statuses, |table| table.rows, out),
            "millpond_loader_rows_present_total" => tables(&statuses, |table| table.present, out),
            "millpond_loader_write_seconds" => {
                let mut all = Histogram::default();
                for status in &statuses {
                    all.add(&status.write);
                }
                out.histogram(&[], &all);
            }
            "millpond_loader_connections" => out.count(&[], sum(|status| u64::from(status.connected))),
            "millpond_loader_postgres_errors_total" => out.count(&[], sum(|status| status.postgres_errors)),
            "millpond_loader_kafka_errors_total" => out.count(&[], sum(|status| status.kafka_errors)),
            _ => {
                out.count(&[&"committed"], sum(|status| status.unknown_committed));
                out.count(&[&"rolled_back"], sum(|status| status.unknown_rolled_back));
            }
        }
    }
}

fn tables(statuses: &[LoaderStatus], count: fn(&crate::status::TableStatus) -> u64, out: &mut Samples) {
    let mut tables: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, table) in statuses.iter().flat_map(|status| &status.tables) {
        *tables.entry(name).or_default() += count(table);
    }
    for (name, rows) in tables {
        out.count(&[&name], rows);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millpond::metrics::{Value, check};

    use super::*;
    use crate::status::TableStatus;

    fn read(measures: &Measures, name: &str) -> Vec<(String, Value)> {
        let metric = TABLE.iter().find(|metric| metric.name == name).unwrap();
        let mut samples = Samples::default();
        measures.read(metric, &mut samples);
        samples.iter().map(|row| (row.labels.join(" "), row.value.clone())).collect()
    }

    #[test]
    fn the_table_keeps_to_the_rules() {
        assert_eq!(check(&TABLE, &["table", "outcome"]), Vec::<String>::new());
    }

    #[test]
    fn threads_of_a_process_are_told_together() {
        let statuses = [SharedStatus::default(), SharedStatus::default()];
        for (status, rows) in statuses.iter().zip([3, 4]) {
            status.update(|status| {
                status.tables.insert("events".into(), TableStatus { rows, present: 1 });
                status.connected = true;
                status.unknown_rolled_back = rows;
                status.write.observe(Duration::from_millis(rows));
            });
        }
        let measures = Measures::default();
        measures.follow(&statuses);
        let number = |labels: &str, value| vec![(labels.to_owned(), Value::Number(value))];
        assert_eq!(read(&measures, "millpond_loader_rows_total"), number("events", 7.0));
        assert_eq!(read(&measures, "millpond_loader_rows_present_total"), number("events", 2.0));
        assert_eq!(read(&measures, "millpond_loader_connections"), number("", 2.0));
        let unknown = [number("committed", 0.0), number("rolled_back", 7.0)].concat();
        assert_eq!(read(&measures, "millpond_loader_unknown_commits_total"), unknown);
        let [(_, Value::Histogram(write))] = &read(&measures, "millpond_loader_write_seconds")[..] else { panic!() };
        assert_eq!((write.count(), write.sum()), (2, Duration::from_millis(7)));
    }
}
