//! Grouping: by a key, before an aggregation.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Add;

use super::operators::aggregate;
use super::operators::repartition::{self, NullKeys};
use super::{KStream, KTable, Materialized, StreamsBuilder};
use crate::serde::Serde;

/// How a stream is repartitioned: name and serdes of the topic between.
pub struct Repartitioned<K: 'static, V: 'static> {
    pub(crate) name: String,
    pub(crate) key: &'static dyn Serde<K>,
    pub(crate) value: &'static dyn Serde<V>,
    pub(crate) partitions: Option<i32>,
}

impl<K, V> Repartitioned<K, V> {
    /// Through `<application.id>-<name>-repartition`.
    pub fn named(name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self {
        Self { name: name.to_owned(), key, value, partitions: None }
    }

    /// With that many partitions instead of as many as the sources upstream have.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }
}

impl<K, V> fmt::Debug for Repartitioned<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repartitioned").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a stream is grouped. The same as [`Repartitioned`]: it names the topic that is needed when the key has changed.
pub type Grouped<K, V> = Repartitioned<K, V>;

/// A stream with a key to aggregate by. Its aggregations share one repartition, where one is needed.
///
/// A null key is a bad record there: an aggregation has no row for it.
#[must_use = "aggregate it with count, reduce or aggregate"]
pub struct KGroupedStream<K: 'static, V: 'static> {
    stream: KStream<K, V>,
    grouped: Grouped<K, V>,
    /// Made by the first aggregation.
    partitioned: OnceCell<KStream<K, V>>,
}

impl<K, V> fmt::Debug for KGroupedStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KGroupedStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Groups by another key; repartitions under the name of `grouped`.
    pub fn group_by<K2: Clone + 'static>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
        grouped: Grouped<K2, V>,
    ) -> KGroupedStream<K2, V> {
        // The node has the grouping's name and a number all the same, as in Kafka Streams.
        self.builder.skip_number();
        let stream = self.select_key_named(grouped.name.as_str().into(), select);
        KGroupedStream { stream, grouped, partitioned: OnceCell::new() }
    }

    /// Groups by the key as it is; repartitions only when the key has changed since the last partitioning.
    pub fn group_by_key(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        KGroupedStream { stream: self.clone(), grouped, partitioned: OnceCell::new() }
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KGroupedStream<K, V> {
    pub(crate) const fn builder(&self) -> &StreamsBuilder {
        &self.stream.builder
    }

    /// The stream with equal keys in one task.
    pub(crate) fn partitioned(&self) -> &KStream<K, V> {
        if self.partitioned.get().is_some() && self.stream.key_changed {
            // Kafka Streams numbers the nodes of the repartition once more, then takes those that are there.
            for _ in repartition::NODES {
                self.stream.builder.skip_number();
            }
        }
        self.partitioned.get_or_init(|| {
            if self.stream.key_changed {
                self.stream.through(&self.grouped, NullKeys::Refuse)
            } else {
                self.stream.clone()
            }
        })
    }

    /// How many records each key has had.
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.aggregate(|| 0_i64, |_, _, count| *count = count.add(1), materialized)
    }

    /// The values of a key folded into one of their own type; the first value stands for itself.
    pub fn reduce(
        &self,
        reduce: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        aggregate::node(self, "KSTREAM-REDUCE-", materialized, move |_, value, old: Option<V>| match old {
            Some(old) => reduce(old, value),
            None => value,
        })
    }

    /// The values of a key folded into an aggregate that begins with `init`.
    pub fn aggregate<A: Clone + 'static>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, &mut A) + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A> {
        aggregate::node(self, "KSTREAM-AGGREGATE-", materialized, move |key, value, old: Option<A>| {
            let mut aggregate = old.unwrap_or_else(&init);
            add(key, value, &mut aggregate);
            aggregate
        })
    }
}
