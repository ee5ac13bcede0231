//! Topologies describe themselves in the very text of Kafka Streams, and in Mermaid and JSON for pages.
//!
//! The files in `tests/parity` at the top of the repository were written by Kafka Streams 4.3.1 (`Describe.java` there).
//! One thing is ours: a sink with a computed topic names the topics that it may write to, where Kafka Streams prints the
//! class that computes it.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: helpers fail it where they stand")]

use millpond::dsl::{Grouped, Materialized, Repartitioned, Stores, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::Record;
use millpond::serde::{Int64, Nullable, Utf8};
use millpond::topology::Topology;

const LINES: Topic<String, String> = text("lines");

const fn text(name: &'static str) -> Topic<String, String> {
    Topic::new(name, &Utf8, &Utf8)
}

const fn count(name: &'static str) -> Topic<String, i64> {
    Topic::new(name, &Utf8, &Int64)
}

fn topology(describe: impl FnOnce(&StreamsBuilder)) -> Topology {
    let builder = StreamsBuilder::new();
    describe(&builder);
    builder.build().unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

struct Forward;

impl Processor for Forward {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        context.forward(record)
    }
}

fn word_count(b: &StreamsBuilder) {
    b.stream(&LINES)
        .flat_map_values(|_, line| words(&line))
        .group_by(|_, word| word.clone(), Grouped::named("words", &Utf8, &Utf8))
        .count(Materialized::persistent("counts", &Utf8, &Int64))
        .updates()
        .to(&count("counts"));
}

#[test]
fn stateless_operators_and_fan_out() {
    let ours = topology(|b| {
        let lines = b.stream(&LINES);
        let mapped = lines
            .filter(|_, line| !line.is_empty())
            .filter_not(|_, line| line.starts_with('#'))
            .peek(|_, _| ())
            .map_values(|_, line| line.trim().to_owned())
            .map(|key, line| (key, line))
            .flat_map(|key, line| [(key, line)])
            .flat_map_values(|_, line| [line]);
        mapped.to(&text("words"));
        mapped.for_each(|_, _| ());
        lines.to(&text("copy"));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/stateless.txt"));
}

#[test]
fn a_repartition() {
    let ours = topology(|b| {
        b.stream(&text("events"))
            .filter(|_, event| !event.is_empty())
            .select_key(|_, event| event.clone())
            .repartition(Repartitioned::named("by-user", &Utf8, &Utf8))
            .map_values(|_, event| event)
            .to(&text("by-user"));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/repartition.txt"));
}

#[test]
fn a_grouping_by_another_key_with_its_count() {
    assert_eq!(topology(word_count).describe().to_string(), include_str!("../../tests/parity/count.txt"));
}

#[test]
fn two_aggregations_of_one_grouping() {
    let ours = topology(|b| {
        let grouped = b.stream(&LINES).group_by_key(Grouped::named("unused", &Utf8, &Utf8));
        let joined = grouped.reduce(|old, line| old + &line, Materialized::persistent("joined", &Utf8, &Utf8));
        joined.updates().to(&text("joined"));
        let store = Materialized::persistent("longest", &Utf8, &Utf8);
        let longest = grouped.aggregate(String::new, |_, line, longest| *longest = line, store);
        longest.updates().to(&text("longest"));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/aggregations.txt"));
}

#[test]
fn two_aggregations_that_share_a_repartition() {
    let ours = topology(|b| {
        let grouped = b.stream(&LINES).group_by(|_, line| line.clone(), Grouped::named("shared", &Utf8, &Utf8));
        let counts = grouped.count(Materialized::persistent("counts", &Utf8, &Int64));
        counts.updates().to(&count("counts"));
        let joined = grouped.reduce(|old, line| old + &line, Materialized::persistent("joined", &Utf8, &Utf8));
        joined.updates().to(&text("joined"));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/shared_repartition.txt"));
}

#[test]
fn a_table() {
    let ours = topology(|b| {
        let users = b.table(&text("users"), Materialized::persistent("users", &Utf8, &Utf8));
        users.to_stream().to(&Topic::new("user-changes", &Utf8, &Nullable(&Utf8)));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/table.txt"));
}

#[test]
fn a_merge_and_a_split() {
    let ours = topology(|b| {
        let branches = b
            .stream(&text("web"))
            .merge(&b.stream(&text("app")))
            .split()
            .branch("empty", |_, line| line.is_empty())
            .branch("long", |_, line| line.len() > 9)
            .default_branch("rest")
            .build();
        for name in ["empty", "long", "rest"] {
            branches[name].to(&LINES.named(name));
        }
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/merge_and_split.txt"));
}

#[test]
fn processors_with_stores_and_children_of_different_depth() {
    let ours = topology(|b| {
        let seen = b.key_value_store(Stores::persistent::<String, i64>("seen", &Utf8, &Int64));
        let last = b.key_value_store(Stores::persistent::<String, String>("last", &Utf8, &Utf8));
        let lines = b.stream(&LINES);
        lines.to(&text("copy"));
        lines.process("detector", &(seen, last.clone()), |_| Forward).to(&text("found"));
        b.stream(&text("other")).process("zero", &last, |_| Forward).map_values(|_, line| line).to(&text("found-too"));
    });
    assert_eq!(ours.describe().to_string(), include_str!("../../tests/parity/processor.txt"));
}

#[test]
fn mermaid_draws_topics_nodes_and_stores() {
    let expected = "\
flowchart TD
  subgraph sub0[\"sub-topology 0\"]
    n1[\"KSTREAM-FLATMAPVALUES-0000000001\"]
    n2[\"words\"]
    n3[\"words-repartition-filter\"]
  end
  subgraph sub1[\"sub-topology 1\"]
    n6[\"KSTREAM-AGGREGATE-0000000003\"]
    n7[\"KTABLE-TOSTREAM-0000000007\"]
    s0[(\"counts\")]
  end
  t0([\"counts\"])
  t1([\"lines\"])
  t2([\"words-repartition\"])
  t1 --> n1
  n1 --> n2
  n2 --> n3
  n3 --> t2
  t2 --> n6
  n6 --> n7
  n6 <--> s0
  n7 --> t0
";
    assert_eq!(topology(word_count).mermaid(), expected);
}

#[test]
fn mermaid_keeps_names_apart_that_differ_in_punctuation_only() {
    let ours = topology(|b| b.stream(&text("a.b")).map_values(|_, v| v).to(&text("a_b")));
    assert_eq!(
        ours.mermaid(),
        "\
flowchart TD
  subgraph sub0[\"sub-topology 0\"]
    n1[\"KSTREAM-MAPVALUES-0000000001\"]
  end
  t0([\"a.b\"])
  t1([\"a_b\"])
  t0 --> n1
  n1 --> t1
"
    );
}

#[test]
fn json_lists_nodes_with_topics_stores_and_successors() {
    let json: serde_json::Value = serde_json::from_str(&topology(word_count).to_json()).unwrap();
    let node = |name: &str, kind: &str, topics: &[&str], stores: &[&str], successors: &[&str]| serde_json::json!({ "name": name, "type": kind, "topics": topics, "stores": stores, "successors": successors });
    let (flat, sink) = ("KSTREAM-FLATMAPVALUES-0000000001", "KSTREAM-SINK-0000000008");
    let (filter, to_topic) = ("words-repartition-filter", "words-repartition-sink");
    let (aggregate, to_stream) = ("KSTREAM-AGGREGATE-0000000003", "KTABLE-TOSTREAM-0000000007");
    let expected = serde_json::json!({ "subtopologies": [
        { "id": 0, "nodes": [
            node("KSTREAM-SOURCE-0000000000", "source", &["lines"], &[], &[flat]),
            node(flat, "processor", &[], &[], &["words"]),
            node("words", "processor", &[], &[], &[filter]),
            node(filter, "processor", &[], &[], &[to_topic]),
            node(to_topic, "sink", &["words-repartition"], &[], &[]),
        ] },
        { "id": 1, "nodes": [
            node("words-repartition-source", "source", &["words-repartition"], &[], &[aggregate]),
            node(aggregate, "processor", &[], &["counts"], &[to_stream]),
            node(to_stream, "processor", &[], &[], &[sink]),
            node(sink, "sink", &["counts"], &[], &[]),
        ] },
    ] });
    assert_eq!(json, expected);
}
