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
    /// Reads of a row among those, since the store was opened; those that missed have asked the engine.
    pub row_cache_reads: HitsAndMisses,
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

/// How often something was found where it was looked for, and how often not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HitsAndMisses {
    /// Found.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
}

/// Where all databases of the process found what was read, as the engine has counted it since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineReads {
    /// Blocks of rows, in the block cache; those that were not there were read from a file.
    pub data_blocks: HitsAndMisses,
    /// The same of blocks of indexes.
    pub index_blocks: HitsAndMisses,
    /// The same of blocks of filters.
    pub filter_blocks: HitsAndMisses,
    /// Keys, in memtables; what was not there was looked for in files.
    pub memtables: HitsAndMisses,
    /// Files whose filter has spared a look-up.
    pub filters_useful: u64,
    /// Files that were looked into because their filter did not rule the key out.
    pub filters_passed: u64,
    /// Those of them that had the key.
    pub filters_found: u64,
}
