//! `map`, `map_values`, `select_key`: one record for one record.

use std::sync::Arc;

use crate::dsl::KStream;
use crate::processor::ProcessorError;
use crate::record::Record;

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Another key and value for each record. Timestamp and headers stay. The key counts as changed.
    pub fn map<K2: Clone + 'static, V2: Clone + 'static>(
        &self,
        map: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.operator("KSTREAM-MAP-", true, move |record, outlet, task| {
            let (key, value) = map(record.key, record.value);
            outlet.forward(Record { key, value, timestamp: record.timestamp, headers: record.headers }, task)
        })
    }

    /// Another value for each record; the key stays.
    pub fn map_values<V2: Clone + 'static>(&self, map: impl Fn(&K, V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        self.operator("KSTREAM-MAPVALUES-", false, move |record, outlet, task| {
            let value = map(&record.key, record.value);
            outlet
                .forward(Record { key: record.key, value, timestamp: record.timestamp, headers: record.headers }, task)
        })
    }

    /// A new record, headers and all, for each record, or the reason why it is bad.
    pub fn try_map<K2: Clone + 'static, V2: Clone + 'static>(
        &self,
        map: impl Fn(Record<K, V>) -> Result<Record<K2, V2>, ProcessorError> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        self.operator("KSTREAM-MAP-", true, move |record, outlet, task| outlet.forward(map(record)?, task))
    }

    /// Another key for each record; the value stays. Repartition before equal keys must meet.
    pub fn select_key<K2: Clone + 'static>(
        &self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        self.select_key_named(self.builder.next_name("KSTREAM-KEY-SELECT-"), select)
    }

    pub(crate) fn select_key_named<K2: Clone + 'static>(
        &self,
        name: Arc<str>,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        self.named_operator(name, &[self.node], true, move |record, outlet, task| {
            let key = select(&record.key, &record.value);
            outlet.forward(record.with_key(key), task)
        })
    }
}
