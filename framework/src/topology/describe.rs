//! The description of a topology in Kafka Streams' own text format (existing visualisers read it), in Mermaid and in JSON.

use std::collections::BTreeMap;
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

    /// The graph in Mermaid.
    pub fn mermaid(&self) -> String {
        let mut lines = vec!["flowchart TD".to_owned()];
        let mut topics: BTreeMap<&str, String> = BTreeMap::new();
        for (number, part) in self.subtopologies().iter().enumerate() {
            lines.push(format!("  subgraph sub{number}[\"sub-topology {number}\"]"));
            for &id in &part.nodes {
                let Some(node) = self.node(id) else { continue };
                if matches!(node.kind, NodeKind::Processor { .. }) {
                    lines.push(format!("    n{}[\"{}\"]", id.0, node.name));
                }
            }
            lines.extend(part.stores.iter().map(|store| format!("    s_{}[(\"{store}\")]", identifier(store))));
            lines.push("  end".to_owned());
            for topic in part.sources.iter().chain(&part.sinks) {
                let id = format!("t_{}", identifier(topic.short_name()));
                topics.entry(topic.short_name()).or_insert(id);
            }
        }
        lines.extend(topics.iter().map(|(name, id)| format!("  {id}([\"{name}\"])")));
        for (index, node) in self.nodes().iter().enumerate() {
            lines.extend(self.mermaid_edges(NodeId(index), node, &topics));
        }
        lines.join("\n") + "\n"
    }

    fn mermaid_edges(&self, id: NodeId, node: &Node, topics: &BTreeMap<&str, String>) -> Vec<String> {
        let topic = |topic: &TopicRef| topics.get(topic.short_name()).cloned().unwrap_or_default();
        match &node.kind {
            // Sources and sinks are drawn as their topics.
            NodeKind::Source { topic: from, .. } => {
                self.ends(node).into_iter().map(|to| format!("  {} --> {}", topic(from), end(&to, &topic))).collect()
            }
            NodeKind::Processor { stores } => {
                let ends = self.ends(node).into_iter();
                let mut lines: Vec<String> = ends.map(|to| format!("  n{} --> {}", id.0, end(&to, &topic))).collect();
                lines.extend(stores.iter().map(|store| format!("  n{} <--> s_{}", id.0, identifier(store))));
                lines
            }
            NodeKind::Sink { .. } => Vec::new(),
        }
    }

    fn ends(&self, node: &Node) -> Vec<End> {
        let children = node.children.iter().filter_map(|&id| Some((id, self.node(id)?)));
        children
            .flat_map(|(id, child)| match &child.kind {
                NodeKind::Sink { topics } => topics.iter().cloned().map(End::Topic).collect(),
                _ => vec![End::Node(id)],
            })
            .collect()
    }

    /// The graph as JSON: `{"subtopologies":[{"id":0,"nodes":[{"name","type","topics","stores","successors"}]}]}`.
    pub fn to_json(&self) -> String {
        let parts = self.subtopologies().iter().enumerate().map(|(number, part)| {
            let nodes = part.nodes.iter().filter_map(|&id| self.node(id)).map(|node| self.node_json(node));
            serde_json::json!({ "id": number, "nodes": nodes.collect::<Vec<_>>() })
        });
        serde_json::json!({ "subtopologies": parts.collect::<Vec<_>>() }).to_string()
    }

    fn node_json(&self, node: &Node) -> serde_json::Value {
        let (kind, topics, stores) = match &node.kind {
            NodeKind::Source { topic, .. } => ("source", vec![topic.short_name()], Vec::new()),
            NodeKind::Processor { stores } => ("processor", Vec::new(), stores.iter().map(String::as_str).collect()),
            NodeKind::Sink { topics } => ("sink", topics.iter().map(TopicRef::short_name).collect(), Vec::new()),
        };
        let successors: Vec<&str> = node.children.iter().filter_map(|&id| Some(&*self.node(id)?.name)).collect();
        serde_json::json!({
            "name": &*node.name, "type": kind, "topics": topics, "stores": stores, "successors": successors
        })
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

enum End {
    Node(NodeId),
    Topic(TopicRef),
}

fn end(end: &End, topic: &impl Fn(&TopicRef) -> String) -> String {
    match end {
        End::Node(id) => format!("n{}", id.0),
        End::Topic(to) => topic(to),
    }
}

/// Mermaid's identifiers have no punctuation.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topologies:\n ")?;
        for (number, part) in self.0.subtopologies().iter().enumerate() {
            writeln!(f, "  Sub-topology: {number}")?;
            for node in self.0.in_order(&part.nodes) {
                self.node(f, node)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Description<'_> {
    fn node(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        let name = &node.name;
        match &node.kind {
            NodeKind::Source { topic, .. } => {
                writeln!(f, "    Source: {name} (topics: [{}])", topic.short_name())?;
                writeln!(f, "      --> {}", self.names(&node.children))
            }
            NodeKind::Processor { stores } => {
                writeln!(f, "    Processor: {name} (stores: [{}])", stores.join(", "))?;
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

    fn names(&self, nodes: &[NodeId]) -> String {
        let names: Vec<&str> = self.0.in_order(nodes).into_iter().map(|node| &*node.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
