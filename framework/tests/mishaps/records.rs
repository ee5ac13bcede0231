//! Records that cannot be set aside as they are.

use millpond::broker::sim::Isolation;
use millpond::dsl::{StreamsBuilder, Topic};
use millpond::record::{Headers, ProducerRecord};
use millpond::runtime::{ErrorPolicy, ThreadConfig};
use millpond::serde::{Int64, Utf8};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

use super::{OUT, T, append_to, at, broker, eager, later, rounds, start};

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
