//! `split`: each record goes to the first branch that wants it.

use std::sync::Arc;

use crate::dsl::{Branched, KStream};

/// A branch's condition.
pub(crate) type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// A split in the making, see [`KStream::split`].
#[must_use = "end a split with build()"]
pub struct Split<K, V> {
    stream: KStream<K, V>,
    branches: Vec<(String, Predicate<K, V>)>,
}

impl<K, V> std::fmt::Debug for Split<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.branches.iter().map(|(name, _)| name)).finish()
    }
}

impl<K: Clone + 'static, V: Clone + 'static> Split<K, V> {
    /// Adds a branch for the records that no earlier branch took and for which `wants` is true.
    pub fn branch(mut self, name: &str, wants: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.branches.push((name.to_owned(), Arc::new(wants)));
        self
    }

    /// Adds a branch for the rest.
    pub fn default_branch(self, name: &str) -> Self {
        self.branch(name, |_, _| true)
    }

    /// The branches by name. Records that no branch wanted are dropped.
    pub fn build(self) -> Branched<K, V> {
        let predicates: Vec<Predicate<K, V>> = self.branches.iter().map(|(_, wants)| wants.clone()).collect();
        let builder = &self.stream.builder;
        let split_name = builder.next_name("KSTREAM-BRANCH-");
        let parents = [self.stream.node];
        let split: KStream<K, V> = self.stream.named_operator(
            split_name.clone(),
            &parents,
            false,
            move |record, outlet, task| match predicates.iter().position(|wants| wants(&record.key, &record.value)) {
                Some(branch) => outlet.forward_at(branch, record, task),
                None => Ok(()),
            },
        );
        let mut streams = Branched::new();
        // Each branch is a node of its own, added in order: `forward_at` counts the children.
        for (name, _) in self.branches {
            builder.skip_number();
            let node_name: Arc<str> = format!("{split_name}{name}").into();
            let branch = split
                .named_operator(node_name, &[split.node], false, |record, outlet, task| outlet.forward(record, task));
            streams.insert(name, branch);
        }
        streams
    }
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Splits into named branches: `.split().branch("big", ..).default_branch("rest").build()`.
    pub fn split(&self) -> Split<K, V> {
        Split { stream: self.clone(), branches: Vec::new() }
    }
}
