//! What an operator reads of a task's state, beside the process that writes it.

use std::fs;

use tempfile::TempDir;

use super::on_rocksdb::temporary;
use super::{BURSTS, CARTS, TASK, batch, bytes, checkpoint, pairs, row, specs, text};
use crate::record::{Partition, TaskId};
use crate::state::rocksdb::{StoreStats, TaskView, aside, instances};
use crate::state::{KeyRange, StateDirectory, StoreError};

fn rows(view: &TaskView, store: &str, range: &KeyRange) -> Vec<(String, String)> {
    view.scan(store, range).unwrap().map(|row| text(row.unwrap())).collect()
}

#[test]
fn a_view_shows_what_was_committed_when_it_was_opened_and_keeps_nobody_from_writing() {
    let (directory, scratch) = (temporary(), TempDir::new().unwrap());
    let mut backend = directory.open(TASK, &specs()).unwrap();
    let carts = vec![row("a", Some("1")), row("b", Some("2")), row("c", Some("3"))];
    backend.apply(&batch(1, [(CARTS, carts), (BURSTS, vec![row("x", Some("9"))])])).unwrap();

    let view = TaskView::open(directory.root(), TASK, scratch.path()).unwrap();
    backend.apply(&batch(2, [(CARTS, vec![row("a", None), row("d", Some("4"))])])).unwrap();

    assert_eq!((view.task(), view.stores()), (TASK, ["bursts".to_owned(), "carts".to_owned()].as_slice()));
    assert_eq!(view.checkpoint().map(|checkpoint| checkpoint.sequence), Some(1));
    assert_eq!(view.checkpoint().unwrap().input, checkpoint(1).input);
    assert_eq!(view.get("carts", b"a").unwrap(), Some(bytes("1")), "as it was");
    assert_eq!(view.get("carts", b"d").unwrap(), None);
    assert_eq!(rows(&view, "carts", &KeyRange::all()), pairs([("a", "1"), ("b", "2"), ("c", "3")]));
    let inner = KeyRange { start: b"b".to_vec(), end: Some(b"c".to_vec()) };
    assert_eq!(rows(&view, "carts", &inner), pairs([("b", "2")]));
    let empty = KeyRange { start: b"c".to_vec(), end: Some(b"b".to_vec()) };
    assert_eq!(rows(&view, "carts", &empty), pairs([]));
    assert_eq!(view.stats("carts").unwrap(), StoreStats { rows: 3, disk_bytes: 0 }, "all of it still in the log");
    for refused in [view.get("recent", b"a").map(drop), view.stats("recent").map(drop)] {
        assert!(matches!(refused, Err(StoreError::Bug { .. })), "rows in memory are not here: {refused:?}");
    }

    let scratch = TempDir::new().unwrap();
    let view = TaskView::open(directory.root(), TASK, scratch.path()).unwrap();
    assert_eq!(view.checkpoint().map(|checkpoint| checkpoint.sequence), Some(2));
    assert_eq!(rows(&view, "carts", &KeyRange::all()), pairs([("b", "2"), ("c", "3"), ("d", "4")]));
    drop(backend);
    assert_eq!(directory.open(TASK, &specs()).unwrap().checkpoint().unwrap().sequence, 2, "the state is as it was");
}

#[test]
fn what_is_no_state_is_told_and_nothing_is_made() {
    let (files, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let open = || TaskView::open(files.path(), TASK, scratch.path()).map(drop);
    let task = files.path().join(TASK.to_string());
    let corrupt = |opened: Result<(), StoreError>, says: &str| match opened {
        Err(StoreError::Corrupt { reason, .. }) => assert!(reason.contains(says), "{reason}"),
        other => panic!("{says}: {other:?}"),
    };
    corrupt(open(), "no format version");
    assert!(!task.exists());
    fs::create_dir_all(&task).unwrap();
    fs::write(task.join("format"), "first\n").unwrap();
    corrupt(open(), "no format version");
    fs::write(task.join("format"), "99\n").unwrap();
    assert!(matches!(open(), Err(StoreError::Format { expected: 1, actual: 99, .. })));
    fs::write(task.join("format"), "1\n").unwrap();
    corrupt(open(), "no database in");
    assert!(!task.join("db").exists());
}

#[test]
fn instances_are_listed_with_their_tasks_and_with_what_was_set_aside() {
    let files = TempDir::new().unwrap();
    let listed = || instances(files.path(), "app").unwrap();
    assert_eq!(listed(), [], "no directory, no instances");
    for path in
        ["one/0_1", "one/0_0", "one/0_1.corrupt-2", "one/lost+found", "two/0_0.corrupt-1", "three", "one.reset-1/0_0"]
    {
        fs::create_dir_all(files.path().join("app").join(path)).unwrap();
    }
    fs::write(files.path().join("app/one/0_2"), "a file").unwrap();
    let found = listed();
    let task = |partition| TaskId { subtopology: 0, partition: Partition(partition) };
    assert_eq!(found.iter().map(|state| state.instance.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(found[0].tasks, [task(0), task(1)]);
    assert_eq!(found[0].set_aside, ["0_1.corrupt-2"]);
    assert_eq!(
        (found[1].tasks.as_slice(), found[1].set_aside.as_slice()),
        ([].as_slice(), ["0_0.corrupt-1".to_owned()].as_slice())
    );

    let root = &found[0].path;
    assert_eq!(aside(root), root.with_file_name("one.reset-2"), "the first name that is free");
    fs::write(files.path().join("app/file"), "").unwrap();
    assert!(matches!(instances(&files.path().join("app"), "file"), Err(StoreError::Directory { .. })));
}
