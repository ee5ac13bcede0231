//! Uncommitted writes of one store: at once the cache, the changelog batch, the rollback and read-your-writes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;

use bytes::Bytes;

use super::filter::{KeyBit, KeyFilter};
use super::{Direction, KeyRange, Row};
use crate::arena::Arena;

/// What a row costs beyond its key and value: its place in the map and two allocations.
const ROW_OVERHEAD_BYTES: usize = 128;

/// What the overlay knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup<'a> {
    /// Written, and this is the value.
    Found(&'a Bytes),
    /// Deleted.
    Deleted,
    /// Not touched: the committed rows decide.
    Absent,
}

/// Two layers of writes, each with one row per key. `active` takes the writes; `frozen` are the rows whose commit is in
/// flight while processing goes on. A read sees active over frozen over the committed rows.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    active: BTreeMap<Bytes, Option<Bytes>>,
    active_size: Size,
    active_filter: KeyFilter,
    /// In key order; never written to, so a sorted list is enough and goes into the batch as it is.
    frozen: Vec<Row>,
    frozen_size: Size,
    frozen_filter: KeyFilter,
    /// While a savepoint is open: what each write of the active layer replaced, oldest first. The allocation is kept from
    /// record to record.
    journal: Vec<(Bytes, Replaced)>,
    savepoint: bool,
    /// Keys and values of both layers, which live until their commit.
    arena: Arena,
    /// Bytes that were copied into it for the active layer, also for rows that were replaced or taken back since: a chunk
    /// goes with the last row that has a part in it.
    copied: usize,
}

/// What a write replaced in its layer.
#[derive(Debug)]
enum Replaced {
    Nothing,
    Row(Option<Bytes>),
}

/// Running totals of a layer.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    bytes: usize,
    rows: usize,
    deletions: usize,
}

impl Size {
    fn add(&mut self, key: &[u8], value: Option<&Bytes>) {
        self.bytes += row_bytes(key, value);
        self.rows += 1;
        self.deletions += usize::from(value.is_none());
    }

    fn remove(&mut self, key: &[u8], value: Option<&Bytes>) {
        self.bytes -= row_bytes(key, value);
        self.rows -= 1;
        self.deletions -= usize::from(value.is_none());
    }
}

fn row_bytes(key: &[u8], value: Option<&Bytes>) -> usize {
    ROW_OVERHEAD_BYTES + key.len() + value.map_or(0, Bytes::len)
}

