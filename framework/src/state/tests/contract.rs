//! What every [`StateDirectory`] and its backends must do; run on memory and on RocksDB.

use bytes::Bytes;

use super::{
    BURSTS, CARTS, RECENT, STORES, TASK, batch, bytes, changelog, checkpoint, contents, pairs, restored, row, specs,
    text,
};
use crate::record::{Partition, TaskId};
use crate::state::{
    Backend, Checkpoint, Direction, KeyRange, StateDirectory, StoreError, StoreIndex, StoreKind, TaskStores,
};

/// One test per case.
macro_rules! every_case {
    ($directory:expr) => {
        $crate::state::tests::contract::every_case!($directory;
            a_task_without_state_opens_empty
            rows_and_checkpoint_survive_close_and_open
            a_crash_without_close_loses_no_applied_batch
            a_batch_without_rows_moves_the_checkpoint
            in_memory_stores_start_empty_and_without_a_position
            a_store_that_moves_from_disk_to_memory_has_no_position
            a_deletion_removes_the_row_for_good
            loaded_rows_replace_older_ones_and_the_last_of_a_key_counts
            scans_keep_to_their_range_in_both_directions
            a_scan_of_an_inverted_range_is_empty
            keys_and_values_may_be_empty_or_any_bytes
            the_count_is_exact_in_memory
            a_second_opener_is_refused_until_the_first_closes
            a_store_added_later_opens_empty_beside_the_others
            a_wiped_task_opens_empty
            a_quarantined_task_opens_empty_and_its_neighbour_stays
            an_open_task_is_neither_wiped_nor_quarantined
            an_unknown_store_is_an_error
            handles_of_a_closed_task_get_an_error
            uncommitted_rows_never_reach_the_directory
            a_batch_is_seen_by_reads_of_committed_rows
        );
    };
    ($directory:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let directory = $directory;
                $crate::state::tests::contract::$case(&*directory);
            }
        )*
    };
}
pub(super) use every_case;

const NEIGHBOUR: TaskId = TaskId { subtopology: 0, partition: Partition(4) };

fn open(directory: &dyn StateDirectory) -> Box<dyn Backend> {
    directory.open(TASK, &specs()).unwrap()
}

fn scan(backend: &dyn Backend, range: &KeyRange, direction: Direction) -> Vec<(String, String)> {
    backend.scan(CARTS, range, direction).unwrap().map(|row| text(row.unwrap())).collect()
}

/// What is left of a checkpoint when the in-memory store's rows are gone.
fn without_memory(mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.changelog.remove(&changelog(RECENT)).unwrap();
    checkpoint
}

pub(super) fn a_task_without_state_opens_empty(directory: &dyn StateDirectory) {
    assert_eq!(directory.tasks().unwrap(), []);
    let backend = open(directory);
    assert_eq!(backend.checkpoint().unwrap(), Checkpoint::default());
    for store in STORES {
        assert_eq!(backend.get(store, b"a").unwrap(), None);
        assert_eq!(backend.approximate_count(store).unwrap(), 0);
    }
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Forward), []);
    assert_eq!(directory.tasks().unwrap(), [TASK]);
}

pub(super) fn rows_and_checkpoint_survive_close_and_open(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    let rows = [(CARTS, vec![row("a", Some("1")), row("b", Some("2"))]), (BURSTS, vec![row("a", Some("other"))])];
    backend.apply(&batch(1, rows)).unwrap();
    backend.apply(&batch(2, [(CARTS, vec![row("b", Some("3"))])])).unwrap();
    assert_eq!(backend.checkpoint().unwrap(), checkpoint(2));
    backend.close().unwrap();

    let backend = open(directory);
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Forward), pairs([("a", "1"), ("b", "3")]));
    assert_eq!(backend.get(BURSTS, b"a").unwrap(), Some(bytes("other")));
    assert_eq!(backend.checkpoint().unwrap(), without_memory(checkpoint(2)));
}

pub(super) fn a_crash_without_close_loses_no_applied_batch(directory: &dyn StateDirectory) {
    for sequence in 1..=20 {
        let mut backend = open(directory);
        let expected = if sequence == 1 { Checkpoint::default() } else { without_memory(checkpoint(sequence - 1)) };
        assert_eq!(backend.checkpoint().unwrap(), expected);
        backend.apply(&batch(sequence, [(CARTS, vec![row(&format!("{sequence:02}"), Some("x"))])])).unwrap();
        drop(backend); // the process dies: nobody closes
    }
    let backend = open(directory);
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Forward).len(), 20);
    assert_eq!(backend.checkpoint().unwrap(), without_memory(checkpoint(20)));
}

pub(super) fn a_batch_without_rows_moves_the_checkpoint(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
    backend.apply(&batch(2, [])).unwrap();
    backend.close().unwrap();
    let backend = open(directory);
    assert_eq!(backend.checkpoint().unwrap(), without_memory(checkpoint(2)));
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(bytes("1")));
}

