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

    /// Puts a row, or deletes it with `None`. Returns what was there. Both are copied: what comes from a commit or from a
    /// changelog lies in an arena, and a row may stay for years.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<Bytes> {
        let new = value.map_or(0, |value| key.len() + value.len());
        let old = match (self.rows.get_mut(key), value.map(Bytes::copy_from_slice)) {
            (Some(kept), Some(value)) => Some(std::mem::replace(kept, value)),
            (None, Some(value)) => self.rows.insert(Bytes::copy_from_slice(key), value),
            (_, None) => self.rows.remove(key),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn a_row_in_memory_keeps_no_chunk_of_an_arena_alive() {
        let (mut arena, mut rows) = (Arena::default(), SortedRows::default());
        let mut lent = Vec::new();
        for text in ["first", "second"] {
            let (key, value) = (arena.copy(b"key"), arena.copy(text.as_bytes()));
            rows.set(&key, Some(&value));
            lent.extend([key, value]);
        }
        let kept: Vec<&Bytes> = rows.rows().iter().flat_map(|(key, value)| [key, value]).collect();
        assert_eq!(kept, ["key", "second"]);
        assert!(kept.iter().all(|bytes| lent.iter().all(|lent| lent.as_ptr() != bytes.as_ptr())));
        assert!(kept.iter().all(|bytes| bytes.is_unique()));
        assert_eq!((rows.set(b"key", None), rows.bytes()), (Some(Bytes::from("second")), 0));
    }
}
