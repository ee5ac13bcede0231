//! `repartition`: through a topic of ours, so that equal keys meet in one partition.

use crate::dsl::operators::sink::Target;
use crate::dsl::operators::source;
use crate::dsl::{KStream, Repartitioned};
use crate::topology::{TopicRef, TopologyError, is_legal_name};

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Writes to `<application.id>-<name>-repartition` and goes on from there, in another sub-topology.
    #[expect(clippy::needless_pass_by_value, reason = "options are values: `.repartition(Repartitioned::named(..))`")]
    pub fn repartition(&self, by: Repartitioned<K, V>) -> Self {
        if !is_legal_name(&by.name) {
            self.builder.report(TopologyError::IllegalName { what: "repartition", name: by.name.clone() });
        }
        let topic = TopicRef::Internal { name: format!("{}-repartition", by.name).into(), partitions: by.partitions };
        self.add_sink("KSTREAM-SINK-", vec![Target { topic: topic.clone(), key: by.key, value: by.value }], |_| 0);
        let factory = source::factory(by.key, by.value, source::required::<V>);
        let node = self.builder.source::<(K, V)>(topic, "KSTREAM-SOURCE-", factory);
        Self::new(self.builder.clone(), node, false)
    }
}
