//! One task's committed rows in RocksDB.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::properties::{
    ACTUAL_DELAYED_WRITE_RATE, BACKGROUND_ERRORS, ESTIMATE_NUM_KEYS, ESTIMATE_PENDING_COMPACTION_BYTES,
    ESTIMATE_TABLE_READERS_MEM, IS_WRITE_STOPPED, LIVE_SST_FILES_SIZE, NUM_IMMUTABLE_MEM_TABLE,
    NUM_RUNNING_COMPACTIONS, NUM_RUNNING_FLUSHES, PropName, SIZE_ALL_MEM_TABLES, TOTAL_SST_FILES_SIZE,
    num_files_at_level,
};
use rocksdb::{ColumnFamily, DB, DBRawIterator, FlushOptions, ReadOptions, WriteBatch, WriteOptions};

use super::cache::{CacheBudget, RowCache};
use super::engine_error;
use super::load::{Load, Loading, Workshop};
use super::offsets::{self, CHECKPOINT_KEY, META};
use crate::record::TaskId;
use crate::state::sorted::SortedRows;
use crate::state::{
    Backend, BackendStats, Checkpoint, CommitBatch, DatabaseStats, Direction, KeyRange, RestoredBatch, RestoredRows,
    Scan, StoreError, StoreIndex, StoreKind, StoreSpec, TableStats,
};

/// The column family of a store. Prefixed, so that no store can be named like [`META`] or RocksDB's `default`.
pub(super) fn column_family_name(store: &str) -> String {
    format!("store-{store}")
}

/// An open task: its database, its in-memory stores and its lock.
#[derive(Debug)]
pub(super) struct RocksBackend {
    task: TaskId,
    specs: Vec<StoreSpec>,
    /// One per spec.
    stores: Vec<Store>,
    checkpoint: Checkpoint,
    workshop: Workshop,
    /// Rows on their way, with the checkpoint that holds once they are there. Dropped before the database.
    load: Option<(Load, Checkpoint)>,
    /// Dropped before the lock: another opener may come in only when all files are closed.
    database: Arc<DB>,
    reads: Reads,
    _lock: File,
}

/// How single rows are read: made once, because it is an allocation in the engine.
struct Reads(ReadOptions);

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Store {
    /// Rows are in this column family, those read lately also in the cache.
    Disk {
        family: String,
        cache: RowCache,
    },
    Memory(SortedRows),
}

impl RocksBackend {
    pub(super) fn new(
        task: TaskId,
        specs: &[StoreSpec],
        (database, lock): (DB, File),
        workshop: Workshop,
        budget: &Arc<CacheBudget>,
    ) -> Result<Self, StoreError> {
        let stores = specs.iter().map(|spec| match spec.kind {
            StoreKind::Persistent => {
                Store::Disk { family: column_family_name(&spec.name), cache: RowCache::new(budget) }
            }
            StoreKind::InMemory => Store::Memory(SortedRows::default()),
        });
        let stores = stores.collect();
        let mut backend = Self {
            task,
            specs: specs.to_vec(),
            stores,
            checkpoint: Checkpoint::default(),
            workshop,
            load: None,
            database: Arc::new(database),
            reads: Reads(ReadOptions::default()),
            _lock: lock,
        };
        let bytes = backend.database.get_pinned_cf(backend.family(META)?, CHECKPOINT_KEY);
        if let Some(bytes) = bytes.map_err(|error| engine_error(task, "read", error))? {
            let mut checkpoint = offsets::decode(task, &bytes)?;
            // Also when reading: a store may have moved from disk to memory since.
            checkpoint.forget_in_memory(specs);
            drop(bytes);
            backend.checkpoint = checkpoint;
        }
        Ok(backend)
    }

    fn store(&self, store: StoreIndex) -> Result<&Store, StoreError> {
        self.stores.get(usize::from(store.0)).ok_or_else(|| unknown_store(self.task))
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.database.cf_handle(name).ok_or_else(|| unknown_store(self.task))
    }

    fn property(&self, family: &str, name: &PropName) -> Result<u64, StoreError> {
        let value = self.database.property_int_value_cf(self.family(family)?, name);
        Ok(value.map_err(|error| engine_error(self.task, "measured", error))?.unwrap_or(0))
    }

    /// What RocksDB tells of a store. Its numbers are kept by the engine: reading them costs it nothing.
    fn table(&self, family: &str, cache: &RowCache) -> Result<TableStats, StoreError> {
        let number = |name: &PropName| self.property(family, name);
        Ok(TableStats {
            file_bytes: number(TOTAL_SST_FILES_SIZE)?,
            live_bytes: number(LIVE_SST_FILES_SIZE)?,
            level0_files: number(&num_files_at_level(0))?,
            memtable_bytes: number(SIZE_ALL_MEM_TABLES)?,
            immutable_memtables: number(NUM_IMMUTABLE_MEM_TABLE)?,
            reader_bytes: number(ESTIMATE_TABLE_READERS_MEM)?,
            pending_compaction_bytes: number(ESTIMATE_PENDING_COMPACTION_BYTES)?,
            row_cache_bytes: u64::try_from(cache.bytes()).unwrap_or(u64::MAX),
            row_cache_reads: cache.reads(),
        })
    }

