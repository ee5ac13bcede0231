//! What the attributor counts for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples};

use crate::attribution::ORGANIC;

static TABLE: [Metric; 1] = [Metric::own(
    "millpond_attributions_total",
    Kind::Counter,
    "Orders attributed, by channel; kind is order, or correction when a late event has changed the channel of an order",
)
.labelled(&["channel", "kind"])];

/// Where channels are counted that are not in the list.
const OTHER: &str = "other";

/// Counts that all tasks of a process add to. They count what was processed, committed or not: an order that is processed
/// again after a failed transaction is counted again.
#[derive(Debug)]
pub struct Totals {
    /// By channel: orders, corrections. A record adds no channel: its own comes from whoever sends events, may be anything, and
    /// would become a label.
    channels: Mutex<BTreeMap<String, [u64; 2]>>,
}

impl Default for Totals {
    /// Counts `organic` and `other` alone.
    fn default() -> Self {
        Self { channels: Mutex::new([ORGANIC, OTHER].map(|channel| (channel.to_owned(), [0, 0])).into()) }
    }
}

impl Totals {
    /// Counts these channels, too, by their names from now on.
    pub fn name_channels<'c>(&self, channels: impl IntoIterator<Item = &'c str>) {
        let mut known = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        for channel in channels {
            known.entry(channel.to_owned()).or_default();
        }
    }

    pub(crate) fn order(&self, channel: &str) {
        self.add(channel, |[orders, _]| *orders += 1);
    }

    pub(crate) fn correction(&self, channel: &str) {
        self.add(channel, |[_, corrections]| *corrections += 1);
    }

    fn add(&self, channel: &str, add: impl FnOnce(&mut [u64; 2])) {
        // Numbers are whole whatever a panic elsewhere did.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if channels.contains_key(channel) { channel } else { OTHER };
        if let Some(counts) = channels.get_mut(known) {
            add(counts);
        }
    }
}

impl OwnMetrics for Totals {
    fn table(&self) -> &'static [Metric] {
        &TABLE
    }

    fn read(&self, _metric: &Metric, out: &mut Samples) {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        for (channel, [orders, corrections]) in &*channels {
            out.count(&[channel, &"order"], *orders);
            out.count(&[channel, &"correction"], *corrections);
        }
    }
}

#[cfg(test)]
mod tests {
    use millpond::metrics::{Value, check};

    use super::*;

    #[test]
    fn the_table_keeps_to_the_rules() {
        assert_eq!(check(&TABLE, &["channel", "kind"]), Vec::<String>::new());
    }

    #[test]
    fn a_channel_that_nobody_has_named_becomes_no_label() {
        let totals = Totals::default();
        totals.name_channels(["mail"]);
        for channel in ["mail", "joe@example.com", "organic", "other", "💥"] {
            totals.order(channel);
        }
        totals.correction("mail");
        let mut samples = Samples::default();
        totals.read(&TABLE[0], &mut samples);
        let read: Vec<(String, Value)> = samples.iter().map(|row| (row.labels.join(" "), row.value.clone())).collect();
        let expected = [
            ("mail order", 1.0),
            ("mail correction", 1.0),
            ("organic order", 1.0),
            ("organic correction", 0.0),
            ("other order", 3.0),
            ("other correction", 0.0),
        ];
        assert_eq!(read, expected.map(|(labels, count)| (labels.to_owned(), Value::Number(count))));
    }
}
