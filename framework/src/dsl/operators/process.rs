//! `process`: a processor of the user's, with stores.

use std::sync::Arc;

use crate::dsl::{ConnectStores, KStream, StoreOpener};
use crate::processor::Processor;
use crate::processor::graph::{Factory, ProcessorNode, Receiver};
use crate::topology::{NodeKind, TopologyError};

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Sends every record through a processor. `make` is called once per task with the opened stores; `stores` is a store
    /// reference, a tuple of them, or `()`.
    ///
    /// With stores, equal keys must be in one partition: after a change of key, repartition first.
    pub fn process<P, S>(
        &self,
        name: &str,
        stores: &S,
        make: impl Fn(S::Handles) -> P + Send + Sync + 'static,
    ) -> KStream<P::KOut, P::VOut>
    where
        P: Processor<KIn = K, VIn = V>,
        S: ConnectStores,
    {
        let names = stores.names();
        if self.key_changed && !names.is_empty() {
            self.builder.report(TopologyError::KeyChanged { node: name.to_owned() });
        }
        let stores = stores.clone();
        let factory = Factory::<K, V>(Box::new(move |instantiation, id| {
            let handles = stores.open(&StoreOpener(instantiation))?;
            let outlet = instantiation.outlet(id)?;
            let processor = make(handles);
            let node = instantiation.living(id, |index| ProcessorNode { processor, outlet, index });
            Ok(node as Receiver<K, V>)
        }));
        let kind = NodeKind::Processor { stores: names };
        let node = self.builder.add(Arc::from(name), kind, &[self.node], Some(Box::new(factory)));
        KStream::new(self.builder.clone(), node, self.key_changed)
    }
}
