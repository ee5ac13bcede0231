//! How RocksDB is set up: memory for the whole process, few threads, bounded files.

use std::fmt;
use std::sync::Arc;

use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, LruCacheOptions,
    Options as EngineOptions, WriteBufferManager,
};

use super::cache::CacheBudget;
use crate::state::{EngineReads, HitsAndMisses};

/// Budgets of the stores on disk. The first three are for the process, the others for each task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of cached blocks, indexes and filters. Default 64 MiB.
    pub block_cache_bytes_max: usize,
    /// Bytes of cached rows. Default 64 MiB.
    pub row_cache_bytes_max: usize,
    /// Bytes of memtables; the engine flushes when they come near. Default 32 MiB.
    pub write_buffer_bytes_max: usize,
    /// Bytes of one store's memtable. Default 16 MiB.
    pub memtable_bytes_max: usize,
    /// Bytes of the log, replayed when a killed process comes back. Default 16 MiB: a fraction of a second, whatever the size of
    /// the state. Below it, what keeps old logs alive is most often the column family of the checkpoint, which is tiny to flush.
    pub wal_bytes_max: u64,
    /// From so many bytes on, the rows of a batch of a restore are written as table files, past log and memtables; always when
    /// nothing is on disk yet. Default 1 MiB.
    pub load_bytes_min: usize,
    /// Open table files. Default 256.
    pub open_files_max: i32,
    /// Threads that flush and compact, shared by all tasks. Default 2.
    pub background_jobs_max: i32,
    /// Compression of table files. Default LZ4.
    pub compression: Compression,
}

/// Compression of table files. RocksDB built by this crate, and the prebuilt library, have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None: least CPU, about three times the disk.
    None,
    /// LZ4.
    Lz4,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Four shards of the block cache: enough for a few stream threads and two background threads.
const CACHE_SHARD_BITS: i32 = 2;

/// A filter in front of each memtable, 26 bits for a key of a row of 150 bytes: a key that is not there costs no walk through
/// its list. It is taken from the memtables' budget as soon as there is a memtable, also an empty one: only the first stores
/// of a process have filters, up to a quarter of the budget.
const FILTER_RATIO: f64 = 0.02;
/// The same, as a divisor.
const FILTERS_PER_MEMTABLE: usize = 50;

impl Default for Options {
    fn default() -> Self {
        Self {
            block_cache_bytes_max: 64 * MIB,
            row_cache_bytes_max: 64 * MIB,
            write_buffer_bytes_max: 32 * MIB,
            memtable_bytes_max: 16 * MIB,
            wal_bytes_max: 16 * 1024 * 1024,
            load_bytes_min: MIB,
            open_files_max: 256,
            background_jobs_max: 2,
            compression: Compression::Lz4,
        }
    }
}

/// Bytes of memory that all tasks share, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedMemory {
    /// Blocks, indexes and filters in the cache.
    pub block_cache_bytes: usize,
    /// How many it may hold.
    pub block_cache_bytes_max: usize,
    /// Memtables.
    pub write_buffer_bytes: usize,
    /// How many they may hold: the engine flushes when they come near.
    pub write_buffer_bytes_max: usize,
}

/// One cache and one memtable budget for all databases of the process.
pub(super) struct Budget {
    pub(super) options: Options,
    /// Options that count: all that are copied from these share the counters.
    counting: EngineOptions,
    cache: Cache,
    write_buffers: WriteBufferManager,
    pub(super) rows: Arc<CacheBudget>,
}

impl Budget {
    pub(super) fn new(options: Options) -> Self {
        // Few shards: a block that is larger than its shard is never kept, and is read and checked again by each look-up.
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(options.block_cache_bytes_max);
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        let cache = Cache::new_lru_cache_opts(&cache);
        // Without stalls: a stream thread that waits for another task's flush would miss its poll.
        let write_buffers = WriteBufferManager::new_write_buffer_manager(options.write_buffer_bytes_max, false);
        let rows = CacheBudget::new(options.row_cache_bytes_max);
        let mut counting = EngineOptions::default();
        counting.enable_statistics();
        // Counters alone: neither clocks nor histograms.
        counting.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        Self { options, counting, cache, write_buffers, rows }
    }

    pub(super) fn usage(&self) -> SharedMemory {
        SharedMemory {
            block_cache_bytes: self.cache.get_usage(),
            block_cache_bytes_max: self.options.block_cache_bytes_max,
            write_buffer_bytes: self.write_buffers.get_usage(),
            write_buffer_bytes_max: self.options.write_buffer_bytes_max,
        }
    }

    /// What the engine has counted.
    pub(super) fn reads(&self) -> EngineReads {
        let count = |ticker| self.counting.get_ticker_count(ticker);
        let found = |hits, misses| HitsAndMisses { hits: count(hits), misses: count(misses) };
        EngineReads {
            data_blocks: found(Ticker::BlockCacheDataHit, Ticker::BlockCacheDataMiss),
            index_blocks: found(Ticker::BlockCacheIndexHit, Ticker::BlockCacheIndexMiss),
            filter_blocks: found(Ticker::BlockCacheFilterHit, Ticker::BlockCacheFilterMiss),
            memtables: found(Ticker::MemtableHit, Ticker::MemtableMiss),
            filters_useful: count(Ticker::BloomFilterUseful),
            filters_passed: count(Ticker::BloomFilterFullPositive),
            filters_found: count(Ticker::BloomFilterFullTruePositive),
        }
    }

    /// Options of a task's database.
    pub(super) fn database(&self) -> EngineOptions {
        let mut options = self.column_family();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_max_background_jobs(self.options.background_jobs_max);
        options.set_max_open_files(self.options.open_files_max);
        options.set_max_total_wal_size(self.options.wal_bytes_max);
        // What a crash tore off the log's end is gone; what comes before is whole commits.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_paranoid_checks(true);
        options.set_max_manifest_file_size(4 * MIB);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(MIB);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Options of a store's column family.
    pub(super) fn column_family(&self) -> EngineOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Filters and indexes count against the budget, instead of growing beside it with the number of files.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // In parts: the filter of a table file with two million rows has 2.5 MB, of which a look-up needs one part.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(8 * KIB);
        table.set_pin_top_level_index_and_filter(true);
        table.set_bloom_filter(10.0, false);
        table.set_block_size(8 * KIB);
        table.set_format_version(6);
        let mut options = self.counting.clone();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.options.memtable_bytes_max);
        // Memtables take memory in steps of this size: large steps would fill the budget with many small stores.
        options.set_arena_block_size(64 * KIB);
        options.set_compression_type(match self.options.compression {
            Compression::None => DBCompressionType::None,
            Compression::Lz4 => DBCompressionType::Lz4,
        });
        options
    }

    /// Options of the column family of a store that is read.
    pub(super) fn store(&self) -> EngineOptions {
        let mut options = self.column_family();
        // Each open store has a cache of rows.
        let stores = Arc::strong_count(&self.rows);
        let each = self.options.memtable_bytes_max / FILTERS_PER_MEMTABLE;
        if stores.saturating_mul(each) <= self.options.write_buffer_bytes_max / 4 {
            options.set_memtable_prefix_bloom_ratio(FILTER_RATIO);
            options.set_memtable_whole_key_filtering(true);
        }
        options
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("options", &self.options).finish_non_exhaustive()
    }
}
