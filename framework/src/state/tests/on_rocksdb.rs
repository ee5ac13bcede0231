//! The suite on RocksDB, and what only a disk can suffer.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{BURSTS, CARTS, RECENT, TASK, batch, bytes, changelog, checkpoint, contract, model, row, specs};
use crate::error::Recovery;
use crate::record::{Partition, TaskId};
use crate::state::rocksdb::{Options, RocksDirectory};
use crate::state::{
    Backend, Checkpoint, Direction, EngineReads, HitsAndMisses, KeyRange, StateDirectory, StoreError, StoreIndex,
};

/// A directory that goes away with the test.
pub(super) struct Temporary {
    state: RocksDirectory,
    files: TempDir,
}

impl Deref for Temporary {
    type Target = RocksDirectory;

    fn deref(&self) -> &RocksDirectory {
        &self.state
    }
}

pub(super) fn temporary() -> Temporary {
    keeping(Options::default().row_cache_bytes_max)
}

/// One whose rows in memory take no more than that.
fn keeping(row_cache_bytes_max: usize) -> Temporary {
    let files = TempDir::new().unwrap();
    // Small memtables, so that the tests meet table files too; each load is one of tables.
    let options =
        Options { memtable_bytes_max: 64 * 1024, load_bytes_min: 0, row_cache_bytes_max, ..Options::default() };
    Temporary { state: RocksDirectory::new(files.path(), "app", "0", options), files }
}

impl Temporary {
    fn database(&self) -> PathBuf {
        self.root().join("0_3/db")
    }

    /// Another directory with the task's files as they are at this moment: what a killed process leaves behind.
    pub(super) fn killed(&self) -> Temporary {
        let copy = temporary();
        copy_all(&self.root().join("0_3"), &copy.root().join("0_3"));
        copy
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|have| have == extension)).collect();
    found.sort();
    found
}

type Rows = Vec<(bytes::Bytes, bytes::Bytes)>;

pub(super) fn rows(backend: &dyn Backend, store: StoreIndex) -> Result<Rows, StoreError> {
    backend.scan(store, &KeyRange::all(), Direction::Forward)?.collect()
}

/// Commits `1..=count`; each rewrites some rows of two stores, so that a half commit would show.
fn commit(backend: &mut dyn Backend, count: u64) {
    for sequence in 1..=count {
        backend.apply(&commit_batch(sequence)).unwrap();
    }
}

fn commit_batch(sequence: u64) -> crate::state::CommitBatch {
    let value = format!("{sequence}");
    let own = format!("row {sequence:03}");
    let deleted = format!("row {:03}", sequence / 2);
    let mut carts = vec![row("always", Some(&value)), row(&deleted, None), row(&own, Some(&value))];
    carts.dedup_by(|a, b| a.0 == b.0);
    batch(sequence, [(CARTS, carts), (BURSTS, vec![row("always", Some(&value)), row(&own, Some(&"x".repeat(40)))])])
}

/// What the stores must hold after so many commits, by a run in memory.
fn expected(count: u64) -> (Rows, Rows) {
    let memory = crate::state::MemoryDirectory::new();
    commit(&mut *memory.open(TASK, &specs()).unwrap(), count);
    let rows = |store| memory.contents(TASK, store).into_iter().collect();
    (rows("carts"), rows("bursts"))
}

/// The stores are exactly as after the commit that the checkpoint names. Returns its number.
fn assert_whole(backend: &dyn Backend) -> u64 {
    let found = backend.checkpoint().unwrap();
    let (carts, bursts) = expected(found.sequence);
    assert_eq!(rows(backend, CARTS).unwrap(), carts, "after commit {}", found.sequence);
    assert_eq!(rows(backend, BURSTS).unwrap(), bursts, "after commit {}", found.sequence);
    if found.sequence > 0 {
        let mut whole = checkpoint(found.sequence);
        whole.changelog.remove(&changelog(RECENT));
        assert_eq!(found, whole);
    }
    found.sequence
}

contract::every_case!(temporary());

#[test]
fn every_history_reads_as_the_model_says() {
    model::check(24, temporary);
}

#[test]
fn every_history_reads_as_the_model_says_where_the_cache_has_room_for_three_rows() {
    model::check(24, || keeping(360));
}

