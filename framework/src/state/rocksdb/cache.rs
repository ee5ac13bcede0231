//! Committed rows kept in memory beside RocksDB's blocks: a read of a row that was read just before costs a tenth of one
//! that goes through memtables, filters and blocks.
//!
//! Only what RocksDB holds is ever in here: a read fills it, and so does the batch of a commit: a row that was written is most
//! often read next, and the read would find it in a memtable, the dearest place. Keys without a row are not kept: RocksDB's
//! filters answer for them. Rows of a restore are not taken in: there are millions of them.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::state::HitsAndMisses;

/// What an entry costs beyond its key and value: its places in the map and in the list, and an allocation.
const ENTRY_OVERHEAD_BYTES: usize = 112;

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
    hasher: RandomState,
}

struct Rows {
    /// By the hash of the key; of keys that have the same one the last is here. The least recently read go first.
    recent: LruCache<u64, Row>,
    bytes: usize,
    reads: HitsAndMisses,
}

/// A key and its value side by side: what is looked at together is fetched from memory together.
struct Row {
    bytes: Box<[u8]>,
    key_length: usize,
}

impl Row {
    fn new(key: &[u8], value: &[u8]) -> Self {
        Self { bytes: [key, value].concat().into(), key_length: key.len() }
    }

    /// The value, if this is the row of that key.
    fn value_of(&self, key: &[u8]) -> Option<&[u8]> {
        if self.key_length == key.len() { self.bytes.strip_prefix(key) } else { None }
    }

    /// Writes another value over this one. False, and nothing done, where it is not of the same length.
    fn overwrite(&mut self, value: &[u8]) -> bool {
        let kept = self.bytes.get_mut(self.key_length..).unwrap_or_default();
        let fits = kept.len() == value.len();
        if fits {
            kept.copy_from_slice(value);
        }
        fits
    }

    const fn memory(&self) -> usize {
        ENTRY_OVERHEAD_BYTES + self.bytes.len()
    }
}

const fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value.len()
}

impl RowCache {
    pub(super) fn new(budget: &Arc<CacheBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            rows: RefCell::new(Rows { recent: LruCache::unbounded(), bytes: 0, reads: HitsAndMisses::default() }),
            hasher: RandomState::default(),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// Shows the row of a key. False, and nothing shown, when it is not here.
    pub(super) fn read(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> bool {
        let Rows { recent, reads, .. } = &mut *self.rows.borrow_mut();
        let found = recent.get(&self.hash(key)).and_then(|row| row.value_of(key));
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
        if self.has_room_for(key, value) {
            self.take_in(&mut self.rows.borrow_mut(), self.hash(key), Row::new(key, value));
        }
    }

    /// False for a row that would throw out everything else.
    fn has_room_for(&self, key: &[u8], value: &[u8]) -> bool {
        entry_bytes(key, value) <= self.budget.share()
    }

    fn take_in(&self, rows: &mut Rows, hash: u64, row: Row) {
        if rows.recent.is_empty() {
            self.budget.caches.fetch_add(1, Ordering::Relaxed);
        }
        self.add(rows, row.memory());
        if let Some((_, old)) = rows.recent.push(hash, row) {
            self.remove(rows, old.memory());
        }
        self.shrink(rows);
    }

    /// Keeps a row that was written, in the place of an older one.
    pub(super) fn written(&self, key: &[u8], value: Option<&[u8]>) {
        let rows = &mut *self.rows.borrow_mut();
        let hash = self.hash(key);
        let kept = rows.recent.peek_mut(&hash).filter(|row| row.value_of(key).is_some());
        // What was kept is wrong now, also where there is no room for the new one.
        let value = value.filter(|value| self.has_room_for(key, value));
        match (kept, value) {
            // Most often a row keeps its size, and its place in memory with it.
            (Some(kept), Some(value)) => {
                if !kept.overwrite(value) {
                    let old = mem::replace(kept, Row::new(key, value));
                    self.add(rows, entry_bytes(key, value));
                    self.remove(rows, old.memory());
                    self.shrink(rows);
                }
            }
            (Some(_), None) => {
                if let Some(old) = rows.recent.pop(&hash) {
                    self.remove(rows, old.memory());
                    self.leave(rows);
                }
            }
            (None, Some(value)) => self.take_in(rows, hash, Row::new(key, value)),
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
            let Some((_, row)) = rows.recent.pop_lru() else { return };
            self.remove(rows, row.memory());
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
        one.written(b"a", Some(&vec![0; 1 << 20]));
        assert_eq!(here(), [false, false, true, true, true], "grown larger than the share");
        one.keep(b"a", b"v");
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
    fn keys_of_the_same_hash_are_told_apart() {
        let cache = RowCache::new(&CacheBudget::new(1 << 20));
        let put = |key: &[u8]| {
            let rows = &mut *cache.rows.borrow_mut();
            rows.recent.put(cache.hash(b"asked"), Row::new(key, b"1"));
        };
        for other in [b"other".as_slice(), b"aske", b"asked1"] {
            put(other);
            assert_eq!(row(&cache, "asked"), None, "{other:?}");
        }
        put(b"asked");
        assert_eq!(row(&cache, "asked").as_deref(), Some("1"));
        put(b"other");
        cache.rows.borrow_mut().bytes = entry_bytes(b"other", b"1");
        cache.budget.caches.store(1, Ordering::Relaxed);
        cache.budget.bytes.store(entry_bytes(b"other", b"1"), Ordering::Relaxed);
        cache.written(b"asked", None);
        assert_eq!(cache.bytes(), entry_bytes(b"other", b"1"), "the other's row is not deleted");
        cache.written(b"asked", Some(b"22"));
        let bytes = entry_bytes(b"asked", b"22");
        assert_eq!((row(&cache, "asked").as_deref(), cache.bytes()), (Some("22"), bytes));
        let budget = Arc::clone(&cache.budget);
        let held = || (budget.caches.load(Ordering::Relaxed), budget.bytes.load(Ordering::Relaxed));
        assert_eq!(held(), (1, bytes));
        drop(cache);
        assert_eq!(held(), (0, 0));
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
