//! The typed handle of a key-value store.

use std::cell::Cell;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;

use super::rows::Rows;
use super::stores::TaskStores;
use super::{Direction, KeyRange, StoreError, StoreIndex};
use crate::serde::{Serde, SerdeError};

/// A key-value store of one task. The task reads its own writes; others see them once they are committed.
///
/// Keys are ordered by their bytes: ranges are meaningful when the key's serde keeps order (see [`Serde`]). A value that
/// its serde writes as null deletes the row, as in Kafka.
pub struct KeyValueStore<K: 'static, V: 'static> {
    stores: Rc<TaskStores>,
    store: StoreIndex,
    keys: &'static dyn Serde<K>,
    values: &'static dyn Serde<V>,
    /// Reused from call to call: encoding a key allocates nothing.
    key_buffer: Cell<Vec<u8>>,
    value_buffer: Cell<Vec<u8>>,
}

impl<K, V> KeyValueStore<K, V> {
    /// A handle of the store `store` of this task. Cheap; there may be several.
    pub fn new(
        stores: Rc<TaskStores>,
        store: StoreIndex,
        keys: &'static dyn Serde<K>,
        values: &'static dyn Serde<V>,
    ) -> Self {
        Self { stores, store, keys, values, key_buffer: Cell::default(), value_buffer: Cell::default() }
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        self.stores.name(self.store)
    }

    /// The value of a key, or `None`.
    ///
    /// # Errors
    /// `Serde` when the key has no bytes, `Undecodable` when the stored bytes are no `V`; otherwise see [`StoreError::recovery`].
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        self.with_key(key, |key| self.get_encoded(key))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// `Serde` when key or value has no bytes, `ReservedKey` when the key's bytes begin like a commit record's.
    pub fn put(&self, key: &K, value: &V) -> Result<(), StoreError> {
        self.with_key(key, |key| self.put_encoded(key, value))
    }

    /// Sets the value of a key that has none. Returns the value that was there and stays, or `None` when `value` was put.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`put`](Self::put).
    pub fn put_if_absent(&self, key: &K, value: &V) -> Result<Option<V>, StoreError> {
        self.with_key(key, |key| {
            let old = self.get_encoded(key)?;
            if old.is_none() {
                self.put_encoded(key, value)?;
            }
            Ok(old)
        })
    }

    /// Deletes a key. Returns the value that was there.
    ///
    /// # Errors
    /// As [`get`](Self::get); the row stays when its bytes are no `V`.
    pub fn delete(&self, key: &K) -> Result<Option<V>, StoreError> {
        self.with_key(key, |key| {
            let old = self.get_encoded(key)?;
            if old.is_some() {
                self.stores.delete(self.store, key)?;
            }
            Ok(old)
        })
    }

    /// The rows between two keys, ascending: `store.range(a..=b)`, as Kafka's `range`; other bounds work too.
    ///
    /// # Errors
    /// `Serde` when a bound has no bytes; errors of the engine come as items.
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>, StoreError> {
        self.scan(self.encode_range(&keys)?, Direction::Forward)
    }

    /// The rows between two keys, descending.
    ///
    /// # Errors
    /// As [`range`](Self::range).
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<KeyValueIterator<K, V>, StoreError> {
        self.scan(self.encode_range(&keys)?, Direction::Reverse)
    }

    /// The rows whose key bytes begin with `prefix`, ascending.
    ///
    /// # Errors
    /// `Closed` when the task is; errors of the engine come as items.
    pub fn prefix_scan(&self, prefix: &[u8]) -> Result<KeyValueIterator<K, V>, StoreError> {
        self.scan(KeyRange::prefix(prefix), Direction::Forward)
    }

    /// The rows whose key begins with the bytes of `prefix`, ascending: `P` is the first part of a composite key, written
    /// by the same serde as in the whole key.
    ///
    /// # Errors
    /// `Serde` when the prefix has no bytes; otherwise as [`prefix_scan`](Self::prefix_scan).
    pub fn prefix_scan_with<P>(&self, prefix: &P, serde: &dyn Serde<P>) -> Result<KeyValueIterator<K, V>, StoreError> {
        let mut bytes = Vec::new();
        serde.encode(prefix, &mut bytes).map_err(|source| self.serde_error(source))?;
        self.prefix_scan(&bytes)
    }

    /// All rows, ascending.
    ///
    /// # Errors
    /// As [`prefix_scan`](Self::prefix_scan).
    pub fn all(&self) -> Result<KeyValueIterator<K, V>, StoreError> {
        self.scan(KeyRange::all(), Direction::Forward)
    }