#[test]
fn a_killed_process_loses_no_commit() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    for sequence in 1..=12 {
        backend.apply(&commit_batch(sequence)).unwrap();
        let left = directory.killed();
        let reopened = left.open(TASK, &specs()).unwrap();
        assert_eq!(assert_whole(&*reopened), sequence);
    }
}

#[test]
fn a_torn_log_leaves_whole_commits() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    commit(&mut *backend, 12);
    let log_bytes = fs::metadata(files(&directory.database(), "log").pop().unwrap()).unwrap().len();
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..=40 {
        let left = directory.killed();
        let log = files(&left.database(), "log").pop().unwrap();
        fs::File::options().write(true).open(log).unwrap().set_len(log_bytes * step / 40).unwrap();
        seen.insert(assert_whole(&*left.open(TASK, &specs()).unwrap()));
    }
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&12)));
    assert!(seen.len() > 6, "the cuts fell on too few commits: {seen:?}");
}

#[test]
fn a_flipped_bit_in_a_table_is_found_and_never_read() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    commit(&mut *backend, 60);
    backend.close().unwrap();
    let tables = files(&directory.database(), "sst");
    assert!(tables.len() >= 3, "{tables:?}");
    let mut found = 0;
    for table in &tables {
        let length = fs::metadata(table).unwrap().len();
        for step in 0..8 {
            let left = directory.killed();
            let copy = left.database().join(table.file_name().unwrap());
            let mut bytes = fs::read(&copy).unwrap();
            bytes[usize::try_from(length * step / 8).unwrap()] ^= 0x10;
            fs::write(&copy, bytes).unwrap();
            found += usize::from(damage_is_reported(&left));
        }
    }
    // A flip in a filter or in padding may go unnoticed, as long as reads stay right.
    assert!(found >= tables.len(), "{found} of {} flips were found", tables.len() * 8);
}

/// Opens and reads everything: `Corrupt`, or what was written.
fn damage_is_reported(directory: &RocksDirectory) -> bool {
    let read = || -> Result<_, StoreError> {
        let backend = directory.open(TASK, &specs())?;
        Ok((rows(&*backend, CARTS)?, rows(&*backend, BURSTS)?, backend.checkpoint()?.sequence))
    };
    match read() {
        Ok((carts, bursts, sequence)) => {
            assert_eq!(((carts, bursts), sequence), (expected(60), 60), "damaged rows were read");
            false
        }
        Err(error) => {
            assert_eq!(error.recovery(), Recovery::ReviveTask(TASK), "{error}");
            true
        }
    }
}

