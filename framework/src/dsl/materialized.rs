//! How a store is kept: its name, serdes, and whether it lives on disk and has a changelog.

use std::fmt;

use crate::serde::Serde;
use crate::state::StoreKind;
use crate::topology::StoreEntry;

/// Makes descriptions of stores for [`StreamsBuilder::key_value_store`](super::StreamsBuilder::key_value_store).
#[derive(Debug)]
pub struct Stores;

impl Stores {
    /// A key-value store on disk, with a changelog.
    pub fn persistent<K, V>(
        name: &str,
        key: &'static dyn Serde<K>,
        value: &'static dyn Serde<V>,
    ) -> Materialized<K, V> {
        Materialized::persistent(name, key, value)
    }

    /// A key-value store in memory, with a changelog: restored in full at every start.
    pub fn in_memory<K, V>(name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Materialized<K, V> {
        Materialized::in_memory(name, key, value)
    }
}

/// A named store with its serdes. The name is part of the changelog's: keep it, and the state is kept.
///
/// ```
/// use millpond::dsl::Materialized;
/// use millpond::serde::{Bincode, Utf8};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Cart;
///
/// let on_disk = Materialized::<String, Cart>::persistent("carts", &Utf8, &Bincode);
/// let in_memory = Materialized::<String, Cart>::in_memory("carts", &Utf8, &Bincode);
/// let only_here = Materialized::<String, Cart>::in_memory("carts", &Utf8, &Bincode).without_changelog();
/// ```
pub struct Materialized<K: 'static, V: 'static> {
    pub(crate) entry: StoreEntry,
    pub(crate) key: &'static dyn Serde<K>,
    pub(crate) value: &'static dyn Serde<V>,
}

impl<K, V> Materialized<K, V> {
    /// On disk, with a changelog.
    pub fn persistent(name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self {
        Self { entry: StoreEntry { name: name.to_owned(), kind: StoreKind::Persistent, logged: true }, key, value }
    }

    /// In memory, with a changelog.
    pub fn in_memory(name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self {
        Self { entry: StoreEntry { name: name.to_owned(), kind: StoreKind::InMemory, logged: true }, key, value }
    }

    /// Without a changelog: lost with its disk, and when the task's other stores have to be restored in full; not moved when
    /// the task moves to another machine; a process that is killed right after a commit loses that commit's rows.
    #[must_use]
    pub fn without_changelog(mut self) -> Self {
        self.entry.logged = false;
        self
    }
}

impl<K, V> fmt::Debug for Materialized<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materialized").field("entry", &self.entry).finish_non_exhaustive()
    }
}
