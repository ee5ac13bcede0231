//! The description of a program: nodes, edges, stores and topics. Immutable, shared by all threads; tasks are made from it.

mod describe;
mod error;
mod internal_topic;
mod json;
mod mermaid;
mod node;
mod subtopology;
mod validate;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use describe::Description;
pub use error::TopologyError;
pub use internal_topic::{InternalTopic, InternalTopicKind, ResolvedTopics, commits_topic};
pub use node::{Node, NodeId, NodeKind, SourceFactoryBox, StoreEntry, TopicRef};
pub(crate) use validate::is_legal_name;

use crate::processor::graph::SourceFactory;
use crate::state::StoreSpec;

/// A validated topology, made by [`StreamsBuilder::build`](crate::dsl::StreamsBuilder::build).
#[derive(Debug)]
pub struct Topology {
    nodes: Vec<Node>,
    stores: BTreeMap<String, StoreEntry>,
    subtopologies: Vec<SubTopology>,
}

/// A part of the topology whose tasks are one per partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubTopology {
    /// Its nodes, in the order of addition.
    pub nodes: Vec<NodeId>,
    /// The topics it reads, by name.
    pub sources: BTreeSet<TopicRef>,
    /// The topics it writes, by name.
    pub sinks: BTreeSet<TopicRef>,
    /// The names of its stores, in order.
    pub stores: BTreeSet<String>,
}

impl Topology {
    /// Validates nodes and stores and numbers the sub-topologies. `errors` are the mistakes that the builder has found.
    pub(crate) fn new(
        nodes: Vec<Node>,
        stores: BTreeMap<String, StoreEntry>,
        mut errors: Vec<TopologyError>,
    ) -> Result<Self, TopologyError> {
        errors.extend(validate::check(&nodes, &stores));
        if errors.len() > 1 {
            return Err(TopologyError::Several(errors));
        }
        if let Some(error) = errors.pop() {
            return Err(error);
        }
        let mut subtopologies: Vec<SubTopology> = Vec::new();
        for (index, number) in subtopology::number(&nodes).into_iter().enumerate() {
            let number = number as usize;
            if subtopologies.len() <= number {
                subtopologies.resize(number + 1, SubTopology::default());
            }
            let (Some(node), Some(part)) = (nodes.get(index), subtopologies.get_mut(number)) else { continue };
            part.nodes.push(NodeId(index));
            match &node.kind {
                NodeKind::Source { topic, .. } => {
                    part.sources.insert(topic.clone());
                }
                NodeKind::Sink { topics } => part.sinks.extend(topics.iter().cloned()),
                NodeKind::Processor { stores } => part.stores.extend(stores.iter().cloned()),
            }
        }
        Ok(Self { nodes, stores, subtopologies })
    }

    /// All nodes in the order of addition; a [`NodeId`] is a place in it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The sub-topologies, by number.
    pub fn subtopologies(&self) -> &[SubTopology] {
        &self.subtopologies
    }

    /// A node by its id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// A store by name.
    pub fn store(&self, name: &str) -> Option<&StoreEntry> {
        self.stores.get(name)
    }

    /// All stores by name.
    pub fn stores(&self) -> impl Iterator<Item = &StoreEntry> {
        self.stores.values()
    }

    /// All topics read by any sub-topology, and so by every member of the group.
    pub fn sources(&self) -> BTreeSet<&TopicRef> {
        self.subtopologies.iter().flat_map(|part| &part.sources).collect()
    }

    /// The stores of a sub-topology as a state directory wants them, in the order of their index.
    pub fn store_specs(&self, subtopology: u32, topics: &ResolvedTopics) -> Vec<StoreSpec> {
        let Some(part) = self.subtopologies.get(subtopology as usize) else { return Vec::new() };
        let entries = part.stores.iter().filter_map(|name| self.stores.get(name));
        entries
            .map(|entry| StoreSpec {
                name: entry.name.clone(),
                kind: entry.kind,
                changelog: entry.changelog().map(|name| topics.internal_name(&name)),
            })
            .collect()
    }

    /// A hash over the names, kinds and logging of a sub-topology's stores: state on disk belongs to one of these.
    /// FNV-1a, 64 bits; the same on every machine and in every release.
    pub fn stores_hash(&self, subtopology: u32) -> u64 {
        let Some(part) = self.subtopologies.get(subtopology as usize) else { return 0 };
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for entry in part.stores.iter().filter_map(|name| self.stores.get(name)) {
            let kind = match entry.kind {
                crate::state::StoreKind::Persistent => b'p',
                crate::state::StoreKind::InMemory => b'm',
            };
            for byte in entry.name.bytes().chain([0, kind, u8::from(entry.logged)]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash
    }

    pub(crate) fn sources_of(&self, subtopology: u32) -> impl Iterator<Item = (NodeId, &TopicRef, &SourceFactory)> {
        let nodes = self.subtopologies.get(subtopology as usize).into_iter().flat_map(|part| &part.nodes);
        nodes.filter_map(|&id| match &self.node(id)?.kind {
            NodeKind::Source { topic, factory } => Some((id, topic, &factory.0)),
            _ => None,
        })
    }

    pub(crate) fn children_of(&self, id: NodeId) -> &[NodeId] {
        self.node(id).map_or(&[], |node| &node.children)
    }

    pub(crate) fn node_name(&self, id: NodeId) -> Arc<str> {
        self.node(id).map_or_else(|| Arc::from(""), |node| node.name.clone())
    }

    pub(crate) fn factory_of(&self, id: NodeId) -> Option<&(dyn Any + Send + Sync)> {
        self.node(id)?.factory.as_deref()
    }
}
