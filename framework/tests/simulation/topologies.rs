//! Topologies with their references, for the tests and for `examples/simulate.rs`.

use std::collections::BTreeMap;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::record::Record;
use millpond::runtime::Breakage;
use millpond::serde::{Int64, Null, Nullable, Utf8};
use millpond::testing::Simulation;
use millpond::testing::simulation::{Finished, same};
use millpond::time::Timestamp;

const TEXT: Topic<String, String> = Topic::new("text", &Utf8, &Utf8);
const COPY: Topic<String, String> = Topic::new("copy", &Utf8, &Utf8);
const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);
const WORDS: Topic<String, String> = Topic::new("words", &Utf8, &Utf8);
/// The same topic with its deletions.
const TOMBSTONED: Topic<String, Option<String>> = Topic::new("words", &Utf8, &Nullable(&Utf8));
const CHANGES: Topic<String, Option<String>> = Topic::new("changes", &Utf8, &Nullable(&Utf8));

/// A topology by its name.
pub(crate) fn by_name(name: &str) -> Option<Simulation> {
    match name {
        "copy" => Some(copy()),
        "counts" => Some(counts()),
        "memory" => Some(memory()),
        "table" => Some(table()),
        _ => None,
    }
}

/// The simulation that finds a breakage of the protocol.
pub(crate) fn broken(breakage: Breakage) -> Simulation {
    let simulation = match breakage {
        // Only deletions can come back.
        Breakage::IgnoreAge => table(),
        Breakage::IgnoreTorn | Breakage::OutputsBeforeBegin | Breakage::EndBeforeDelivery => copy().tearing(),
        _ => counts(),
    };
    simulation.broken(breakage)
}

fn at(number: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + number * 10)
}

/// No store: each partition is copied record by record.
pub(crate) fn copy() -> Simulation {
    let builder = StreamsBuilder::new();
    builder.stream(&TEXT).to(&COPY);
    Simulation::of(builder.build().unwrap())
        .input(&TEXT, |draw, n| Record::new(format!("k{}", draw.below(9)), format!("v{n}"), at(n)))
        .against(|run| same("copy", &run.committed(&COPY), &run.input(&TEXT)))
}

/// Two sub-topologies: lines without keys, words by a repartition topic, a count of each.
pub(crate) fn counts() -> Simulation {
    counting(Materialized::persistent("counts", &Utf8, &Int64))
}

/// The same in memory: every start replays the whole changelog.
pub(crate) fn memory() -> Simulation {
    counting(Materialized::in_memory("counts", &Utf8, &Int64))
}

fn counting(counts: Materialized<String, i64>) -> Simulation {
    let builder = StreamsBuilder::new();
    builder
        .stream(&LINES)
        .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .group_by(|(), word| word.clone(), Grouped::named("words", &Utf8, &Utf8))
        .count(counts)
        .updates()
        .to(&COUNTS);
    Simulation::of(builder.build().unwrap())
        .input(&LINES, |draw, n| {
            let words: Vec<String> = (0..=draw.below(2)).map(|_| format!("w{}", draw.below(7))).collect();
            Record::new((), words.join(" "), at(n))
        })
        .against(every_count_once)
}

/// Each word's committed counts are 1, 2, 3, … without a gap or a repetition, and its row is the last of them.
fn every_count_once(run: &Finished<'_>) -> Result<(), String> {
    let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for ((), line) in run.input(&LINES) {
        for word in line.split_whitespace() {
            let counts = expected.entry(word.to_owned()).or_default();
            counts.push(i64::try_from(counts.len()).unwrap() + 1);
        }
    }
    same("counts", &by_key(run.committed(&COUNTS)), &expected)?;
    let rows = run.raw_rows("counts").into_values().flatten();
    // The count is at the end of the row, after its envelope and its time.
    let rows: BTreeMap<String, i64> = rows
        .map(|(key, value)| {
            let count: [u8; 8] = value.as_ref().last_chunk().copied().unwrap();
            (String::from_utf8(key.to_vec()).unwrap(), i64::from_be_bytes(count))
        })
        .collect();
    let last = expected.into_iter().map(|(word, counts)| (word, *counts.last().unwrap())).collect();
    same("rows", &rows, &last)
}

/// A table with deletions: every change is written, and the last row of each key is there.
pub(crate) fn table() -> Simulation {
    let builder = StreamsBuilder::new();
    builder.table(&WORDS, Materialized::persistent("table", &Utf8, &Utf8)).to_stream().to(&CHANGES);
    Simulation::of(builder.build().unwrap())
        .input(&TOMBSTONED, |draw, n| {
            let value = (!draw.one_in(3)).then(|| format!("v{n}"));
            Record::new(format!("k{}", draw.below(12)), value, at(n))
        })
        .against(|run| {
            let mut table = BTreeMap::new();
            let mut expected: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
            for (key, value) in run.input(&TOMBSTONED) {
                let old = match &value {
                    Some(value) => table.insert(key.clone(), value.clone()),
                    None => table.remove(&key),
                };
                if old.is_some() || value.is_some() {
                    expected.entry(key).or_default().push(value);
                }
            }
            same("changes", &by_key(run.committed(&CHANGES)), &expected)?;
            let rows = run.raw_rows("table").into_values().flatten();
            let keys: Vec<String> = rows.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect();
            let mut sorted = keys.clone();
            sorted.sort();
            same("keys of the table", &sorted, &table.into_keys().collect())
        })
}

/// Records by key, each key's in order.
fn by_key<V>(records: Vec<(String, V)>) -> BTreeMap<String, Vec<V>> {
    let mut keys: BTreeMap<String, Vec<V>> = BTreeMap::new();
    for (key, value) in records {
        keys.entry(key).or_default().push(value);
    }
    keys
}
