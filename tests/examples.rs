//! The framework's examples against a real Kafka, as their first comments say.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use millpond_harness::{Kafka, Launch, Outgoing, Process, Received, Scratch, built_example, wait_for};

const LIMIT: Duration = Duration::from_mins(1);

/// Starts an example with its state in `scratch`.
fn start(example: &str, scratch: &Scratch) -> Process {
    let launch = Launch::new(built_example(example).unwrap(), scratch.path().join("log"));
    let servers = Kafka::shared().unwrap().bootstrap_servers();
    launch.args(["--bootstrap-servers", servers]).env("TMPDIR", scratch.path()).start().unwrap()
}

/// Produces `input` to a new topic, runs the example until `enough` holds of what it has committed, and kills it.
fn run(example: &str, input: (&str, Vec<Outgoing>), output: &str, enough: impl Fn(&[Received]) -> bool) {
    let client = Kafka::shared().unwrap().client();
    client.create_topics(&[input.0, output], 2, &[]).unwrap();
    client.produce(input.0, input.1).unwrap();
    let scratch = Scratch::new(example).unwrap();
    let mut process = start(example, &scratch);
    let waited = wait_for(LIMIT, format!("what {example} promises"), || {
        assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
        client.read_committed(output).is_ok_and(|records| enough(&records))
    });
    let last = client.read_committed(output).unwrap();
    assert!(waited.is_ok(), "committed: {last:?}\n{}", process.log_tail());
    process.kill().unwrap();
}

fn long(record: &Received) -> i64 {
    let bytes: [u8; 8] = record.value.clone().unwrap_or_default().try_into().unwrap();
    i64::from_be_bytes(bytes)
}

#[test]
fn word_count_counts() {
    let lines = ["the mill", "and the pond"].map(Outgoing::value).to_vec();
    let expected: BTreeMap<_, _> =
        [("and", 1), ("mill", 1), ("pond", 1), ("the", 2)].map(|(w, n)| (w.to_owned(), n)).into();
    run("1_word_count", ("lines", lines), "word-counts", |records| {
        let counts: BTreeMap<String, i64> = records.iter().map(|record| (record.key_text(), long(record))).collect();
        counts == expected && records.len() == 5
    });
}

#[test]
fn the_processor_reports_the_highest_reading() {
    let reading = |n: i64, at| Outgoing::value(n.to_be_bytes()).key("wheel").at(at);
    let readings = vec![reading(3, 1_000), reading(9, 4_000), reading(5, 12_000)];
    run("2_processor", ("readings", readings), "highest-readings", |records| {
        let reports: Vec<_> =
            records.iter().map(|record| (record.key_text(), long(record), record.timestamp_ms)).collect();
        reports == [("wheel".to_owned(), 9, 12_000)]
    });
}

#[test]
fn the_table_writes_every_change() {
    let removed = Outgoing { value: None, ..Outgoing::value("").key("flour") };
    let prices = vec![Outgoing::value("1.20").key("flour"), Outgoing::value("1.35").key("flour"), removed];
    run("3_table", ("prices", prices), "price-changes", |records| {
        let changes: Vec<_> = records.iter().map(Received::text).collect();
        changes == ["costs 1.20", "costs 1.35", "no longer sold"]
    });
}
