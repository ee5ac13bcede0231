//! Loads of a RocksDB: rows as tables, past the log, on a thread of their own; and processes that die meanwhile.
#![allow(clippy::disallowed_methods, reason = "kills are spread over real time")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::on_rocksdb::{rows, temporary};
use super::{BURSTS, CARTS, TASK, batch, changelog, checkpoint, restored, row, specs};
use crate::record::Offset;
use crate::state::rocksdb::{Options, RocksDirectory};
use crate::state::{Backend, Checkpoint, RestoredBatch, StateDirectory, StoreError, StoreIndex};

/// Tells a process of this test that it is the one to be killed, and where its state is.
const VICTIM: &str = "MILLPOND_TEST_VICTIM";
const KEYS: usize = 2_000;
const KILLS: u64 = 8;

/// Every load writes all keys of two stores, with its own number in front of each value.
fn nth_load(number: u64) -> RestoredBatch {
    let value = format!("{number:06} {}", "x".repeat(200));
    let all = || (0..KEYS).rev().map(|key| row(&format!("{key:05}"), Some(&value))).collect();
    restored(number, [(CARTS, all()), (BURSTS, all())])
}

fn open(directory: &RocksDirectory) -> Box<dyn Backend> {
    directory.open(TASK, &specs()).unwrap()
}

/// Loads until it is killed; tells each load when it begins.
fn load_for_ever(files: &Path) {
    let mut backend = open(&RocksDirectory::new(files, "app", "0", Options::default()));
    for number in 1.. {
        writeln!(std::io::stdout(), "\nload {number}").unwrap();
        backend.load(nth_load(number)).unwrap();
        backend.settle().unwrap();
    }
}

#[test]
fn a_process_killed_while_it_loads_claims_no_row_that_is_not_there() {
    if let Some(files) = std::env::var_os(VICTIM) {
        return load_for_ever(Path::new(&files));
    }
    let name = "state::tests::loads::a_process_killed_while_it_loads_claims_no_row_that_is_not_there";
    for kill in 1..=KILLS {
        let files = tempfile::TempDir::new().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", name, "--nocapture"]).env(VICTIM, files.path()).stdout(Stdio::piped());
        let mut victim = victim.spawn().unwrap();
        // From the first load on, a little later in each: before its rows, between two stores, before its checkpoint.
        let said = format!("load {}", kill.div_ceil(2));
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == said), "the victim has ended by itself");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(3 * kill) {
            std::thread::yield_now();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert_nothing_is_claimed_in_vain(&*open(&RocksDirectory::new(files.path(), "app", "0", Options::default())));
    }
}

fn assert_nothing_is_claimed_in_vain(backend: &dyn Backend) {
    let found = backend.checkpoint().unwrap();
    for store in [CARTS, BURSTS] {
        let rows = rows(backend, store).unwrap();
        let oldest =
            rows.iter().map(|(_, value)| std::str::from_utf8(&value[..6]).unwrap().parse::<u64>().unwrap()).min();
        if found.sequence > 0 {
            assert_eq!(rows.len(), KEYS);
            assert!(oldest.unwrap() >= found.sequence, "row of load {oldest:?} under the checkpoint of {found:?}");
        }
        if oldest.is_some() {
            let whose = checkpoint(1);
            assert_eq!((found.owned_until, &found.topic_ids), (whose.owned_until, &whose.topic_ids));
        }
    }
}

#[test]
fn a_load_that_fails_leaves_the_positions_of_before_and_tells_whose_its_rows_are_and_how_old() {
    let directory = temporary();
    let mut backend = open(&directory);
    // Where its tables are to be written there is a file.
    let place = directory.root().join("0_3/load");
    std::fs::write(&place, "").unwrap();
    backend.load(nth_load(1)).unwrap();
    let error = backend.settle().err();
    assert!(matches!(error, Some(StoreError::Io { task: TASK, .. })), "{error:?}");
    let expected = Checkpoint { topic_ids: checkpoint(1).topic_ids, ..checkpoint(1) };
    let expected = Checkpoint {
        changelog: [].into(),
        input: [].into(),
        sequence: 0,
        record: None,
        stream_time: Checkpoint::default().stream_time,
        ..expected
    };
    assert_eq!(backend.checkpoint().unwrap(), expected);
    drop(backend);
    std::fs::remove_file(&place).unwrap();
    let mut backend = open(&directory);
    assert_eq!(backend.checkpoint().unwrap(), expected);
    // Over a state that is there, nothing of the checkpoint changes before the rows.
    backend.apply(&batch(4, [(CARTS, vec![row("a", Some("4"))])])).unwrap();
    std::fs::write(&place, "").unwrap();
    backend.load(nth_load(5)).unwrap();
    assert!(backend.settle().is_err());
    assert_eq!(backend.checkpoint().unwrap(), checkpoint(4));
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(super::bytes("4")));
}

