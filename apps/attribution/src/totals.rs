//! What the attributor counts, for metrics and for the page.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples};

use crate::attribution::ORGANIC;
use crate::shares::Shares;

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
pub struct Totals(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    /// By channel: orders, corrections; these only grow. A record adds no channel: its own comes from whoever sends events, may
    /// be anything, and would become a label.
    channels: BTreeMap<String, [u64; 2]>,
    /// Where orders belong now, under whatever channels there are, within bounds.
    shares: Shares,
}

impl Default for Totals {
    /// Counts `organic` and `other` alone.
    fn default() -> Self {
        let channels = [ORGANIC, OTHER].map(|channel| (channel.to_owned(), [0, 0])).into();
        Self(Mutex::new(Counts { channels, shares: Shares::default() }))
    }
}

impl Totals {
    /// Counts these channels, too, by their names from now on.
    pub fn name_channels<'c>(&self, channels: impl IntoIterator<Item = &'c str>) {
        let mut counts = self.counts();
        for channel in channels {
            counts.channels.entry(channel.to_owned()).or_default();
        }
    }

    /// An order is attributed to `channel`; confirmed again, at an earlier time, it belonged to `before`.
    pub(crate) fn order(&self, channel: &str, before: Option<&str>) {
        let mut counts = self.counts();
        counts.shares.belongs(channel, before);
        counts.named(channel, |[orders, _]| *orders += 1);
    }

    /// A late visit has moved an order from `before` to `channel`.
    pub(crate) fn correction(&self, channel: &str, before: &str) {
        let mut counts = self.counts();
        counts.shares.belongs(channel, Some(before));
        counts.named(channel, |[_, corrections]| *corrections += 1);
    }

    /// Where orders belong now.
    pub(crate) fn shares(&self) -> Shares {
        self.counts().shares.clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers are whole whatever a panic elsewhere did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn named(&mut self, channel: &str, add: impl FnOnce(&mut [u64; 2])) {
        let known = if self.channels.contains_key(channel) { channel } else { OTHER };
        if let Some(counts) = self.channels.get_mut(known) {
            add(counts);
        }
    }
}

impl OwnMetrics for Totals {
    fn table(&self) -> &'static [Metric] {
        &TABLE
    }

    fn read(&self, _metric: &Metric, out: &mut Samples) {
        for (channel, [orders, corrections]) in &self.counts().channels {
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
            totals.order(channel, None);
        }
        totals.correction("mail", "organic");
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
