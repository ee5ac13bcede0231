//! Tables: the latest value per key, deletions, and changes with both sides.

use millpond::dsl::Materialized;
use millpond::serde::{Int64, Nullable, Utf8};
use millpond::testing::TopologyTestDriver;

use crate::{CHANGES, OUT, WORDS, driver, pairs, pipe_words, text};

const TOMBSTONED: millpond::dsl::Topic<String, Option<i64>> =
    millpond::dsl::Topic::new("words", &Utf8, &Nullable(&Int64));

fn table() -> TopologyTestDriver {
    driver(|b| b.table(&WORDS, Materialized::persistent("table", &Utf8, &Int64)).to_stream().to(&CHANGES))
}

#[test]
fn a_table_forwards_every_update_and_deletion() {
    let mut driver = table();
    for (at, value) in (0..).zip([Some(1), Some(1), None, Some(2)]) {
        driver.pipe(&TOMBSTONED, text("a"), value, at);
    }
    driver.commit();
    let changes = driver.read_committed(&CHANGES);
    assert_eq!(changes, [Some(1), Some(1), None, Some(2)].map(|value| (text("a"), value)));
}

#[test]
fn a_deletion_of_what_is_not_there_changes_nothing() {
    let mut driver = table();
    for (at, value) in (0..).zip([None, Some(1), None, None]) {
        driver.pipe(&TOMBSTONED, text("a"), value, at);
    }
    driver.commit();
    assert_eq!(driver.read_committed(&CHANGES), [Some(1), None].map(|value| (text("a"), value)));
    // The row is gone, and so is its changelog's value.
    let mut rows = driver.records("test-table-changelog").into_iter();
    let last = rows.rfind(|row| row.key.as_deref() == Some(b"a"));
    assert_eq!(last.map(|row| row.value), Some(None));
}

#[test]
fn updates_leave_deletions_out() {
    let mut driver = driver(|b| b.table(&WORDS, Materialized::persistent("table", &Utf8, &Int64)).updates().to(&OUT));
    for (at, value) in (0..).zip([Some(1), None, Some(2)]) {
        driver.pipe(&TOMBSTONED, text("a"), value, at);
    }
    driver.commit();
    assert_eq!(driver.read_committed(&OUT), pairs(&[("a", 1), ("a", 2)]));
}

#[test]
fn several_updates_of_a_key_in_one_commit_are_one_row_of_the_changelog() {
    let mut driver = table();
    pipe_words(&mut driver, &[("a", 1), ("b", 1), ("a", 2), ("a", 3)]);
    let keys: Vec<_> = driver.records("test-table-changelog").into_iter().filter_map(|row| row.key).collect();
    let of_a = keys.iter().filter(|key| &key[..] == b"a").count();
    assert_eq!(of_a, 1);
    assert_eq!(driver.read_committed(&CHANGES).len(), 4);
}

#[test]
fn a_table_is_back_after_its_disk_is_lost() {
    let mut driver = table();
    driver.pipe(&TOMBSTONED, text("a"), Some(1), 0);
    driver.pipe(&TOMBSTONED, text("b"), Some(1), 1);
    driver.pipe(&TOMBSTONED, text("b"), None, 2);
    driver.commit();
    driver.crash_and_lose_disk();
    // A deletion shows only where there is a row: "a" is there, "b" is not.
    driver.pipe(&TOMBSTONED, text("a"), None, 3);
    driver.pipe(&TOMBSTONED, text("b"), None, 4);
    driver.commit();
    let changes = driver.read_committed(&CHANGES);
    assert_eq!(changes.last(), Some(&(text("a"), None)));
    assert_eq!(changes.len(), 4);
}
