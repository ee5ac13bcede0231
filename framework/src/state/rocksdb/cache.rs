//! Committed rows kept in memory beside RocksDB's blocks: a read of a row that was read just before costs a tenth of one
//! that goes through memtables, filters and blocks.
//!
//! Only what RocksDB holds is ever in here: a read fills it, and so does the batch of a commit: a row that was written is most
//! often read next, and the read would find it in a memtable, the dearest place. Keys without a row are not kept: RocksDB's
//! filters answer for them. Rows of a restore are not taken in: there are millions of them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lru::LruCache;

use crate::state::HitsAndMisses;

/// What an entry costs beyond its key and value: its places in the map and in the list, and two allocations.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// Bytes that all caches of the process may hold together. Each that has rows has a right to an equal share; what some leave of
/// theirs, others may use until it is asked for.
pub(super) struct CacheBudget {
    bytes_max: usize,
    caches: AtomicUsize,
    /// What all of them hold.
    bytes: AtomicUsize,
}

impl CacheBudget {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, caches: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    fn share(&self) -> usize {
        self.bytes_max / self.caches.load(Ordering::Relaxed).max(1)
    }

    /// Whether a cache that holds so much has to give some of it back.
    fn is_over(&self, bytes: usize) -> bool {
        bytes > self.share() && self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }
}

/// The cache of one store.
pub(super) struct RowCache {
    budget: Arc<CacheBudget>,
    rows: RefCell<Rows>,
}

struct Rows {
    /// The least recently read go first. Its order depends on reads alone, never on a hash.
    recent: LruCache<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    reads: HitsAndMisses,
}

const fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value.len()
}

