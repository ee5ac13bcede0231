use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use millpond::record::{Offset, Partition, TaskId, TopicPartition};
use millpond::serde::{Int64, Utf8};
use millpond::state::rocksdb::{Options, RocksDirectory, TaskView};
use millpond::state::{Backend, Checkpoint, CommitBatch, KeyRange, StateDirectory, StoreIndex, StoreKind, StoreSpec};

use crate::cli::Failure;
use crate::cli::failure::EXIT_USAGE;
use crate::cli::tests::{SHOP, answered_by, topology};
use millpond::formats::StoreFormats;

const TASK: TaskId = TaskId { subtopology: 1, partition: Partition(3) };

/// State with two rows in `counts` and one in `others`, opened as a running instance has it.
fn written(dir: &Path) -> Box<dyn Backend> {
    let spec = |name: &str| StoreSpec { name: name.to_owned(), kind: StoreKind::Persistent, changelog: None };
    let specs = [spec("counts"), spec("others")];
    let directory = RocksDirectory::new(dir, "shop", "pod-0", Options::default());
    let mut backend = directory.open(TASK, &specs).unwrap();
    let row = |key: &str, value: &[u8]| (key.to_owned().into(), Some(value.to_vec().into()));
    let counts = vec![row("mill", &7_i64.to_be_bytes()), row("pond", &1_i64.to_be_bytes())];
    let others = vec![row("a", br#"{"x":1}"#)];
    let input = [(TopicPartition::new("events", Partition(3)), Offset(9))].into();
    let checkpoint = Checkpoint { sequence: 4, input, partitions: 4, ..Checkpoint::default() };
    backend
        .apply(&CommitBatch { rows: [(StoreIndex(0), counts), (StoreIndex(1), others)].into(), checkpoint })
        .unwrap();
    backend
}

fn answered(dir: &Path, line: &[&str]) -> Result<String, Failure> {
    let formats = StoreFormats::new().store::<String, i64>("counts", &Utf8, &Int64);
    let program = SHOP.program(topology).stores(formats);
    let dir = format!("--state-dir={}", dir.display());
    answered_by(&program, &[&["state"], line, &[dir.as_str()]].concat())
}

#[test]
fn a_running_instances_rows_are_read_beside_it_and_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let running = written(dir.path());
    assert_eq!(answered(dir.path(), &["scan", "counts"]).unwrap(), "1_3\tmill\t7\n1_3\tpond\t1\n");
    assert_eq!(answered(dir.path(), &["get", "counts", "mill"]).unwrap(), "1_3\tmill\t7\n");
    assert_eq!(answered(dir.path(), &["scan", "counts", "--prefix=po"]).unwrap(), "1_3\tpond\t1\n");
    let cut = answered(dir.path(), &["scan", "counts", "--limit=1"]).unwrap();
    assert!(cut.starts_with("1_3\tmill\t7\n…"), "{cut}");
    // Nobody knows the types of this one.
    assert_eq!(answered(dir.path(), &["scan", "others"]).unwrap(), "1_3\ta\t{\"x\":1}\n");
    let listed = answered(dir.path(), &["ls"]).unwrap();
    assert!(listed.contains("pod-0") && listed.contains("1_3") && listed.contains("counts, others"), "{listed}");
    assert!(!cfg!(target_os = "linux") || listed.contains("running"), "{listed}");
    running.close().unwrap();
    let stopped = answered(dir.path(), &["ls", "--json"]).unwrap();
    assert!(!cfg!(target_os = "linux") || stopped.contains("\"in_use\":false"), "{stopped}");
}

/// What was committed after one look shows at the next, and the writer notices nothing.
#[test]
fn each_look_sees_what_is_committed_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = written(dir.path());
    for number in 0..3_i64 {
        let row = ("mill".to_owned().into(), Some(number.to_be_bytes().to_vec().into()));
        running.apply(&CommitBatch { rows: [(StoreIndex(0), vec![row])].into(), ..CommitBatch::default() }).unwrap();
        let seen = answered(dir.path(), &["get", "counts", "mill"]).unwrap();
        assert_eq!(seen, format!("1_3\tmill\t{number}\n"));
    }
}