pub(super) fn in_memory_stores_start_empty_and_without_a_position(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(RECENT, vec![row("a", Some("1"))])])).unwrap();
    assert_eq!(backend.get(RECENT, b"a").unwrap(), Some(bytes("1")));
    backend.close().unwrap();
    let mut backend = open(directory);
    assert_eq!(backend.get(RECENT, b"a").unwrap(), None);
    assert!(!backend.checkpoint().unwrap().changelog.contains_key(&changelog(RECENT)));
    // A store that moves from memory to disk finds no position of its former rows either.
    backend.apply(&batch(2, [(RECENT, vec![row("b", Some("2"))])])).unwrap();
    backend.close().unwrap();
    let mut moved = specs();
    moved[2].kind = StoreKind::Persistent;
    let backend = directory.open(TASK, &moved).unwrap();
    let position = backend.checkpoint().unwrap().changelog.contains_key(&changelog(RECENT));
    assert_eq!(position, backend.get(RECENT, b"b").unwrap().is_some());
}

pub(super) fn a_store_that_moves_from_disk_to_memory_has_no_position(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))]), (BURSTS, vec![row("a", Some("1"))])])).unwrap();
    backend.close().unwrap();
    let mut moved = specs();
    moved[0].kind = StoreKind::InMemory;
    let backend = directory.open(TASK, &moved).unwrap();
    assert_eq!(backend.get(CARTS, b"a").unwrap(), None);
    let positions = backend.checkpoint().unwrap().changelog;
    assert_eq!(positions.into_keys().collect::<Vec<_>>(), [changelog(BURSTS)]);
}

pub(super) fn loaded_rows_replace_older_ones_and_the_last_of_a_key_counts(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    let replayed = || vec![row("b", Some("1")), row("a", Some("1")), row("b", Some("2")), row("c", None)];
    backend.load(restored(1, [(CARTS, replayed()), (RECENT, replayed())])).unwrap();
    backend.settle().unwrap();
    let expected = pairs([("a", "1"), ("b", "2")]);
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Forward), expected);
    assert_eq!(backend.get(RECENT, b"b").unwrap(), Some(bytes("2")));
    // Over rows of a commit, read before; and a batch after a load comes after it.
    backend.apply(&batch(2, [(CARTS, vec![row("a", Some("2")), row("d", Some("2"))])])).unwrap();
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(bytes("2")));
    backend.load(restored(3, [(CARTS, vec![row("d", None), row("a", Some("3")), row("e", Some("3"))])])).unwrap();
    backend.apply(&batch(4, [(CARTS, vec![row("e", Some("4"))])])).unwrap();
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(bytes("3")));
    assert_eq!((backend.checkpoint().unwrap(), backend.is_loading()), (checkpoint(4), false));
    backend.load(restored(5, [(CARTS, vec![row("f", Some("5"))])])).unwrap();
    backend.close().unwrap();
    let backend = open(directory);
    let expected = pairs([("a", "3"), ("b", "2"), ("e", "4"), ("f", "5")]);
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Forward), expected);
    assert_eq!(backend.checkpoint().unwrap(), without_memory(checkpoint(5)));
}

pub(super) fn a_deletion_removes_the_row_for_good(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1")), row("b", Some("2"))])])).unwrap();
    backend.apply(&batch(2, [(CARTS, vec![row("a", None), row("never", None)])])).unwrap();
    assert_eq!(backend.get(CARTS, b"a").unwrap(), None);
    backend.close().unwrap();
    let backend = open(directory);
    assert_eq!(scan(&*backend, &KeyRange::all(), Direction::Reverse), pairs([("b", "2")]));
}

pub(super) fn scans_keep_to_their_range_in_both_directions(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    let keys = ["a", "ab", "abc", "b", "ba", "c"];
    let rows = keys.iter().map(|key| row(key, Some("x"))).collect();
    backend.apply(&batch(1, [(CARTS, rows), (BURSTS, vec![row("b", Some("of another store"))])])).unwrap();
    let ranges = [
        (KeyRange::all(), &keys[..]),
        (KeyRange::prefix(b"a"), &keys[..3]),
        (KeyRange::prefix(b"ab"), &keys[1..3]),
        (KeyRange { start: b"ab".to_vec(), end: Some(b"ba".to_vec()) }, &keys[1..4]),
        (KeyRange { start: b"bb".to_vec(), end: None }, &keys[5..]),
        (KeyRange { start: b"d".to_vec(), end: None }, &keys[..0]),
        (KeyRange { start: Vec::new(), end: Some(b"a".to_vec()) }, &keys[..0]),
        (KeyRange { start: Vec::new(), end: Some(Vec::new()) }, &keys[..0]),
    ];
    for (range, expected) in ranges {
        let found: Vec<_> = scan(&*backend, &range, Direction::Forward).into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, expected, "{range:?}");
        let mut reverse = scan(&*backend, &range, Direction::Reverse);
        reverse.reverse();
        assert_eq!(reverse, scan(&*backend, &range, Direction::Forward), "{range:?}");
    }
}

