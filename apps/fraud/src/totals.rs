//! What the detector counts for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use millpond::metrics::{Kind, Metric, OwnMetrics, Samples};

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
}

impl Totals {
    pub(crate) fn alert(&self) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
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
