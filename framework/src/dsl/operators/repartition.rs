//! `repartition`: through a topic of ours, so that equal keys meet in one partition.

use std::sync::Arc;

use crate::dsl::operators::sink::Target;
use crate::dsl::operators::source;
use crate::dsl::{KStream, Repartitioned};
use crate::processor::ProcessorError;
use crate::topology::{TopicRef, TopologyError, is_legal_name};

/// The nodes of a repartition, as Kafka Streams names and numbers them: `by-user-repartition-filter` and so on.
pub(crate) const NODES: [&str; 3] = ["filter", "sink", "source"];

/// What becomes of records with a null key. Kafka Streams drops them at a repartition; here nothing is dropped unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NullKeys {
    /// They go through, as over every hop, and stay in the partition of that number.
    Pass,
    /// They are bad records: what follows keeps rows by key, and there is no row for null.
    Refuse,
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Writes to `<application.id>-<name>-repartition` and goes on from there, in another sub-topology.
    #[expect(clippy::needless_pass_by_value, reason = "options are values: `.repartition(Repartitioned::named(..))`")]
    pub fn repartition(&self, by: Repartitioned<K, V>) -> Self {
        self.through(&by, NullKeys::Pass)
    }

    pub(crate) fn through(&self, by: &Repartitioned<K, V>, null_keys: NullKeys) -> Self {
        let topic = TopicRef::Internal { name: format!("{}-repartition", by.name).into(), partitions: by.partitions };
        if let Some(mistake) = self.mistake(&by.name, &topic) {
            self.builder.report(mistake);
            return self.mark_partitioned();
        }
        let [filter_name, sink_name, source_name] = NODES.map(|node| -> Arc<str> {
            self.builder.skip_number();
            format!("{}-repartition-{node}", by.name).into()
        });
        let key = by.key;
        let filter: Self = self.named_operator(filter_name, &[self.node], false, move |record, outlet, task| {
            if null_keys == NullKeys::Refuse && key.is_null(&record.key) {
                return Err(ProcessorError::bad_record("null_key"));
            }
            outlet.forward(record, task)
        });
        filter.add_sink(sink_name, vec![Target { topic: topic.clone(), key, value: by.value }], |_| 0);
        let factory = source::factory(key, by.value, source::required::<V>);
        let node = self.builder.source::<(K, V)>(source_name, topic, factory);
        Self::new(self.builder.clone(), node, false)
    }

    fn mistake(&self, name: &str, topic: &TopicRef) -> Option<TopologyError> {
        if !is_legal_name(name) {
            return Some(TopologyError::IllegalName { what: "repartition", name: name.to_owned() });
        }
        let taken = self.builder.reads(topic);
        taken.then(|| TopologyError::Duplicate { what: "repartition", name: name.to_owned() })
    }
}
