//! Delivery reports of a producer's present transaction, and what else its client tells.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::link::Link;
use crate::record::{Offset, TopicPartition};

/// What the client tells while its events are served.
pub(super) struct Reports {
    pub(super) link: Link,
    deliveries: Mutex<Deliveries>,
    delivered: Condvar,
}

/// Delivery reports of the present transaction.
#[derive(Default)]
pub(super) struct Deliveries {
    /// By tag.
    pub(super) last: Vec<Delivered>,
    /// How many there were, by tag.
    pub(super) counts: Vec<u64>,
    /// The first record that was refused.
    pub(super) refused: Option<(usize, Code)>,
    /// Somebody waits for room in the queue.
    awaited: bool,
}

/// The last report of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    Nothing,
    At(i64),
    /// Delivered as a duplicate of an earlier try: the broker does not tell where.
    Somewhere,
}

impl Deliveries {
    pub(super) fn forget(&mut self) {
        self.last.fill(Delivered::Nothing);
        self.counts.fill(0);
        self.refused = None;
    }

    /// How many records of a partition were delivered, and whether one of any partition was refused.
    pub(super) fn told_of(&self, tag: usize) -> (u64, bool) {
        (self.counts.get(tag).copied().unwrap_or(0), self.refused.is_some())
    }

    pub(super) fn last_offsets(&self, targets: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        let known = targets.iter().zip(&self.last).filter_map(|(at, last)| match last {
            Delivered::At(offset) => Some((at.clone(), Offset(*offset))),
            Delivered::Nothing | Delivered::Somewhere => None,
        });
        known.collect()
    }
}

impl Reports {
    pub(super) fn new(link: Link) -> Self {
        Self { link, deliveries: Mutex::default(), delivered: Condvar::new() }
    }

    pub(super) fn wait_for_delivery(&self, timeout: Duration) {
        let mut deliveries = self.deliveries();
        deliveries.awaited = true;
        drop(self.delivered.wait_timeout(deliveries, timeout).unwrap_or_else(PoisonError::into_inner));
    }

    /// Entries are replaced whole, so a poisoned lock is as good as any.
    pub(super) fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.link.statistics(json);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let mut deliveries = self.deliveries();
        match result {
            Ok(message) => {
                if let Some(last) = deliveries.last.get_mut(tag) {
                    let offset = message.offset();
                    *last = if offset >= 0 { Delivered::At(offset) } else { Delivered::Somewhere };
                }
                if let Some(count) = deliveries.counts.get_mut(tag) {
                    *count += 1;
                }
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                deliveries.refused.get_or_insert((tag, code));
            }
        }
        if std::mem::take(&mut deliveries.awaited) {
            self.delivered.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    #[test]
    fn a_partition_whose_last_offset_is_unknown_is_not_in_the_receipt() {
        let targets = ["a", "b", "c"].map(|topic| TopicPartition::new(topic, Partition(0)));
        let last = vec![Delivered::At(41), Delivered::Somewhere, Delivered::Nothing];
        let mut deliveries = Deliveries { last, ..Deliveries::default() };
        assert_eq!(deliveries.last_offsets(&targets), BTreeMap::from([(targets[0].clone(), Offset(41))]));
        deliveries.forget();
        assert_eq!(deliveries.last_offsets(&targets), BTreeMap::new());
    }
}
