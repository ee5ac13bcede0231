//! Rows of a restore, written as table files that RocksDB takes over: past its log and its memtables, on a thread of their
//! own, while the stream thread reads on.
//!
//! The order is what makes a crash harmless. First the disk knows, synced, which topic the rows are of and how old they are;
//! then come the rows, each table whole or not at all; last the checkpoint that claims them. What a crash leaves in between is
//! rows that no checkpoint claims: the next replay writes them again.
#![allow(clippy::disallowed_methods, reason = "an edge: below the store nobody sees in which order threads run")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rocksdb::properties::num_files_at_level;
use rocksdb::{
    ColumnFamily, DB, ErrorKind, IngestExternalFileOptions, Options as EngineOptions, SstFileWriter,
    WaitForCompactOptions, WriteOptions,
};

use super::offsets::{CHECKPOINT_KEY, META};
use super::{engine_error, io_error};
use crate::record::TaskId;
use crate::state::{RestoredRows, StoreError};

/// So many tables that overlap may wait for a compaction. At 20 RocksDB slows down the commits that follow.
const TABLES_WAITING_MAX: u64 = 16;

/// How long they may wait for it, before one more is handed over.
const COMPACTION_MAX: Duration = Duration::from_secs(30);

/// Where a task's tables are written before its database takes them over.
#[derive(Clone)]
pub(super) struct Workshop {
    task: TaskId,
    directory: PathBuf,
    /// Those of the stores' column families.
    options: EngineOptions,
    /// Fewer rows are not worth it.
    pub(super) bytes_min: usize,
    compaction_max: Duration,
}

/// What is to be loaded.
pub(super) struct Loading {
    /// The checkpoint without the rows, if the disk does not have it: whose they are, and how old.
    pub(super) before: Option<Bytes>,
    /// Rows by column family.
    pub(super) rows: Vec<(String, RestoredRows)>,
    /// The checkpoint with the rows.
    pub(super) after: Bytes,
}

impl Workshop {
    pub(super) const fn new(task: TaskId, directory: PathBuf, options: EngineOptions, bytes_min: usize) -> Self {
        Self { task, directory, options, bytes_min, compaction_max: COMPACTION_MAX }
    }

    /// Removes what a killed process has left.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| io_error(self.task, "cleared", &error)),
        }
    }

    /// Writes rows and checkpoints on another thread.
    pub(super) fn start(&self, database: &Arc<DB>, loading: Loading) -> Result<Load, StoreError> {
        let task = self.task;
        let bench = Bench { workshop: self.clone(), database: Arc::clone(database) };
        let thread = std::thread::Builder::new().name(format!("load-{task}")).spawn(move || bench.load(loading));
        let thread = thread.map_err(|error| io_error(task, "loaded", &error))?;
        Ok(Load { task, thread: Some(thread) })
    }
}

impl std::fmt::Debug for Workshop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What the thread of a load has.
struct Bench {
    workshop: Workshop,
    database: Arc<DB>,
}

impl Bench {
    fn load(&self, loading: Loading) -> Result<(), StoreError> {
        if let Some(before) = loading.before {
            // Synced, as the tables are: a machine that crashes must not keep these and lose that.
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            self.write_checkpoint(&before, &synced)?;
        } else {
            // It may have been written without a sync a moment ago.
            let synced = self.database.flush_wal(true);
            synced.map_err(|error| engine_error(self.workshop.task, "synced", error))?;
        }
        for (family, rows) in loading.rows {
            self.take_over(&family, rows)?;
        }
        crate::failpoint!("load.before_checkpoint");
        self.write_checkpoint(&loading.after, &WriteOptions::default())
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        let invariant = "rows are loaded into a store that is not open";
        self.database.cf_handle(name).ok_or(StoreError::Bug { task: self.workshop.task, invariant })
    }

    fn write_checkpoint(&self, bytes: &[u8], options: &WriteOptions) -> Result<(), StoreError> {
        let written = self.database.put_cf_opt(self.family(META)?, CHECKPOINT_KEY, bytes, options);
        written.map_err(|error| engine_error(self.workshop.task, "written", error))
    }

