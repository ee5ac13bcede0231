//! A known input, and what a naive function makes of it.

use std::collections::BTreeMap;

use millpond::record::{Offset, Partition, TaskId};
use millpond::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, classify};
use millpond_harness::{Client, Outgoing, Received};

/// Records of a step of the input.
pub(crate) const RECORDS: usize = 24;
const KEYS: usize = 10;
pub(crate) const PARTITIONS: i32 = 2;

/// Depends on the order of the values, on each that is missing, and on each that is there twice.
pub(crate) fn fold(before: i64, value: i64) -> i64 {
    before.wrapping_mul(31).wrapping_add(value)
}

fn step(number: usize) -> impl Iterator<Item = (i64, i64)> {
    let wide = |number: usize| i64::try_from(number).unwrap();
    (0..RECORDS).map(move |index| (wide((number * 7 + index * 3) % KEYS), wide(number * RECORDS + index)))
}

/// The records of a step.
pub(crate) fn records(number: usize) -> impl Iterator<Item = Outgoing> {
    step(number).map(|(key, value)| Outgoing::value(value.to_be_bytes()).key(key.to_be_bytes()).at(1_000 + value))
}

/// All results of each key in order, for so many steps.
fn results(steps: usize) -> BTreeMap<i64, Vec<i64>> {
    let mut results = BTreeMap::<i64, Vec<i64>>::new();
    for (key, value) in (0..steps).flat_map(step) {
        let of_key = results.entry(key).or_default();
        of_key.push(of_key.last().map_or(value, |before| fold(*before, value)));
    }
    results
}

fn number(bytes: Option<&[u8]>) -> i64 {
    i64::from_be_bytes(bytes.unwrap().try_into().unwrap())
}

/// Compares everything committed of an application with the reference: outputs, changelog, offsets.
pub(crate) fn compare(client: &Client, id: &str, steps: usize) {
    let expected = results(steps);
    let mut outputs = BTreeMap::<i64, Vec<i64>>::new();
    for record in client.read_committed(&format!("{id}-out")).unwrap() {
        outputs.entry(number(record.key.as_deref())).or_default().push(number(record.value.as_deref()));
    }
    assert_eq!(outputs, expected, "{id}: the output");

    let changelog = client.read_committed(&format!("{id}-folds-changelog")).unwrap();
    let mut rows = BTreeMap::new();
    for record in changelog.iter().filter(|record| classify(record.key.as_deref().unwrap()) == ChangelogKey::Row) {
        // The timestamp comes first.
        let value = record.value.as_deref().and_then(|value| value.get(8..));
        rows.insert(number(record.key.as_deref()), number(value));
    }
    let last: BTreeMap<_, _> = expected.iter().map(|(key, results)| (*key, *results.last().unwrap())).collect();
    assert_eq!(rows, last, "{id}: the rows of the changelog");

    let input = format!("{id}-in");
    let offsets = client.group(id).unwrap().lag(&[&input]).unwrap();
    assert!(offsets.iter().all(|at| at.committed == Some(at.end)), "{id}: {offsets:?}");
    assert_eq!(offsets.iter().map(|at| at.end).sum::<i64>(), i64::try_from(steps * RECORDS).unwrap(), "{id}");
    for at in offsets {
        let input = (input.as_str(), at.end);
        no_transaction_is_missing(&changelog, TaskId { subtopology: 0, partition: Partition(at.partition) }, input);
    }
}

/// True when no begin record is in the changelog without its commit record, whether they are committed or not.
pub(crate) fn all_have_ended(client: &Client, id: &str) -> bool {
    let records = client.read_uncommitted(&format!("{id}-folds-changelog")).unwrap();
    let keys: Vec<_> = records.iter().map(|record| classify(record.key.as_deref().unwrap())).collect();
    let count = |is: fn(&ChangelogKey) -> bool| keys.iter().filter(|key| is(key)).count();
    count(|key| matches!(key, ChangelogKey::Begin(_))) == count(|key| matches!(key, ChangelogKey::Commit(_)))
}

/// True when everything in the changelog is committed.
pub(crate) fn nothing_is_open(client: &Client, id: &str) -> bool {
    let changelog = format!("{id}-folds-changelog");
    client.read_committed(&changelog).unwrap().len() == client.read_uncommitted(&changelog).unwrap().len()
}

/// Begin and commit records come in pairs, counted from one without gaps, and the last one tells the group's offset.
fn no_transaction_is_missing(changelog: &[Received], task: TaskId, (input, end): (&str, i64)) {
    let (mut begun, mut committed, mut last) = (0, 0, None);
    for record in changelog.iter().filter(|record| record.partition == task.partition.0) {
        let value = record.value.as_deref().unwrap_or_default();
        match classify(record.key.as_deref().unwrap()) {
            ChangelogKey::Begin(of) if of == task => {
                begun += 1;
                let beginning = BeginRecord::decode(value).unwrap();
                assert_eq!((beginning.sequence, committed), (begun, begun - 1), "{input} {task}: a beginning");
            }
            ChangelogKey::Commit(of) if of == task => {
                committed += 1;
                let commit = CommitRecord::decode(value).unwrap();
                assert_eq!((commit.sequence, begun), (committed, committed), "{input} {task}: an end");
                last = Some(commit);
            }
            _ => {}
        }
    }
    let recorded: Vec<_> = last.unwrap().input.into_iter().map(|(at, next)| (at.topic.to_string(), next)).collect();
    assert_eq!(recorded, [(input.to_owned(), Offset(end))], "{task}: the last commit record");
}