impl Overlay {
    /// What is known of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Lookup<'_> {
        if self.active.is_empty() && self.frozen.is_empty() {
            return Lookup::Absent;
        }
        let bit = KeyBit::of(key);
        let active = if self.active_filter.may_have(bit) { self.active.get(key) } else { None };
        let frozen = || {
            if !self.frozen_filter.may_have(bit) {
                return None;
            }
            let place = self.frozen.binary_search_by(|(have, _)| have.as_ref().cmp(key)).ok()?;
            self.frozen.get(place).map(|(_, value)| value)
        };
        match active.or_else(frozen) {
            Some(Some(value)) => Lookup::Found(value),
            Some(None) => Lookup::Deleted,
            None => Lookup::Absent,
        }
    }

    /// Writes a row, or deletes it with `None`.
    pub(crate) fn write(&mut self, key: &[u8], value: Option<&[u8]>) {
        let value = value.map(|value| self.arena.copy(value));
        self.copied += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.active_size.add(key, value.as_ref());
        self.active_filter.insert(KeyBit::of(key));
        // One walk through the map; the copy of a key that is there already is short-lived.
        let key = self.arena.copy(key);
        let replaced = match self.active.entry(key.clone()) {
            Entry::Occupied(mut slot) => {
                let old = mem::replace(slot.get_mut(), value);
                self.active_size.remove(&key, old.as_ref());
                Replaced::Row(old)
            }
            Entry::Vacant(place) => {
                place.insert(value);
                Replaced::Nothing
            }
        };
        if self.savepoint {
            self.journal.push((key, replaced));
        }
    }

    /// Bytes held by both layers, the cost of keeping a row in memory included, and of values that were replaced or taken
    /// back since the last commit.
    pub(crate) fn bytes(&self) -> usize {
        if self.active.is_empty() {
            return self.frozen_size.bytes;
        }
        self.active_size.rows * ROW_OVERHEAD_BYTES + self.copied + self.frozen_size.bytes
    }

    /// Rows written and rows deleted in both layers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let deletions = self.active_size.deletions + self.frozen_size.deletions;
        (self.active_size.rows + self.frozen_size.rows - deletions, deletions)
    }

    /// Remembers this moment; a savepoint that was open is forgotten.
    pub(crate) fn savepoint(&mut self) {
        self.journal.clear();
        self.savepoint = true;
    }

    /// Forgets the savepoint, keeps the writes.
    pub(crate) fn release(&mut self) {
        self.journal.clear();
        self.savepoint = false;
    }

    /// Undoes all writes since the savepoint, and forgets it.
    pub(crate) fn rollback(&mut self) {
        self.savepoint = false;
        while let Some((key, replaced)) = self.journal.pop() {
            if let Some(undone) = self.active.remove(&key) {
                self.active_size.remove(&key, undone.as_ref());
            }
            if let Replaced::Row(old) = replaced {
                self.active_size.add(&key, old.as_ref());
                self.active.insert(key, old);
            }
        }
        if self.active.is_empty() {
            self.copied = 0;
        }
    }

    /// Makes the active layer the frozen one. The caller has applied or dropped the frozen layer before.
    pub(crate) fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty(), "one commit is in flight at a time");
        self.release();
        self.frozen = mem::take(&mut self.active).into_iter().collect();
        self.frozen_size = mem::take(&mut self.active_size);
        self.frozen_filter.clear();
        mem::swap(&mut self.frozen_filter, &mut self.active_filter);
        self.copied = 0;
    }

    /// The rows whose commit is in flight, in key order.
    pub(crate) fn frozen(&self) -> &[Row] {
        &self.frozen
    }

    /// Takes the rows whose commit is in flight out of the overlay. Their filter stays for
    /// [`restore_frozen`](Self::restore_frozen), until others are frozen.
    pub(crate) fn take_frozen(&mut self) -> Vec<Row> {
        self.frozen_size = Size::default();
        mem::take(&mut self.frozen)
    }

    /// Puts rows back that [`take_frozen`](Self::take_frozen) took.
    pub(crate) fn restore_frozen(&mut self, rows: Vec<Row>) {
        self.frozen_size = Size::default();
        for (key, value) in &rows {
            self.frozen_size.add(key, value.as_ref());
        }
        self.frozen = rows;
    }

    /// Drops both layers and the savepoint.
    pub(crate) fn discard(&mut self) {
        *self = Self::default();
    }

    /// The first row of the range in that direction, deletions included. A scan calls this again with what is left of the
    /// range ([`KeyRange::advance`]), so that writes between two steps are safe and show when they lie ahead.
    pub(crate) fn first(&self, range: &KeyRange, direction: Direction) -> Option<(&Bytes, Option<&Bytes>)> {
        let bounds = range.bounds()?;
        let mut active = self.active.range::<[u8], _>(bounds);
        let active = match direction {
            Direction::Forward => active.next(),
            Direction::Reverse => active.next_back(),
        };
        let frozen = self.first_frozen(range, direction).map(|(key, value)| (key, value));
        let first = match (active, frozen) {
            (Some(active), Some(frozen)) if direction.is_before(frozen.0, active.0) => Some(frozen),
            (Some(active), _) => Some(active),
            (None, frozen) => frozen,
        };
        first.map(|(key, value)| (key, value.as_ref()))
    }

    fn first_frozen(&self, range: &KeyRange, direction: Direction) -> Option<&Row> {
        let row = match direction {
            Direction::Forward => {
                self.frozen.get(self.frozen.partition_point(|(key, _)| key.as_ref() < range.start.as_slice()))?
            }
            Direction::Reverse => {
                let end = range.end.as_ref().map_or(self.frozen.len(), |end| {
                    self.frozen.partition_point(|(key, _)| key.as_ref() < end.as_slice())
                });
                self.frozen.get(end.checked_sub(1)?)?
            }
        };
        range.contains(&row.0).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_no_keys_of_earlier_commits() {
        let mut overlay = Overlay::default();
        for commit in 0..200_u32 {
            for key in 0..1_000_u32 {
                overlay.write(&(commit * 1_000 + key).to_be_bytes(), Some(b"row"));
            }
            overlay.freeze();
            overlay.take_frozen();
        }
        let bits = overlay.frozen_filter.bits() + overlay.active_filter.bits();
        assert!((900..=2_000).contains(&bits), "{bits} bits of 1,000 rows");
    }

    #[test]
    fn what_was_taken_back_counts_as_long_as_a_row_keeps_its_chunk_alive() {
        let mut overlay = Overlay::default();
        let large = vec![0; 60 * 1024];
        for key in 0..100_u32 {
            overlay.write(&key.to_be_bytes(), Some(b"good"));
            overlay.savepoint();
            overlay.write(b"bad", Some(&large));
            overlay.rollback();
        }
        assert_eq!(overlay.counts(), (100, 0));
        assert!(overlay.bytes() > 100 * large.len(), "{} bytes are told", overlay.bytes());
    }
}
