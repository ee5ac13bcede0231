//! How many addresses were redacted, by place and class.

use std::sync::atomic::{AtomicU64, Ordering};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples};

use crate::address::{Class, Finding};

/// Where in a record an address stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
    /// A header's name or value.
    Header,
}

impl Place {
    /// All places, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Key, Self::Value, Self::Header];

    /// The name as a metrics label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Header => "header",
        }
    }
}

/// Numbers of redacted addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([[u64; Class::ALL.len()]; Place::ALL.len()]);

impl Counts {
    /// How many addresses of that class were redacted there.
    pub fn get(&self, place: Place, class: Class) -> u64 {
        self.0.get(place as usize).and_then(|classes| classes.get(class as usize)).copied().unwrap_or(0)
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// What is not zero, ordered by place, then class.
    pub fn iter(&self) -> impl Iterator<Item = (Place, Class, u64)> {
        Place::ALL
            .into_iter()
            .flat_map(|place| Class::ALL.into_iter().map(move |class| (place, class)))
            .map(|(place, class)| (place, class, self.get(place, class)))
            .filter(|(_, _, count)| *count > 0)
    }

    /// Adds the numbers of another record.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *mine += theirs;
        }
    }

    pub(crate) fn note(&mut self, place: Place, findings: &[Finding]) {
        for finding in findings {
            let slot = self.0.get_mut(place as usize).and_then(|classes| classes.get_mut(finding.class as usize));
            if let Some(slot) = slot {
                *slot += 1;
            }
        }
    }
}

/// Counts that all tasks of a process add to and the metrics page reads. They count what was processed, committed or not:
/// a record that is processed again after an abort is counted again.
#[derive(Debug, Default)]
pub struct Totals([[AtomicU64; Class::ALL.len()]; Place::ALL.len()]);

impl Totals {
    /// Adds the numbers of one record.
    pub fn add(&self, counts: &Counts) {
        for (total, count) in self.0.iter().flatten().zip(counts.0.iter().flatten()) {
            if *count > 0 {
                // Independent numbers: nothing else is published by them.
                total.fetch_add(*count, Ordering::Relaxed);
            }
        }
    }

    /// The numbers so far.
    pub fn snapshot(&self) -> Counts {
        let mut counts = Counts::default();
        for (count, total) in counts.0.iter_mut().flatten().zip(self.0.iter().flatten()) {
            *count = total.load(Ordering::Relaxed);
        }
        counts
    }
}

static TABLE: [Metric; 1] = [Metric::own(
    "millpond_redactions_total",
    Kind::Counter,
    "Addresses redacted, by where in the record they stood and how they were written",
)
.labelled(&["place", "class"])];

impl OwnMetrics for Totals {
    fn table(&self) -> &'static [Metric] {
        &TABLE
    }

    fn read(&self, _metric: &Metric, out: &mut Samples) {
        let counts = self.snapshot();
        for place in Place::ALL {
            for class in Class::ALL {
                out.count(&[&place.name(), &class.name()], counts.get(place, class));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millpond::metrics::check;

    use super::*;

    #[test]
    fn the_table_keeps_to_the_rules_and_every_place_and_class_is_there_from_the_start() {
        assert_eq!(check(&TABLE, &["place", "class"]), Vec::<String>::new());
        let mut samples = Samples::default();
        Totals::default().read(&TABLE[0], &mut samples);
        assert_eq!(samples.iter().count(), Place::ALL.len() * Class::ALL.len());
    }
}
