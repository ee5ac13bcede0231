//! Rows in memory, in key order.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Direction, KeyRange};

/// The rows of an in-memory store.
#[derive(Debug, Clone, Default)]
pub(crate) struct SortedRows {
    rows: BTreeMap<Bytes, Bytes>,
    bytes: usize,
}

impl SortedRows {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key)
    }

    /// Puts a row, or deletes it with `None`. Returns what was there.
    pub(crate) fn set(&mut self, key: &Bytes, value: Option<Bytes>) -> Option<Bytes> {
        let new = value.as_ref().map_or(0, |value| key.len() + value.len());
        let old = match value {
            Some(value) => self.rows.insert(key.clone(), value),
            None => self.rows.remove(key),
        };
        self.bytes = self.bytes + new - old.as_ref().map_or(0, |old| key.len() + old.len());
        old
    }

    /// The first row of a range in that direction.
    pub(crate) fn first(&self, range: &KeyRange, direction: Direction) -> Option<(Bytes, Bytes)> {
        let mut rows = self.rows.range::<[u8], _>(range.bounds()?);
        let row = match direction {
            Direction::Forward => rows.next(),
            Direction::Reverse => rows.next_back(),
        };
        row.map(|(key, value)| (key.clone(), value.clone()))
    }

    pub(crate) fn rows(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.rows
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX)
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }
}
