//! Checks that need no broker.

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, NodeKind, StoreEntry, TopologyError};

/// Every mistake, not only the first.
pub(super) fn check(nodes: &[Node], stores: &BTreeMap<String, StoreEntry>) -> Vec<TopologyError> {
    let mut errors = Vec::new();
    if !nodes.iter().any(|node| matches!(node.kind, NodeKind::Source { .. })) {
        errors.push(TopologyError::Empty);
    }
    let mut names = BTreeSet::new();
    let mut used = BTreeSet::new();
    for node in nodes {
        if !names.insert(&node.name) {
            errors.push(TopologyError::Duplicate { what: "node", name: node.name.to_string() });
        }
        let NodeKind::Processor { stores: connected } = &node.kind else { continue };
        for store in connected {
            if !stores.contains_key(store) {
                errors.push(TopologyError::UnknownStore { store: store.clone() });
            }
            used.insert(store.as_str());
        }
    }
    for store in stores.keys() {
        if !is_legal_name(store) {
            errors.push(TopologyError::IllegalName { what: "store", name: store.clone() });
        }
        if !used.contains(store.as_str()) {
            errors.push(TopologyError::UnusedStore { store: store.clone() });
        }
    }
    errors
}

/// Kafka's rule for topic names, with room left for the application id and a suffix.
pub(crate) fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 200 && name != "." && name != ".." && name.chars().all(legal)
}
