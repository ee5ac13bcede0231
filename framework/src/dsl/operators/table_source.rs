//! The node behind `table`: keeps the latest value per key and forwards the change. A null value deletes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::dsl::{Change, ConnectStores, KTable, Materialized, StoreOpener, StreamsBuilder};
use crate::processor::graph::{Factory, Outlet, Receive, Receiver};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::Record;
use crate::serde::ValueAndTimestamp;
use crate::state::KeyValueStore;
use crate::topology::{NodeId, NodeKind};

struct TableSource<K: 'static, V: 'static> {
    store: KeyValueStore<K, ValueAndTimestamp<V>>,
    outlet: Outlet<K, Change<V>>,
}

impl<K: Clone, V: Clone> Receive<K, Option<V>> for TableSource<K, V> {
    fn receive(&mut self, record: Record<K, Option<V>>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let Record { key, value: new, timestamp, headers } = record;
        let old = self.store.get(&key)?.map(|old| old.value);
        match &new {
            Some(value) => self.store.put(&key, &ValueAndTimestamp { value: value.clone(), timestamp })?,
            None => {
                self.store.delete(&key)?;
            }
        }
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        self.outlet.forward(Record { key, value: Change { old, new }, timestamp, headers }, task)
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KTable<K, V> {
    pub(crate) fn from_source(builder: &StreamsBuilder, parent: NodeId, materialized: Materialized<K, V>) -> Self {
        let store = materialized.timestamped(builder);
        let kind = NodeKind::Processor { stores: store.names() };
        let factory = Factory::<K, Option<V>>(Box::new(move |instantiation, id| {
            let store = store.open(&StoreOpener(instantiation))?;
            let outlet = instantiation.outlet(id)?;
            Ok(Rc::new(RefCell::new(TableSource { store, outlet })) as Receiver<K, Option<V>>)
        }));
        let name = builder.next_name("KTABLE-SOURCE-");
        let node = builder.add(name, kind, &[parent], Some(Box::new(factory)));
        Self::new(builder.clone(), node)
    }
}
