//! The state directory of one instance.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{ColumnFamilyDescriptor, DB};

use super::backend::{RocksBackend, column_family_name};
use super::load::Workshop;
use super::offsets::META;
use super::options::{Budget, Options, SharedMemory};
use super::{engine_error, io_error};
use crate::record::TaskId;
use crate::state::changelog::parse_task;
use crate::state::{Backend, EngineReads, StateDirectory, StoreError, StoreKind, StoreSpec};

/// Version of the directory's layout.
const FORMAT: u32 = 1;

/// So many states of a task that were set aside are kept; older ones are removed, so that they cannot fill the disk.
const QUARANTINED_MAX: usize = 2;

/// State of one instance's tasks on disk. Clones share the block cache and the memtable budget: make one per process and
/// give each stream thread a clone.
#[derive(Debug, Clone)]
pub struct RocksDirectory {
    root: PathBuf,
    budget: Arc<Budget>,
}

impl RocksDirectory {
    /// The directory `<state_dir>/<application_id>/<instance>`; made when the first task opens.
    pub fn new(state_dir: &Path, application_id: &str, instance: &str, options: Options) -> Self {
        let root = state_dir.join(application_id).join(instance);
        Self { root, budget: Arc::new(Budget::new(options)) }
    }

    /// Where the tasks are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Memory that all tasks share, as it is now.
    pub fn memory(&self) -> SharedMemory {
        self.budget.usage()
    }

    /// Where the databases of all tasks found what was read.
    pub fn reads(&self) -> EngineReads {
        self.budget.reads()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the task's lock. It goes with the file, so also with the process.
    fn lock(&self, task: TaskId) -> Result<File, StoreError> {
        let failed = |error: &io::Error| io_error(task, "locked", error);
        fs::create_dir_all(&self.root).map_err(|error| failed(&error))?;
        // Beside the task's directory, so that it is held while the directory moves; never removed, because a third opener
        // could then lock a new file while the second waits on the old one.
        let path = self.path(&format!("{task}.lock"));
        let file = File::options().create(true).append(true).open(path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { task }),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    fn open_database(&self, task: TaskId, path: &Path, stores: &[StoreSpec]) -> Result<DB, StoreError> {
        let options = self.budget.database();
        let mut names = existing_column_families(task, path, &options)?;
        let wanted = stores.iter().filter(|spec| spec.kind == StoreKind::Persistent);
        let wanted: Vec<String> = wanted.map(|spec| column_family_name(&spec.name)).collect();
        names.extend(wanted.iter().cloned());
        names.push(META.to_owned());
        names.sort();
        names.dedup();
        // Column families of stores that left the topology are opened too, as RocksDB demands, and keep their rows.
        let families = names.iter().map(|name| {
            let read = wanted.contains(name);
            ColumnFamilyDescriptor::new(name, if read { self.budget.store() } else { self.budget.column_family() })
        });
        DB::open_cf_descriptors(&options, path, families).map_err(|error| opening_error(task, error))
    }

    /// Names `<task>.corrupt-<n>` with their numbers, oldest first.
    fn quarantined(&self, task: TaskId) -> io::Result<Vec<(u64, PathBuf)>> {
        let prefix = format!("{task}.corrupt-");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
            found.extend(number.map(|number| (number, entry.path())));
        }
        found.sort();
        Ok(found)
    }

    fn set_aside(&self, task: TaskId) -> io::Result<PathBuf> {
        let mut older = self.quarantined(task)?;
        let next = older.last().map_or(1, |(number, _)| number.saturating_add(1));
        let target = self.path(&format!("{task}.corrupt-{next}"));
        // Not synced: if a machine crash undoes the rename, the next open finds the same damage and does it again.
        fs::rename(self.path(&task.to_string()), &target)?;
        older.truncate((older.len() + 1).saturating_sub(QUARANTINED_MAX));
        for (_, path) in older {
            tracing::warn!(%task, path = %path.display(), "the oldest state that was set aside is removed: the two newest are kept");
            fs::remove_dir_all(path)?;
        }
        Ok(target)
    }

    fn remove(&self, task: TaskId) -> io::Result<()> {
        let doomed = self.path(&format!("{task}.wiped"));
        remove_if_there(&doomed)?;
        // Rename before remove: a crash in between must not leave half a database under the task's name.
        match fs::rename(self.path(&task.to_string()), &doomed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => remove_if_there(&doomed),
        }
    }
}

impl StateDirectory for RocksDirectory {
    fn open(&self, task: TaskId, stores: &[StoreSpec]) -> Result<Box<dyn Backend>, StoreError> {
        // The lock comes before the first look: what follows reads and writes the directory.
        let lock = self.lock(task)?;
        let directory = self.path(&task.to_string());
        check_format(task, &directory)?;
        let load_bytes_min = self.budget.options.load_bytes_min;
        let workshop = Workshop::new(task, directory.join("load"), self.budget.column_family(), load_bytes_min);
        workshop.clear()?;
        let database = self.open_database(task, &directory.join("db"), stores)?;
        Ok(Box::new(RocksBackend::new(task, stores, (database, lock), workshop, &self.budget.rows)?))
    }