#[test]
fn missing_files_are_corruption_and_not_an_empty_store() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    commit(&mut *backend, 5);
    backend.close().unwrap();
    let names = fs::read_dir(directory.database()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let needed = |name: &&String| name.contains(".sst") || name.starts_with("MANIFEST") || *name == "CURRENT";
    let needed: Vec<_> = names.iter().filter(needed).collect();
    assert!(needed.len() >= 5, "{names:?}");
    for name in needed {
        let left = directory.killed();
        fs::remove_file(left.database().join(name)).unwrap();
        // RocksDB itself refuses a log without CURRENT, and takes tables without both for an empty database.
        for log in files(&left.database(), "log").into_iter().filter(|_| name == "CURRENT") {
            fs::remove_file(log).unwrap();
        }
        let error = left.open(TASK, &specs()).err();
        assert!(matches!(error, Some(StoreError::Corrupt { .. })), "without {name}: {error:?}");
        left.quarantine(TASK).unwrap();
        assert_eq!(left.open(TASK, &specs()).unwrap().checkpoint().unwrap(), Checkpoint::default());
    }
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let directory = temporary();
    directory.open(TASK, &specs()).unwrap().close().unwrap();
    let format = directory.root().join("0_3/format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
    fs::write(&format, "2\n").unwrap();
    let error = directory.open(TASK, &specs()).err();
    assert!(matches!(error, Some(StoreError::Format { expected: 1, actual: 2, .. })), "{error:?}");
    for damaged in ["", "one"] {
        fs::write(&format, damaged).unwrap();
        let error = directory.open(TASK, &specs()).err();
        assert!(matches!(error, Some(StoreError::Corrupt { .. })), "{error:?}");
    }
    fs::remove_file(&format).unwrap();
    let error = directory.open(TASK, &specs()).err();
    assert!(matches!(error, Some(StoreError::Corrupt { .. })), "{error:?}");
}

#[test]
fn the_lock_holds_against_another_directory_value_and_goes_with_the_backend() {
    let directory = temporary();
    let other = RocksDirectory::new(directory.files.path(), "app", "0", Options::default());
    let backend = directory.open(TASK, &specs()).unwrap();
    let error = other.open(TASK, &specs()).err();
    assert!(matches!(error, Some(StoreError::Locked { .. })), "{error:?}");
    drop(backend);
    other.open(TASK, &specs()).unwrap().close().unwrap();
    // Another instance has its own files.
    let neighbour = RocksDirectory::new(directory.files.path(), "app", "1", Options::default());
    assert_eq!(neighbour.tasks().unwrap(), []);
}

#[test]
fn a_wipe_that_was_cut_short_is_finished_by_the_next() {
    let directory = temporary();
    directory.open(TASK, &specs()).unwrap().close().unwrap();
    fs::create_dir_all(directory.root().join("0_3.wiped/db")).unwrap();
    directory.wipe(TASK).unwrap();
    let left = fs::read_dir(directory.root()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["0_3.lock"]);
}

#[test]
fn only_the_two_newest_quarantined_states_are_kept() {
    let directory = temporary();
    for number in 1..=12 {
        directory.open(TASK, &specs()).unwrap().close().unwrap();
        let path = directory.quarantine(TASK).unwrap();
        assert_eq!(path, directory.root().join(format!("0_3.corrupt-{number}")));
    }
    let left = fs::read_dir(directory.root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["0_3.corrupt-11", "0_3.corrupt-12", "0_3.lock"]);
}

#[test]
fn stats_and_shared_memory_follow_the_rows() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    let value = "v".repeat(1000);
    let many = (0..200).map(|key| row(&format!("{key:05}"), Some(&value))).collect::<Vec<_>>();
    backend.apply(&batch(1, [(CARTS, many.clone()), (RECENT, many)])).unwrap();
    let stats = backend.stats().unwrap();
    assert_eq!(stats.rows, 400);
    assert!(stats.memory_bytes >= 200 * 1005, "{stats:?}");
    let write_buffers = directory.memory().write_buffer_bytes;
    assert!(write_buffers > 0);
    let tables = backend.database_stats().unwrap().unwrap().stores;
    assert!(tables.contains_key(&CARTS) && !tables.contains_key(&RECENT), "the other store is in memory: {tables:?}");
    assert!(tables[&CARTS].bytes() > 0, "{tables:?}");
    backend.close().unwrap();
    let backend = directory.open(TASK, &specs()).unwrap();
    let database = backend.database_stats().unwrap().unwrap();
    assert_eq!((database.background_errors, database.write_stopped, database.delayed_write_bytes), (0, false, 0));
    let table = database.stores[&CARTS];
    assert!(table.live_bytes > 0 && table.file_bytes >= table.live_bytes && table.level0_files >= 1, "{table:?}");
    let stats = backend.stats().unwrap();
    assert_eq!((stats.rows, backend.approximate_count(CARTS).unwrap()), (200, 200));
    assert!(stats.disk_bytes > 0, "{stats:?}");
    assert_eq!(rows(&*backend, CARTS).unwrap().len(), 200);
    assert!(directory.memory().block_cache_bytes > 0);
    assert_eq!(backend.get(CARTS, b"00007").unwrap(), Some(bytes(&value)));
}

