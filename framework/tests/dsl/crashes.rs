//! A crash at any point, with or without the disk, leaves the same committed output as a loop over the input.

use std::collections::BTreeMap;

use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::serde::{Int64, Null, Nullable, Utf8};
use millpond::testing::TopologyTestDriver;
use proptest::prelude::*;

use crate::{CHANGES, OUT, WORDS};

const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
const TOMBSTONED: Topic<String, Option<i64>> = Topic::new("words", &Utf8, &Nullable(&Int64));

/// One step of a run.
#[derive(Debug, Clone)]
enum Step<I> {
    Pipe(I),
    /// Everything, over all repartitions.
    Commit,
    /// One transaction: what is behind a repartition is still on its way.
    CommitOnce,
    Crash,
    LoseDisk,
}

fn steps<I: Clone + std::fmt::Debug + 'static>(
    input: impl Strategy<Value = I> + 'static,
) -> impl Strategy<Value = Vec<Step<I>>> {
    let step = prop_oneof![
        6 => input.prop_map(Step::Pipe),
        1 => Just(Step::Commit),
        2 => Just(Step::CommitOnce),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseDisk),
    ];
    prop::collection::vec(step, 0..30)
}

/// Runs the steps, then commits the rest; gives the input back.
fn drive<I: Clone>(
    driver: &mut TopologyTestDriver,
    steps: &[Step<I>],
    mut pipe: impl FnMut(&mut TopologyTestDriver, I, i64),
) -> Vec<I> {
    let mut input = Vec::new();
    for (at, step) in (0..).zip(steps) {
        match step {
            Step::Pipe(item) => {
                pipe(driver, item.clone(), at);
                input.push(item.clone());
            }
            Step::Commit => driver.commit(),
            Step::CommitOnce => {
                driver.commit_once();
            }
            Step::Crash => driver.crash(),
            Step::LoseDisk => driver.crash_and_lose_disk(),
        }
    }
    driver.commit();
    input
}

/// Records by key, each key's in order.
fn by_key<V>(records: Vec<(String, V)>) -> BTreeMap<String, Vec<V>> {
    let mut keys: BTreeMap<String, Vec<V>> = BTreeMap::new();
    for (key, value) in records {
        keys.entry(key).or_default().push(value);
    }
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each word's committed counts are 1, 2, 3, ... without a gap or a repetition: every update exactly once.
    #[test]
    fn word_count_commits_every_update_exactly_once(
        steps in steps(prop::collection::vec("[ab]{1,2}", 0..4)),
        partitions in 1_usize..4,
        in_memory in any::<bool>(),
    ) {
        let builder = StreamsBuilder::new();
        let make = if in_memory { Materialized::in_memory } else { Materialized::persistent };
        builder
            .stream(&LINES)
            .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .group_by(|(), word| word.clone(), Grouped::named("words", &Utf8, &Utf8))
            .count(make("counts", &Utf8, &Int64))
            .updates()
            .to(&OUT);
        let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).partitions(partitions).build();
        let input = drive(&mut driver, &steps, |driver, words, at| driver.pipe(&LINES, (), words.join(" "), at));

        let mut naive: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for word in input.into_iter().flatten() {
            let counts = naive.entry(word).or_default();
            counts.push(i64::try_from(counts.len()).unwrap() + 1);
        }
        prop_assert_eq!(by_key(driver.read_committed(&OUT)), naive);
        prop_assert_eq!(driver.lag(), 0);
        prop_assert_eq!(driver.thread().counters().state_wipes, 0);
    }

    #[test]
    fn a_table_commits_every_change_exactly_once(
        steps in steps(("[a-c]", prop::option::of(0_i64..3))),
        partitions in 1_usize..4,
        in_memory in any::<bool>(),
    ) {
        let builder = StreamsBuilder::new();
        let make = if in_memory { Materialized::in_memory } else { Materialized::persistent };
        builder.table(&WORDS, make("table", &Utf8, &Int64)).to_stream().to(&CHANGES);
        let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).partitions(partitions).build();
        let input = drive(&mut driver, &steps, |driver, (key, value), at| driver.pipe(&TOMBSTONED, key, value, at));

        let mut table = BTreeMap::new();
        let mut naive: BTreeMap<String, Vec<Option<i64>>> = BTreeMap::new();
        for (key, value) in input {
            let old = match value {
                Some(value) => table.insert(key.clone(), value),
                None => table.remove(&key),
            };
            if old.is_some() || value.is_some() {
                naive.entry(key).or_default().push(value);
            }
        }
        prop_assert_eq!(by_key(driver.read_committed(&CHANGES)), naive);
        prop_assert_eq!(driver.lag(), 0);
        prop_assert_eq!(driver.thread().counters().state_wipes, 0);
    }
}
