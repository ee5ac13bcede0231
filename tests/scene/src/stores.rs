//! Every store of an application on disk against its changelog, and where the input alone says what must be in a store,
//! against the input.

use std::collections::BTreeMap;
use std::path::Path;

use attribution::reference::{Deed, Fact};
use millpond::record::{Partition, TaskId};
use millpond::serde::{Bincode, Ordered, Serde};
use millpond::state::changelog::{ChangelogKey, classify};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{Direction, KeyRange, StateDirectory, StoreError, StoreIndex, StoreKind, StoreSpec};
use millpond::time::Timestamp;
use millpond_harness::{Client, Error, Received};

use crate::findings::Findings;

/// Rows by key.
type Table = BTreeMap<Vec<u8>, Vec<u8>>;
/// Tables by the store's name.
pub(crate) type Tables = BTreeMap<String, Table>;

/// The rows of a store on all partitions, from its changelog.
fn fold(records: &[Received]) -> BTreeMap<i32, Table> {
    let mut tables: BTreeMap<i32, Table> = BTreeMap::new();
    for record in records {
        let Some(key) = record.key.as_deref().filter(|key| classify(key) == ChangelogKey::Row) else { continue };
        let table = tables.entry(record.partition).or_default();
        match &record.value {
            Some(value) => drop(table.insert(key.to_vec(), value.clone())),
            None => drop(table.remove(key)),
        }
    }
    tables
}

fn engine(error: &StoreError) -> Error {
    Error::Tool { tool: "RocksDB", output: error.to_string() }
}

/// The stores of a task on disk. The application must not run.
fn on_disk(directory: &RocksDirectory, task: TaskId, names: &[String]) -> Result<Tables, StoreError> {
    let spec = |name: &String| StoreSpec { name: name.clone(), kind: StoreKind::Persistent, changelog: None };
    let backend = directory.open(task, &names.iter().map(spec).collect::<Vec<_>>())?;
    let mut tables = Tables::new();
    for (name, index) in names.iter().zip(0..) {
        let rows = backend.scan(StoreIndex(index), &KeyRange::all(), Direction::Forward)?;
        let rows: Result<Table, StoreError> = rows.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect();
        tables.insert(name.clone(), rows?);
    }
    backend.close()?;
    Ok(tables)
}

/// Compares the stores of one instance, which owned every task at the end, with their changelogs. Yields all rows by
/// store.
pub(crate) fn verify(
    client: &Client,
    application_id: &str,
    state_dir: &Path,
    instance: &str,
    findings: &mut Findings,
) -> Result<Tables, Error> {
    let mut logs: BTreeMap<String, BTreeMap<i32, Table>> = BTreeMap::new();
    for topic in client.topics()? {
        let name = topic.strip_prefix(&format!("{application_id}-")).and_then(|name| name.strip_suffix("-changelog"));
        if let Some(name) = name {
            logs.insert(name.to_owned(), fold(&client.read_committed(&topic)?));
        }
    }
    let names: Vec<String> = logs.keys().cloned().collect();
    let directory = RocksDirectory::new(state_dir, application_id, instance, Options::default());
    let mut all = Tables::new();
    for task in directory.tasks().map_err(|error| engine(&error))? {
        let tables = on_disk(&directory, task, &names).map_err(|error| engine(&error))?;
        for (name, rows) in tables {
            let empty = Table::new();
            let expected = logs.get(&name).and_then(|log| log.get(&task.partition.0)).unwrap_or(&empty);
            compare(&format!("{application_id} {task} {name} against its changelog"), expected, &rows, findings);
            all.entry(name).or_default().extend(rows);
        }
    }
    let partitions = logs.values().flat_map(BTreeMap::keys).copied().max().unwrap_or(-1);
    for partition in 0..=partitions {
        let tasks = directory.tasks().map_err(|error| engine(&error))?;
        if !tasks.iter().any(|task| task.partition == Partition(partition)) {
            findings.dirty += 1;
            findings.say(format!("{application_id}: no state of partition {partition} on disk"));
        }
    }
    Ok(all)
}

fn compare(what: &str, expected: &Table, actual: &Table, findings: &mut Findings) {
    findings.compared += actual.len() as u64;
    for (key, row) in actual {
        if expected.get(key) != Some(row) {
            findings.dirty += 1;
            findings.say(format!("{what}: row {key:?} is {row:?} and must be {:?}", expected.get(key)));
        }
    }
    for key in expected.keys().filter(|key| !actual.contains_key(*key)) {
        findings.dirty += 1;
        findings.say(format!("{what}: row {key:?} is missing"));
    }
}

/// The stores of attribution are a function of its input alone: the earliest visit of each user, and the earliest time
/// of each order, which all are younger than a correction may be old.
pub(crate) fn verify_attribution(events: &[Received], tables: &Tables, findings: &mut Findings) {
    let facts = events.iter().filter_map(|event| Fact::read(event.timestamp_ms, event.value.as_deref()));
    let mut visits: BTreeMap<String, (i64, String)> = BTreeMap::new();
    let mut orders: BTreeMap<(String, String), i64> = BTreeMap::new();
    for Fact { user_id, at_ms, deed } in facts {
        match deed {
            Deed::Visited(channel) => {
                let first = visits.entry(user_id).or_insert((at_ms, channel.clone()));
                *first = std::mem::take(first).min((at_ms, channel));
            }
            Deed::Ordered(order) => {
                let first = orders.entry((user_id, order)).or_insert(at_ms);
                *first = at_ms.min(*first);
            }
        }
    }
    let visits = visits.into_iter().map(|(user, visit)| (user.into_bytes(), bytes(&Bincode, &visit))).collect();
    let order = |(key, at_ms): ((String, String), i64)| {
        (bytes(&Ordered, &key), bytes(&Ordered, &Timestamp::from_millis(at_ms)))
    };
    let orders: Table = orders.into_iter().map(order).collect();
    let empty = Table::new();
    for (name, expected) in [("first-visits", visits), ("orders", orders)] {
        let actual = tables.get(name).unwrap_or(&empty);
        compare(&format!("attribution {name} against the input"), &expected, actual, findings);
    }
}

fn bytes<T>(serde: &impl Serde<T>, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // What cannot be encoded is empty, and found.
    let _ = serde.encode(value, &mut out);
    out
}
