//! Batches that the disk refuses: nobody sees anything of them, whatever was read or kept in memory before.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::on_rocksdb::{rows, temporary};
use super::{BURSTS, CARTS, RECENT, TASK, batch, bytes, checkpoint, contents, pairs, row, specs, text};
use crate::error::Recovery;
use crate::state::rocksdb::{RocksDirectory, TaskView};
use crate::state::{Backend, CommitBatch, Direction, HitsAndMisses, KeyRange, StateDirectory, StoreError, TaskStores};

/// More batches than a log takes before the next one is begun.
const BATCHES_MAX: u64 = 100;

/// A database whose directory has gone: what is open stays readable and writable, and the next log cannot be made. The next
/// batch that needs one is refused, as on a disk that has become read-only.
struct Gone {
    from: PathBuf,
    to: PathBuf,
}

impl Gone {
    fn away(directory: &RocksDirectory) -> Self {
        let gone = Self { from: directory.root().join("0_3/db"), to: directory.root().join("0_3/away") };
        fs::rename(&gone.from, &gone.to).unwrap();
        gone
    }

    fn back(self) {
        fs::rename(self.to, self.from).unwrap();
    }
}

/// Every kind of change: a row of a few thousand bytes is rewritten, one is deleted, one is new; in memory, too.
fn changes(sequence: u64) -> CommitBatch {
    let value = format!("{sequence} {}", "x".repeat(4_000));
    let (own, before) = (format!("row {sequence:03}"), format!("row {:03}", sequence - 1));
    let changed = || vec![row("always", Some(&value)), row(&before, None), row(&own, Some(&value))];
    batch(sequence, [CARTS, BURSTS, RECENT].map(|store| (store, changed())))
}

/// The rows after so many batches.
fn after(sequence: u64) -> Vec<(String, String)> {
    let value = format!("{sequence} {}", "x".repeat(4_000));
    vec![("always".to_owned(), value.clone()), (format!("row {sequence:03}"), value)]
}

/// Commits from `first` on until the disk refuses one; says which.
fn commit_until_refused(first: u64, mut commit: impl FnMut(u64) -> Result<(), StoreError>) -> u64 {
    let refused = (first..BATCHES_MAX).find_map(|sequence| commit(sequence).err().map(|error| (sequence, error)));
    let (sequence, error) = refused.unwrap();
    assert!(matches!(error, StoreError::Io { task: TASK, operation: "written", .. }), "{error:?}");
    assert_eq!(error.recovery(), Recovery::Shutdown);
    sequence
}

fn hits(backend: &dyn Backend) -> HitsAndMisses {
    backend.database_stats().unwrap().unwrap().stores[&CARTS].row_cache_reads
}

/// Single rows, ranges, and the checkpoint are those of that batch.
fn assert_is(backend: &dyn Backend, sequence: u64) {
    let keys = ["always".to_owned(), format!("row {sequence:03}"), format!("row {:03}", sequence + 1)];
    for store in [CARTS, BURSTS, RECENT] {
        let read = keys.each_ref().map(|key| backend.get(store, key.as_bytes()).unwrap());
        let wanted = after(sequence);
        assert_eq!(read, [Some(bytes(&wanted[0].1)), Some(bytes(&wanted[1].1)), None], "{store:?}");
        assert_eq!(rows(backend, store).unwrap().into_iter().map(text).collect::<Vec<_>>(), wanted, "{store:?}");
    }
    assert_eq!(backend.checkpoint().unwrap(), checkpoint(sequence));
}

#[test]
fn a_batch_that_the_disk_refuses_changes_neither_kept_rows_nor_those_on_disk() {
    let directory = temporary();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    backend.apply(&changes(1)).unwrap();
    let gone = Gone::away(&directory);
    let mut last = 1;
    let refused = commit_until_refused(2, |sequence| {
        // Rows that the batch is about to change are kept in memory; some were read, some only written.
        assert_eq!(backend.get(CARTS, b"always")?, Some(bytes(&after(last)[0].1)));
        backend.apply(&changes(sequence))?;
        last = sequence;
        Ok(())
    });
    assert!(refused > 2, "the disk was to take some batches first");
    let before = hits(&*backend);
    assert_is(&*backend, refused - 1);
    let read = hits(&*backend);
    assert_eq!((read.hits - before.hits, read.misses - before.misses), (2, 1), "two of three rows were kept");

    // The next batch has no better luck, and shows no more.
    backend.apply(&changes(refused)).unwrap_err();
    assert_is(&*backend, refused - 1);

    // Whoever opens the state anew finds the same, and goes on from there.
    drop(backend);
    gone.back();
    assert_disk_is(&directory, refused - 1);
    let mut backend = directory.open(TASK, &specs()).unwrap();
    assert_eq!(rows(&*backend, CARTS).unwrap().into_iter().map(text).collect::<Vec<_>>(), after(refused - 1));
    backend.apply(&changes(refused)).unwrap();
    assert_is(&*backend, refused);
}

/// What an operator reads beside the process.
fn assert_disk_is(directory: &RocksDirectory, sequence: u64) {
    let scratch = TempDir::new().unwrap();
    let view = TaskView::open(directory.root(), TASK, scratch.path()).unwrap();
    for store in ["carts", "bursts"] {
        let rows = view.scan(store, &KeyRange::all()).unwrap().map(|row| text(row.unwrap()));
        assert_eq!(rows.collect::<Vec<_>>(), after(sequence), "{store}");
    }
    assert_eq!(view.checkpoint().map(|found| found.sequence), Some(sequence));
}

#[test]
fn queries_see_the_rows_of_before_a_commit_that_the_disk_refuses_and_the_task_its_own() {
    let directory = temporary();
    let stores = TaskStores::new(TASK, specs(), directory.open(TASK, &specs()).unwrap());
    let value = |sequence: u64| format!("{sequence} {}", "x".repeat(9_000));
    let commit = |sequence: u64| {
        stores.put(CARTS, b"always", value(sequence).as_bytes())?;
        stores.put(RECENT, b"always", value(sequence).as_bytes())?;
        stores.freeze()?;
        stores.apply_frozen(checkpoint(sequence))
    };
    commit(1).unwrap();
    let gone = Gone::away(&directory);
    // A scan that is open while the commit fails.
    let mut scan = stores.committed_scan(CARTS, KeyRange::all(), Direction::Forward).unwrap();
    let refused = commit_until_refused(2, commit);
    assert_eq!(text(scan.next().unwrap().unwrap()), ("always".to_owned(), value(refused - 1)));
    for store in [CARTS, RECENT] {
        assert_eq!(stores.committed_get(store, b"always").unwrap(), Some(bytes(&value(refused - 1))));
        assert_eq!(stores.get(store, b"always").unwrap(), Some(bytes(&value(refused))));
        assert_eq!(contents(&stores, store), pairs([("always", &value(refused))]));
    }
    drop(scan);
    drop(stores);
    gone.back();
    let backend = directory.open(TASK, &specs()).unwrap();
    assert_eq!(backend.checkpoint().unwrap().sequence, refused - 1);
    assert_eq!(backend.get(CARTS, b"always").unwrap(), Some(bytes(&value(refused - 1))));
}
