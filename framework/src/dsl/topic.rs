//! A topic with its types: what is read from it and written to it is checked by the compiler.

use std::borrow::Cow;
use std::fmt;

use crate::serde::Serde;

/// The name of a topic with the serdes of its keys and values. Usually a constant:
///
/// ```
/// use millpond::dsl::Topic;
/// use millpond::serde::{Null, Utf8};
///
/// const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
/// ```
pub struct Topic<K: 'static, V: 'static> {
    name: Cow<'static, str>,
    key: &'static dyn Serde<K>,
    value: &'static dyn Serde<V>,
}

impl<K, V> Topic<K, V> {
    /// A topic of that name, keys and values.
    pub const fn new(name: &'static str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self {
        Self { name: Cow::Borrowed(name), key, value }
    }

    /// The same types under another name, for names that come from the configuration.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { name: Cow::Owned(name.into()), key: self.key, value: self.value }
    }

    /// Its name.
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

impl<K, V> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), key: self.key, value: self.value }
    }
}

impl<K, V> fmt::Debug for Topic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name).finish_non_exhaustive()
    }
}
