//! `flat_map`, `flat_map_values`: any number of records for one.

use crate::dsl::KStream;
use crate::record::Record;

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Any number of keys and values for each record, in order. Timestamp and headers are copied to each.
    pub fn flat_map<K2, V2, I>(&self, map: impl Fn(K, V) -> I + Send + Sync + 'static) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
        I: IntoIterator<Item = (K2, V2)>,
    {
        self.operator("KSTREAM-FLATMAP-", true, move |record, outlet, task| {
            let Record { key, value, timestamp, headers } = record;
            for (key, value) in map(key, value) {
                outlet.forward(Record { key, value, timestamp, headers: headers.clone() }, task)?;
            }
            Ok(())
        })
    }

    /// Any number of values for each record, in order, under the same key.
    pub fn flat_map_values<V2, I>(&self, map: impl Fn(&K, V) -> I + Send + Sync + 'static) -> KStream<K, V2>
    where
        V2: Clone + 'static,
        I: IntoIterator<Item = V2>,
    {
        self.operator("KSTREAM-FLATMAPVALUES-", false, move |record, outlet, task| {
            let Record { key, value, timestamp, headers } = record;
            for value in map(&key, value) {
                outlet.forward(Record { key: key.clone(), value, timestamp, headers: headers.clone() }, task)?;
            }
            Ok(())
        })
    }
}
