//! The graph of a topology as JSON, for programs.

use serde_json::{Value, json};

use super::{Node, NodeKind, TopicRef, Topology};

impl Topology {
    /// The graph as JSON: `{"subtopologies":[{"id":0,"nodes":[{"name","type","topics","stores","successors"}]}]}`.
    pub fn to_json(&self) -> String {
        let parts = self.subtopologies().iter().enumerate().map(|(number, part)| {
            let nodes = part.nodes.iter().filter_map(|&id| self.node(id)).map(|node| self.node_json(node));
            json!({ "id": number, "nodes": nodes.collect::<Vec<_>>() })
        });
        json!({ "subtopologies": parts.collect::<Vec<_>>() }).to_string()
    }

    fn node_json(&self, node: &Node) -> Value {
        let (kind, topics, stores) = match &node.kind {
            NodeKind::Source { topic, .. } => ("source", vec![topic.short_name()], Vec::new()),
            NodeKind::Processor { stores } => ("processor", Vec::new(), stores.iter().map(String::as_str).collect()),
            NodeKind::Sink { topics } => ("sink", topics.iter().map(TopicRef::short_name).collect(), Vec::new()),
        };
        let successors: Vec<&str> = node.children.iter().filter_map(|&id| Some(&*self.node(id)?.name)).collect();
        json!({ "name": &*node.name, "type": kind, "topics": topics, "stores": stores, "successors": successors })
    }
}
