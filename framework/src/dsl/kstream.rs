//! A stream: every record stands for itself.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::StreamsBuilder;
use crate::processor::graph::{Factory, Operator, Outlet, Receiver};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::Record;
use crate::topology::{NodeId, NodeKind};

/// A stream of records of one type. Each method adds a node below it; a stream may have several children.
#[must_use = "a stream does nothing until it is written, consumed or processed"]
pub struct KStream<K, V> {
    pub(crate) builder: StreamsBuilder,
    pub(crate) node: NodeId,
    /// The key may have changed since the last partitioning: equal keys may be in different tasks.
    pub(crate) key_changed: bool,
    types: PhantomData<fn(K, V)>,
}

/// The branches of a [`KStream::split`], by name.
pub type Branched<K, V> = std::collections::BTreeMap<String, KStream<K, V>>;

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self { builder: self.builder.clone(), node: self.node, key_changed: self.key_changed, types: PhantomData }
    }
}

impl<K, V> fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KStream").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    pub(crate) fn new(builder: StreamsBuilder, node: NodeId, key_changed: bool) -> Self {
        Self { builder, node, key_changed, types: PhantomData }
    }

    /// Says that equal keys are in one partition although a key was selected: for keys that are a function of the old
    /// one. Wrong use sends equal keys to different tasks.
    pub fn mark_partitioned(&self) -> Self {
        Self::new(self.builder.clone(), self.node, false)
    }

    /// Adds a stateless node.
    pub(crate) fn operator<K2, V2, F>(&self, prefix: &str, key_changed: bool, apply: F) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
        F: Fn(Record<K, V>, &Outlet<K2, V2>, &mut TaskContext) -> Result<(), ProcessorError> + Send + Sync + 'static,
    {
        let name = self.builder.next_name(prefix);
        self.named_operator(name, &[self.node], key_changed, apply)
    }

    pub(crate) fn named_operator<K2, V2, F>(
        &self,
        name: Arc<str>,
        parents: &[NodeId],
        key_changed: bool,
        apply: F,
    ) -> KStream<K2, V2>
    where
        K2: Clone + 'static,
        V2: Clone + 'static,
        F: Fn(Record<K, V>, &Outlet<K2, V2>, &mut TaskContext) -> Result<(), ProcessorError> + Send + Sync + 'static,
    {
        let apply = Arc::new(apply);
        let factory = Factory::<K, V>(Box::new(move |instantiation, id| {
            let outlet = instantiation.outlet::<K2, V2>(id)?;
            Ok(Rc::new(RefCell::new(Operator { outlet, apply: apply.clone() })) as Receiver<K, V>)
        }));
        let kind = NodeKind::Processor { stores: Vec::new() };
        let node = self.builder.add(name, kind, parents, Some(Box::new(factory)));
        KStream::new(self.builder.clone(), node, self.key_changed || key_changed)
    }
}
