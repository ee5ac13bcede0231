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

pub(crate) use growth::AXES;

/// Measures one part. `events` is the input that several parts share, loaded by the first of them.
pub(crate) fn measure(
    part: Part,
    bench: &mut Bench<'_>,
    events: &mut Option<Input>,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    if matches!(part, Part::Works | Part::Limits) && events.is_none() {
        *events = Some(bench.input("bench-events", bench.options.shape())?);
    }
    match (part, events.as_ref()) {
        (Part::Works, Some(events)) => works::measure(bench, events, lines),
        (Part::Limits, Some(events)) => limits::measure(bench, events, lines),
        (Part::Works | Part::Limits, None) => Ok(()),
        (Part::Rows, _) => rows::measure(bench, lines),
        (Part::Latency, _) => latency::measure(bench, lines),
        (Part::Loader, _) => loader::measure(bench, lines),
        (Part::Shapes, _) => shapes::measure(bench, lines),
        (Part::Metrics, _) => metrics::measure(bench, lines),
        (Part::Growth, _) => growth::measure(bench, lines),
    }
}