impl RowCache {
    pub(super) fn new(budget: &Arc<CacheBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            rows: RefCell::new(Rows { recent: LruCache::unbounded(), bytes: 0, reads: HitsAndMisses::default() }),
        }
    }

    /// Shows the row of a key. False, and nothing shown, when it is not here.
    pub(super) fn read(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> bool {
        let Rows { recent, reads, .. } = &mut *self.rows.borrow_mut();
        let found = recent.get(key);
        let count = if found.is_some() { &mut reads.hits } else { &mut reads.misses };
        *count = count.saturating_add(1);
        found.map(|value| read(Some(value))).is_some()
    }

    /// What was counted since the store was opened.
    pub(super) fn reads(&self) -> HitsAndMisses {
        self.rows.borrow().reads
    }

    /// Keeps a row that was read.
    pub(super) fn keep(&self, key: &[u8], value: &[u8]) {
        self.take_in(&mut self.rows.borrow_mut(), key, value);
    }

    fn take_in(&self, rows: &mut Rows, key: &[u8], value: &[u8]) {
        if entry_bytes(key, value) > self.budget.share() {
            // It would throw out everything else.
            return;
        }
        if rows.recent.is_empty() {
            self.budget.caches.fetch_add(1, Ordering::Relaxed);
        }
        self.add(rows, entry_bytes(key, value));
        if let Some((key, old)) = rows.recent.push(key.into(), value.into()) {
            self.remove(rows, entry_bytes(&key, &old));
        }
        self.shrink(rows);
    }

    /// Keeps a row that was written, in the place of an older one.
    pub(super) fn written(&self, key: &[u8], value: Option<&[u8]>) {
        let rows = &mut *self.rows.borrow_mut();
        match (rows.recent.peek_mut(key), value) {
            // Most often a row keeps its size, and its place in memory with it.
            (Some(kept), Some(value)) if kept.len() == value.len() => kept.copy_from_slice(value),
            (Some(kept), Some(value)) => {
                let old = kept.len();
                *kept = value.into();
                self.add(rows, value.len());
                self.remove(rows, old);
                self.shrink(rows);
            }
            (Some(_), None) => {
                if let Some((key, old)) = rows.recent.pop_entry(key) {
                    self.remove(rows, entry_bytes(&key, &old));
                    self.leave(rows);
                }
            }
            (None, Some(value)) => self.take_in(rows, key, value),
            (None, None) => {}
        }
    }

    /// Forgets all rows: others were written past it.
    pub(super) fn clear(&self) {
        let rows = &mut *self.rows.borrow_mut();
        if !rows.recent.is_empty() {
            rows.recent.clear();
            let bytes = rows.bytes;
            self.remove(rows, bytes);
            self.leave(rows);
        }
    }

    /// Gives back what is over the share, if others want it. A cache that is not read does not hear of others that have come
    /// since.
    pub(super) fn settle(&self) {
        let rows = &mut *self.rows.borrow_mut();
        if !rows.recent.is_empty() {
            self.shrink(rows);
        }
    }

    /// Bytes held, entries' own included.
    pub(super) fn bytes(&self) -> usize {
        self.rows.borrow().bytes
    }

    fn add(&self, rows: &mut Rows, bytes: usize) {
        rows.bytes += bytes;
        self.budget.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, rows: &mut Rows, bytes: usize) {
        rows.bytes -= bytes;
        self.budget.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn shrink(&self, rows: &mut Rows) {
        while self.budget.is_over(rows.bytes) {
            let Some((key, value)) = rows.recent.pop_lru() else { return };
            self.remove(rows, entry_bytes(&key, &value));
        }
        self.leave(rows);
    }

    /// A cache without rows has no share.
    fn leave(&self, rows: &Rows) {
        if rows.recent.is_empty() {
            self.budget.caches.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for RowCache {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for RowCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowCache").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cache: &RowCache, key: &str) -> Option<String> {
        let mut row = None;
        let mut read = |value: Option<&[u8]>| row = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        let here = cache.read(key.as_bytes(), &mut read);
        assert_eq!(here, row.is_some());
        row
    }

    fn rows<const N: usize>(cache: &RowCache, keys: [&str; N]) -> [Option<String>; N] {
        keys.map(|key| row(cache, key))
    }

    #[test]
    fn what_was_read_or_written_is_kept_and_follows_what_is_written() {
        let cache = RowCache::new(&CacheBudget::new(1 << 20));
        assert_eq!(row(&cache, "a"), None);
        cache.keep(b"a", b"1");
        assert_eq!(row(&cache, "a").as_deref(), Some("1"));
        cache.written(b"a", Some(b"2"));
        cache.written(b"b", Some(b"new"));
        cache.written(b"c", None);
        assert_eq!(rows(&cache, ["a", "b", "c"]), [Some("2".to_owned()), Some("new".to_owned()), None]);
        cache.written(b"a", Some(b"longer"));
        assert_eq!(row(&cache, "a").as_deref(), Some("longer"));
        cache.written(b"a", None);
        assert_eq!(row(&cache, "a"), None);
        assert_eq!(cache.reads(), HitsAndMisses { hits: 4, misses: 3 });
    }

    #[test]
    fn caches_with_rows_share_the_budget_and_the_least_recently_read_goes_first() {
        let budget = CacheBudget::new(4 * (ENTRY_OVERHEAD_BYTES + 2));
        let (one, other) = (RowCache::new(&budget), RowCache::new(&budget));
        let keep = |keys: &[&str]| keys.iter().for_each(|key| one.keep(key.as_bytes(), b"v"));
        let here = || ["a", "b", "c", "d", "e"].map(|key| row(&one, key).is_some());
        keep(&["a", "b", "c", "d"]);
        assert_eq!(one.bytes(), budget.bytes_max);
        assert_eq!(row(&one, "a").as_deref(), Some("v"));
        other.keep(b"x", b"v");
        keep(&["e"]);
        assert_eq!(here(), [true, false, false, true, true], "what the other leaves of its half is used");
        other.keep(b"y", b"v");
        one.settle();
        assert_eq!(here(), [false, false, false, true, true], "until it is asked for");
        other.written(b"x", None);
        other.written(b"y", None);
        keep(&["b", "c"]);
        assert_eq!(here(), [false, true, true, true, true], "an empty cache has no share");
        other.keep(b"x", b"v");
        drop(other);
        keep(&["a"]);
        assert_eq!((one.bytes(), budget.bytes.load(Ordering::Relaxed)), (budget.bytes_max, budget.bytes_max));
        one.keep(b"huge", &vec![0; 1 << 20]);
        assert_eq!((row(&one, "huge"), one.bytes()), (None, budget.bytes_max), "larger than the share");
        drop(one);
        assert_eq!((budget.caches.load(Ordering::Relaxed), budget.bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_cache_that_nobody_reads_gives_its_part_of_the_budget_back() {
        let budget = CacheBudget::new(8 * (ENTRY_OVERHEAD_BYTES + 2));
        let caches = [(); 4].map(|()| RowCache::new(&budget));
        for cache in &caches {
            (b'a'..=b'h').for_each(|key| cache.keep(&[key], b"v"));
        }
        caches.iter().for_each(RowCache::settle);
        assert_eq!(caches.iter().map(RowCache::bytes).sum::<usize>(), budget.bytes_max);
        let empty = RowCache::new(&budget);
        empty.settle();
        assert_eq!(budget.caches.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn bytes_are_those_of_what_is_kept() {
        let cache = RowCache::new(&CacheBudget::new(1 << 20));
        cache.keep(b"key", b"value");
        cache.keep(b"key", b"longer value");
        cache.written(b"key", Some(b"v"));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD_BYTES + 4);
        cache.written(b"key", None);
        assert_eq!(cache.bytes(), 0);
    }
}
