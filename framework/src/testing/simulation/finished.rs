//! A finished run, as a reference sees it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;

use super::input::Feed;
use super::world::World;
use crate::broker::sim::Isolation;
use crate::dsl::{KeyValueStoreRef, Topic};
use crate::record::{ConsumedRecord, Partition, ProducerRecord};
use crate::testing::driver::decode;

/// What went in, and what came out of a run.
pub struct Finished<'a> {
    pub(super) world: &'a World,
    pub(super) feed: &'a Feed,
}

impl std::fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finished").finish_non_exhaustive()
    }
}

impl Finished<'_> {
    /// Keys and values of an input topic, partition by partition.
    ///
    /// # Panics
    /// When they cannot be decoded.
    pub fn input<K, V>(&self, topic: &Topic<K, V>) -> Vec<(K, V)> {
        let pair = |record: &ProducerRecord| {
            (decode(topic.key_serde(), record.key.as_ref()), decode(topic.value_serde(), record.value.as_ref()))
        };
        self.input_records(topic.name()).into_iter().map(pair).collect()
    }

    /// The records of an input topic, partition by partition, also those that retention has deleted.
    pub fn input_records(&self, topic: &str) -> Vec<&ProducerRecord> {
        let mut records: Vec<&ProducerRecord> =
            self.feed.appended().iter().filter(|record| &*record.target.topic == topic).collect();
        records.sort_by_key(|record| record.target.partition);
        records
    }

    /// Committed keys and values of an output topic, partition by partition.
    ///
    /// # Panics
    /// When they cannot be decoded.
    pub fn committed<K, V>(&self, topic: &Topic<K, V>) -> Vec<(K, V)> {
        let pair = |record: ConsumedRecord| {
            (decode(topic.key_serde(), record.key.as_ref()), decode(topic.value_serde(), record.value.as_ref()))
        };
        self.records(topic.name()).into_iter().map(pair).collect()
    }

    /// Committed raw records of any topic, dead letters included, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<ConsumedRecord> {
        self.world.broker.records(topic, Isolation::ReadCommitted)
    }

    /// Rows of a store, partition by partition, from whoever owns them.
    ///
    /// # Panics
    /// When they cannot be decoded.
    pub fn rows<K, V>(&self, store: &KeyValueStoreRef<K, V>) -> Vec<(K, V)> {
        let rows = self.raw_rows(store.name()).into_values().flatten();
        rows.map(|(key, value)| (decode(store.key_serde(), Some(&key)), decode(store.value_serde(), Some(&value))))
            .collect()
    }

    /// The bytes of a store's rows by partition, from whoever owns them.
    pub fn raw_rows(&self, store: &str) -> BTreeMap<Partition, BTreeMap<Bytes, Bytes>> {
        self.world.rows(store)
    }
}

/// An error that shows both, unless they are equal.
///
/// # Errors
/// What differs.
pub fn same<T: PartialEq + Debug>(what: &str, actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what}: found {actual:?}, expected {expected:?}")) }
}
