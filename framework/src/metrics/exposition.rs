//! The table in Prometheus's text format, through the `prometheus` crate: a registry of our own, never the global one.

#![allow(
    clippy::disallowed_types,
    reason = "an edge: the prometheus crate wants hash maps for labels; it sorts them itself"
)]

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use super::{Kind, Metric, OwnMetrics, PROCESS, Sample, TABLE, Value, View};

/// Metrics could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be rendered")]
pub struct ExpositionError(#[from] prometheus::Error);

impl ExpositionError {
    /// What the caller must do: nothing is lost, the next scrape tries again.
    pub const fn recovery(&self) -> crate::error::Recovery {
        crate::error::Recovery::Retry
    }
}

/// All metrics of the table, the application's own, and those of the process, as text for a scrape: `text/plain; version=0.0.4`.
///
/// # Errors
/// [`ExpositionError`] when the table contradicts itself, which a test excludes.
pub fn render(view: &View<'_>) -> Result<String, ExpositionError> {
    let labels = HashMap::from([("application_id".to_owned(), view.application_id.to_owned())]);
    let registry = Registry::new_custom(None, Some(labels))?;
    registry.register(Box::new(Table::read(view)?))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let mut families = registry.gather();
    for family in &mut families {
        // What they are is said in one place.
        if let Some(metric) = PROCESS.iter().find(|metric| metric.name == family.name()) {
            family.set_help(metric.help.to_owned());
        }
    }
    Ok(TextEncoder::new().encode_to_string(&families)?)
}

/// The table, read once.
struct Table {
    descs: Vec<Desc>,
    families: Vec<MetricFamily>,
}

impl Table {
    fn read(view: &View<'_>) -> Result<Self, prometheus::Error> {
        let own = view.own.map_or(&[][..], OwnMetrics::table);
        let table = || TABLE.iter().chain(own);
        let descs = table().map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, HashMap::new())
        });
        let families = table().map(|metric| family(metric, view)).filter(|family| !family.get_metric().is_empty());
        Ok(Self { descs: descs.collect::<Result<_, _>>()?, families: families.collect() })
    }
}

impl Collector for Table {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families.clone()
    }
}

fn family(metric: &Metric, view: &View<'_>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(metric.read(view).iter().map(|sample| one(metric, sample)).collect());
    family
}

fn one(metric: &Metric, sample: &Sample) -> proto::Metric {
    let labels = metric.labels.iter().zip(&sample.labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut made = proto::Metric::from_label(labels.collect());
    match (metric.kind, &sample.value) {
        (Kind::Counter, Value::Number(value)) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            made.set_counter(counter);
        }
        (_, Value::Number(value)) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            made.set_gauge(gauge);
        }
        (_, Value::Histogram(value)) => {
            let mut histogram = proto::Histogram::default();
            histogram.set_sample_count(value.count());
            histogram.set_sample_sum(value.sum().as_secs_f64());
            let buckets = value.cumulative().map(|(bound, count)| {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(bound.as_secs_f64());
                bucket.set_cumulative_count(count);
                bucket
            });
            histogram.set_bucket(buckets.collect());
            made.set_histogram(histogram);
        }
    }
    made
}