#[test]
fn what_is_found_where_is_counted_for_all_tasks_together() {
    let files = TempDir::new().unwrap();
    // Rows that were read are not kept: each read goes to the engine.
    let options = Options { row_cache_bytes_max: 0, ..Options::default() };
    let directory = RocksDirectory::new(files.path(), "app", "0", options);
    let mut backend = directory.open(TASK, &specs()).unwrap();
    let rows = (0..100).map(|number| row(&format!("{number:05}"), Some("value"))).collect();
    backend.apply(&batch(1, [(CARTS, rows)])).unwrap();
    let before = directory.reads();
    let read = |backend: &dyn Backend| {
        for number in 0..200 {
            let found = backend.get(CARTS, format!("{number:05}").as_bytes()).unwrap();
            assert_eq!(found.is_some(), number < 100);
        }
    };
    read(&*backend);
    let in_memory = directory.reads();
    assert_eq!(in_memory.memtables.hits - before.memtables.hits, 100);
    assert_eq!(in_memory.memtables.misses - before.memtables.misses, 100);
    backend.close().unwrap();
    let backend = directory.open(TASK, &specs()).unwrap();
    let before = directory.reads();
    read(&*backend);
    let after = directory.reads();
    let rise = |count: fn(&EngineReads) -> u64| count(&after) - count(&before);
    assert_eq!(rise(|reads| reads.memtables.misses), 200);
    assert_eq!(rise(|reads| reads.filters_found), 100, "{after:?}");
    assert_eq!(rise(|reads| reads.filters_useful) + rise(|reads| reads.filters_passed), 200, "{after:?}");
    assert!(rise(|reads| reads.filters_useful) > 90, "{after:?}");
    assert!(rise(|reads| reads.data_blocks.misses) >= 1 && rise(|reads| reads.data_blocks.hits) >= 99, "{after:?}");
    // The table's index and filter stay where the open has put them.
    assert!(after.index_blocks.misses > 0 && after.filter_blocks.misses > 0, "{after:?}");
    let table = backend.database_stats().unwrap().unwrap().stores[&CARTS];
    assert_eq!(table.row_cache_reads, HitsAndMisses { hits: 0, misses: 200 });
}

#[test]
fn empty_memtables_of_many_tasks_leave_their_budget_to_rows() {
    let (files, options) = (TempDir::new().unwrap(), Options::default());
    let most = options.write_buffer_bytes_max;
    let directory = RocksDirectory::new(files.path(), "app", "0", options);
    let tasks = (0..60).map(|partition| TaskId { subtopology: 0, partition: Partition(partition) });
    let open: Vec<_> = tasks.map(|task| directory.open(task, &specs()).unwrap()).collect();
    let idle = directory.memory().write_buffer_bytes;
    assert!(idle < most / 3, "{idle} bytes of {} tasks that hold nothing", open.len());
}

/// A machine that crashes takes what was never synced: of the logs the newest, and no more than the logs are allowed to be. So
/// much is replayed then, whatever the size of the state.
#[test]
fn what_a_machine_crash_takes_is_bounded() {
    const LOGS: u64 = 256 * 1024;
    const MEMTABLE: usize = 64 * 1024;
    const ROW: u64 = 8 * 1024;
    let rows_of = |sequence: u64| (format!("row {sequence:05}"), format!("{sequence} {}", "x".repeat(8 * 1024)));
    let mut most = 0;
    for commits in [3, 31, 64, 150, 401] {
        let files = TempDir::new().unwrap();
        let options = Options { memtable_bytes_max: MEMTABLE, wal_bytes_max: LOGS, ..Options::default() };
        let directory = RocksDirectory::new(files.path(), "app", "0", options);
        let mut backend = directory.open(TASK, &specs()).unwrap();
        for sequence in 1..=commits {
            let (key, value) = rows_of(sequence);
            let rows = [(CARTS, vec![row(&key, Some(&value))]), (BURSTS, vec![row("last", Some(&key))])];
            backend.apply(&batch(sequence, rows)).unwrap();
        }
        // Without a flush: the process dies with its machine.
        drop(backend);
        let logs = self::files(&directory.root().join("0_3/db"), "log");
        let sizes: u64 = logs.iter().map(|log| fs::metadata(log).unwrap().len()).sum();
        assert!(sizes <= LOGS + 2 * MEMTABLE as u64, "{sizes} bytes of logs");
        fs::File::options().write(true).open(logs.last().unwrap()).unwrap().set_len(0).unwrap();
        let backend = directory.open(TASK, &specs()).unwrap();
        let kept = backend.checkpoint().unwrap().sequence;
        for sequence in 1..=kept {
            let (key, value) = rows_of(sequence);
            assert_eq!(backend.get(CARTS, key.as_bytes()).unwrap(), Some(bytes(&value)), "{commits}: {key} of {kept}");
        }
        let lost = (commits - kept) * ROW;
        assert!(lost <= LOGS + 2 * MEMTABLE as u64, "{commits}: {lost} bytes are lost");
        most = most.max(lost);
    }
    assert!(most > 0, "no crash has taken anything");
    let defaults = Options::default();
    let bound = defaults.wal_bytes_max + 2 * defaults.memtable_bytes_max as u64;
    assert!(bound <= 64 * 1024 * 1024, "with the defaults {bound} bytes may be lost");
}