    /// All rows, descending.
    ///
    /// # Errors
    /// As [`prefix_scan`](Self::prefix_scan).
    pub fn reverse_all(&self) -> Result<KeyValueIterator<K, V>, StoreError> {
        self.scan(KeyRange::all(), Direction::Reverse)
    }

    /// About how many rows there are: the backend's count (exact in memory, an estimate in RocksDB), plus rows written and
    /// minus rows deleted since the last commit; updates count as rows written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approximate_count(&self) -> Result<u64, StoreError> {
        self.stores.approximate_count(self.store)
    }

    fn get_encoded(&self, key: &[u8]) -> Result<Option<V>, StoreError> {
        let decoded = self.stores.read(self.store, key, |bytes| bytes.map(|bytes| self.values.decode(bytes)))?;
        decoded.transpose().map_err(|source| self.undecodable(source))
    }

    fn put_encoded(&self, key: &[u8], value: &V) -> Result<(), StoreError> {
        if self.values.is_null(value) {
            return self.stores.delete(self.store, key);
        }
        if let Some(bytes) = self.values.as_bytes(value) {
            return self.stores.put(self.store, key, &bytes);
        }
        let mut buffer = self.value_buffer.take();
        buffer.clear();
        let encoded = self.values.encode(value, &mut buffer).map_err(|source| self.serde_error(source));
        let put = encoded.and_then(|()| self.stores.put(self.store, key, &buffer));
        self.value_buffer.set(buffer);
        put
    }

    fn with_key<R>(&self, key: &K, run: impl FnOnce(&[u8]) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let mut buffer = self.key_buffer.take();
        buffer.clear();
        let result = self.encode_key(key, &mut buffer).and_then(|()| run(&buffer));
        self.key_buffer.set(buffer);
        result
    }

    fn encode_key(&self, key: &K, out: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.keys.is_null(key) {
            return Err(self.serde_error(SerdeError::Null));
        }
        self.keys.encode(key, out).map_err(|source| self.serde_error(source))
    }

    fn encode_range(&self, keys: &impl RangeBounds<K>) -> Result<KeyRange, StoreError> {
        let mut range = KeyRange::all();
        match keys.start_bound() {
            Bound::Included(key) => self.encode_key(key, &mut range.start)?,
            Bound::Excluded(key) => {
                self.encode_key(key, &mut range.start)?;
                // The next possible key: byte strings have no gap between `x` and `x 00`.
                range.start.push(0);
            }
            Bound::Unbounded => {}
        }
        let mut end = Vec::new();
        match keys.end_bound() {
            Bound::Included(key) => {
                self.encode_key(key, &mut end)?;
                end.push(0);
                range.end = Some(end);
            }
            Bound::Excluded(key) => {
                self.encode_key(key, &mut end)?;
                range.end = Some(end);
            }
            Bound::Unbounded => {}
        }
        Ok(range)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Result<KeyValueIterator<K, V>, StoreError> {
        let rows = self.stores.scan(self.store, range, direction)?;
        Ok(KeyValueIterator { rows, store: self.clone() })
    }

    fn undecodable(&self, source: SerdeError) -> StoreError {
        StoreError::Undecodable { store: self.name().to_owned(), source: Box::new(source) }
    }

    fn serde_error(&self, source: SerdeError) -> StoreError {
        StoreError::Serde { store: self.name().to_owned(), source }
    }
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.stores), self.store, self.keys, self.values)
    }
}

impl<K, V> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValueStore").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Keys and values of a scan. The store may be written meanwhile, see [`Rows`]. After an error of the engine there are no
/// more items; a row that does not decode is an error, and the next one follows.
#[must_use = "a scan reads nothing until it is iterated"]
pub struct KeyValueIterator<K: 'static, V: 'static> {
    rows: Rows,
    store: KeyValueStore<K, V>,
}

impl<K, V> Iterator for KeyValueIterator<K, V> {
    type Item = Result<(K, V), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.rows.next()?.and_then(|(key, value)| {
            let decode = || Ok((self.store.keys.decode_bytes(&key)?, self.store.values.decode_bytes(&value)?));
            decode().map_err(|source| self.store.undecodable(source))
        });
        Some(decoded)
    }
}

impl<K, V> fmt::Debug for KeyValueIterator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValueIterator").field("store", &self.store.name()).finish_non_exhaustive()
    }
}
