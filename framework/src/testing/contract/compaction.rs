//! What a compacted log keeps: of each key the last committed value, deletions for a while, and every offset.
//!
//! A real cluster compacts by itself, by the settings that [`log`] gives the topic: each record closes the segment before
//! it, so that everything but the newest record may be compacted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, ChangelogReader, LogRange, NewTopic, Producer};
use crate::record::{Offset, ProducerRecord, TopicName, TopicPartition};

use super::{
    CALL, Fixture, POLL, STEP, application, await_end, commit, log_range, open_transaction, partition, producer,
    record, retry, wait_until,
};

/// The key of records that are there to be the newest.
const NEWEST: &str = "newest";
const DAY: Duration = Duration::from_hours(24);

/// Of each key the last value stays, at its offset; the log begins where it began and ends where it ended; a read from an
/// offset that is gone goes on with the next one that is there.
pub fn compaction_keeps_the_last_value_of_each_key_and_every_offset<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = log(fixture, &broker, (1, DAY));
    let at = partition(&name, 0);
    let rows = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")];
    fixture.append(rows.map(|(key, value)| keyed(&at, key, Some(value))).to_vec());
    compact(fixture, &at, false);
    await_rows(fixture, &at, &[(2, "a", Some("3")), (3, "c", Some("4")), (4, "b", Some("5"))]);
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(log_range(fixture, &mut reader, &at), LogRange { start: Offset(0), end: Offset(6) });
    for from in 0..3 {
        assert_eq!(read_from::<F>(fixture, &mut reader, (&at, from), 6), [2, 3, 4, 5], "from {from}");
    }
    assert_eq!(read_from::<F>(fixture, &mut reader, (&at, 4), 6), [4, 5]);
}

/// The deletion of a key is a record like any other until it is as old as the topic's `delete.retention.ms`.
pub fn compaction_keeps_a_deletion_until_it_is_old<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = log(fixture, &broker, (1, DAY));
    let at = partition(&name, 0);
    let rows = [("a", Some("1")), ("a", None), ("b", Some("2")), ("b", Some("3"))];
    fixture.append(rows.map(|(key, value)| keyed(&at, key, value)).to_vec());
    compact(fixture, &at, false);
    // What shows that the log is compacted lies behind the deletion.
    await_rows(fixture, &at, &[(1, "a", None), (3, "b", Some("3"))]);
    fixture.append(vec![keyed(&at, "b", Some("4"))]);
    compact(fixture, &at, false);
    await_rows(fixture, &at, &[(1, "a", None), (5, "b", Some("4"))]);
}

/// An old deletion goes, and with it the last that tells of its key.
pub fn compaction_drops_a_deletion_that_is_old<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = log(fixture, &broker, (1, Duration::ZERO));
    let at = partition(&name, 0);
    let rows = [("a", Some("1")), ("a", None), ("b", Some("2")), ("b", Some("3"))];
    fixture.append(rows.map(|(key, value)| keyed(&at, key, value)).to_vec());
    compact(fixture, &at, false);
    wait_until(fixture, "the log is compacted", |fixture| {
        let there = rows_of(fixture, &at);
        there.iter().all(|(offset, ..)| *offset == 1 || *offset == 3)
    });
    // The first compaction only tells how old the deletion is.
    fixture.append(vec![keyed(&at, "b", Some("4"))]);
    compact(fixture, &at, true);
    await_rows(fixture, &at, &[(5, "b", Some("4"))]);
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(log_range(fixture, &mut reader, &at), LogRange { start: Offset(0), end: Offset(7) });
}

/// An aborted record is no value: the committed one before it stays. Markers go when they may, and a position passes where
/// they were.
pub fn compaction_decides_by_what_is_committed<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = log(fixture, &broker, (1, DAY));
    let at = partition(&name, 0);
    commit(fixture, &broker, &id, &[keyed(&at, "a", Some("1")), keyed(&at, "b", Some("2"))]);
    commit(fixture, &broker, &id, &[keyed(&at, "b", Some("3"))]);
    await_end(fixture, &broker, &at, 5);
    drop(open_transaction(fixture, &broker, &id, &[keyed(&at, "a", Some("aborted"))]));
    await_end(fixture, &broker, &at, 6);
    drop(producer(fixture, &broker, &id));
    // p-0: a b COMMIT b COMMIT a ABORT
    await_end(fixture, &broker, &at, 7);
    compact(fixture, &at, false);
    await_rows(fixture, &at, &[(0, "a", Some("1")), (3, "b", Some("3"))]);
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(log_range(fixture, &mut reader, &at), LogRange { start: Offset(0), end: Offset(8) });
    assert_eq!(read_from::<F>(fixture, &mut reader, (&at, 0), 8), [0, 3, 7]);
    assert_eq!(read_from::<F>(fixture, &mut reader, (&at, 4), 8), [7]);
    // A transaction goes on over a log that was compacted.
    commit(fixture, &broker, &id, &[keyed(&at, "a", Some("4"))]);
    await_end(fixture, &broker, &at, 10);
    compact(fixture, &at, false);
    await_rows(fixture, &at, &[(3, "b", Some("3")), (8, "a", Some("4"))]);
}

