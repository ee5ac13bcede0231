//! The topology as the page draws it: topics, processors and tables, and what flows between them.

use std::collections::BTreeMap;

use crate::topology::{Node as TopologyNode, NodeId, NodeKind, TopicRef, Topology};

/// What is drawn: vertices and the edges between them. Made from a [`Topology`], or by hand for a program with a loop of its
/// own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    pub(super) vertices: Vec<Vertex>,
    pub(super) edges: Vec<Edge>,
}

/// A vertex of a [`Graph`], as its methods hand it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VertexId(pub(super) usize);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vertex {
    pub(super) kind: VertexKind,
    /// The whole name.
    pub(super) name: String,
    /// The sub-topology of a processor.
    pub(super) part: Option<usize>,
    /// Names of a processor's stores.
    pub(super) stores: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VertexKind {
    Topic,
    /// A topic of ours; its real name begins with the application's id.
    InternalTopic,
    Processor,
    Table,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: VertexId,
    pub(super) to: VertexId,
    /// The topic whose reading is told here: each topic's on one of its edges.
    pub(super) read: Option<VertexId>,
    /// The topic or table whose writing is told here.
    pub(super) written: Option<VertexId>,
}

impl Graph {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The topic of that name; the same vertex each time.
    pub fn topic(&mut self, name: &str) -> VertexId {
        self.vertex(VertexKind::Topic, name)
    }

    /// The table of that name; the same vertex each time.
    pub fn table(&mut self, name: &str) -> VertexId {
        self.vertex(VertexKind::Table, name)
    }

    /// An edge from a topic that is read to what is written from it, a topic or a table.
    pub fn flow(&mut self, from: VertexId, to: VertexId) {
        self.edge(from, to);
    }

    fn vertex(&mut self, kind: VertexKind, name: &str) -> VertexId {
        let found = self.vertices.iter().position(|vertex| vertex.kind == kind && vertex.name == name);
        VertexId(found.unwrap_or_else(|| {
            self.vertices.push(Vertex { kind, name: name.to_owned(), part: None, stores: Vec::new() });
            self.vertices.len() - 1
        }))
    }

    fn of_topic(&mut self, topic: &TopicRef) -> VertexId {
        let kind = match topic {
            TopicRef::External(_) => VertexKind::Topic,
            TopicRef::Internal { .. } => VertexKind::InternalTopic,
        };
        self.vertex(kind, topic.short_name())
    }

    fn edge(&mut self, from: VertexId, to: VertexId) {
        if self.edges.iter().any(|edge| edge.from == from && edge.to == to) {
            return;
        }
        let is_processor =
            |id: VertexId| self.vertices.get(id.0).is_some_and(|vertex| vertex.kind == VertexKind::Processor);
        let read = (!is_processor(from) && self.edges.iter().all(|edge| edge.read != Some(from))).then_some(from);
        let written = (!is_processor(to) && self.edges.iter().all(|edge| edge.written != Some(to))).then_some(to);
        self.edges.push(Edge { from, to, read, written });
    }
}

impl From<&Topology> for Graph {
    /// Sources and sinks are drawn as the topics that they read and write.
    fn from(topology: &Topology) -> Self {
        let mut graph = Self::new();
        let mut processors: BTreeMap<NodeId, VertexId> = BTreeMap::new();
        for (number, part) in topology.subtopologies().iter().enumerate() {
            for &id in &part.nodes {
                let Some(node) = topology.node(id) else { continue };
                match &node.kind {
                    NodeKind::Source { topic, .. } => {
                        graph.of_topic(topic);
                    }
                    NodeKind::Processor { stores } => {
                        let vertex = graph.vertex(VertexKind::Processor, &node.name);
                        if let Some(vertex) = graph.vertices.get_mut(vertex.0) {
                            vertex.part = Some(number);
                            vertex.stores.clone_from(stores);
                        }
                        processors.insert(id, vertex);
                    }
                    NodeKind::Sink { topics } => topics.iter().for_each(|topic| {
                        graph.of_topic(topic);
                    }),
                }
            }
        }
        for (index, node) in topology.nodes().iter().enumerate() {
            let from = match &node.kind {
                NodeKind::Source { topic, .. } => Some(graph.of_topic(topic)),
                NodeKind::Processor { .. } => processors.get(&NodeId(index)).copied(),
                NodeKind::Sink { .. } => None,
            };
            let Some(from) = from else { continue };
            for &child in &node.children {
                for to in graph.ends(topology.node(child), processors.get(&child).copied()) {
                    graph.edge(from, to);
                }
            }
        }
        graph
    }
}

