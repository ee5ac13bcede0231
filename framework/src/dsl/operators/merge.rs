//! `merge`: two streams of one type become one. There is no order between them beyond timestamps within a task.

use crate::dsl::KStream;
use crate::topology::TopologyError;

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// The records of both streams.
    pub fn merge(&self, other: &Self) -> Self {
        let name = self.builder.next_name("KSTREAM-MERGE-");
        if !self.builder.is(&other.builder) {
            self.builder.report(TopologyError::OtherBuilder { node: name.to_string() });
            return self.clone();
        }
        let parents = [self.node, other.node];
        self.named_operator(name, &parents, other.key_changed, |record, outlet, task| outlet.forward(record, task))
    }
}