    fn quarantine(&self, task: TaskId) -> Result<PathBuf, StoreError> {
        let _lock = self.lock(task)?;
        let target = self.set_aside(task).map_err(|error| io_error(task, "set aside", &error))?;
        tracing::warn!(%task, path = %target.display(), "state set aside");
        Ok(target)
    }

    fn wipe(&self, task: TaskId) -> Result<(), StoreError> {
        let _lock = self.lock(task)?;
        self.remove(task).map_err(|error| io_error(task, "removed", &error))
    }

    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.listing_error(&error))?,
        };
        let mut tasks = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| self.listing_error(&error))?.file_name();
            tasks.extend(parse_task(name.as_encoded_bytes()));
        }
        tasks.sort();
        Ok(tasks)
    }
}

impl RocksDirectory {
    fn listing_error(&self, error: &io::Error) -> StoreError {
        StoreError::Directory { path: self.root.clone(), reason: error.to_string() }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Reads `format`, or writes it for a task that has no state yet.
fn check_format(task: TaskId, directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.join("db").exists() => {
            return write_format(directory).map_err(|error| io_error(task, "created", &error));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_error(task, "read", &error)),
    };
    is_our_format(task, &text, &path)
}

/// Whether the text of that file names our layout.
pub(super) fn is_our_format(task: TaskId, text: &str, path: &Path) -> Result<(), StoreError> {
    match text.trim().parse() {
        Ok(FORMAT) => Ok(()),
        Ok(actual) => Err(StoreError::Format { task, expected: FORMAT, actual }),
        Err(_) => Err(StoreError::Corrupt { task, reason: format!("no format version in {}", path.display()) }),
    }
}

fn write_format(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let new = directory.join("format.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{FORMAT}")?;
    // Synced before the rename, which comes before the database: a database is never found without its format.
    file.sync_all()?;
    fs::rename(new, directory.join("format"))
}

/// Column families on disk; none when there is no database yet.
pub(super) fn existing_column_families(
    task: TaskId,
    path: &Path,
    options: &rocksdb::Options,
) -> Result<Vec<String>, StoreError> {
    if path.join("CURRENT").exists() {
        return DB::list_cf(options, path).map_err(|error| opening_error(task, error));
    }
    // RocksDB would make an empty database here, over table files that it then deletes.
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten();
    if entries.any(|entry| entry.path().extension().is_some_and(|extension| extension == "sst")) {
        return Err(StoreError::Corrupt { task, reason: format!("no CURRENT in {}", path.display()) });
    }
    Ok(Vec::new())
}

/// A file that the database names and that is not there is damage, although RocksDB reports it as an IO error.
pub(super) fn opening_error(task: TaskId, error: rocksdb::Error) -> StoreError {
    match engine_error(task, "opened", error) {
        StoreError::Io { task, reason, .. } if reason.contains("No such file") => StoreError::Corrupt { task, reason },
        error => error,
    }
}
