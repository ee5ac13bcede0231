//! Records that cannot be set aside as they are.

use millpond::broker::sim::Isolation;
use millpond::dsl::{StreamsBuilder, Topic};
use millpond::runtime::{ErrorPolicy, ThreadConfig};
use millpond::serde::{Int64, Utf8};
use millpond::state::MemoryDirectory;

use super::{OUT, T, append_to, broker, eager, rounds, start};

const NUMBERS: Topic<String, i64> = Topic::new("in", &Utf8, &Int64);

/// A bad record that its own topic just takes, the dead-letter topic does not take with headers on top.
#[test]
fn a_bad_record_of_the_largest_size_is_set_aside() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let builder = StreamsBuilder::new();
    builder.stream(&NUMBERS).map_values(|_, number| number.to_string()).to(&OUT);
    let errors = ErrorPolicy {
        topic: Some(("letters".into(), 1)),
        on_deserialization: true,
        on_processing: true,
        payload: true,
    };
    let config = ThreadConfig { errors, ..eager("app-0") };
    let mut thread = start(&broker, builder.build().unwrap(), &directory, config, T);
    append_to(&broker, 0, "large", Some(vec![b'x'; 1_048_500].into()));
    append_to(&broker, 0, "good", Some(7_i64.to_be_bytes().to_vec().into()));
    rounds(&mut thread, 50, T).unwrap();
    let letters = broker.records("letters", Isolation::ReadCommitted);
    assert_eq!((letters.len(), super::committed_keys(&broker, "out")), (1, vec!["good".to_owned()]));
    let offset = letters[0].headers.last("__streams.errors.offset").flatten();
    assert_eq!(offset.map(|offset| &offset[..]), Some(&b"0"[..]));
    assert!(letters[0].headers.last("__streams.errors.omitted.bytes").is_some());
}
