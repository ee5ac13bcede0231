//! A whole application inside the process of its test: threads, boards, the end.

use std::sync::Arc;

use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::runtime::config::{OnError, StreamsConfig};
use millpond::runtime::stats::{StatusBoard, ThreadSnapshot, ThreadState};
use millpond::runtime::{Error, Streams, TaskState};
use millpond::serde::{Int64, Nullable};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::topology::Topology;
use millpond_harness::{Outgoing, wait_for};

use super::*;

fn topology(input: &str, output: &str) -> Arc<Topology> {
    let input = Topic::<i64, i64>::new("input", &Int64, &Int64).named(input);
    let output = Topic::<i64, Option<i64>>::new("output", &Int64, &Nullable(&Int64)).named(output);
    let builder = StreamsBuilder::new();
    builder.table(&input, Materialized::persistent("latest", &Int64, &Int64)).to_stream().to(&output);
    Arc::new(builder.build().unwrap())
}

fn config(application_id: &str, scratch: &Scratch) -> StreamsConfig {
    let servers = Kafka::shared().unwrap().bootstrap_servers();
    let mut config = StreamsConfig::new(application_id, servers, scratch.path());
    config.stream_threads = 2;
    config.replication_factor = 1;
    config
}

fn start(config: &StreamsConfig, topology: &Arc<Topology>) -> Result<Streams, Error> {
    let broker = KafkaBroker::connect(KafkaConfig::of(config).unwrap()).unwrap();
    let state = RocksDirectory::new(&config.state_dir, &config.application_id, "0", Options::default());
    Streams::start(&broker, config, "0", topology, &state)
}

fn produce(topic: &str, values: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
    let records = values.into_iter().map(|(key, value)| Outgoing {
        key: Some(key),
        value: Some(value),
        timestamp_ms: Some(1_000),
        ..Outgoing::default()
    });
    Kafka::shared().unwrap().client().produce(topic, records).unwrap();
}

fn numbers(count: i64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..count).map(|number| (number.to_be_bytes().to_vec(), number.to_be_bytes().to_vec()))
}

fn sum(board: &StatusBoard, of: impl Fn(&ThreadSnapshot) -> u64) -> u64 {
    board.snapshots().iter().map(of).sum()
}

/// Everything that pages and metrics tell comes from these snapshots.
#[test]
fn two_threads_tell_what_they_do_and_the_next_start_goes_on() {
    let (broker, scratch) = (broker(), Scratch::new("streams").unwrap());
    let topics = ["streams-in", "streams-out"];
    for topic in topics {
        create(&broker, topic, 4);
    }
    let mut config = config("streams", &scratch);
    config.on_deserialization_error = OnError::DeadLetter;
    let topology = topology(topics[0], topics[1]);
    produce(topics[0], numbers(1_000).chain([(b"no number".to_vec(), Vec::new())]));
    let streams = start(&config, &topology).unwrap();
    let board = streams.board().clone();
    let read = |board: &StatusBoard| sum(board, |thread| thread.records_out.get(topics[1]).copied().unwrap_or(0));
    wait_for(LIMIT, "the output", || read(&board) == 1_000).unwrap();
    let settled = || {
        let threads = board.snapshots();
        let tasks: Vec<_> = threads.iter().flat_map(|thread| &thread.tasks).collect();
        let lag: Option<u64> = tasks.iter().flat_map(|task| &task.inputs).map(|input| input.lag_records).sum();
        let rows: u64 = tasks.iter().flat_map(|task| &task.stores).map(|store| store.rows).sum();
        // The thread that joins first has all tasks for a moment, and the other one none.
        threads.iter().all(|thread| thread.state == ThreadState::Running)
            && tasks.len() == 4
            && tasks.iter().all(|task| task.state == TaskState::Running)
            && (lag, rows) == (Some(0), 1_000)
    };
    wait_for(LIMIT, "rest", settled).unwrap();
    assert!(streams.is_healthy());
    assert_eq!(sum(&board, |thread| thread.dead_letters.values().sum()), 1);
    assert!(sum(&board, |thread| thread.commits.ok) > 0);
    assert!(board.snapshots().iter().any(|thread| thread.end_to_end.quantile(0.5).is_some()));
    streams.close(false).unwrap();
    assert!(board.snapshots().iter().all(|thread| thread.state == ThreadState::Stopped));

    produce(topics[0], numbers(10));
    let streams = start(&config, &topology).unwrap();
    let board = streams.board().clone();
    wait_for(LIMIT, "more output", || read(&board) == 10).unwrap();
    assert_eq!(sum(&board, |thread| thread.restored_records), 0, "the disk has everything");
    streams.close(true).unwrap();
    let committed = Kafka::shared().unwrap().client().read_committed(topics[1]).unwrap();
    assert_eq!(committed.len(), 1_010);
}

/// The first bad record ends the application where no other policy is asked for, with its place and without its bytes.
#[test]
fn a_bad_record_ends_all_threads_and_close_tells_why() {
    let (broker, scratch) = (broker(), Scratch::new("streams-bad").unwrap());
    let topics = ["streams-bad-in", "streams-bad-out"];
    for topic in topics {
        create(&broker, topic, 2);
    }
    produce(topics[0], [(b"secret".to_vec(), b"secret".to_vec())]);
    let streams = start(&config("streams-bad", &scratch), &topology(topics[0], topics[1])).unwrap();
    wait_for(LIMIT, "the end", || !streams.is_healthy()).unwrap();
    let board = streams.board().clone();
    let told = streams.close(false).unwrap_err().to_string();
    assert!(told.contains("streams-bad-in-") && told.contains("offset=0") && !told.contains("secret"), "{told}");
    let states: Vec<_> = board.snapshots().iter().map(|thread| thread.state).collect();
    assert!(states.contains(&ThreadState::Failed), "{states:?}");
}

#[test]
fn topics_that_are_missing_are_told_at_the_start() {
    let scratch = Scratch::new("streams-missing").unwrap();
    let missing = start(&config("streams-missing", &scratch), &topology("nobody-made-me", "nor-me")).unwrap_err();
    assert!(missing.to_string().contains("nobody-made-me"), "{missing}");
}
