//! The node behind `count`, `reduce` and `aggregate`: reads the old aggregate, folds, writes, forwards the change.
//!
//! The aggregate's timestamp is the largest of the records in it, as in Kafka Streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::{Change, ConnectStores, KGroupedStream, KTable, Materialized, StoreOpener};
use crate::processor::graph::{Factory, Outlet, Receive, Receiver};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::Record;
use crate::serde::ValueAndTimestamp;
use crate::state::KeyValueStore;
use crate::topology::NodeKind;

struct Aggregate<K: 'static, A: 'static, F> {
    store: KeyValueStore<K, ValueAndTimestamp<A>>,
    outlet: Outlet<K, Change<A>>,
    fold: Arc<F>,
}

impl<K, V, A, F> Receive<K, V> for Aggregate<K, A, F>
where
    K: Clone,
    A: Clone,
    F: Fn(&K, V, Option<A>) -> A,
{
    fn receive(&mut self, record: Record<K, V>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let Record { key, value, timestamp, headers } = record;
        let old = self.store.get(&key)?;
        let timestamp = old.as_ref().map_or(timestamp, |old| old.timestamp.max(timestamp));
        let old = old.map(|old| old.value);
        let new = (self.fold)(&key, value, old.clone());
        self.store.put(&key, &ValueAndTimestamp { value: new.clone(), timestamp })?;
        self.outlet.forward(Record { key, value: Change { old, new: Some(new) }, timestamp, headers }, task)
    }
}

pub(crate) fn node<K, V, A, F>(
    grouped: &KGroupedStream<K, V>,
    prefix: &str,
    materialized: Materialized<K, A>,
    fold: F,
) -> KTable<K, A>
where
    K: Clone + 'static,
    V: Clone + 'static,
    A: Clone + 'static,
    F: Fn(&K, V, Option<A>) -> A + Send + Sync + 'static,
{
    let builder = grouped.builder();
    // The aggregation has its number before the nodes of the repartition have theirs, as in Kafka Streams.
    let name = builder.next_name(prefix);
    let stream = grouped.partitioned();
    let store = materialized.timestamped(builder);
    let kind = NodeKind::Processor { stores: store.names() };
    let fold = Arc::new(fold);
    let factory = Factory::<K, V>(Box::new(move |instantiation, id| {
        let store = store.open(&StoreOpener(instantiation))?;
        let outlet = instantiation.outlet(id)?;
        Ok(Rc::new(RefCell::new(Aggregate { store, outlet, fold: fold.clone() })) as Receiver<K, V>)
    }));
    let node = builder.add(name, kind, &[stream.node], Some(Box::new(factory)));
    KTable::new(builder.clone(), node)
}