    /// The part of a batch that goes to disk: rows of stores on disk, and the checkpoint.
    fn disk_batch(&self, batch: &CommitBatch) -> Result<WriteBatch, StoreError> {
        let mut write = WriteBatch::default();
        for (store, rows) in &batch.rows {
            let Store::Disk { family, .. } = self.store(*store)? else { continue };
            let family = self.family(family)?;
            for (key, value) in rows {
                match value {
                    Some(value) => write.put_cf(family, key, value),
                    None => write.delete_cf(family, key),
                }
            }
        }
        write.put_cf(self.family(META)?, CHECKPOINT_KEY, self.on_disk(&batch.checkpoint)?);
        Ok(write)
    }

    /// A checkpoint's bytes, as far as it is about rows on disk.
    fn on_disk(&self, checkpoint: &Checkpoint) -> Result<Bytes, StoreError> {
        let mut checkpoint = checkpoint.clone();
        checkpoint.forget_in_memory(&self.specs);
        let invariant = "a checkpoint has no bytes";
        offsets::encode(&checkpoint).map_err(|_| StoreError::Bug { task: self.task, invariant })
    }

    /// Puts rows of in-memory stores in, and yields the others with their column families.
    fn take_memory(&mut self, batch: RestoredBatch) -> Result<Vec<(String, RestoredRows)>, StoreError> {
        let mut on_disk = Vec::new();
        for (store, mut rows) in batch.rows {
            match self.stores.get_mut(usize::from(store.0)).ok_or_else(|| unknown_store(self.task))? {
                Store::Memory(memory) => {
                    rows.sort();
                    rows.last_of_each().for_each(|(key, value)| drop(memory.set(key, value)));
                }
                Store::Disk { family, .. } => on_disk.push((family.clone(), rows)),
            }
        }
        Ok(on_disk)
    }
}

fn unknown_store(task: TaskId) -> StoreError {
    StoreError::Bug { task, invariant: "a store is used that the backend was not opened with" }
}

impl Backend for RocksBackend {
    fn read(&self, store: StoreIndex, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        match self.store(store)? {
            Store::Memory(rows) => read(rows.get(key).map(Bytes::as_ref)),
            Store::Disk { family, cache } => {
                if cache.read(key, read) {
                    return Ok(());
                }
                let value = self.database.get_pinned_cf_opt(self.family(family)?, key, &self.reads.0);
                let value = value.map_err(|error| engine_error(self.task, "read", error))?;
                if let Some(value) = &value {
                    cache.keep(key, value);
                }
                read(value.as_deref());
            }
        }
        Ok(())
    }

    fn scan(&self, store: StoreIndex, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        let store = self.store(store)?;
        // RocksDB does not promise anything for bounds in the wrong order.
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        match store {
            Store::Memory(rows) => {
                let mut rest = range.clone();
                Ok(Box::new(std::iter::from_fn(move || {
                    let row = rows.first(&rest, direction)?;
                    rest.advance(&row.0, direction);
                    Some(Ok(row))
                })))
            }
            Store::Disk { family, .. } => {
                let mut bounds = ReadOptions::default();
                bounds.set_iterate_lower_bound(range.start.clone());
                if let Some(end) = &range.end {
                    bounds.set_iterate_upper_bound(end.clone());
                }
                let rows = self.database.raw_iterator_cf_opt(self.family(family)?, bounds);
                Ok(Box::new(DiskScan::new(self.task, rows, direction)))
            }
        }
    }

    fn approximate_count(&self, store: StoreIndex) -> Result<u64, StoreError> {
        match self.store(store)? {
            Store::Memory(rows) => Ok(rows.count()),
            Store::Disk { family, .. } => self.property(family, ESTIMATE_NUM_KEYS),
        }
    }

    fn apply(&mut self, batch: &CommitBatch) -> Result<(), StoreError> {
        self.settle()?;
        for store in batch.rows.keys() {
            self.store(*store)?;
        }
        let write = self.disk_batch(batch)?;
        crate::failpoint!("store.inside_batch");
        // Through the log but not synced: see the module. The disk comes first, because it can fail and memory cannot.
        self.database
            .write_opt(write, &WriteOptions::default())
            .map_err(|error| engine_error(self.task, "written", error))?;
        crate::failpoint!("store.after_batch");
        for (store, rows) in &batch.rows {
            match self.stores.get_mut(usize::from(store.0)) {
                Some(Store::Memory(memory)) => {
                    for (key, value) in rows {
                        memory.set(key, value.as_deref());
                    }
                }
                Some(Store::Disk { cache, .. }) => {
                    for (key, value) in rows {
                        cache.written(key, value.as_deref());
                    }
                }
                None => {}
            }
        }
        self.checkpoint = batch.checkpoint.clone();
        Ok(())
    }

