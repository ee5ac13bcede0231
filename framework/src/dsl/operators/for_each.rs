//! `peek`, `for_each`: side effects. They happen when a record is processed, so again when it is processed again after
//! an abort: only what goes through topics and stores happens exactly once.

use crate::dsl::KStream;

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Looks at each record and passes it on unchanged.
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.operator("KSTREAM-PEEK-", false, move |record, outlet, task| {
            look(&record.key, &record.value);
            outlet.forward(record, task)
        })
    }

    /// Ends the stream with a side effect for each record.
    pub fn for_each(&self, act: impl Fn(&K, &V) + Send + Sync + 'static) {
        let _end: Self = self.operator("KSTREAM-FOREACH-", false, move |record, _, _| {
            act(&record.key, &record.value);
            Ok(())
        });
    }
}
