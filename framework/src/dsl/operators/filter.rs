//! `filter`, `filter_not`.

use crate::dsl::KStream;

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Keeps the records for which `keep` is true.
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.operator("KSTREAM-FILTER-", false, move |record, outlet, task| {
            if keep(&record.key, &record.value) { outlet.forward(record, task) } else { Ok(()) }
        })
    }

    /// Drops the records for which `drop` is true.
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !drop(key, value))
    }
}
