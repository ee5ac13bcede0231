//! The suite on memory, and the faults that memory can inject.

use std::collections::BTreeMap;

use super::{CARTS, RECENT, TASK, batch, bytes, checkpoint, contents, contract, model, pairs, row, specs};
use crate::error::Recovery;
use crate::state::{Direction, KeyRange, MemoryDirectory, StateDirectory, StoreError, StoreFault, TaskStores};

contract::every_case!(Box::new(MemoryDirectory::new()));

#[test]
fn every_history_reads_as_the_model_says() {
    model::check(512, || Box::new(MemoryDirectory::new()));
}

#[test]
fn a_failed_batch_applies_nothing_and_reads_stay_right() {
    let directory = MemoryDirectory::new();
    let stores = TaskStores::new(TASK, specs(), directory.open(TASK, &specs()).unwrap());
    stores.put(CARTS, b"a", "1".as_bytes()).unwrap();
    stores.freeze().unwrap();
    stores.put(CARTS, b"b", "2".as_bytes()).unwrap();
    let held = stores.uncommitted_bytes();
    directory.fail_applies(TASK, 1);
    let error = stores.apply_frozen(checkpoint(1)).unwrap_err();
    assert_eq!(error.recovery(), Recovery::Shutdown);
    assert_eq!(directory.contents(TASK, "carts"), BTreeMap::new());
    assert_eq!(contents(&stores, CARTS), pairs([("a", "1"), ("b", "2")]));
    assert_eq!(stores.get(CARTS, b"a").unwrap(), Some(bytes("1")));
    assert_eq!(stores.uncommitted_bytes(), held);
    stores.apply_frozen(checkpoint(1)).unwrap();
    assert_eq!(directory.contents(TASK, "carts"), [(bytes("a"), bytes("1"))].into());
}

#[test]
fn a_machine_crash_loses_whole_batches_from_the_end() {
    let directory = MemoryDirectory::new();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1")), row("b", Some("1"))])])).unwrap();
    backend.apply(&batch(2, [(CARTS, vec![row("a", None), row("c", Some("2"))])])).unwrap();
    backend.apply(&batch(3, [(CARTS, vec![row("a", Some("3")), row("b", Some("3"))])])).unwrap();
    assert_eq!(directory.lose_since(TASK, 1), 0, "the task is open");
    drop(backend);
    assert_eq!(directory.lose_since(TASK, 2), 2);
    assert_eq!(directory.checkpoint(TASK).unwrap(), checkpoint(1));
    assert_eq!(directory.contents(TASK, "carts"), [(bytes("a"), bytes("1")), (bytes("b"), bytes("1"))].into());
    // What was opened or closed since is synced.
    let mut backend = directory.open(TASK, &specs()).unwrap();
    backend.apply(&batch(2, [(RECENT, vec![row("a", Some("2"))])])).unwrap();
    backend.close().unwrap();
    assert_eq!(directory.lose_since(TASK, 9), 0);
}

#[test]
fn a_corrupt_task_is_unusable_until_it_is_set_aside() {
    let directory = MemoryDirectory::new();
    let backend = directory.open(TASK, &specs()).unwrap();
    directory.corrupt(TASK);
    let errors = [
        backend.get(CARTS, b"a").err(),
        backend.scan(CARTS, &KeyRange::all(), Direction::Forward).err(),
        backend.checkpoint().err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().recovery(), Recovery::ReviveTask(TASK));
    }
    drop(backend);
    let error = directory.open(TASK, &specs()).err();
    assert!(matches!(error, Some(StoreError::Corrupt { .. })), "{error:?}");
    directory.quarantine(TASK).unwrap();
    assert_eq!(directory.quarantined(), 1);
    directory.open(TASK, &specs()).unwrap().close().unwrap();
}

#[test]
fn a_process_that_dies_around_a_batch_leaves_all_of_it_or_nothing() {
    for (fault, written) in [
        (StoreFault::WriteFails, 1),
        (StoreFault::CrashBeforeBatch, 1),
        (StoreFault::CrashInBatch, 1),
        (StoreFault::CrashAfterBatch, 2),
    ] {
        let directory = MemoryDirectory::new();
        directory.fail_after(fault, 1);
        let mut backend = directory.open(TASK, &specs()).unwrap();
        backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1")), row("b", Some("1"))])])).unwrap();
        let second = batch(2, [(CARTS, vec![row("a", None), row("b", Some("2"))])]);
        assert_eq!(backend.apply(&second).unwrap_err().recovery(), Recovery::Shutdown);
        assert_eq!(directory.take_crash().is_some(), fault != StoreFault::WriteFails);
        drop(backend);
        let backend = directory.open(TASK, &specs()).unwrap();
        assert_eq!(backend.checkpoint().unwrap().sequence, written, "{fault:?}");
        let expected = if written == 1 {
            vec![(bytes("a"), bytes("1")), (bytes("b"), bytes("1"))]
        } else {
            vec![(bytes("b"), bytes("2"))]
        };
        assert_eq!(directory.contents(TASK, "carts"), expected.into_iter().collect(), "{fault:?}");
        assert_eq!(directory.faults_hit(), [(fault, 1)].into());
    }
}

#[test]
fn an_image_is_the_disk_as_it_was() {
    let directory = MemoryDirectory::new();
    let mut backend = directory.open(TASK, &specs()).unwrap();
    backend.apply(&batch(1, [(CARTS, vec![row("a", Some("1"))])])).unwrap();
    let image = directory.image();
    backend.apply(&batch(2, [(CARTS, vec![row("a", Some("2"))])])).unwrap();
    assert_eq!(image.checkpoint(TASK).unwrap(), checkpoint(1));
    assert_eq!(image.contents(TASK, "carts"), [(bytes("a"), bytes("1"))].into());
    image.open(TASK, &specs()).unwrap().close().unwrap();
}