    /// Writes the rows of one store into a table, and hands it over.
    fn take_over(&self, family: &str, mut rows: RestoredRows) -> Result<(), StoreError> {
        let Workshop { task, directory, options, .. } = &self.workshop;
        let task = *task;
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort();
        fs::create_dir_all(directory).map_err(|error| io_error(task, "loaded", &error))?;
        let path = directory.join(format!("{family}.sst"));
        write(&path, options, &rows).map_err(|error| engine_error(task, "loaded", error))?;
        drop(rows);
        crate::failpoint!("load.before_rows");
        let family = self.family(family)?;
        // Before the table, not after it: who waits for this load does not wait for compaction.
        self.wait_for_compaction(family).map_err(|error| engine_error(task, "compacted", error))?;
        let mut ingest = IngestExternalFileOptions::default();
        // A second name for the file instead of a copy; the first one goes.
        ingest.set_move_files(true);
        let hand_over = |ingest: &_| self.database.ingest_external_file_cf_opts(family, ingest, vec![&path]);
        if hand_over(&ingest).is_ok() {
            return Ok(());
        }
        // Not every file system has second names. After a copy the first one is still there.
        ingest.set_move_files(false);
        hand_over(&ingest).map_err(|error| engine_error(task, "loaded", error))?;
        fs::remove_file(&path).map_err(|error| io_error(task, "removed", &error))
    }

    /// Tables that are handed over are not held up by RocksDB, however far its compaction is behind. Nor is a restore held up
    /// for longer than [`COMPACTION_MAX`]: then there are more tables, and commits are slow until compaction has caught up.
    fn wait_for_compaction(&self, family: &ColumnFamily) -> Result<(), rocksdb::Error> {
        let waiting = self.database.property_int_value_cf(family, num_files_at_level(0))?.unwrap_or(0);
        if waiting < TABLES_WAITING_MAX {
            return Ok(());
        }
        let mut options = WaitForCompactOptions::default();
        options.set_timeout(u64::try_from(self.workshop.compaction_max.as_micros()).unwrap_or(u64::MAX));
        match self.database.wait_for_compact(&options) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                tracing::warn!(task = %self.workshop.task, waiting, "compaction is behind: the restore goes on without it");
                Ok(())
            }
            waited => waited,
        }
    }
}

fn write(path: &Path, options: &EngineOptions, rows: &RestoredRows) -> Result<(), rocksdb::Error> {
    let mut table = SstFileWriter::create(options);
    table.open(path)?;
    for (key, value) in rows.last_of_each() {
        match value {
            Some(value) => table.put(key, value)?,
            None => table.delete(key)?,
        }
    }
    table.finish()
}

/// Rows that are being written. Waited for when it goes.
#[derive(Debug)]
pub(super) struct Load {
    task: TaskId,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Load {
    pub(super) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until rows and checkpoint are there.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let failed = StoreError::Bug { task: self.task, invariant: "a thread that loads rows has panicked" };
        thread.join().unwrap_or(Err(failed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Nobody may find the database open when its lock is free.
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => {
                tracing::warn!(%error, "rows of a restore were not written; the next one brings them");
            }
            Some(Err(_)) => tracing::error!(task = %self.task, "a thread that loads rows has panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rocksdb::{ColumnFamilyDescriptor, CompactionDecision};

    use super::*;
    use crate::record::Partition;

    const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(1) };
    const STORE: &str = "carts";

    /// A compaction that does not end, for whatever reason, holds up a restore for a while and not for ever.
    #[test]
    fn a_load_does_not_wait_for_a_compaction_that_never_ends() {
        let files = tempfile::tempdir().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let mut options = EngineOptions::default();
        options.set_level_zero_file_num_compaction_trigger(2);
        options.set_compaction_filter("held", move |_: u32, _: &[u8], _: &[u8]| {
            // Returns when the other end is dropped.
            held.recv().ok();
            CompactionDecision::Keep
        });
        let mut database = EngineOptions::default();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        let families = [(META, EngineOptions::default()), (STORE, options.clone())];
        let families = families.map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
        let database = Arc::new(DB::open_cf_descriptors(&database, files.path().join("db"), families).unwrap());
        // Goes before the database, also when the test fails: its end waits for the compaction.
        let release = release;
        let table = EngineOptions::default();
        let workshop = Workshop {
            compaction_max: Duration::from_millis(20),
            ..Workshop::new(TASK, files.path().join("load"), table, 0)
        };
        // The first six go to a level each, below the one whose tables are counted.
        for number in 0..TABLES_WAITING_MAX + 9 {
            let mut rows = RestoredRows::default();
            // Overlapping tables: those that do not overlap are moved down without a look at their rows.
            assert!(rows.push(b"a", Some(b"first")) && rows.push(format!("k{number:02}").as_bytes(), Some(b"value")));
            let loading =
                Loading { before: None, rows: vec![(STORE.to_owned(), rows)], after: Bytes::from_static(b"{}") };
            workshop.start(&database, loading).unwrap().finish().unwrap();
        }
        let family = database.cf_handle(STORE).unwrap();
        let tables = database.property_int_value_cf(family, num_files_at_level(0)).unwrap().unwrap();
        assert!(tables > TABLES_WAITING_MAX, "{tables}: nothing was compacted, and nothing waited for it");
        drop(release);
        assert_eq!(database.get_cf(family, "k00").unwrap().as_deref(), Some(&b"value"[..]));
    }
}
