//! Tests of state: one suite for every directory, models beside it.

mod changelog;
mod contract;
mod key_value;
#[cfg(feature = "rocksdb")]
mod loads;
mod measured;
mod model;
mod on_memory;
#[cfg(feature = "rocksdb")]
mod on_rocksdb;
#[cfg(feature = "rocksdb")]
mod refused;
mod replay;
#[cfg(feature = "rocksdb")]
mod view;

use std::rc::Rc;

use bytes::Bytes;

use super::{
    Checkpoint, CommitBatch, Direction, KeyRange, RestoredBatch, RestoredRows, Row, StoreIndex, StoreKind, StoreSpec,
    TaskStores,
};
use crate::broker::TopicId;
use crate::record::{Offset, Partition, TaskId, TopicName, TopicPartition};
use crate::time::Timestamp;

const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(3) };
/// On disk.
const CARTS: StoreIndex = StoreIndex(0);
/// On disk.
const BURSTS: StoreIndex = StoreIndex(1);
/// In memory.
const RECENT: StoreIndex = StoreIndex(2);
const STORES: [StoreIndex; 3] = [CARTS, BURSTS, RECENT];

fn specs() -> Vec<StoreSpec> {
    let spec = |name: &str, kind| StoreSpec {
        name: name.to_owned(),
        kind,
        changelog: Some(TopicName::from(format!("app-{name}-changelog"))),
    };
    vec![
        spec("carts", StoreKind::Persistent),
        spec("bursts", StoreKind::Persistent),
        spec("recent", StoreKind::InMemory),
    ]
}

fn changelog(store: StoreIndex) -> TopicPartition {
    let topic = specs()[usize::from(store.0)].changelog.clone().unwrap();
    TopicPartition { topic, partition: TASK.partition }
}

/// A checkpoint with something in every field.
fn checkpoint(sequence: u64) -> Checkpoint {
    let at = i64::try_from(sequence).unwrap();
    Checkpoint {
        changelog: STORES.iter().map(|store| (changelog(*store), Offset(at * 10))).collect(),
        input: [(TopicPartition::new("events", TASK.partition), Offset(at * 100))].into(),
        sequence,
        stream_time: Timestamp::from_millis(1_700_000_000_000 + at),
        topic_ids: [(changelog(CARTS).topic, TopicId([7; 16]))].into(),
        partitions: 4,
        topology_hash: u64::MAX - 1,
        record: Some(Offset(at * 10 - 1)),
        owned_until: Timestamp::from_millis(1_700_000_000_500),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn row(key: &str, value: Option<&str>) -> Row {
    (bytes(key), value.map(bytes))
}

fn batch(sequence: u64, rows: impl IntoIterator<Item = (StoreIndex, Vec<Row>)>) -> CommitBatch {
    CommitBatch { rows: rows.into_iter().collect(), checkpoint: checkpoint(sequence) }
}

/// The same as a replay brings it: rows in any order.
fn restored(sequence: u64, rows: impl IntoIterator<Item = (StoreIndex, Vec<Row>)>) -> RestoredBatch {
    let mut batch = RestoredBatch { checkpoint: checkpoint(sequence), ..RestoredBatch::default() };
    for (store, rows) in rows {
        let mut replayed = RestoredRows::default();
        assert!(rows.iter().all(|(key, value)| replayed.push(key, value.as_deref())));
        batch.rows.insert(store, replayed);
    }
    batch
}

/// All rows that the task sees, as text.
fn contents(stores: &Rc<TaskStores>, store: StoreIndex) -> Vec<(String, String)> {
    let rows = stores.scan(store, KeyRange::all(), Direction::Forward).unwrap();
    rows.map(|row| text(row.unwrap())).collect()
}

fn text((key, value): (Bytes, Bytes)) -> (String, String) {
    (String::from_utf8(key.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap())
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
