//! What can be wrong with a topology; every message names the node, store or topic and says what to do.

/// A mistake in a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Nothing is read.
    #[error("the topology reads no topic; begin with builder.stream(..) or builder.table(..)")]
    Empty,
    /// Two nodes, or two stores, of one name.
    #[error("{what}={name} is there twice; give each its own name")]
    Duplicate {
        /// `node`, `store`, `repartition`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot be part of a topic's name.
    #[error("{what}={name} is not a legal name; use letters, digits, '.', '_' and '-', at most 200 of them")]
    IllegalName {
        /// What was named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The same topic read with two different types.
    #[error("topic={topic} is already read as another type; use one Topic constant, or convert after one stream(..)")]
    ReadTwice {
        /// The topic.
        topic: String,
    },
    /// A store that nobody added.
    #[error("store={store} is not part of this builder; make it with this builder's key_value_store(..)")]
    UnknownStore {
        /// The store.
        store: String,
    },
    /// A store that no node is connected to.
    #[error("store={store} is connected to no node; pass it to process(..), or remove it")]
    UnusedStore {
        /// The store.
        store: String,
    },
    /// Streams of two builders in one node.
    #[error("node={node} merges a stream of another builder; make both with one StreamsBuilder")]
    OtherBuilder {
        /// The node.
        node: String,
    },
    /// A store behind a change of key.
    #[error(
        "node={node} uses stores after the key was changed, so equal keys are in different tasks; put .repartition(..) before it"
    )]
    KeyChanged {
        /// The node.
        node: String,
    },
    /// A topic that does not exist.
    #[error("topic={topic} does not exist; create it with the number of partitions that you want, then start again")]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// An internal topic was deleted under a running application.
    #[error(
        "internal topic={topic} is gone while the application was running; its content is lost: reset the application, or restore the topic"
    )]
    InternalTopicGone {
        /// The topic.
        topic: String,
    },
    /// A topic that was deleted and created again while the application was running.
    #[error(
        "topic={topic} was deleted and created again while the application was running; offsets and state are about the old one: start again to be told what is lost"
    )]
    Recreated {
        /// The topic.
        topic: String,
    },
    /// Topics that one sub-topology reads differ in partitions.
    #[error(
        "sub-topology={subtopology} reads topics with different numbers of partitions: {topics}; repartition one of them, so that equal keys meet in one task"
    )]
    NotCoPartitioned {
        /// The sub-topology.
        subtopology: u32,
        /// Topics with their counts: `a=4, b=3`.
        topics: String,
    },
    /// An internal topic has another number of partitions than it needs.
    #[error(
        "internal topic={topic} has partitions={actual} but needs {expected}; keys would move: reset the application, or repartition by hand"
    )]
    PartitionsChanged {
        /// The topic.
        topic: String,
        /// Partitions there are.
        actual: i32,
        /// Partitions there should be.
        expected: i32,
    },
    /// An internal topic that exists loses records.
    #[error(
        "internal topic={topic} has {setting}={found}: it would lose records that are needed; set {setting}={expected} (kafka-configs --alter --entity-type topics)"
    )]
    InternalTopicSetting {
        /// The topic.
        topic: String,
        /// Its setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Partitions were added to an input while the application was running.
    #[error(
        "topic={topic} had partitions={expected} when the application started and now has {actual} or more; equal keys have moved: stop all instances, then reset the application or go back to a topic with {expected} partitions"
    )]
    PartitionsAdded {
        /// The topic.
        topic: String,
        /// Partitions at the start.
        expected: i32,
        /// Partitions there are at least.
        actual: i32,
    },
    /// A sub-topology that reads only what nobody writes.
    #[error(
        "the number of partitions of internal topic={topic} cannot be derived: its writers form a circle; give Repartitioned a number of partitions"
    )]
    NoPartitions {
        /// The topic.
        topic: String,
    },
    /// Ours.
    #[error("broken invariant: {invariant}; please report it")]
    Bug {
        /// Which.
        invariant: &'static str,
    },
    /// Several at once.
    #[error("{}", list(.0))]
    Several(Vec<TopologyError>),
}

impl TopologyError {
    pub(crate) const fn bug(invariant: &'static str) -> Self {
        Self::Bug { invariant }
    }
}

fn list(errors: &[TopologyError]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("- {error}")).collect();
    format!("the topology has {} mistakes:\n{}", errors.len(), lines.join("\n"))
}
