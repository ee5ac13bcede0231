//! Mistakes in a topology: found by `build()` or at the start, all at once, in words that say what to do.

use millpond::broker::sim::SimBroker;
use millpond::dsl::{Grouped, Materialized, Repartitioned, Stores, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::Record;
use millpond::runtime::Topics;
use millpond::serde::{Int64, Utf8};
use millpond::state::KeyValueStore;

use crate::{OUT, TEXT_OUT, WORDS};

struct Nothing;

impl Processor for Nothing {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(&mut self, _: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
        Ok(())
    }
}

fn nothing(_: KeyValueStore<String, i64>) -> Nothing {
    Nothing
}

fn store(name: &str) -> Materialized<String, i64> {
    Stores::persistent(name, &Utf8, &Int64)
}

fn mistake(describe: impl FnOnce(&StreamsBuilder)) -> String {
    let builder = StreamsBuilder::new();
    describe(&builder);
    builder.build().unwrap_err().to_string()
}

#[test]
fn a_topology_that_reads_nothing() {
    let text = mistake(|_| ());
    assert_eq!(text, "the topology reads no topic; begin with builder.stream(..) or builder.table(..)");
}

#[test]
fn two_nodes_of_one_name() {
    let text = mistake(|b| {
        let words = b.stream(&WORDS);
        words.process("twin", &(), |()| Nothing).to(&OUT);
        words.process("twin", &(), |()| Nothing).to(&OUT);
    });
    assert_eq!(text, "node=twin is there twice; give each its own name");
}

#[test]
fn two_branches_of_one_name() {
    let text = mistake(|b| {
        let _branches = b.stream(&WORDS).split().branch("twin", |_, _| true).default_branch("twin").build();
    });
    assert_eq!(text, "node=KSTREAM-BRANCH-0000000001twin is there twice; give each its own name");
}

#[test]
fn two_stores_of_one_name() {
    let text = mistake(|b| {
        let counts = b.stream(&WORDS).group_by_key(Grouped::named("n", &Utf8, &Int64));
        counts.count(store("twin")).updates().to(&OUT);
        counts.count(store("twin")).updates().to(&OUT);
    });
    assert_eq!(text, "store=twin is there twice; give each its own name");
}

#[test]
fn two_repartitions_of_one_name() {
    let text = mistake(|b| {
        let words = b.stream(&WORDS);
        words.repartition(Repartitioned::named("twin", &Utf8, &Int64)).to(&OUT);
        words.filter(|_, _| true).repartition(Repartitioned::named("twin", &Utf8, &Int64)).to(&OUT);
    });
    assert_eq!(text, "repartition=twin is there twice; give each its own name");
}

#[test]
fn names_that_no_topic_can_have() {
    let text = mistake(|b| {
        b.stream(&WORDS).process("node", &b.key_value_store(store("my store")), nothing).to(&OUT);
    });
    let rule = "use letters, digits, '.', '_' and '-', at most 200 of them";
    assert_eq!(text, format!("store=my store is not a legal name; {rule}"));
    let text = mistake(|b| b.stream(&WORDS).repartition(Repartitioned::named("a/b", &Utf8, &Int64)).to(&OUT));
    assert_eq!(text, format!("repartition=a/b is not a legal name; {rule}"));
}

#[test]
fn a_topic_read_as_two_types() {
    let text = mistake(|b| {
        b.stream(&WORDS).to(&OUT);
        b.stream(&Topic::new("words", &Utf8, &Utf8)).to(&TEXT_OUT);
    });
    let expected =
        "topic=words is already read as another type; use one Topic constant, or convert after one stream(..)";
    assert_eq!(text, expected);
}

#[test]
fn a_store_that_no_node_is_connected_to() {
    let text = mistake(|b| {
        b.key_value_store(store("idle"));
        b.stream(&WORDS).to(&OUT);
    });
    assert_eq!(text, "store=idle is connected to no node; pass it to process(..), or remove it");
}

#[test]
fn a_store_of_another_builder() {
    let text = mistake(|b| {
        let foreign = StreamsBuilder::new().key_value_store(store("foreign"));
        b.stream(&WORDS).process("node", &foreign, nothing).to(&OUT);
    });
    let expected = "store=foreign is not part of this builder; make it with this builder's key_value_store(..)";
    assert_eq!(text, expected);
}

#[test]
fn a_store_behind_a_change_of_key() {
    let text = mistake(|b| {
        let sums = b.key_value_store(store("sums"));
        b.stream(&WORDS).select_key(|key, _| key.clone()).process("sum", &sums, nothing).to(&OUT);
    });
    let expected = "node=sum uses stores after the key was changed, so equal keys are in different tasks; \
                    put .repartition(..) before it";
    assert_eq!(text, expected);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = mistake(|b| {
        b.key_value_store(store("idle one"));
        let sums = b.key_value_store(store("sums"));
        b.stream(&WORDS).map(|key, n| (key, n)).process("sum", &sums, nothing).to(&OUT);
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "the topology has 3 mistakes:");
    assert_eq!(lines.iter().filter(|line| line.starts_with("- ")).count(), 3, "{text}");
}

/// What the start of an application says with these topics.
fn start(topics: &[(&str, usize)], describe: impl FnOnce(&StreamsBuilder)) -> Result<Topics, String> {
    let broker = SimBroker::new();
    for &(topic, partitions) in topics {
        broker.add_topic(topic, partitions);
    }
    let builder = StreamsBuilder::new();
    describe(&builder);
    let topology = builder.build().unwrap();
    Topics::prepare(&broker, &topology, "app", 1, None).map_err(|error| error.to_string())
}

#[test]
fn topics_of_the_users_that_are_missing() {
    let missing = "does not exist; create it with the number of partitions that you want, then start again";
    let one = start(&[("words", 1)], |b| b.stream(&WORDS).to(&OUT)).unwrap_err();
    assert_eq!(one, format!("topic=out {missing}"));
    let both = start(&[], |b| b.stream(&WORDS).to(&OUT)).unwrap_err();
    assert_eq!(both, format!("the topology has 2 mistakes:\n- topic=out {missing}\n- topic=words {missing}"));
}

#[test]
fn topics_of_one_sub_topology_with_different_partitions() {
    let merged = |b: &StreamsBuilder| b.stream(&WORDS).merge(&b.stream(&WORDS.named("more"))).to(&OUT);
    let text = start(&[("words", 2), ("more", 3), ("out", 1)], merged).unwrap_err();
    let expected = "sub-topology=0 reads topics with different numbers of partitions: more=3, words=2; \
                    repartition one of them, so that equal keys meet in one task";
    assert_eq!(text, expected);
    assert!(start(&[("words", 2), ("more", 2), ("out", 5)], merged).is_ok());
}

#[test]
fn an_internal_topic_with_another_number_of_partitions() {
    let again =
        |b: &StreamsBuilder| b.stream(&WORDS).repartition(Repartitioned::named("again", &Utf8, &Int64)).to(&OUT);
    let text = start(&[("words", 2), ("out", 1), ("app-again-repartition", 3)], again).unwrap_err();
    let expected = "internal topic=app-again-repartition has partitions=3 but needs 2; keys would move: \
                    reset the application, or repartition by hand";
    assert_eq!(text, expected);
}
