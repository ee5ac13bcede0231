//! A task's state for reading only, beside a process that may be writing it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::properties::{ESTIMATE_NUM_KEYS, LIVE_SST_FILES_SIZE};
use rocksdb::{ColumnFamilyDescriptor, DB, ReadOptions};

use super::backend::{DiskScan, column_family_name};
use super::directory::{existing_column_families, is_our_format, opening_error};
use super::offsets::{self, CHECKPOINT_KEY, META};
use super::options::{Budget, Options};
use super::{engine_error, io_error};
use crate::record::TaskId;
use crate::state::changelog::parse_task;
use crate::state::{Checkpoint, Direction, KeyRange, Scan, StoreError};

/// The committed rows of a task, as they were when it was opened.
///
/// RocksDB opens the database as a secondary: it writes nothing into the directory, and follows the files of a process that
/// writes. Rows of in-memory stores are not on disk and so not here.
#[derive(Debug)]
pub struct TaskView {
    task: TaskId,
    stores: Vec<String>,
    checkpoint: Option<Checkpoint>,
    database: DB,
}

/// What a store's files hold; estimates, from the engine's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// About how many rows.
    pub rows: u64,
    /// Bytes of table files.
    pub disk_bytes: u64,
}

/// State of one instance on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceState {
    /// The instance's name.
    pub instance: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its tasks that have state.
    pub tasks: Vec<TaskId>,
    /// Names of directories of tasks that were set aside: `0_3.corrupt-1`.
    pub set_aside: Vec<String>,
}

/// The instances of an application that have state on this machine, by name.
///
/// # Errors
/// [`StoreError::Directory`] when a directory cannot be read; one that does not exist has no instances.
pub fn instances(state_dir: &Path, application_id: &str) -> Result<Vec<InstanceState>, StoreError> {
    let root = state_dir.join(application_id);
    let mut found = Vec::new();
    for (name, path) in directories(&root)? {
        if name.contains(RESET_MARK) {
            continue;
        }
        let (mut tasks, mut set_aside) = (Vec::new(), Vec::new());
        for (child, _) in directories(&path)? {
            match parse_task(child.as_bytes()) {
                Some(task) => tasks.push(task),
                None if child.contains(".corrupt-") => set_aside.push(child),
                None => {}
            }
        }
        tasks.sort();
        if !tasks.is_empty() || !set_aside.is_empty() {
            found.push(InstanceState { instance: name, path, tasks, set_aside });
        }
    }
    Ok(found)
}

/// How often a state is opened before it counts as damaged.
const TRIES: usize = 3;

/// In the name of a directory that a reset has moved aside.
const RESET_MARK: &str = ".reset-";

/// Where a reset moves an instance's directory: beside it, under a name that is free.
pub fn aside(instance: &Path) -> PathBuf {
    let name = instance.file_name().unwrap_or_default().to_string_lossy();
    let mut numbered = (1_u32..).map(|number| instance.with_file_name(format!("{name}{RESET_MARK}{number}")));
    numbered.find(|path| !path.exists()).unwrap_or_else(|| instance.with_extension("reset"))
}

/// Names and paths of the directories in a directory, in order.
fn directories(path: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let failed = |error: &std::io::Error| StoreError::Directory { path: path.to_owned(), reason: error.to_string() };
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        if entry.path().is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

impl TaskView {
    /// Opens the state of a task in the directory of an instance. The engine keeps notes of its own in `scratch`, an empty
    /// directory of the caller's.
    ///
    /// # Errors
    /// [`StoreError`]: `Corrupt` when there is none or it cannot be read, `Format` when another version wrote it.
    pub fn open(instance: &Path, task: TaskId, scratch: &Path) -> Result<Self, StoreError> {
        let mut opened = Self::try_open(instance, task, scratch);
        for _ in 1..TRIES {
            // A file that a writer has deleted between its list and our open looks like damage; damage stays.
            if !matches!(opened, Err(StoreError::Corrupt { .. })) {
                break;
            }
            opened = Self::try_open(instance, task, scratch);
        }
        opened
    }

    fn try_open(instance: &Path, task: TaskId, scratch: &Path) -> Result<Self, StoreError> {
        let directory = instance.join(task.to_string());
        check_format(task, &directory)?;
        let path = directory.join("db");
        let budget = Budget::new(Options::default());
        let mut options = budget.database();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        // A writer deletes files that it has compacted: those that are open stay readable.
        options.set_max_open_files(-1);
        let families = existing_column_families(task, &path, &options)?;
        if families.is_empty() {
            return Err(StoreError::Corrupt { task, reason: format!("no database in {}", path.display()) });
        }
        let descriptors = families.iter().map(|name| ColumnFamilyDescriptor::new(name, budget.column_family()));
        let database = DB::open_cf_descriptors_as_secondary(&options, path.as_path(), scratch, descriptors);
        let database = database.map_err(|error| opening_error(task, error))?;
        // What was written while it was opened.
        database.try_catch_up_with_primary().map_err(|error| engine_error(task, "read", error))?;
        let mut stores: Vec<String> = families
            .iter()
            .filter_map(|family| family.strip_prefix(&column_family_name("")).map(str::to_owned))
            .collect();
        stores.sort();
        let mut view = Self { task, stores, checkpoint: None, database };
        if let Some(bytes) = view.read(META, CHECKPOINT_KEY)? {
            view.checkpoint = Some(offsets::decode(task, &bytes)?);
        }
        Ok(view)
    }

    /// The task.
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The names of its stores on disk, also of those that have left the topology.
    pub fn stores(&self) -> &[String] {
        &self.stores
    }

    /// What the task knows about itself; `None` before its first commit.
    pub const fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`]; `Bug` for a store that is not among [`stores`](Self::stores).
    pub fn get(&self, store: &str, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(&column_family_name(store), key)
    }

    /// The rows of a range in key order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn scan(&self, store: &str, range: &KeyRange) -> Result<Scan<'_>, StoreError> {
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(range.start.clone());
        if let Some(end) = &range.end {
            bounds.set_iterate_upper_bound(end.clone());
        }
        bounds.fill_cache(false);
        let rows = self.database.raw_iterator_cf_opt(self.family(&column_family_name(store))?, bounds);
        Ok(Box::new(DiskScan::new(self.task, rows, Direction::Forward)))
    }

    /// What a store's files hold.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn stats(&self, store: &str) -> Result<StoreStats, StoreError> {
        let family = self.family(&column_family_name(store))?;
        let property = |name: &rocksdb::properties::PropName| {
            let value = self.database.property_int_value_cf(family, name);
            Ok::<_, StoreError>(value.map_err(|error| engine_error(self.task, "measured", error))?.unwrap_or(0))
        };
        Ok(StoreStats { rows: property(ESTIMATE_NUM_KEYS)?, disk_bytes: property(LIVE_SST_FILES_SIZE)? })
    }

    fn read(&self, family: &str, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.database.get_cf(self.family(family)?, key);
        Ok(value.map_err(|error| engine_error(self.task, "read", error))?.map(Bytes::from))
    }

    fn family(&self, name: &str) -> Result<&rocksdb::ColumnFamily, StoreError> {
        let unknown = StoreError::Bug { task: self.task, invariant: "a store is read that the database does not have" };
        self.database.cf_handle(name).ok_or(unknown)
    }
}

/// The format must be ours; unlike an open for writing, this makes nothing.
fn check_format(task: TaskId, directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_error(task, "read", &error)),
    };
    is_our_format(task, &text, &path)
}