pub(super) fn a_scan_of_an_inverted_range_is_empty(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("b", Some("1"))]), (RECENT, vec![row("b", Some("1"))])])).unwrap();
    let range = KeyRange { start: b"c".to_vec(), end: Some(b"a".to_vec()) };
    for (store, direction) in [(CARTS, Direction::Forward), (CARTS, Direction::Reverse), (RECENT, Direction::Forward)] {
        assert_eq!(backend.scan(store, &range, direction).unwrap().count(), 0);
    }
}

pub(super) fn keys_and_values_may_be_empty_or_any_bytes(directory: &dyn StateDirectory) {
    let keys: [&[u8]; 5] = [b"", b"\0", b"\0\0", b"\xff", b"\xff\xff"];
    let rows = keys.iter().map(|key| (Bytes::copy_from_slice(key), Some(Bytes::new()))).collect();
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, rows)])).unwrap();
    for key in keys {
        assert_eq!(backend.get(CARTS, key).unwrap(), Some(Bytes::new()));
    }
    let found = backend.scan(CARTS, &KeyRange::all(), Direction::Reverse).unwrap().map(|row| row.unwrap().0);
    assert_eq!(found.collect::<Vec<_>>(), keys.iter().rev().map(|key| Bytes::copy_from_slice(key)).collect::<Vec<_>>());
}

pub(super) fn the_count_is_exact_in_memory(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    let rows = vec![row("a", Some("1")), row("b", Some("2"))];
    backend.apply(&batch(1, [(RECENT, rows.clone()), (CARTS, rows)])).unwrap();
    backend.apply(&batch(2, [(RECENT, vec![row("a", None)])])).unwrap();
    assert_eq!(backend.approximate_count(RECENT).unwrap(), 1);
    assert_eq!(backend.approximate_count(CARTS).unwrap(), 2);
    let stats = backend.stats().unwrap();
    assert!(stats.rows >= 3, "{stats:?}");
    assert!(stats.memory_bytes > 0, "{stats:?}");
}

pub(super) fn a_second_opener_is_refused_until_the_first_closes(directory: &dyn StateDirectory) {
    let first = open(directory);
    let second = directory.open(TASK, &specs()).err();
    assert!(matches!(second, Some(StoreError::Locked { task: TASK })), "{second:?}");
    let neighbour = directory.open(NEIGHBOUR, &specs()).unwrap();
    first.close().unwrap();
    open(directory).close().unwrap();
    neighbour.close().unwrap();
    assert_eq!(directory.tasks().unwrap(), [TASK, NEIGHBOUR]);
}

pub(super) fn a_store_added_later_opens_empty_beside_the_others(directory: &dyn StateDirectory) {
    let mut backend = directory.open(TASK, &specs()[..1]).unwrap();
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
    backend.close().unwrap();
    // The new store comes first, so that indexes move: stores are known by their name.
    let reordered = [specs()[1].clone(), specs()[0].clone()];
    let mut backend = directory.open(TASK, &reordered).unwrap();
    assert_eq!(backend.get(StoreIndex(0), b"a").unwrap(), None);
    assert_eq!(backend.get(StoreIndex(1), b"a").unwrap(), Some(bytes("1")));
    backend.apply(&batch(2, [(StoreIndex(0), vec![row("a", Some("2"))])])).unwrap();
    backend.close().unwrap();
    // A store that left the topology keeps its rows.
    directory.open(TASK, &specs()[1..2]).unwrap().close().unwrap();
    let backend = open(directory);
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(bytes("1")));
    assert_eq!(backend.get(BURSTS, b"a").unwrap(), Some(bytes("2")));
}

pub(super) fn a_wiped_task_opens_empty(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
    backend.close().unwrap();
    directory.wipe(TASK).unwrap();
    assert_eq!(directory.tasks().unwrap(), []);
    directory.wipe(TASK).unwrap(); // nothing to do is no error
    let backend = open(directory);
    assert_eq!(backend.get(CARTS, b"a").unwrap(), None);
    assert_eq!(backend.checkpoint().unwrap(), Checkpoint::default());
}

