//! Bars on a terminal: they tell how far a command is, leave nothing behind, and change nothing of the answer.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use millpond::record::{Partition, TaskId};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{Checkpoint, CommitBatch, StateDirectory, StoreIndex, StoreKind, StoreSpec};
use regex::Regex;

use super::terminal::{Seen, Terminal};
use super::*;

const APPLICATION: &str = "cli-progress";

/// The state of an application: so many rows in one store.
fn state_of(dir: &Path, rows: usize) {
    let spec = StoreSpec { name: "carts".to_owned(), kind: StoreKind::Persistent, changelog: None };
    let task = TaskId { subtopology: 1, partition: Partition(0) };
    let state = RocksDirectory::new(dir, APPLICATION, "pod-0", Options::default());
    let mut backend = state.open(task, &[spec]).unwrap();
    let value = Bytes::from_static(br#"{"adds":[1,2,3,4,5]}"#);
    let all = (0..rows).map(|number| (Bytes::from(format!("user {number:07}")), Some(value.clone())));
    let checkpoint = Checkpoint { sequence: 1, partitions: 1, ..Checkpoint::default() };
    backend.apply(&CommitBatch { rows: [(StoreIndex(0), all.collect())].into(), checkpoint }).unwrap();
    backend.close().unwrap();
}

fn tool(line: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(built("millpond").unwrap());
    command.args(line).args([format!("--application-id={APPLICATION}"), format!("--state-dir={}", dir.display())]);
    command.stdin(Stdio::null());
    command
}

/// What a command writes to standard error, a pipe, and to standard output.
fn piped(mut command: Command) -> (i32, String, String) {
    // As on a terminal but for the terminal.
    let output = command.env("TERM", "xterm").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stderr), text(output.stdout))
}

/// The same with standard error on a terminal.
fn on_terminal(mut command: Command, dir: &Path) -> (Seen, String) {
    let terminal = Terminal::new();
    let out = dir.join("out");
    command.stderr(terminal.line()).stdout(File::create(&out).unwrap());
    let seen = terminal.watch(command);
    (seen, std::fs::read_to_string(out).unwrap())
}

/// How far the command was in each picture, and of how much.
fn steps(seen: &Seen, what: &str) -> Vec<(u64, u64)> {
    let form = Regex::new(&format!("^{what} +[█░]+ +([0-9,]+) of about ([0-9,]+), [0-9]+[a-z]+ left$")).unwrap();
    let pictures = seen.pictures();
    let of = |picture: &String| {
        let parts = form.captures(picture).unwrap_or_else(|| panic!("no bar of one line: {picture:?}"));
        let number = |part: usize| parts[part].replace(',', "").parse().unwrap();
        (number(1), number(2))
    };
    pictures.iter().map(of).collect()
}

#[test]
fn a_bar_tells_a_terminal_how_far_it_is_and_goes_and_the_answer_is_the_same_as_without() {
    const ROWS: u64 = 200_000;
    let scratch = Scratch::new(APPLICATION).unwrap();
    let dir = scratch.path();
    state_of(dir, usize::try_from(ROWS).unwrap());
    for (line, what) in [
        (&["state", "verify"][..], "verifying"),
        (&["state", "verify", "--json"], "verifying"),
        (&["state", "export"], "exporting"),
    ] {
        let (code, err, out) = piped(tool(line, dir));
        assert_eq!((code, err.as_str()), (0, ""), "{line:?}");
        let (seen, shown) = on_terminal(tool(line, dir), dir);
        assert!(seen.code == 0 && shown == out, "{line:?}: {} bytes became {}", out.len(), shown.len());
        let steps = steps(&seen, what);
        assert!(steps.is_sorted() && steps.iter().all(|&(done, of)| done <= of && of == ROWS), "{line:?}: {steps:?}");
        assert_eq!(steps.first(), Some(&(0, ROWS)), "{line:?}: it begins before the first row");
        assert!(steps.last().is_some_and(|&(done, _)| done > ROWS / 20), "{line:?}: it stands still: {steps:?}");
        assert_eq!(seen.left(), "", "{line:?}");
    }
}

#[test]
fn rows_that_go_to_the_terminal_have_no_bar_between_them_and_an_answer_comes_after_it() {
    let scratch = Scratch::new(APPLICATION).unwrap();
    let dir = scratch.path();
    state_of(dir, 10);
    let watched = |line: &[&str]| {
        let terminal = Terminal::new();
        let mut command = tool(line, dir);
        command.stderr(terminal.line()).stdout(terminal.line());
        terminal.watch(command)
    };
    let (_, _, rows) = piped(tool(&["state", "export"], dir));
    assert_eq!(rows.lines().count(), 10, "{rows}");
    assert_eq!(watched(&["state", "export"]).text(), rows);
    // Rows that go elsewhere are told of.
    let file = format!("--file={}", dir.join("rows").display());
    for line in [&["state", "verify"][..], &["state", "export", &file]] {
        let (_, _, answer) = piped(tool(line, dir));
        let seen = watched(line);
        assert!(seen.text().contains(" of about 10, "), "{seen:?}");
        assert_eq!(seen.left().replace('\n', ""), answer.replace('\n', ""), "{seen:?}");
    }
    assert_eq!(std::fs::read_to_string(dir.join("rows")).unwrap(), rows);
}

#[test]
fn a_command_that_fails_says_so_in_the_place_of_its_bar() {
    let scratch = Scratch::new(APPLICATION).unwrap();
    let dir = scratch.path();
    state_of(dir, 10);
    // The disk has no room for what is written.
    let line = ["state", "export", "--file=/dev/full"];
    let (code, err, _) = piped(tool(&line, dir));
    assert!(code == 1 && !err.contains(|c: char| c.is_control() && c != '\n'), "{err:?}");
    let (seen, _) = on_terminal(tool(&line, dir), dir);
    assert_eq!(seen.code, 1, "{seen:?}");
    assert!(seen.text().contains(" of about 10, "), "{seen:?}");
    assert_eq!(seen.left().replace('\n', ""), err.replace('\n', ""), "{seen:?}");
}

#[test]
fn what_waits_for_a_cluster_says_so_on_a_terminal_alone() {
    let shop = Shop::new(APPLICATION);
    let lines = [
        (&["reset", "--to-latest"][..], "asking the cluster"),
        (&["doctor", "--no-probe", "--json"], "asking the cluster"),
    ];
    // Others write to the same disk meanwhile.
    let room = Regex::new("[0-9]+ MiB are free").unwrap();
    let without_room = |answer: &str| room.replace(answer, "").into_owned();
    for (line, what) in lines {
        let plain = shop.own(line);
        assert_eq!((plain.code, plain.err.as_str()), (0, ""), "{plain:?}");
        let (seen, shown) = on_terminal(shop.command("fraud", line), &shop.dir);
        assert_eq!((seen.code, without_room(&shown)), (0, without_room(&plain.out)), "{line:?}");
        let pictures = seen.pictures();
        assert!(pictures.iter().any(|picture| picture.ends_with(what)), "{line:?}: {pictures:?}");
        assert!(pictures.iter().all(|picture| picture.lines().count() == 1), "{line:?}: {pictures:?}");
        assert_eq!(seen.left(), "", "{line:?}");
    }
}
