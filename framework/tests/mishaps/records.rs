//! Records that cannot be set aside as they are.

use std::collections::BTreeMap;

use millpond::broker::sim::{Fault, Faults, Isolation, SimBroker, SimConfig};
use millpond::broker::{Broker, NewTopic};
use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::record::{Headers, ProducerRecord};
use millpond::runtime::{Error, ErrorPolicy, ThreadConfig};
use millpond::serde::{Int64, Utf8};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

use super::{IN, OUT, T, append, append_to, at, broker, copy, eager, later, rounds, start, table};

const NUMBERS: Topic<String, i64> = Topic::new("in", &Utf8, &Int64);

fn numbers() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&NUMBERS).map_values(|_, number| number.to_string()).to(&OUT);
    builder.build().unwrap()
}

fn lenient() -> ThreadConfig {
    let topic = Some(("letters".into(), 1));
    let errors = ErrorPolicy { topic, on_deserialization: true, on_processing: true, payload: true };
    ThreadConfig { errors, ..eager("app-0") }
}

/// A bad record that its own topic just takes, the dead-letter topic does not take with headers on top.
#[test]
fn a_bad_record_of_the_largest_size_is_set_aside() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, numbers(), &directory, lenient(), T);
    append_to(&broker, 0, "large", Some(vec![b'x'; 1_048_500].into()));
    append_to(&broker, 0, "good", Some(7_i64.to_be_bytes().to_vec().into()));
    rounds(&mut thread, 50, T).unwrap();
    let letters = broker.records("letters", Isolation::ReadCommitted);
    assert_eq!((letters.len(), super::committed_keys(&broker, "out")), (1, vec!["good".to_owned()]));
    let offset = letters[0].headers.last("__streams.errors.offset").flatten();
    assert_eq!(offset.map(|offset| &offset[..]), Some(&b"0"[..]));
    assert!(letters[0].headers.last("__streams.errors.omitted.bytes").is_some());
}

/// What a record did before it failed is taken back: its time, too, or all that follows would be late.
#[test]
fn a_bad_record_from_the_future_does_not_move_stream_time() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, numbers(), &directory, lenient(), T);
    let record = |timestamp, value: &[u8]| ProducerRecord {
        target: at("in", 0),
        timestamp,
        key: Some("k".into()),
        value: Some(value.to_vec().into()),
        headers: Headers::new(),
    };
    broker.append(record(T, &7_i64.to_be_bytes())).unwrap();
    broker.append(record(later(24 * 36_500), b"no number")).unwrap();
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(broker.records("letters", Isolation::ReadCommitted).len(), 1);
    let times: Vec<Timestamp> = thread.tasks().map(|task| task.stream_time()).collect();
    assert_eq!(times, [T]);
}

/// A record that no topic takes, while other partitions go on: the application must say so, not go round for ever.
#[test]
fn a_poison_record_stops_the_thread_although_other_partitions_commit() {
    for seed in 0..8 {
        let broker = SimBroker::with_config(SimConfig { max_poll_records: 1, ..SimConfig::without_timeouts() });
        // Which partition's fetch is answered first is chance, as with real brokers.
        broker.set_faults(Faults::seeded(seed).with(Fault::FetchEmpty, 2));
        broker.add_topic("in", 16);
        let configs = BTreeMap::from([("max.message.bytes".to_owned(), "100".to_owned())]);
        broker.create_topic(&NewTopic { name: "out".into(), partitions: 2, replication_factor: 1, configs }).unwrap();
        let directory = MemoryDirectory::new();
        let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
        rounds(&mut thread, 20, T).unwrap();
        // Wherever it lies, the others commit in between.
        let poisoned = i32::try_from(seed).unwrap() * 2;
        append_to(&broker, poisoned, "poison", Some("x".repeat(200).into()));
        let stopped = (0..10_000).find_map(|round| {
            if round < 1_000 {
                (0..16)
                    .filter(|at| *at != poisoned)
                    .for_each(|live| append_to(&broker, live, "live", Some("v".into())));
            }
            rounds(&mut thread, 1, T).err()
        });
        let counters = thread.counters();
        let told = format!("seed={seed} commits={} aborts={:?}", counters.commits, counters.aborts);
        assert!(matches!(stopped, Some(Error::NoProgress { .. })), "{told}");
    }
}

/// The store was written with another type. No record is bad: each would be set aside for what is stored.
#[test]
fn a_stored_row_that_cannot_be_read_ends_the_process_and_sets_no_record_aside() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    broker.add_topic("letters", 1);
    let mut thread = start(&broker, table(), &directory, lenient(), T);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let builder = StreamsBuilder::new();
    let counts = Materialized::persistent("table", &Utf8, &Int64);
    let _counts = builder.stream(&IN).group_by_key(Grouped::named("table", &Utf8, &Utf8)).count(counts);
    let mut thread = start(&broker, builder.build().unwrap(), &directory, lenient(), T);
    append(&broker, "a");
    let told = rounds(&mut thread, 20, T).unwrap_err().to_string();
    assert!(told.contains("store=table: a stored row cannot be read"), "{told}");
    assert_eq!(broker.records("letters", Isolation::ReadUncommitted).len(), 0);
}
