//! Metrics: one table behind every name, read from what threads publish at the moment somebody asks.
//!
//! Names begin with `millpond_`, carry base units, and end in `_total` when they only grow. Labels come from a fixed set
//! and are bounded: no key, user or address can become one. [`check`] holds a table to these rules.
//!
//! The reference page, the boards and their tests are made from the table. An application adds a table of its own, see
//! [`OwnMetrics`].

use std::fmt::Display;
use std::time::Duration;

use crate::runtime::process::ProcessSnapshot;
use crate::runtime::stats::{Histogram, ThreadSnapshot};
use crate::time::Timestamp;

#[cfg(feature = "metrics")]
mod exposition;
mod own;
mod rules;
mod table;
#[cfg(test)]
mod tests;

#[cfg(feature = "metrics")]
pub use exposition::{ExpositionError, render};
pub use own::OwnMetrics;
pub use rules::check;
pub use table::{PROCESS, TABLE, Table};

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Latencies in buckets; has `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// The unit of a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things; the name says which.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// A position in a partition.
    Offset,
    /// One or zero.
    Truth,
}

impl Unit {
    /// Its name in the reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes per second",
            Self::Offset => "offset",
            Self::Truth => "0 or 1",
        }
    }
}

/// What a metric belongs to: Kafka Streams' levels, and what lies below and above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The application's business: what users of its results care for.
    Business,
    /// The process.
    Application,
    /// The clients of Kafka in the process, those of one role together.
    Client,
    /// A stream thread.
    Thread,
    /// A task.
    Task,
    /// An input partition of a task.
    Partition,
    /// A store of a task.
    Store,
}

impl Level {
    /// Its name in the reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Business => "business",
            Self::Application => "application",
            Self::Client => "client",
            Self::Thread => "thread",
            Self::Task => "task",
            Self::Partition => "partition",
            Self::Store => "store",
        }
    }
}

impl Kind {
    /// Its name in Prometheus's format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// One sentence, without a full stop.
    pub help: &'static str,
    /// Its labels, besides `application_id`, which all have.
    pub labels: &'static [&'static str],
    /// Its unit.
    pub unit: Unit,
    /// What it belongs to.
    pub level: Level,
    read: Read,
}

/// Where a metric's values come from.
#[derive(Debug)]
enum Read {
    /// From what the library publishes.
    View(fn(&View<'_>, &mut Samples)),
    /// From the application.
    Own,
    /// From the system, by the `prometheus` crate.
    System,
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, help: &'static str, read: fn(&View<'_>, &mut Samples)) -> Self {
        let (labels, unit, level) = (&[], Unit::Count, Level::Application);
        Self { name, kind, help, labels, unit, level, read: Read::View(read) }
    }

    const fn of_system(name: &'static str, kind: Kind, help: &'static str, unit: Unit) -> Self {
        Self { name, kind, help, labels: &[], unit, level: Level::Application, read: Read::System }
    }

    /// A metric of an application's own, [`Level::Business`]: its values come from [`OwnMetrics::read`].
    pub const fn own(name: &'static str, kind: Kind, help: &'static str) -> Self {
        let (labels, unit, level) = (&[], Unit::Count, Level::Business);
        Self { name, kind, help, labels, unit, level, read: Read::Own }
    }

    /// The same with labels.
    #[must_use]
    pub const fn labelled(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// The same in that unit; a count without it.
    #[must_use]
    pub const fn of(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    const fn at(self, level: Level, labels: &'static [&'static str]) -> Self {
        Self { labels, level, ..self }
    }

    /// Its values now, one per combination of labels.
    pub fn read(&self, view: &View<'_>) -> Samples {
        let mut samples = Samples::default();
        match self.read {
            Read::View(read) => read(view, &mut samples),
            Read::Own => {
                if let Some(own) = view.own {
                    own.read(self, &mut samples);
                }
            }
            Read::System => {}
        }
        samples
    }
}

/// What metrics are read from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The application's id.
    pub application_id: &'a str,
    /// The build's version.
    pub version: &'a str,
    /// What the threads published last.
    pub threads: &'a [ThreadSnapshot],
    /// What belongs to the process.
    pub process: &'a ProcessSnapshot,
    /// The application's own metrics, if it has any.
    pub own: Option<&'a dyn OwnMetrics>,
    /// The wall clock.
    pub now: Timestamp,
    /// How long a loop may be silent before it counts as stuck.
    pub silence_max: Duration,
}

/// Values of one metric.
#[derive(Debug, Default)]
pub struct Samples {
    rows: Vec<Sample>,
}

/// One value with its labels, in the order of [`Metric::labels`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Values of the labels.
    pub labels: Vec<String>,
    /// The value.
    pub value: Value,
}

/// A number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Box<Histogram>),
}

impl Samples {
    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.rows.iter()
    }

    /// Adds a value; one for each combination of labels, in the order of [`Metric::labels`].
    pub fn number(&mut self, labels: &[&dyn Display], value: f64) {
        self.push(labels, Value::Number(value));
    }

    /// Adds a whole number.
    pub fn count(&mut self, labels: &[&dyn Display], value: u64) {
        self.number(labels, float(value));
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, labels: &[&dyn Display], value: &Histogram) {
        self.push(labels, Value::Histogram(Box::new(value.clone())));
    }

    fn push(&mut self, labels: &[&dyn Display], value: Value) {
        self.rows.push(Sample { labels: labels.iter().map(ToString::to_string).collect(), value });
    }
}

/// Prometheus knows floats only; they are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 lose their last digits in Prometheus anyway")]
fn float(value: u64) -> f64 {
    value as f64
}
