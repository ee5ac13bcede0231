//! An input partition of a task: where it stands, and how far behind.

use super::super::{Kind, Level, Metric, Samples, Unit, View, float};
use super::{each_task, offset};
use crate::runtime::stats::InputSnapshot;

const PARTITION: &[&str] = &["task", "topic", "partition"];

pub(super) static METRICS: [Metric; 5] = [
    Metric::new(
        "millpond_consumer_lag_records",
        Kind::Gauge,
        "Offsets between the group's commit and the end of the partition; zero when all is committed, absent before the \
         end is known",
        |view, out| each_input(view, out, |input| input.lag_records.map(float)),
    )
    .at(Level::Partition, PARTITION),
    Metric::new(
        "millpond_consumer_lag_seconds",
        Kind::Gauge,
        "Age of the oldest record that is not committed, by its timestamp; zero when all is committed, absent before \
         that is known",
        |view, out| each_input(view, out, |input| input.lag.map(|lag| lag.as_secs_f64())),
    )
    .at(Level::Partition, PARTITION)
    .of(Unit::Seconds),
    Metric::new("millpond_consumer_committed_offset", Kind::Gauge, "The group's committed offset", |view, out| {
        each_input(view, out, |input| offset(input.committed));
    })
    .at(Level::Partition, PARTITION)
    .of(Unit::Offset),
    Metric::new("millpond_consumer_position_offset", Kind::Gauge, "The next offset to process", |view, out| {
        each_input(view, out, |input| offset(input.position));
    })
    .at(Level::Partition, PARTITION)
    .of(Unit::Offset),
    Metric::new(
        "millpond_consumer_end_offset",
        Kind::Gauge,
        "The next offset to be written to the partition",
        |view, out| each_input(view, out, |input| offset(input.end)),
    )
    .at(Level::Partition, PARTITION)
    .of(Unit::Offset),
];

fn each_input(view: &View<'_>, out: &mut Samples, value: fn(&InputSnapshot) -> Option<f64>) {
    each_task(view, |task| {
        for input in &task.inputs {
            if let Some(value) = value(input) {
                out.number(&[&task.id, &input.topic, &input.partition], value);
            }
        }
    });
}
