//! Committed rows kept in memory beside RocksDB's blocks: a read of a row that was read just before costs a tenth of one
//! that goes through memtables, filters and blocks.
//!
//! Only what RocksDB holds is ever in here: a read fills it, a batch that was written changes what is in it, and nothing
//! else does. Keys that have no row are kept, too: the first look at a new key is as expensive as any.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lru::LruCache;

/// What an entry costs beyond its key and value: its places in the map and in the list, and two allocations.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// Bytes that all caches of the process may hold together: each gets an equal share.
pub(super) struct CacheBudget {
    bytes_max: usize,
    caches: AtomicUsize,
}

impl CacheBudget {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, caches: AtomicUsize::new(0) })
    }

    fn share(&self) -> usize {
        self.bytes_max / self.caches.load(Ordering::Relaxed).max(1)
    }
}

/// The cache of one store.
pub(super) struct RowCache {
    budget: Arc<CacheBudget>,
    rows: RefCell<Rows>,
}

struct Rows {
    /// The least recently read go first. Its order depends on reads alone, never on a hash.
    recent: LruCache<Box<[u8]>, Option<Box<[u8]>>>,
    bytes: usize,
}

fn entry_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len)
}

impl RowCache {
    pub(super) fn new(budget: &Arc<CacheBudget>) -> Self {
        budget.caches.fetch_add(1, Ordering::Relaxed);
        Self { budget: Arc::clone(budget), rows: RefCell::new(Rows { recent: LruCache::unbounded(), bytes: 0 }) }
    }

    /// Shows the row of a key, `None` when there is none. False, and nothing shown, when nothing is known of it.
    pub(super) fn read(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> bool {
        self.rows.borrow_mut().recent.get(key).map(|value| read(value.as_deref())).is_some()
    }

    /// Keeps what was read.
    pub(super) fn keep(&self, key: &[u8], value: Option<&[u8]>) {
        let (mut rows, share) = (self.rows.borrow_mut(), self.budget.share());
        let bytes = entry_bytes(key, value);
        if bytes > share {
            return;
        }
        rows.bytes += bytes;
        if let Some((key, old)) = rows.recent.push(key.into(), value.map(Into::into)) {
            rows.bytes -= entry_bytes(&key, old.as_deref());
        }
        rows.shrink(share);
    }

    /// Changes what is kept of a row that was written. Rows that nobody has read are not taken in: a restore writes
    /// millions of them.
    pub(super) fn written(&self, key: &[u8], value: Option<&[u8]>) {
        let rows = &mut *self.rows.borrow_mut();
        let Some(kept) = rows.recent.peek_mut(key) else { return };
        match (kept.as_deref_mut(), value) {
            // Most often a row keeps its size, and its place in memory with it.
            (Some(kept), Some(value)) if kept.len() == value.len() => return kept.copy_from_slice(value),
            (old, value) => rows.bytes = rows.bytes + value.map_or(0, <[u8]>::len) - old.map_or(0, |old| old.len()),
        }
        *kept = value.map(Into::into);
        rows.shrink(self.budget.share());
    }

    /// Bytes held, entries' own included.
    pub(super) fn bytes(&self) -> usize {
        self.rows.borrow().bytes
    }
}

impl Rows {
    fn shrink(&mut self, share: usize) {
        while self.bytes > share {
            let Some((key, value)) = self.recent.pop_lru() else { return };
            self.bytes -= entry_bytes(&key, value.as_deref());
        }
    }
}

impl Drop for RowCache {
    fn drop(&mut self) {
        self.budget.caches.fetch_sub(1, Ordering::Relaxed);
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

    /// What is known of a key: nothing, no row, or its value.
    fn known(cache: &RowCache, key: &str) -> Option<Option<String>> {
        let mut row = None;
        let known = cache.read(key.as_bytes(), &mut |value| {
            row = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        });
        known.then_some(row)
    }

    fn row(value: &str) -> Option<Option<String>> {
        Some(Some(value.to_owned()))
    }

    #[test]
    fn what_was_read_is_kept_and_follows_what_is_written() {
        let cache = RowCache::new(&CacheBudget::new(1 << 20));
        assert_eq!(known(&cache, "a"), None);
        cache.keep(b"a", Some(b"1"));
        cache.keep(b"b", None);
        assert_eq!(["a", "b"].map(|key| known(&cache, key)), [row("1"), Some(None)]);
        cache.written(b"a", Some(b"2"));
        assert_eq!(known(&cache, "a"), row("2"));
        cache.written(b"a", None);
        cache.written(b"b", Some(b"longer"));
        cache.written(b"c", Some(b"3"));
        assert_eq!(["a", "b", "c"].map(|key| known(&cache, key)), [Some(None), row("longer"), None]);
    }

    #[test]
    fn caches_share_the_budget_and_the_least_recently_read_goes_first() {
        let budget = CacheBudget::new(4 * (ENTRY_OVERHEAD_BYTES + 2));
        let one = RowCache::new(&budget);
        for key in ["a", "b", "c", "d"] {
            one.keep(key.as_bytes(), Some(b"v"));
        }
        assert_eq!(one.bytes(), 4 * (ENTRY_OVERHEAD_BYTES + 2));
        assert_eq!(known(&one, "a"), row("v"));
        let other = RowCache::new(&budget);
        one.keep(b"e", Some(b"v"));
        let all = ["a", "b", "c", "d", "e"].map(|key| known(&one, key).is_some());
        assert_eq!(all, [true, false, false, false, true], "half the budget is left");
        drop(other);
        one.keep(b"huge", Some(&[0; 1 << 20]));
        assert_eq!(known(&one, "huge"), None, "larger than the share: not kept, and nothing is thrown out for it");
        assert_eq!(["a", "e"].map(|key| known(&one, key)), [row("v"), row("v")]);
        assert!(one.bytes() <= budget.bytes_max);
    }

    #[test]
    fn bytes_are_those_of_what_is_kept() {
        let cache = RowCache::new(&CacheBudget::new(1 << 20));
        cache.keep(b"key", Some(b"value"));
        cache.keep(b"key", Some(b"longer value"));
        cache.written(b"key", Some(b"v"));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD_BYTES + 4);
        cache.written(b"key", None);
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD_BYTES + 3);
        cache.written(b"key", Some(b"value"));
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD_BYTES + 8);
    }
}
