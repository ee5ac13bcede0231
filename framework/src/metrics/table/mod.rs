//! The table. A metric that is not here, nor in an application's own table, does not exist; names of boards and rules are
//! tested against it.

mod application;
mod client;
mod partition;
mod process;
mod store;
mod task;
mod thread;

use std::fmt::Display;

pub use process::PROCESS;

use super::{Level, Metric, Samples, View, float};
use crate::record::Offset;
use crate::runtime::stats::{HitsAndMisses, TaskSnapshot, ThreadSnapshot};

const THREAD: &[&str] = &["thread"];
const TASK: &[&str] = &["task"];

/// Every metric of the library, in the order in which they are shown.
pub static TABLE: Table = Table(&[
    &application::METRICS,
    &thread::METRICS,
    &task::METRICS,
    &partition::METRICS,
    &store::METRICS,
    &client::METRICS,
]);

/// Metrics, by what they belong to.
#[derive(Debug)]
pub struct Table(&'static [&'static [Metric]]);

impl Table {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static Metric> + use<> {
        self.0.iter().flat_map(|group| group.iter())
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&'static Metric> {
        self.iter().find(|metric| metric.name == name)
    }
}

impl Metric {
    const fn of_thread(self) -> Self {
        self.at(Level::Thread, THREAD)
    }

    const fn of_task(self) -> Self {
        self.at(Level::Task, TASK)
    }
}

fn each_thread(view: &View<'_>, mut then: impl FnMut(&ThreadSnapshot)) {
    for thread in view.threads {
        then(thread);
    }
}

fn each_task(view: &View<'_>, mut then: impl FnMut(&TaskSnapshot)) {
    for task in view.threads.iter().flat_map(|thread| &thread.tasks) {
        then(task);
    }
}

/// Counts by a label, those of `known` also when they are zero: a rate does not see the first value of a series.
fn by_label<L: Display + Ord>(
    thread: &ThreadSnapshot,
    counts: &std::collections::BTreeMap<L, u64>,
    known: &[L],
    out: &mut Samples,
) {
    for absent in known.iter().filter(|label| !counts.contains_key(label)) {
        out.count(&[&thread.thread, absent], 0);
    }
    for (label, count) in counts {
        out.count(&[&thread.thread, label], *count);
    }
}

/// Both counts, by a last label that says which.
fn two(labels: &[&dyn Display], counts: HitsAndMisses, out: &mut Samples) {
    for (result, count) in [("hit", counts.hits), ("miss", counts.misses)] {
        let labels: Vec<&dyn Display> = labels.iter().copied().chain([&result as &dyn Display]).collect();
        out.count(&labels, count);
    }
}

fn offset(offset: Option<Offset>) -> Option<f64> {
    offset.and_then(|offset| u64::try_from(offset.0).ok()).map(float)
}

fn seconds(time: crate::time::Timestamp) -> Option<f64> {
    u64::try_from(time.as_millis()).ok().map(|millis| float(millis) / 1000.0)
}
