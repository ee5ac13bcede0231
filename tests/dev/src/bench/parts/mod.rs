//! What is measured, one file each.

mod growth;
mod latency;
mod limits;
mod loader;
mod metrics;
mod rows;
mod shapes;
mod works;

use super::figures::Lines;
use super::options::Part;
use super::stand::{Bench, Input};

/// Measures one part. `events` is the input that several parts share, loaded by the first of them.
pub(crate) fn measure(part: Part, bench: &mut Bench<'_>, events: &mut Option<Input>) -> anyhow::Result<Lines> {
    let mut lines = Lines::default();
    if matches!(part, Part::Works | Part::Limits) && events.is_none() {
        *events = Some(bench.input("bench-events", bench.options.shape())?);
    }
    match (part, events.as_ref()) {
        (Part::Works, Some(events)) => works::measure(bench, events, &mut lines)?,
        (Part::Limits, Some(events)) => limits::measure(bench, events, &mut lines)?,
        (Part::Works | Part::Limits, None) => {}
        (Part::Rows, _) => rows::measure(bench, &mut lines)?,
        (Part::Latency, _) => latency::measure(bench, &mut lines)?,
        (Part::Loader, _) => loader::measure(bench, &mut lines)?,
        (Part::Shapes, _) => shapes::measure(bench, &mut lines)?,
        (Part::Metrics, _) => metrics::measure(bench, &mut lines)?,
        (Part::Growth, _) => growth::measure(bench, &mut lines)?,
    }
    Ok(lines)
}