/// Nothing behind the first record of an open transaction is compacted, nor does it count.
pub fn an_open_transaction_holds_compaction_back<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = log(fixture, &broker, (2, DAY));
    let (held, free) = (partition(&name, 0), partition(&name, 1));
    for at in [&held, &free] {
        fixture.append(vec![keyed(at, "a", Some("1"))]);
    }
    let mut open = open_transaction(fixture, &broker, &id, &[keyed(&held, "b", Some("open"))]);
    await_end(fixture, &broker, &held, 2);
    for at in [&held, &free] {
        fixture.append(vec![keyed(at, "a", Some("2"))]);
        compact(fixture, at, false);
    }
    // The other partition shows that compaction has been here.
    await_rows(fixture, &free, &[(1, "a", Some("2"))]);
    assert_eq!(rows_of(fixture, &held), [(0, "a".to_owned(), Some("1".to_owned()))]);
    open.commit(CALL).unwrap();
    await_end(fixture, &broker, &held, 5);
    compact(fixture, &held, false);
    await_rows(fixture, &held, &[(1, "b", Some("open")), (2, "a", Some("2"))]);
}

/// A new compacted topic: so many partitions, and how long deletions stay.
fn log<F: Fixture>(fixture: &mut F, broker: &F::Broker, (partitions, deletions): (i32, Duration)) -> TopicName {
    let name: TopicName = fixture.unique("compacted").into();
    let configs = BTreeMap::from(
        [
            ("cleanup.policy", "compact".to_owned()),
            ("delete.retention.ms", deletions.as_millis().to_string()),
            ("min.cleanable.dirty.ratio", "0.001".to_owned()),
            // The time of the broker, so that a later record closes the segment of an earlier one.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("segment.ms", "1".to_owned()),
        ]
        .map(|(setting, value)| (setting.to_owned(), value)),
    );
    let new = NewTopic { name: name.clone(), partitions, replication_factor: -1, configs };
    retry(fixture, "the topic is created", || broker.create_topic(&new));
    name
}

/// Lets everything that is there now be compacted.
fn compact<F: Fixture>(fixture: &mut F, at: &TopicPartition, old_deletions: bool) {
    fixture.pass(STEP);
    fixture.append(vec![keyed(at, NEWEST, Some(""))]);
    fixture.compact(&at.topic, old_deletions);
}

fn keyed(at: &TopicPartition, key: &str, value: Option<&str>) -> ProducerRecord {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    ProducerRecord { key: Some(Bytes::copy_from_slice(key.as_bytes())), value, ..record(at, "") }
}

/// Offset, key and value of what a partition has, without the newest.
fn rows_of<F: Fixture>(fixture: &mut F, at: &TopicPartition) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let there = fixture.read_committed(&at.topic).into_iter().filter(|record| record.source == *at);
    let rows = there.map(|record| (record.offset.0, text(record.key.unwrap_or_default()), record.value.map(text)));
    rows.filter(|(_, key, _)| key != NEWEST).collect()
}

fn await_rows<F: Fixture>(fixture: &mut F, at: &TopicPartition, expected: &[(i64, &str, Option<&str>)]) {
    let owned =
        |(offset, key, value): &(i64, &str, Option<&str>)| (*offset, (*key).to_owned(), value.map(str::to_owned));
    let expected: Vec<_> = expected.iter().map(owned).collect();
    wait_until(fixture, &format!("{at} has {expected:?}"), |fixture| rows_of(fixture, at) == expected);
}

/// The offsets that a reader gets from there to the end.
fn read_from<F: Fixture>(
    fixture: &mut F,
    reader: &mut <F::Broker as Broker>::Reader,
    (at, from): (&TopicPartition, i64),
    end: i64,
) -> Vec<i64> {
    reader.assign(&[(at.clone(), Offset(from))].into()).unwrap();
    let mut offsets = Vec::new();
    wait_until(fixture, "the reader's position is at the end", |_| {
        offsets.extend(reader.poll(POLL).unwrap().into_iter().map(|record| record.offset.0));
        reader.position(at) == Some(Offset(end))
    });
    offsets
}
