//! Collects nodes and stores; mistakes are collected, too, and told all at once by [`StreamsBuilder::build`].

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::operators::source;
use super::{KStream, KTable, KeyValueStoreRef, Materialized, Topic};
use crate::topology::{Node, NodeId, NodeKind, SourceFactoryBox, StoreEntry, TopicRef, Topology, TopologyError};

/// Describes a topology. Cheap to clone: clones build the same topology.
///
/// Mistakes are collected and told all at once:
///
/// ```
/// use millpond::dsl::{StreamsBuilder, Stores, Topic};
/// use millpond::serde::{Int64, Utf8};
///
/// const IN: Topic<String, i64> = Topic::new("in", &Utf8, &Int64);
/// const OUT: Topic<String, i64> = Topic::new("out", &Utf8, &Int64);
///
/// let builder = StreamsBuilder::new();
/// builder.stream(&IN).to(&OUT);
/// println!("{}", builder.build()?.describe()); // as Kafka Streams prints it
///
/// let builder = StreamsBuilder::new();
/// builder.stream(&IN).to(&OUT);
/// builder.key_value_store(Stores::persistent::<String, i64>("lonely", &Utf8, &Int64));
/// let error = builder.build().unwrap_err();
/// assert_eq!(error.to_string(), "store=lonely is connected to no node; pass it to process(..), or remove it");
/// # Ok::<(), millpond::topology::TopologyError>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    stores: BTreeMap<String, StoreEntry>,
    sources: BTreeMap<TopicRef, (NodeId, TypeId)>,
    errors: Vec<TopologyError>,
    next_name: usize,
}

impl fmt::Debug for StreamsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamsBuilder")
    }
}

impl StreamsBuilder {
    /// An empty topology.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of a topic. The same topic read twice is read once and shared.
    pub fn stream<K: Clone + 'static, V: Clone + 'static>(&self, topic: &Topic<K, V>) -> KStream<K, V> {
        let topic_ref = TopicRef::External(topic.name().into());
        let factory = source::factory(topic.key_serde(), topic.value_serde(), source::required::<V>);
        let node = self.shared_source::<(K, V)>(topic_ref, factory);
        KStream::new(self.clone(), node, false)
    }

    /// A topic as a table: the latest value per key, in the store that `materialized` names. A null value deletes.
    pub fn table<K, V>(&self, topic: &Topic<K, V>, materialized: Materialized<K, V>) -> KTable<K, V>
    where
        K: Clone + 'static,
        V: Clone + 'static,
    {
        let topic_ref = TopicRef::External(topic.name().into());
        let factory = source::factory(topic.key_serde(), topic.value_serde(), source::nullable::<V>);
        let node = self.shared_source::<(K, Option<V>)>(topic_ref, factory);
        KTable::from_source(self, node, materialized)
    }

    /// A key-value store for processors; connect it by passing the reference to `process`.
    pub fn key_value_store<K: 'static, V: 'static>(&self, store: Materialized<K, V>) -> KeyValueStoreRef<K, V> {
        let Materialized { entry, key, value } = store;
        let name = entry.name.clone();
        self.add_store(entry);
        KeyValueStoreRef { name, key, value }
    }

    /// Validates what was described.
    ///
    /// # Errors
    /// [`TopologyError`] with every mistake found.
    pub fn build(self) -> Result<Topology, TopologyError> {
        let inner = self.inner.take();
        Topology::new(inner.nodes, inner.stores, inner.errors)
    }

    pub(crate) fn add_store(&self, entry: StoreEntry) {
        let mut inner = self.inner.borrow_mut();
        if inner.stores.contains_key(&entry.name) {
            inner.errors.push(TopologyError::Duplicate { what: "store", name: entry.name });
            return;
        }
        inner.stores.insert(entry.name.clone(), entry);
    }

    pub(crate) fn report(&self, error: TopologyError) {
        self.inner.borrow_mut().errors.push(error);
    }

    /// A generated name: Kafka Streams' prefix and a counter of ten digits.
    pub(crate) fn next_name(&self, prefix: &str) -> Arc<str> {
        let mut inner = self.inner.borrow_mut();
        let number = inner.next_name;
        inner.next_name += 1;
        format!("{prefix}{number:010}").into()
    }

    /// Takes a number and throws it away: Kafka Streams numbers some nodes before it names them otherwise, and the numbers
    /// that follow should be the same as there.
    pub(crate) fn skip_number(&self) {
        self.inner.borrow_mut().next_name += 1;
    }

    /// True for the builder that this is a clone of.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    /// True when somebody reads the topic.
    pub(crate) fn reads(&self, topic: &TopicRef) -> bool {
        self.inner.borrow().sources.contains_key(topic)
    }

    /// The node that reads a topic of the user's, made when it is the first to.
    fn shared_source<T: 'static>(&self, topic: TopicRef, factory: SourceFactoryBox) -> NodeId {
        let known = self.inner.borrow().sources.get(&topic).copied();
        if let Some((node, types)) = known {
            if types != TypeId::of::<T>() {
                self.report(TopologyError::ReadTwice { topic: topic.short_name().to_owned() });
            }
            return node;
        }
        self.source::<T>(self.next_name("KSTREAM-SOURCE-"), topic, factory)
    }

    pub(crate) fn source<T: 'static>(&self, name: Arc<str>, topic: TopicRef, factory: SourceFactoryBox) -> NodeId {
        let node = self.add(name, NodeKind::Source { topic: topic.clone(), factory }, &[], None);
        self.inner.borrow_mut().sources.insert(topic, (node, TypeId::of::<T>()));
        node
    }

    pub(crate) fn add(
        &self,
        name: Arc<str>,
        kind: NodeKind,
        parents: &[NodeId],
        factory: Option<Box<dyn Any + Send + Sync>>,
    ) -> NodeId {
        let mut inner = self.inner.borrow_mut();
        let id = NodeId(inner.nodes.len());
        for &NodeId(parent) in parents {
            if let Some(parent) = inner.nodes.get_mut(parent) {
                parent.children.push(id);
            }
        }
        inner.nodes.push(Node { name, kind, parents: parents.to_vec(), children: Vec::new(), factory });
        id
    }
}
