//! What the detector counts, for metrics and for the page, and the last alerts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples};

use crate::last::{Fired, LastAlerts};

const ALERTS: &str = "millpond_fraud_alerts_total";

static TABLE: [Metric; 2] = [
    Metric::own(
        ALERTS,
        Kind::Counter,
        "Alerts for bursts of add_to_cart events, those of transactions that failed included",
    ),
    Metric::own("millpond_fraud_cart_items_total", Kind::Counter, "Events add_to_cart that the rule was applied to"),
];

/// Counts that all tasks of a process add to. They count what was processed, committed or not: an event that is processed
/// again after a failed transaction is counted again.
#[derive(Debug, Default)]
pub struct Totals {
    alerts: AtomicU64,
    items: AtomicU64,
    last: Mutex<LastAlerts>,
}

impl Totals {
    pub(crate) fn alert(&self, fired: Fired) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
        // A poisoned lock means that a reader panicked; what is kept is whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner).note(fired);
    }

    /// The last alerts, the newest first, and how many there were in all.
    pub(crate) fn last_alerts(&self) -> (Vec<Fired>, u64) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).get();
        (last, self.alerts.load(Ordering::Relaxed))
    }

    pub(crate) fn item(&self) {
        self.items.fetch_add(1, Ordering::Relaxed);
    }
}

impl OwnMetrics for Totals {
    fn table(&self) -> &'static [Metric] {
        &TABLE
    }

    fn read(&self, metric: &Metric, out: &mut Samples) {
        let count = if metric.name == ALERTS { &self.alerts } else { &self.items };
        out.count(&[], count.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use millpond::metrics::check;

    use super::*;

    #[test]
    fn the_table_keeps_to_the_rules() {
        assert_eq!(check(&TABLE, &[]), Vec::<String>::new());
    }
}
