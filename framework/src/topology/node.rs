//! Nodes and stores of a topology, as the builder leaves them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::processor::graph::SourceFactory;
use crate::record::TopicName;
use crate::state::StoreKind;

/// Number of a node, in the order of addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// A topic as the topology names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicRef {
    /// A topic of the user's: must exist.
    External(TopicName),
    /// A topic of ours, created at the first start: `<application.id>-<name>`.
    Internal {
        /// Its name without the application id: `by-user-repartition`.
        name: TopicName,
        /// How many partitions; `None`: as many as the sub-topology that writes it.
        partitions: Option<i32>,
    },
}

impl TopicRef {
    /// The name without the application id.
    pub fn short_name(&self) -> &str {
        match self {
            Self::External(name) | Self::Internal { name, .. } => name,
        }
    }
}

/// What a node is.
pub enum NodeKind {
    /// Reads a topic.
    Source {
        /// The topic.
        topic: TopicRef,
        /// How it is made for a task.
        #[doc(hidden)]
        factory: SourceFactoryBox,
    },
    /// Handles records.
    Processor {
        /// Names of the stores it is connected to, in order.
        stores: Vec<String>,
    },
    /// Writes a topic, or one of several.
    Sink {
        /// The topics that it may write to; more than one when the topic is computed.
        topics: Vec<TopicRef>,
    },
}

/// A source's factory, hidden.
pub struct SourceFactoryBox(pub(crate) SourceFactory);

impl fmt::Debug for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { topic, .. } => f.debug_struct("Source").field("topic", topic).finish_non_exhaustive(),
            Self::Processor { stores } => f.debug_struct("Processor").field("stores", stores).finish(),
            Self::Sink { topics } => f.debug_struct("Sink").field("topics", topics).finish(),
        }
    }
}

impl fmt::Debug for SourceFactoryBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceFactory")
    }
}

/// A node with its edges.
pub struct Node {
    /// Its name, unique in the topology.
    pub name: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// Nodes that send to it.
    pub parents: Vec<NodeId>,
    /// Nodes that it sends to, in the order in which they were added.
    pub children: Vec<NodeId>,
    /// `Factory<K, V>` of a node with parents.
    pub(crate) factory: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A store of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreEntry {
    /// Its name.
    pub name: String,
    /// Where its rows live.
    pub kind: StoreKind,
    /// Whether it has a changelog.
    pub logged: bool,
}

impl StoreEntry {
    /// The changelog's name without the application id.
    pub fn changelog(&self) -> Option<String> {
        self.logged.then(|| format!("{}-changelog", self.name))
    }
}