/// A look shows one commit as a whole, while the writer flushes, compacts and deletes files all the time: both stores and the
/// checkpoint are of the same commit, and later looks are of later ones.
#[test]
fn a_look_at_a_busy_writer_shows_one_commit_and_no_mixture() {
    const LOOKS: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ready, wait) = std::sync::mpsc::channel();
        let (stop, root) = (&stop, dir.path());
        scope.spawn(move || {
            let spec = |name: &str| StoreSpec { name: name.to_owned(), kind: StoreKind::Persistent, changelog: None };
            let small = Options { memtable_bytes_max: 64 << 10, wal_bytes_max: 128 << 10, ..Options::default() };
            let directory = RocksDirectory::new(root, "shop", "pod-0", small);
            let mut backend = directory.open(TASK, &[spec("few"), spec("many")]).unwrap();
            let mut number = 0_u64;
            while !stop.load(Ordering::Acquire) {
                number += 1;
                let value = number.to_be_bytes().to_vec();
                let row = |key: String| (key.into(), Some(value.clone().into()));
                // One store grows much faster than the other: they are flushed at different times.
                let mut many: Vec<_> = (0..200).map(|n| row(format!("key-{:05}", (number * 7 + n) % 5_000))).collect();
                many.push(row("n".to_owned()));
                many.sort();
                many.dedup_by(|a, b| a.0 == b.0);
                let rows = [(StoreIndex(0), vec![row("n".to_owned())]), (StoreIndex(1), many)].into();
                let checkpoint = Checkpoint { sequence: number, ..Checkpoint::default() };
                backend.apply(&CommitBatch { rows, checkpoint }).unwrap();
                let _ = ready.send(());
            }
            backend.close().unwrap();
        });
        wait.recv().unwrap();
        // Also when an assertion fails: the scope waits for the writer.
        let _stop = StopAtEnd(stop);
        let mut last = 0;
        for look in 0..LOOKS {
            let scratch = tempfile::tempdir().unwrap();
            let view = TaskView::open(&root.join("shop/pod-0"), TASK, scratch.path()).unwrap();
            let number = |store: &str| {
                let value: [u8; 8] = view.get(store, b"n").unwrap().unwrap().as_ref().try_into().unwrap();
                u64::from_be_bytes(value)
            };
            let seen = (number("few"), number("many"), view.checkpoint().unwrap().sequence);
            assert_eq!(seen, (seen.0, seen.0, seen.0), "look {look}");
            assert!(seen.0 >= last, "look {look}: {} after {last}", seen.0);
            let rows: Result<Vec<_>, _> = view.scan("many", &KeyRange::all()).unwrap().collect();
            assert!(rows.unwrap().len() > 100, "look {look}");
            last = seen.0;
        }
    });
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn stats_tell_rows_and_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).close().unwrap();
    let text = answered(dir.path(), &["stats"]).unwrap();
    assert!(text.contains("commit 4") && text.contains("events-3@9"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&answered(dir.path(), &["stats", "--json"]).unwrap()).unwrap();
    assert_eq!(json["tasks"][0]["stores"][0]["rows"], 2);
    assert_eq!(json["tasks"][0]["checkpoint"]["sequence"], 4);
}

#[test]
fn an_export_has_a_line_of_json_for_each_row() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).close().unwrap();
    let file = dir.path().join("rows.jsonl");
    let told = answered(dir.path(), &["export", "--file", file.to_str().unwrap()]).unwrap();
    assert!(told.starts_with("3 rows are in "), "{told}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, answered(dir.path(), &["export"]).unwrap());
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["store"], &first["key"], &first["value"]), (&"counts".into(), &"mill".into(), &7.into()));
    let refused = answered(dir.path(), &["export", "--file", "/nowhere/rows"]).unwrap_err();
    assert_eq!(refused.code, "output");
}

#[test]
fn verify_names_rows_that_do_not_decode_and_files_that_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = written(dir.path());
    assert!(answered(dir.path(), &["verify"]).unwrap().starts_with("3 rows were read\n"));
    let row = ("mill".to_owned().into(), Some("short".into()));
    let checkpoint = Checkpoint { sequence: 5, partitions: 4, ..Checkpoint::default() };
    running.apply(&CommitBatch { rows: [(StoreIndex(0), vec![row])].into(), checkpoint }).unwrap();
    running.close().unwrap();
    let failure = answered(dir.path(), &["verify"]).unwrap_err();
    assert_eq!((failure.code, failure.exit()), ("state-damaged", 1));
    let tables = std::fs::read_dir(dir.path().join("shop/pod-0/1_3/db")).unwrap();
    let tables = tables.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "sst"));
    for table in tables {
        let mut bytes = std::fs::read(&table).unwrap();
        bytes[2] ^= 0xff;
        std::fs::write(&table, bytes).unwrap();
    }
    let refused = answered(dir.path(), &["export"]).unwrap_err();
    assert_eq!(refused.code, "state-damaged", "{refused}");
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let none = answered(dir.path(), &["ls"]).unwrap_err();
    assert!(none.code == "no-state" && none.to_string().contains("--state-dir"), "{none}");
    written(dir.path()).close().unwrap();
    let store = answered(dir.path(), &["scan", "carts"]).unwrap_err();
    assert!(store.to_string().contains("counts, others"), "{store}");
    let task = answered(dir.path(), &["stats", "--task=0_0"]).unwrap_err();
    assert!(task.to_string().contains("pod-0 (1_3)"), "{task}");
    let key = answered(dir.path(), &["get", "counts", "weir"]).unwrap_err();
    assert_eq!(key.code, "no-such-key");
    let prefix = answered(dir.path(), &["scan", "counts", "--prefix=0x1"]).unwrap_err();
    assert_eq!(prefix.exit(), EXIT_USAGE);
}

#[test]
fn state_of_another_format_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).close().unwrap();
    std::fs::write(dir.path().join("shop/pod-0/1_3/format"), "9\n").unwrap();
    assert_eq!(answered(dir.path(), &["stats"]).unwrap_err().code, "state-format");
    assert!(answered(dir.path(), &["ls"]).unwrap().contains("not readable: state-format"));
}
