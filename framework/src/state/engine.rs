//! What the engine below the stores tells about itself, beside what its rows cost.

use std::collections::BTreeMap;

use super::StoreIndex;

/// The database of one task, from the engine's own counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseStats {
    /// Its stores on disk.
    pub stores: BTreeMap<StoreIndex, TableStats>,
    /// Flushes and compactions that failed since the database was opened: it may refuse writes from now on.
    pub background_errors: u64,
    /// Writes are refused until compaction has caught up.
    pub write_stopped: bool,
    /// Bytes a second that writes are held back to; zero when they are not.
    pub delayed_write_bytes: u64,
    /// Compactions that run.
    pub running_compactions: u64,
    /// Flushes that run.
    pub running_flushes: u64,
}

/// One store on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableStats {
    /// Bytes of all table files, those that are replaced and still open included.
    pub file_bytes: u64,
    /// Bytes of the table files that hold the present rows.
    pub live_bytes: u64,
    /// Table files of the first level, whose keys overlap: each look-up may have to ask all of them.
    pub level0_files: u64,
    /// Bytes of memtables.
    pub memtable_bytes: u64,
    /// Memtables that wait for their flush.
    pub immutable_memtables: u64,
    /// Bytes of indexes and filters that are outside the block cache.
    pub reader_bytes: u64,
    /// Bytes that compaction has still to rewrite, about.
    pub pending_compaction_bytes: u64,
    /// Bytes of rows that are kept in memory because they were read lately.
    pub row_cache_bytes: u64,
}

impl TableStats {
    /// Bytes on disk and in memory that are this store's own.
    pub const fn bytes(&self) -> u64 {
        self.live_bytes
            .saturating_add(self.memtable_bytes)
            .saturating_add(self.reader_bytes)
            .saturating_add(self.row_cache_bytes)
    }
}
