//! State of a task: uncommitted writes in an `overlay`, committed bytes in a [`Backend`], typed handles on top.
//!
//! A backend holds **committed bytes only** (invariant I1). All stores of a task and its [`Checkpoint`] change in one
//! atomic [`CommitBatch`] (I2).
//!
//! # Layout
//! - [`TaskStores`]: all stores of one task, shared by its typed handles on one thread.
//! - [`KeyValueStore`]: the typed handle that a processor holds.
//! - [`changelog`]: the bytes of a changelog's records, frozen.
//! - [`Age`]: whether rows that were away may still be used.
//! - `rocksdb`: the state directory on disk, with the feature of that name.
//! - [`MemoryDirectory`]: state that survives close and open like a disk, in memory, with faults to inject.

mod age;
pub mod changelog;
mod engine;
mod filter;
mod key_value;
mod memory;
mod memory_faults;
mod overlay;
mod restored;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
mod rows;
mod sampling;
mod sorted;
mod stores;
#[cfg(test)]
mod tests;

pub use age::{Age, DELETE_RETENTION};
pub use engine::{DatabaseStats, EngineReads, HitsAndMisses, TableStats};
pub use key_value::{KeyValueIterator, KeyValueStore};
pub use memory::MemoryDirectory;
pub use memory_faults::StoreFault;
pub use restored::{RestoredBatch, RestoredRows};
pub use rows::Rows;
pub use sampling::{StoreOperation, StoreTimer};
pub use stores::TaskStores;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;

use bytes::Bytes;

use crate::broker::TopicId;
use crate::error::Recovery;
use crate::record::{Offset, TaskId, TopicName, TopicPartition};
use crate::time::Timestamp;

/// Which store of its task, in the order of [`StoreSpec`]s given at open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreIndex(pub u16);

/// A store as a backend sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// Its name: unique in the topology, part of the changelog's name and of the column family's.
    pub name: String,
    /// Where its rows live.
    pub kind: StoreKind,
    /// Its changelog topic; `None` when the store is not logged, and lost with its disk.
    pub changelog: Option<TopicName>,
}

/// Where rows live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// On disk, in the task's RocksDB.
    Persistent,
    /// In memory; restored from the changelog at every start.
    InMemory,
}

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending by key bytes.
    Forward,
    /// Descending.
    Reverse,
}

impl Direction {
    /// True when a scan in this direction meets `a` before `b`.
    pub fn is_before(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            Self::Forward => a < b,
            Self::Reverse => a > b,
        }
    }
}

/// A range of key bytes: from `start` (included) to `end` (excluded, `None` is open). Empty `start` is the first key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// First key, included.
    pub start: Vec<u8>,
    /// First key no longer included.
    pub end: Option<Vec<u8>>,
}

/// A range as a map of bytes takes it.
pub(crate) type KeyBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl KeyRange {
    /// Everything.
    pub const fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Self { start: prefix.to_vec(), end: Some(end) };
            }
        }
        Self { start: prefix.to_vec(), end: None }
    }

    /// True when no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// The bounds as a map of bytes takes them; `None` for an empty range, which such a map would not accept.
    pub(crate) fn bounds(&self) -> Option<KeyBounds<'_>> {
        let end = self.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
        (!self.is_empty()).then_some((Bound::Included(self.start.as_slice()), end))
    }

    /// Takes `key` and all before it, in the direction of a scan, out of the range.
    pub fn advance(&mut self, key: &[u8], direction: Direction) {
        match direction {
            Direction::Forward => {
                self.start.clear();
                self.start.extend_from_slice(key);
                self.start.push(0);
            }
            Direction::Reverse => {
                let end = self.end.get_or_insert_default();
                end.clear();
                end.extend_from_slice(key);
            }
        }
    }

    /// True when `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_ref().is_none_or(|end| key < end.as_slice())
    }
}

/// Rows of a scan, in key order of its direction. An `Err` ends the scan.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), StoreError>> + 'a>;

/// A changed row: key, and the new value or `None` for a deletion.
pub type Row = (Bytes, Option<Bytes>);