pub(super) fn a_quarantined_task_opens_empty_and_its_neighbour_stays(directory: &dyn StateDirectory) {
    for task in [TASK, NEIGHBOUR] {
        let mut backend = directory.open(task, &specs()).unwrap();
        backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
        backend.close().unwrap();
    }
    let first = directory.quarantine(TASK).unwrap();
    assert!(first.to_string_lossy().contains("0_3.corrupt-"), "{first:?}");
    assert_eq!(directory.tasks().unwrap(), [NEIGHBOUR]);
    let backend = open(directory);
    assert_eq!(backend.get(CARTS, b"a").unwrap(), None);
    backend.close().unwrap();
    assert_ne!(directory.quarantine(TASK).unwrap(), first);
    let neighbour = directory.open(NEIGHBOUR, &specs()).unwrap();
    assert_eq!(neighbour.get(CARTS, b"a").unwrap(), Some(bytes("1")));
}

pub(super) fn an_open_task_is_neither_wiped_nor_quarantined(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
    let (wiped, moved) = (directory.wipe(TASK), directory.quarantine(TASK));
    assert!(matches!(wiped, Err(StoreError::Locked { .. })), "{wiped:?}");
    assert!(matches!(moved, Err(StoreError::Locked { .. })), "{moved:?}");
    assert_eq!(backend.get(CARTS, b"a").unwrap(), Some(bytes("1")));
}

pub(super) fn an_unknown_store_is_an_error(directory: &dyn StateDirectory) {
    let mut backend = open(directory);
    let nowhere = StoreIndex(3);
    let bug = |error: Option<StoreError>| assert!(matches!(error, Some(StoreError::Bug { .. })), "{error:?}");
    bug(backend.get(nowhere, b"a").err());
    bug(backend.scan(nowhere, &KeyRange::all(), Direction::Forward).err());
    bug(backend.approximate_count(nowhere).err());
    bug(backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))]), (nowhere, vec![row("a", Some("1"))])])).err());
    assert_eq!(backend.get(CARTS, b"a").unwrap(), None, "half a batch was applied");
    assert_eq!(backend.checkpoint().unwrap(), Checkpoint::default());
}

pub(super) fn handles_of_a_closed_task_get_an_error(directory: &dyn StateDirectory) {
    let stores = TaskStores::new(TASK, specs(), open(directory));
    stores.put(CARTS, b"a", "1".as_bytes()).unwrap();
    let mut rows = stores.scan(CARTS, KeyRange::all(), Direction::Forward).unwrap();
    stores.close().unwrap();
    let closed = |error: Option<StoreError>| {
        assert!(matches!(&error, Some(StoreError::Closed { store, .. }) if store == "carts"), "{error:?}");
    };
    closed(rows.next().unwrap().err());
    assert!(rows.next().is_none());
    closed(stores.get(CARTS, b"a").err());
    closed(stores.put(CARTS, b"a", "1".as_bytes()).err());
    closed(stores.delete(CARTS, b"a").err());
    closed(stores.scan(CARTS, KeyRange::all(), Direction::Forward).err());
    closed(stores.approximate_count(CARTS).err());
    assert!(stores.checkpoint().is_err());
    stores.close().unwrap();
    open(directory).close().unwrap();
}

pub(super) fn uncommitted_rows_never_reach_the_directory(directory: &dyn StateDirectory) {
    let stores = TaskStores::new(TASK, specs(), open(directory));
    stores.put(CARTS, b"a", "committed".as_bytes()).unwrap();
    stores.freeze().unwrap();
    stores.apply_frozen(checkpoint(1)).unwrap();
    stores.put(CARTS, b"b", "in flight".as_bytes()).unwrap();
    stores.freeze().unwrap();
    stores.put(CARTS, b"c", "active".as_bytes()).unwrap();
    assert_eq!(contents(&stores, CARTS), pairs([("a", "committed"), ("b", "in flight"), ("c", "active")]));
    stores.close().unwrap();
    let stores = TaskStores::new(TASK, specs(), open(directory));
    assert_eq!(contents(&stores, CARTS), pairs([("a", "committed")]));
}

pub(super) fn a_batch_is_seen_by_reads_of_committed_rows(directory: &dyn StateDirectory) {
    let stores = TaskStores::new(TASK, specs(), open(directory));
    stores.put(CARTS, b"a", "1".as_bytes()).unwrap();
    assert_eq!(stores.committed_get(CARTS, b"a").unwrap(), None);
    let mut before = stores.committed_scan(CARTS, KeyRange::all(), Direction::Forward).unwrap();
    stores.freeze().unwrap();
    assert_eq!(stores.committed_get(CARTS, b"a").unwrap(), None);
    stores.apply_frozen(checkpoint(1)).unwrap();
    stores.delete(CARTS, b"a").unwrap();
    assert_eq!(stores.committed_get(CARTS, b"a").unwrap(), Some(bytes("1")));
    assert_eq!(stores.get(CARTS, b"a").unwrap(), None);
    assert_eq!(before.next().unwrap().unwrap(), (bytes("a"), bytes("1")));
    assert_eq!(stores.checkpoint().unwrap(), checkpoint(1));
}
