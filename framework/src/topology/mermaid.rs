//! The graph of a topology in Mermaid, for pages. Sources and sinks are drawn as the topics they read and write.

use std::collections::BTreeSet;

use super::{Node, NodeId, NodeKind, SubTopology, TopicRef, Topology};

impl Topology {
    /// The graph as a Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        let parts = self.subtopologies();
        let topics = parts.iter().flat_map(|part| part.sources.iter().chain(&part.sinks)).map(TopicRef::short_name);
        let chart = Chart {
            topology: self,
            topics: topics.collect(),
            stores: self.stores().map(|store| store.name.as_str()).collect(),
        };
        let mut lines = vec!["flowchart TD".to_owned()];
        for (number, part) in parts.iter().enumerate() {
            lines.push(format!("  subgraph sub{number}[\"sub-topology {number}\"]"));
            lines.extend(chart.inside(part));
            lines.push("  end".to_owned());
        }
        lines.extend(chart.topics.iter().map(|name| format!("  {}([\"{}\"])", chart.topic(name), label(name))));
        for (index, node) in self.nodes().iter().enumerate() {
            lines.extend(chart.edges(NodeId(index), node));
        }
        lines.join("\n") + "\n"
    }
}

/// Topics and stores are numbered by their names' order: names themselves are no identifiers.
struct Chart<'a> {
    topology: &'a Topology,
    topics: BTreeSet<&'a str>,
    stores: BTreeSet<&'a str>,
}

impl Chart<'_> {
    fn topic(&self, name: &str) -> String {
        format!("t{}", self.topics.range(..name).count())
    }

    fn store(&self, name: &str) -> String {
        format!("s{}", self.stores.range(..name).count())
    }

    fn inside(&self, part: &SubTopology) -> Vec<String> {
        let nodes = part.nodes.iter().filter_map(|&id| Some((id, self.topology.node(id)?)));
        let processors = nodes.filter(|(_, node)| matches!(node.kind, NodeKind::Processor { .. }));
        let processors = processors.map(|(id, node)| format!("    n{}[\"{}\"]", id.0, label(&node.name)));
        let stores = part.stores.iter().map(|name| format!("    {}[(\"{}\")]", self.store(name), label(name)));
        processors.chain(stores).collect()
    }

    fn edges(&self, id: NodeId, node: &Node) -> Vec<String> {
        let (from, stores) = match &node.kind {
            NodeKind::Source { topic, .. } => (self.topic(topic.short_name()), &[][..]),
            NodeKind::Processor { stores } => (format!("n{}", id.0), stores.as_slice()),
            NodeKind::Sink { .. } => return Vec::new(),
        };
        let ends = node.children.iter().flat_map(|&child| self.ends(child));
        let mut lines: Vec<String> = ends.map(|to| format!("  {from} --> {to}")).collect();
        lines.extend(stores.iter().map(|store| format!("  {from} <--> {}", self.store(store))));
        lines
    }

    /// Where an edge to a node ends: at the node, or at the topics of a sink.
    fn ends(&self, child: NodeId) -> Vec<String> {
        match self.topology.node(child).map(|node| &node.kind) {
            Some(NodeKind::Sink { topics }) => topics.iter().map(|topic| self.topic(topic.short_name())).collect(),
            _ => vec![format!("n{}", child.0)],
        }
    }
}

/// Quotes would end the label.
fn label(name: &str) -> String {
    name.replace('"', "#quot;")
}