impl Graph {
    /// Where an edge to a node ends: at the processor, or at the topics of a sink.
    fn ends(&mut self, child: Option<&TopologyNode>, processor: Option<VertexId>) -> Vec<VertexId> {
        match child.map(|node| &node.kind) {
            Some(NodeKind::Sink { topics }) => topics.iter().map(|topic| self.of_topic(topic)).collect(),
            _ => processor.into_iter().collect(),
        }
    }
}

impl Vertex {
    /// The name that fits a box: generated names lose what only tells them apart, `KSTREAM-FILTER-0000000002` is `filter`.
    pub(super) fn label(&self) -> String {
        if self.kind == VertexKind::Processor && self.name.ends_with("-repartition-filter") {
            return "filter".to_owned();
        }
        let Some(rest) = self.name.strip_prefix("KSTREAM-").or_else(|| self.name.strip_prefix("KTABLE-")) else {
            return self.name.clone();
        };
        let words = rest.split('-').filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
        let branch = rest.rsplit('-').next().unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit());
        let mut label = words.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        // What stands after the number is the name of a branch.
        if !branch.is_empty() && branch.len() + 10 == rest.rsplit('-').next().unwrap_or_default().len() {
            label = format!("{label} {branch}");
        }
        label
    }

    /// The name that the broker and the counters know it by.
    pub(super) fn full_name(&self, application_id: &str) -> String {
        match self.kind {
            VertexKind::InternalTopic => format!("{application_id}-{}", self.name),
            _ => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsl::{Repartitioned, StreamsBuilder, Topic};
    use crate::serde::Utf8;

    const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
    const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);

    fn graph() -> Graph {
        let builder = StreamsBuilder::new();
        let stream = builder.stream(&IN).filter(|_, _| true);
        stream.repartition(Repartitioned::named("again", &Utf8, &Utf8)).to(&OUT);
        Graph::from(&builder.build().unwrap())
    }

    #[test]
    fn sources_and_sinks_are_drawn_as_their_topics() {
        let graph = graph();
        let named = |id: VertexId| graph.vertices[id.0].label();
        let edges: Vec<_> = graph.edges.iter().map(|edge| format!("{} {}", named(edge.from), named(edge.to))).collect();
        assert_eq!(edges, ["in filter", "filter filter", "filter again-repartition", "again-repartition out"]);
        let told = |edge: &Edge| (edge.read.map(named), edge.written.map(named));
        assert_eq!(told(&graph.edges[0]), (Some("in".into()), None));
        assert_eq!(told(&graph.edges[2]), (None, Some("again-repartition".into())));
        assert_eq!(told(&graph.edges[3]), (Some("again-repartition".into()), Some("out".into())));
        let again = graph.vertices.iter().find(|vertex| vertex.kind == VertexKind::InternalTopic).unwrap();
        assert_eq!(again.full_name("shop"), "shop-again-repartition");
    }

    #[test]
    fn generated_names_are_shortened_and_given_ones_are_not() {
        let label = |name: &str| {
            Vertex { kind: VertexKind::Processor, name: name.into(), part: None, stores: Vec::new() }.label()
        };
        assert_eq!(label("KSTREAM-FILTER-0000000002"), "filter");
        assert_eq!(label("KSTREAM-FLATMAPVALUES-0000000002"), "flatmapvalues");
        assert_eq!(label("KSTREAM-BRANCH-0000000003long"), "branch long");
        assert_eq!(label("burst-detector"), "burst-detector");
        assert_eq!(label("KSTREAM-"), "");
    }
}
