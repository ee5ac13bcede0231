//! Rows on their way from a changelog into a store.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Checkpoint, CommitBatch, Row, StoreIndex};

/// In the place of a value's length: the row is deleted.
const DELETED: u32 = u32::MAX;

/// Rows as a changelog has them: in any order, the last of a key counts. They lie one after the other in one piece of memory,
/// because a restore holds a million of them: an allocation for each would cost more than all the rest.
#[derive(Debug, Clone, Default)]
pub struct RestoredRows {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a row lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The first eight bytes of the key, the first highest: most comparisons need no more.
    prefix: u64,
    start: usize,
    key: u32,
    value: u32,
}

impl RestoredRows {
    /// Takes a row; `None` deletes. False when it is longer than any record of Kafka's, and is not taken.
    #[must_use]
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        let length = value.map_or(Ok(DELETED), |value| u32::try_from(value.len()));
        let (Ok(key_length), Ok(value_length)) = (u32::try_from(key.len()), length) else { return false };
        if value.is_some() && value_length == DELETED {
            return false;
        }
        self.places.push(Place { prefix: prefix(key), start: self.bytes.len(), key: key_length, value: value_length });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        true
    }

    /// What it takes in memory, without room to grow.
    pub const fn bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// True when there are none.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts them in key order. A changelog is written commit by commit, each in key order: the sort finds those runs.
    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        self.places.sort_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| a.key_in(bytes).cmp(b.key_in(bytes))));
    }

    /// Once sorted: each key once, with its last value.
    pub fn last_of_each(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let next = self.places.iter().skip(1).map(Some).chain([None]);
        let last = self.places.iter().zip(next).filter(|(place, next)| {
            next.is_none_or(|next| place.prefix != next.prefix || place.key_in(&self.bytes) != next.key_in(&self.bytes))
        });
        last.map(|(place, _)| (place.key_in(&self.bytes), place.value_in(&self.bytes)))
    }

    /// The same, with owners.
    pub fn into_rows(mut self) -> Vec<Row> {
        self.sort();
        let all = Bytes::from(std::mem::take(&mut self.bytes));
        let mut rows: Vec<Row> = Vec::with_capacity(self.places.len());
        for place in self.places {
            let (key, value) = (place.key_range(), place.value_range());
            let row = (all.slice(key), value.map(|value| all.slice(value)));
            match rows.last_mut() {
                Some(last) if last.0 == row.0 => *last = row,
                _ => rows.push(row),
            }
        }
        rows
    }
}

impl Place {
    fn key_range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.key as usize
    }

    fn value_range(&self) -> Option<std::ops::Range<usize>> {
        let start = self.start + self.key as usize;
        (self.value != DELETED).then_some(start..start + self.value as usize)
    }

    fn key_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.key_range()).unwrap_or_default()
    }

    fn value_in<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.value_range().and_then(|range| bytes.get(range))
    }
}

fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    u64::from_be_bytes(first)
}

/// Rows of a restore, and the checkpoint that holds once they are in their stores.
#[derive(Debug, Clone, Default)]
pub struct RestoredBatch {
    /// Rows by store.
    pub rows: BTreeMap<StoreIndex, RestoredRows>,
    /// The checkpoint after this batch.
    pub checkpoint: Checkpoint,
}

impl RestoredBatch {
    /// What its rows take in memory.
    pub fn bytes(&self) -> usize {
        self.rows.values().map(RestoredRows::bytes).sum()
    }
}

impl From<RestoredBatch> for CommitBatch {
    fn from(batch: RestoredBatch) -> Self {
        let rows = batch.rows.into_iter().map(|(store, rows)| (store, rows.into_rows()));
        Self { rows: rows.collect(), checkpoint: batch.checkpoint }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn restored(rows: &Owned) -> RestoredRows {
        let mut restored = RestoredRows::default();
        for (key, value) in rows {
            assert!(restored.push(key, value.as_deref()));
        }
        restored
    }

    proptest! {
        /// Short keys of few letters, zeros among them: many are equal, or differ behind their first eight bytes alone.
        #[test]
        fn restored_rows_are_in_key_order_with_the_last_value_of_each(
            rows in prop::collection::vec(
                (prop::collection::vec(0_u8..3, 0..11), prop::option::of(prop::collection::vec(any::<u8>(), 0..3))),
                0..60,
            ),
        ) {
            let wanted: BTreeMap<_, _> = rows.iter().cloned().collect();
            let mut sorted = restored(&rows);
            sorted.sort();
            let found = sorted.last_of_each().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
            prop_assert_eq!(found.collect::<Owned>(), wanted.clone().into_iter().collect::<Owned>());
            let owned = restored(&rows).into_rows().into_iter();
            let owned: Owned = owned.map(|(key, value)| (key.to_vec(), value.map(|value| value.to_vec()))).collect();
            prop_assert_eq!(owned, wanted.into_iter().collect::<Owned>());
        }
    }

    #[test]
    fn restored_rows_tell_what_they_take() {
        let rows = restored(&vec![(b"key".to_vec(), Some(b"value".to_vec())), (b"gone".to_vec(), None)]);
        assert_eq!((rows.bytes(), rows.is_empty()), (12 + 2 * size_of::<Place>(), false));
        assert_eq!(size_of::<Place>(), 24);
        assert!(RestoredRows::default().is_empty());
    }
}