/// What a task knows about itself on disk; written in the same batch as the rows it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Next changelog offset to replay, by changelog partition: everything before it is in the rows. Only positions reached
    /// by restore and offsets of the task's own clean commits may stand here ("too old" is safe, "too new" is corruption).
    pub changelog: BTreeMap<TopicPartition, Offset>,
    /// Next input offsets of the same commit.
    pub input: BTreeMap<TopicPartition, Offset>,
    /// Number of that commit, counted from one per task without gaps; zero before the first.
    pub sequence: u64,
    /// Where a commit record of the task stands in its changelog: the last one's place, or an older one's. A start reads from
    /// there, and the record of this commit or of a later one must come. `None` in what older versions wrote.
    pub record: Option<Offset>,
    /// Stream time at that commit.
    pub stream_time: Timestamp,
    /// Ids of the changelog and input topics.
    pub topic_ids: BTreeMap<TopicName, TopicId>,
    /// Partitions of the sub-topology's input topics; zero before the first write.
    pub partitions: i32,
    /// Hash of the stores' names, kinds and formats.
    pub topology_hash: u64,
    /// Wall-clock time until which this directory was certainly owned; [`Timestamp::NONE`] when never.
    pub owned_until: Timestamp,
}

impl Checkpoint {
    /// Takes out the changelog positions of in-memory stores: their rows do not outlive the process, so a position on disk
    /// would claim rows that are not there.
    pub(crate) fn forget_in_memory(&mut self, stores: &[StoreSpec]) {
        let lost = |topic: &TopicName| {
            stores.iter().any(|spec| spec.kind == StoreKind::InMemory && spec.changelog.as_ref() == Some(topic))
        };
        self.changelog.retain(|partition, _| !lost(&partition.topic));
    }
}

/// Rows and checkpoint that become durable together. A row's `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitBatch {
    /// Changed rows by store, in key order, each key once.
    pub rows: BTreeMap<StoreIndex, Vec<Row>>,
    /// The checkpoint after this batch.
    pub checkpoint: Checkpoint,
}

/// What committed rows of one task cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendStats {
    /// About how many rows there are, in all stores.
    pub rows: u64,
    /// Bytes of files, logs not counted.
    pub disk_bytes: u64,
    /// Bytes in memory that are this task's own: memtables and in-memory stores, not the shared block cache.
    pub memory_bytes: u64,
}

/// Committed rows of all stores of one task. Owned by the task, used by one thread.
pub trait Backend {
    /// Shows the committed value of a key to `read`, once, or that there is none. The bytes are lent: most readers decode
    /// them on the spot.
    ///
    /// # Errors
    /// [`StoreError`]; corruption makes the task restore from its changelog. `read` was not called then.
    fn read(&self, store: StoreIndex, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError>;

    /// The committed value of a key.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut found = None;
        self.read(store, key, &mut |value| found = value.map(Bytes::copy_from_slice))?;
        Ok(found)
    }

    /// The committed rows of a range, as they are now: later batches do not show in a running scan.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan(&self, store: StoreIndex, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError>;

    /// About how many rows the store has; exact in memory, an estimate in RocksDB.
    ///
    /// # Errors
    /// [`StoreError`].
    fn approximate_count(&self, store: StoreIndex) -> Result<u64, StoreError>;

    /// Makes rows and checkpoint durable, all or nothing.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was applied, or the backend is unusable; close the task, Kafka is ahead and the next
    /// owner replays.
    fn apply(&mut self, batch: &CommitBatch) -> Result<(), StoreError>;

    /// Makes replayed rows and their checkpoint durable. The rows may be there before the checkpoint is, never the other way
    /// round; and the backend may go on with it behind the caller's back: see [`settle`](Self::settle).
    ///
    /// # Errors
    /// [`StoreError`], also of the load before: the checkpoint is an older one, the next replay brings the rows again.
    fn load(&mut self, batch: RestoredBatch) -> Result<(), StoreError> {
        self.apply(&batch.into())
    }

    /// True while rows and checkpoint of the last load are on their way.
    fn is_loading(&self) -> bool {
        false
    }

    /// Waits until they are there.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The checkpoint of the last batch, or load that is settled; the default one when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn checkpoint(&self) -> Result<Checkpoint, StoreError>;

    /// What the task's committed rows cost, for status pages; estimates, from the engine's own counters.
    ///
    /// # Errors
    /// [`StoreError`].
    fn stats(&self) -> Result<BackendStats, StoreError>;

