//! Where input comes from.

use bytes::Bytes;

use crate::broker::sim::{SimBroker, SplitMix64};
use crate::dsl::Topic;
use crate::partitioner::{partition_for_key, partition_without_key};
use crate::record::{ProducerRecord, Record, TopicName, TopicPartition};
use crate::testing::driver::encode;

/// A record before its partition is known.
pub(super) type Raw = Record<Option<Bytes>, Option<Bytes>>;

/// Draws the record of that number.
pub(super) type Draw = Box<dyn Fn(&mut SplitMix64, i64) -> Raw>;

/// An input topic, and how its records are drawn.
pub(super) struct Input {
    pub(super) topic: TopicName,
    pub(super) draw: Draw,
}

/// A typed record as bytes.
pub(super) fn encoded<K, V>(topic: &Topic<K, V>, record: Record<K, V>) -> Raw {
    let Record { key, value, timestamp, headers } = record;
    Record { key: encode(topic.key_serde(), &key), value: encode(topic.value_serde(), &value), timestamp, headers }
}

/// Draws and appends input, and remembers it: retention may delete it from the log.
pub(super) struct Feed {
    rng: SplitMix64,
    left: usize,
    appended: Vec<ProducerRecord>,
}

impl Feed {
    pub(super) const fn new(seed: u64, records: usize) -> Self {
        Self { rng: SplitMix64::new(seed), left: records, appended: Vec::new() }
    }

    /// So many records more may be fed.
    pub(super) const fn allow(&mut self, records: usize) {
        self.left = self.left.saturating_add(records);
    }

    /// Appends up to `count` records, as long as there are any left.
    pub(super) fn feed(&mut self, broker: &SimBroker, inputs: &[Input], count: usize) {
        for _ in 0..count.min(self.left) {
            let turn = usize::try_from(self.rng.below(inputs.len() as u64)).unwrap_or(0);
            let Some(input) = inputs.get(turn) else { return };
            self.left -= 1;
            let number = self.appended.len();
            let record = (input.draw)(&mut self.rng, i64::try_from(number).unwrap_or(i64::MAX));
            let partitions = i32::try_from(broker.partitions(&input.topic).len()).unwrap_or(i32::MAX);
            let partition = match &record.key {
                Some(key) => partition_for_key(key, partitions),
                None => partition_without_key(number as u64, partitions),
            };
            let target = TopicPartition::new(input.topic.clone(), partition);
            let Record { key, value, timestamp, headers } = record;
            let record = ProducerRecord { target, timestamp, key, value, headers };
            if broker.append(record.clone()).is_ok() {
                self.appended.push(record);
            }
        }
    }

    /// All input so far, in the order it was appended.
    pub(super) fn appended(&self) -> &[ProducerRecord] {
        &self.appended
    }
}