/// The rows of one store are taken over, those of the next cannot even be written: where its table is to be, there is a
/// directory. An open removes it.
fn block_second_table(directory: &RocksDirectory) -> PathBuf {
    let path = directory.root().join("0_3/load/store-bursts.sst");
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn fail_to_load(backend: &mut dyn Backend, number: u64) {
    backend.load(nth_load(number)).unwrap();
    let error = backend.settle().err();
    assert!(matches!(error, Some(StoreError::Io { task: TASK, operation: "loaded", .. })), "{error:?}");
}

/// In front of the values of all rows; `None` of a store without rows. Single rows, kept ones among them, say the same.
fn load_of(backend: &dyn Backend, store: StoreIndex) -> Option<String> {
    let rows = rows(backend, store).unwrap();
    let first = rows.first().map(|(_, value)| String::from_utf8(value[..6].to_vec()).unwrap());
    for (key, value) in &rows {
        assert!(value.starts_with(first.as_ref().unwrap().as_bytes()));
        assert_eq!(backend.get(store, key).unwrap().as_ref(), Some(value));
    }
    assert!(rows.is_empty() || rows.len() == KEYS, "{} rows", rows.len());
    first
}

#[test]
fn a_load_that_fails_between_two_stores_claims_no_row_and_the_next_mends_it() {
    let directory = temporary();
    let mut backend = open(&directory);
    let blocked = block_second_table(&directory);
    fail_to_load(&mut *backend, 1);
    let killed = directory.killed();
    for backend in [&*backend, &*open(&killed)] {
        assert_eq!(load_of(backend, CARTS).as_deref(), Some("000001"));
        assert_eq!(load_of(backend, BURSTS), None);
        let found = backend.checkpoint().unwrap();
        assert_eq!((found.sequence, found.changelog.len(), found.input.len(), found.record), (0, 0, 0, None));
        // Whose the rows are and how old is known, so that nobody takes them for those of another topic.
        assert_eq!((&found.topic_ids, found.owned_until), (&checkpoint(1).topic_ids, checkpoint(1).owned_until));
    }

    std::fs::remove_dir(blocked).unwrap();
    backend.load(nth_load(2)).unwrap();
    backend.settle().unwrap();
    assert_eq!(backend.checkpoint().unwrap().changelog.get(&changelog(BURSTS)), Some(&Offset(20)));
    assert_eq!([CARTS, BURSTS].map(|store| load_of(&*backend, store)), [2, 2].map(|n| Some(format!("{n:06}"))));

    // Over a state that is there: rows of the first store are newer than the checkpoint, none is older.
    block_second_table(&directory);
    fail_to_load(&mut *backend, 3);
    let killed = directory.killed();
    for backend in [&*backend, &*open(&killed)] {
        assert_eq!(load_of(backend, CARTS).as_deref(), Some("000003"));
        assert_eq!(load_of(backend, BURSTS).as_deref(), Some("000002"));
        assert_eq!(backend.checkpoint().unwrap().changelog.get(&changelog(CARTS)), Some(&Offset(20)));
        assert_nothing_is_claimed_in_vain(backend);
    }

    // Whoever finds what was left mends it, as the same process has done above.
    drop(backend);
    for directory in [&directory, &killed] {
        let mut backend = open(directory);
        backend.load(nth_load(3)).unwrap();
        backend.settle().unwrap();
        assert_eq!(backend.checkpoint().unwrap().changelog.get(&changelog(BURSTS)), Some(&Offset(30)));
        assert_eq!([CARTS, BURSTS].map(|store| load_of(&*backend, store)), [3, 3].map(|n| Some(format!("{n:06}"))));
    }
}

#[test]
fn a_load_goes_on_behind_its_caller_and_a_crash_after_it_loses_nothing() {
    let directory = temporary();
    let mut backend = open(&directory);
    for number in 1..=3 {
        backend.load(nth_load(number)).unwrap();
    }
    backend.settle().unwrap();
    let left = directory.killed();
    let reopened = open(&left);
    assert_eq!(reopened.checkpoint().unwrap().sequence, 3);
    assert_nothing_is_claimed_in_vain(&*reopened);
    assert!(reopened.checkpoint().unwrap().changelog.contains_key(&changelog(CARTS)));
}

#[test]
fn what_a_killed_load_has_left_is_removed_at_the_next_open() {
    let directory = temporary();
    open(&directory).close().unwrap();
    let place = directory.root().join("0_3/load");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("store-carts.sst"), "half a table").unwrap();
    let mut backend = open(&directory);
    assert!(!place.exists());
    backend.load(nth_load(1)).unwrap();
    backend.settle().unwrap();
    assert_nothing_is_claimed_in_vain(&*backend);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "tables that were taken over are not left behind");
}
