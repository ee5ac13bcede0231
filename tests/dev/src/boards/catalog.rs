//! All metrics that there are: the library's, those of each application, and those of the process.

use anyhow::{Context as _, bail};
use millpond::metrics::{Kind, Level, Metric, OwnMetrics as _, PROCESS, TABLE, Unit};

/// A metric, whoever counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) level: Level,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// The only application that has it.
    pub(super) application: Option<&'static str>,
}

/// All of them, in the order of the reference.
pub(super) struct Catalog(Vec<Entry>);

impl Catalog {
    pub(super) fn new() -> Self {
        let measures = loader::Measures::default();
        let (redaction, fraud) = (redaction::Totals::default(), fraud::Totals::default());
        let attribution = attribution::Totals::default();
        let own = [
            ("redaction", redaction.table()),
            ("fraud", fraud.table()),
            ("attribution", attribution.table()),
            ("loader", measures.table()),
        ];
        let library = TABLE.iter().map(|metric| entry(metric, None));
        let own = own.into_iter().flat_map(|(name, table)| table.iter().map(move |metric| entry(metric, Some(name))));
        Self(library.chain(own).chain(PROCESS.iter().map(|metric| entry(metric, None))).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The one of that name, if it has these labels.
    pub(super) fn get(&self, name: &str, labels: &[&str]) -> anyhow::Result<&Entry> {
        let entry = self.iter().find(|entry| entry.name == name);
        let entry = entry.with_context(|| format!("there is no metric {name}"))?;
        // Those that every series has.
        let known = |label: &str| ["application_id", "instance"].contains(&label) || entry.labels.contains(&label);
        if let Some(unknown) = labels.iter().find(|label| !known(label)) {
            bail!("{name} has no label {unknown}");
        }
        Ok(entry)
    }
}

fn entry(metric: &'static Metric, application: Option<&'static str>) -> Entry {
    let Metric { name, kind, help, labels, unit, level, .. } = metric;
    Entry { name, kind: *kind, unit: *unit, level: *level, labels, help, application }
}
