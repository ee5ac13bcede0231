//! The description of a topology in Kafka Streams' own text format: existing visualisers read it.

use std::collections::BTreeSet;
use std::fmt;

use super::{Node, NodeId, NodeKind, TopicRef, Topology};

/// A topology that shows itself as `Topology#describe` does in Kafka Streams 4.x.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a>(&'a Topology);

impl Topology {
    /// The text of Kafka Streams' `describe()`: internal topics without the application id.
    pub const fn describe(&self) -> Description<'_> {
        Description(self)
    }

    /// How many nodes a node leads to, itself included, counted once per path: the order in which Kafka Streams shows them.
    fn size(&self, id: NodeId) -> usize {
        1 + self.children_of(id).iter().map(|&child| self.size(child)).sum::<usize>()
    }

    fn in_order(&self, nodes: &[NodeId]) -> Vec<&Node> {
        let mut nodes: Vec<(usize, &Node)> =
            nodes.iter().filter_map(|&id| Some((self.size(id), self.node(id)?))).collect();
        nodes.sort_by(|(a_size, a), (b_size, b)| b_size.cmp(a_size).then_with(|| a.name.cmp(&b.name)));
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topologies:\n ")?;
        for (number, part) in self.0.subtopologies().iter().enumerate() {
            writeln!(f, "  Sub-topology: {number}")?;
            for node in self.0.in_order(&part.nodes) {
                Self::node(*self, f, node)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Description<'_> {
    fn node(self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        let name = &node.name;
        match &node.kind {
            NodeKind::Source { topic, .. } => {
                writeln!(f, "    Source: {name} (topics: [{}])", topic.short_name())?;
                writeln!(f, "      --> {}", self.names(&node.children))
            }
            NodeKind::Processor { stores } => {
                let stores: BTreeSet<&str> = stores.iter().map(String::as_str).collect();
                let stores = stores.into_iter().collect::<Vec<_>>().join(", ");
                writeln!(f, "    Processor: {name} (stores: [{stores}])")?;
                writeln!(f, "      --> {}", self.names(&node.children))?;
                writeln!(f, "      <-- {}", self.names(&node.parents))
            }
            NodeKind::Sink { topics } => {
                let topics: Vec<&str> = topics.iter().map(TopicRef::short_name).collect();
                writeln!(f, "    Sink: {name} (topic: {})", topics.join(", "))?;
                writeln!(f, "      <-- {}", self.names(&node.parents))
            }
        }
    }

    fn names(self, nodes: &[NodeId]) -> String {
        let names: Vec<&str> = self.0.in_order(nodes).into_iter().map(|node| &*node.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