    /// What the engine tells about itself; `None` when there is none, as in memory.
    ///
    /// # Errors
    /// [`StoreError`].
    fn database_stats(&self) -> Result<Option<DatabaseStats>, StoreError> {
        Ok(None)
    }

    /// Flushes and closes.
    ///
    /// # Errors
    /// [`StoreError`]; everything applied before is still safe in the log or the changelog.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Opens, wipes and sets aside the state of tasks: a directory on disk, or memory in tests.
pub trait StateDirectory {
    /// Opens the task's state, made empty when there is none, under a lock that a second opener does not get.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another thread or process has it, `Corrupt` when it cannot be read.
    fn open(&self, task: TaskId, stores: &[StoreSpec]) -> Result<Box<dyn Backend>, StoreError>;

    /// Moves the closed task's state aside (`<task>.corrupt-<n>`), so that the next open finds none. Says where it went.
    ///
    /// # Errors
    /// [`StoreError`]; the state is still where it was.
    fn quarantine(&self, task: TaskId) -> Result<PathBuf, StoreError>;

    /// Removes the closed task's state.
    ///
    /// # Errors
    /// [`StoreError`].
    fn wipe(&self, task: TaskId) -> Result<(), StoreError>;

    /// Tasks that have state here.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tasks(&self) -> Result<Vec<TaskId>, StoreError>;
}

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another thread or process holds the task's directory.
    #[error("state of task {task} is in use by another process; give each process its own state.dir or instance name")]
    Locked {
        /// The task.
        task: TaskId,
    },
    /// Damaged files.
    #[error("state of task {task} is damaged: {reason}; it is set aside and restored from the changelog")]
    Corrupt {
        /// The task.
        task: TaskId,
        /// What the engine said.
        reason: String,
    },
    /// The disk or the engine failed.
    #[error("state of task {task} cannot be {operation}: {reason}; check disk space and permissions of state.dir")]
    Io {
        /// The task.
        task: TaskId,
        /// `read`, `written`, `opened`…
        operation: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The directory of all tasks cannot be listed.
    #[error("directory {} cannot be read: {reason}; check the permissions of state.dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The directory was written by another version.
    #[error(
        "state of task {task} has format={actual}, this program reads format={expected}; run the version that wrote it, or reset the application"
    )]
    Format {
        /// The task.
        task: TaskId,
        /// Format of this program.
        expected: u32,
        /// Format found.
        actual: u32,
    },
    /// A key or value did not pass its serde.
    #[error("store={store}: {source}")]
    Serde {
        /// Name of the store.
        store: String,
        /// What the serde said.
        source: crate::serde::SerdeError,
    },
    /// What is stored is no key or value of the store's types: whatever the record in hand says, the next one meets it, too.
    #[error(
        "store={store}: a stored row cannot be read: {source}; the store was written with another type, serde or codec: use the program that wrote it, give the store another name, or reset the application"
    )]
    Undecodable {
        /// Name of the store.
        store: String,
        /// What the serde said.
        source: Box<crate::serde::SerdeError>,
    },
    /// A key that the changelog keeps for itself.
    #[error("store={store}: the key begins with the bytes that are reserved for commit records; use another key")]
    ReservedKey {
        /// Name of the store.
        store: String,
    },
    /// A handle outlived its task.
    #[error("store={store} of task {task} is closed; do not keep store handles outside their processor")]
    Closed {
        /// The task.
        task: TaskId,
        /// Name of the store.
        store: String,
    },
    /// A rule between the parts of this library was broken; the state on disk is as it was.
    #[error("bug in millpond: state of task {task}: {invariant}; please report it")]
    Bug {
        /// The task.
        task: TaskId,
        /// The rule.
        invariant: &'static str,
    },
}

impl StoreError {
    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Corrupt { task, .. } => Recovery::ReviveTask(*task),
            Self::Serde { .. } | Self::ReservedKey { .. } => Recovery::SkipRecord,
            Self::Locked { .. }
            | Self::Io { .. }
            | Self::Directory { .. }
            | Self::Format { .. }
            | Self::Undecodable { .. }
            | Self::Closed { .. }
            | Self::Bug { .. } => Recovery::Shutdown,
        }
    }
}
