//! A table: each record is the new value of its key.

use std::fmt;
use std::marker::PhantomData;

use super::{KStream, KeyValueStoreRef, Materialized, StreamsBuilder};
use crate::serde::{Stamped, ValueAndTimestamp};
use crate::topology::NodeId;

/// What happened to a key: its value before and after. `None` is "no value".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<V> {
    /// The value before.
    pub old: Option<V>,
    /// The value after.
    pub new: Option<V>,
}

/// A table of the latest value per key. Every update is forwarded as a [`Change`].
#[must_use = "a table's updates go nowhere until to_stream() or updates() is used"]
pub struct KTable<K, V> {
    builder: StreamsBuilder,
    node: NodeId,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KTable").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KTable<K, V> {
    pub(crate) fn new(builder: StreamsBuilder, node: NodeId) -> Self {
        Self { builder, node, types: PhantomData }
    }

    /// Every update as a record; `None` is a deletion. Write it with a [`Nullable`](crate::serde::Nullable) value serde.
    pub fn to_stream(&self) -> KStream<K, Option<V>> {
        self.changes().operator("KTABLE-TOSTREAM-", false, |record, outlet, task| {
            let new = record.value.new.clone();
            outlet.forward(record.with_value(new), task)
        })
    }

    /// Every new value as a record. Deletions do not show: for aggregations, which have none.
    pub fn updates(&self) -> KStream<K, V> {
        self.changes().operator("KTABLE-TOSTREAM-", false, |record, outlet, task| match record.value.new.clone() {
            Some(new) => outlet.forward(record.with_value(new), task),
            None => Ok(()),
        })
    }

    fn changes(&self) -> KStream<K, Change<V>> {
        KStream::new(self.builder.clone(), self.node, false)
    }
}

impl<K: 'static, V: 'static> Materialized<K, V> {
    /// Adds the store of a table to the builder: values with the timestamp of their update.
    pub(crate) fn timestamped(self, builder: &StreamsBuilder) -> KeyValueStoreRef<K, ValueAndTimestamp<V>> {
        let Self { entry, key, value } = self;
        // Serdes are `'static`. This one is made here, once per store of a topology, and a topology lives as long as its
        // program: a few bytes are never given back.
        let value: &'static Stamped<&'static dyn crate::serde::Serde<V>> = Box::leak(Box::new(Stamped(value)));
        builder.key_value_store(Materialized { entry, key, value })
    }
}
