//! Sub-topologies: the parts of a topology that share neither an edge nor a store, found by union-find and numbered as
//! Kafka Streams numbers them: by the names of their sources, in order.

use std::collections::BTreeMap;

use super::{Node, NodeId, NodeKind};

/// The number of each node's sub-topology.
pub(super) fn number(nodes: &[Node]) -> Vec<u32> {
    let mut union = UnionFind::new(nodes.len());
    let mut by_store: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for &NodeId(parent) in &node.parents {
            union.join(index, parent);
        }
        let NodeKind::Processor { stores } = &node.kind else { continue };
        for store in stores {
            let first = *by_store.entry(store).or_insert(index);
            union.join(index, first);
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    // Sources first, then by name: as InternalTopologyBuilder.makeNodeGroups.
    order.sort_by_key(|&index| {
        nodes.get(index).map(|node| (!matches!(node.kind, NodeKind::Source { .. }), node.name.clone()))
    });
    let mut numbers: BTreeMap<usize, u32> = BTreeMap::new();
    for index in order {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        numbers.entry(union.root(index)).or_insert(next);
    }
    (0..nodes.len()).map(|index| numbers.get(&union.root(index)).copied().unwrap_or_default()).collect()
}

struct UnionFind(Vec<usize>);

impl UnionFind {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&self, mut index: usize) -> usize {
        while let Some(&parent) = self.0.get(index) {
            if parent == index {
                break;
            }
            index = parent;
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller root wins, so that the result does not depend on the order of joins.
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}
