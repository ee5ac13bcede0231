//! Typed references to stores: made by the builder, opened for each task, so that a store which is not connected, or has
//! another type, does not compile.

use std::fmt;

use crate::processor::graph::Instantiation;
use crate::serde::Serde;
use crate::state::{KeyValueStore, StoreIndex};
use crate::topology::TopologyError;

/// A key-value store of the topology. Cheap to clone; pass it to `process`, which hands each task its own store.
pub struct KeyValueStoreRef<K: 'static, V: 'static> {
    pub(crate) name: String,
    pub(crate) key: &'static dyn Serde<K>,
    pub(crate) value: &'static dyn Serde<V>,
}

impl<K, V> KeyValueStoreRef<K, V> {
    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The serde of its keys.
    pub const fn key_serde(&self) -> &'static dyn Serde<K> {
        self.key
    }

    /// The serde of its values.
    pub const fn value_serde(&self) -> &'static dyn Serde<V> {
        self.value
    }
}

impl<K, V> Clone for KeyValueStoreRef<K, V> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), key: self.key, value: self.value }
    }
}

impl<K, V> fmt::Debug for KeyValueStoreRef<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValueStoreRef").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Opens stores for a task; only the framework makes one.
pub struct StoreOpener<'a, 'b>(pub(crate) &'a Instantiation<'b>);

impl fmt::Debug for StoreOpener<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreOpener")
    }
}

/// What can be connected to a processor: a store, several as a tuple, or `()` for none.
pub trait ConnectStores: Clone + Send + Sync + 'static {
    /// What the processor gets for it: open stores.
    type Handles;

    /// The names of the stores.
    fn names(&self) -> Vec<String>;

    /// Opens them for a task.
    ///
    /// # Errors
    /// [`TopologyError`] when a store is not part of the topology.
    fn open(&self, opener: &StoreOpener<'_, '_>) -> Result<Self::Handles, TopologyError>;
}

impl ConnectStores for () {
    type Handles = ();

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn open(&self, _opener: &StoreOpener<'_, '_>) -> Result<(), TopologyError> {
        Ok(())
    }
}

impl<K, V> ConnectStores for KeyValueStoreRef<K, V> {
    type Handles = KeyValueStore<K, V>;

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn open(&self, opener: &StoreOpener<'_, '_>) -> Result<Self::Handles, TopologyError> {
        let (stores, _) = opener.0.store(&self.name)?;
        let index = stores.specs().iter().position(|spec| spec.name == self.name);
        let index = index.and_then(|index| u16::try_from(index).ok()).map(StoreIndex);
        let index = index.ok_or_else(|| TopologyError::bug("a connected store is not in its task"))?;
        Ok(KeyValueStore::new(stores.clone(), index, self.key, self.value))
    }
}

macro_rules! connect_tuples {
    ($($name:ident)+) => {
        impl<$($name: ConnectStores),+> ConnectStores for ($($name,)+) {
            type Handles = ($($name::Handles,)+);

            fn names(&self) -> Vec<String> {
                #[allow(non_snake_case, reason = "type parameters name the values, too")]
                let ($($name,)+) = self;
                [$($name.names()),+].concat()
            }

            fn open(&self, opener: &StoreOpener<'_, '_>) -> Result<Self::Handles, TopologyError> {
                #[allow(non_snake_case, reason = "type parameters name the values, too")]
                let ($($name,)+) = self;
                Ok(($($name.open(opener)?,)+))
            }
        }
    };
}
connect_tuples!(A);
connect_tuples!(A B);
connect_tuples!(A B C);
connect_tuples!(A B C D);