    fn load(&mut self, batch: RestoredBatch) -> Result<(), StoreError> {
        self.settle()?;
        if batch.bytes() < self.workshop.bytes_min && !self.checkpoint.changelog.is_empty() {
            return self.apply(&batch.into());
        }
        let after = batch.checkpoint.clone();
        let rows = self.take_memory(batch)?;
        if rows.is_empty() {
            return self.apply(&CommitBatch { rows: BTreeMap::new(), checkpoint: after });
        }
        let Checkpoint { changelog, input, sequence, record, stream_time, .. } = self.checkpoint.clone();
        let before = Checkpoint { changelog, input, sequence, record, stream_time, ..after.clone() };
        let known = before == self.checkpoint;
        let loading = Loading {
            before: if known { None } else { Some(self.on_disk(&before)?) },
            rows,
            after: self.on_disk(&after)?,
        };
        self.load = Some((self.workshop.start(&self.database, loading)?, after));
        self.checkpoint = before;
        Ok(())
    }

    fn is_loading(&self) -> bool {
        self.load.as_ref().is_some_and(|(load, _)| !load.is_done())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        if let Some((load, checkpoint)) = self.load.take() {
            let loaded = load.finish();
            // What was kept is of before, whether it was read before the load or during it; of a load that failed, some tables
            // may be there.
            self.stores.iter().for_each(|store| match store {
                Store::Disk { cache, .. } => cache.clear(),
                Store::Memory(_) => {}
            });
            loaded?;
            self.checkpoint = checkpoint;
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        Ok(self.checkpoint.clone())
    }

    fn stats(&self) -> Result<BackendStats, StoreError> {
        let mut stats = BackendStats::default();
        for store in &self.stores {
            match store {
                Store::Memory(rows) => {
                    stats.rows += rows.count();
                    stats.memory_bytes += rows.bytes();
                }
                Store::Disk { family, cache } => {
                    stats.rows += self.property(family, ESTIMATE_NUM_KEYS)?;
                    stats.disk_bytes += self.property(family, LIVE_SST_FILES_SIZE)?;
                    stats.memory_bytes += self.property(family, SIZE_ALL_MEM_TABLES)?;
                    stats.memory_bytes += self.property(family, ESTIMATE_TABLE_READERS_MEM)?;
                    cache.settle();
                    stats.memory_bytes += u64::try_from(cache.bytes()).unwrap_or(u64::MAX);
                }
            }
        }
        Ok(stats)
    }

    fn database_stats(&self) -> Result<Option<DatabaseStats>, StoreError> {
        let mut stores = BTreeMap::new();
        for (store, number) in self.stores.iter().zip(0..) {
            if let Store::Disk { family, cache } = store {
                stores.insert(StoreIndex(number), self.table(family, cache)?);
            }
        }
        // Those of the whole database are the same in each column family.
        let number = |name: &PropName| self.property(META, name);
        Ok(Some(DatabaseStats {
            stores,
            background_errors: number(BACKGROUND_ERRORS)?,
            write_stopped: number(IS_WRITE_STOPPED)? > 0,
            delayed_write_bytes: number(ACTUAL_DELAYED_WRITE_RATE)?,
            running_compactions: number(NUM_RUNNING_COMPACTIONS)?,
            running_flushes: number(NUM_RUNNING_FLUSHES)?,
        }))
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        let settled = self.settle();
        let disks = self.stores.iter().filter_map(|store| match store {
            Store::Disk { family, .. } => Some(family.as_str()),
            Store::Memory(_) => None,
        });
        let families: Result<Vec<_>, _> = disks.chain([META]).map(|name| self.family(name)).collect();
        crate::failpoint!("close.inside_flush");
        // So that the next open replays no log.
        let flushed = self.database.flush_cfs_opt(&families?, &FlushOptions::default());
        self.database.cancel_all_background_work(true);
        settled.and(flushed.map_err(|error| engine_error(self.task, "flushed", error)))
    }
}

/// A running scan of a column family.
pub(super) struct DiskScan<'a> {
    task: TaskId,
    rows: DBRawIterator<'a>,
    direction: Direction,
    started: bool,
}

impl<'a> DiskScan<'a> {
    pub(super) const fn new(task: TaskId, rows: DBRawIterator<'a>, direction: Direction) -> Self {
        Self { task, rows, direction, started: false }
    }

    /// Moves to the next row, or to the first; a scan that only wants one row does not read a second.
    fn advance(&mut self) {
        match (self.started, self.direction) {
            (false, Direction::Forward) => self.rows.seek_to_first(),
            (false, Direction::Reverse) => self.rows.seek_to_last(),
            (true, Direction::Forward) => self.rows.next(),
            (true, Direction::Reverse) => self.rows.prev(),
        }
        self.started = true;
    }
}

impl Iterator for DiskScan<'_> {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.started && !self.rows.valid() {
            return None;
        }
        self.advance();
        match self.rows.item() {
            Some((key, value)) => Some(Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))),
            // The end of the rows, or an error that looks like it.
            None => self.rows.status().err().map(|error| Err(engine_error(self.task, "read", error))),
        }
    }
}
