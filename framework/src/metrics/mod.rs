//! Metrics: one table behind every name, read from what threads publish at the moment somebody asks.
//!
//! Names begin with `millpond_`, carry base units, and end in `_total` when they only grow. Labels come from a fixed set
//! and are bounded: no key, user or address can become one.

use std::fmt::Display;
use std::time::Duration;

use crate::runtime::stats::{Histogram, ThreadSnapshot};
use crate::time::Timestamp;

#[cfg(feature = "metrics")]
mod exposition;
mod table;
#[cfg(test)]
mod tests;

#[cfg(feature = "metrics")]
pub use exposition::{ExpositionError, render};
pub use table::TABLE;

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
    /// A position in a partition.
    Offset,
    /// One or zero.
    Truth,
}

/// What a metric belongs to, as in Kafka Streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The process.
    Application,
    /// A stream thread.
    Thread,
    /// A task.
    Task,
    /// An input partition of a task.
    Partition,
    /// A store of a task.
    Store,
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
    read: fn(&View<'_>, &mut Samples),
}

impl Metric {
    /// Its values now, one per combination of labels.
    pub fn read(&self, view: &View<'_>) -> Samples {
        let mut samples = Samples::default();
        (self.read)(view, &mut samples);
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

    fn number(&mut self, labels: &[&dyn Display], value: f64) {
        self.push(labels, Value::Number(value));
    }

    fn count(&mut self, labels: &[&dyn Display], value: u64) {
        self.number(labels, float(value));
    }

    fn histogram(&mut self, labels: &[&dyn Display], value: &Histogram) {
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

/// Metrics of the process that the `prometheus` crate adds to the table, on Linux.
pub const PROCESS: &[&str] = &[
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];
