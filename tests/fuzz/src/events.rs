//! The shop's events.

use std::sync::OnceLock;

use bytes::Bytes;
use loader::{Route, Routes, Row};
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, TopicPartition};
use millpond::serde::{Json, Serde};
use millpond::time::Timestamp;
use millpond_support::{Event, EventJson};

/// Both readers of an event, the quick one and serde's, take the same bytes and read the same out of them; what is written is
/// read back.
pub(crate) fn event(bytes: &[u8]) {
    let decoded = EventJson.decode(bytes);
    let shared = EventJson.decode_bytes(&Bytes::copy_from_slice(bytes));
    assert_eq!(decoded.as_ref().ok(), shared.as_ref().ok(), "with and without a copy");
    let Ok(event) = decoded else { return };
    let slow: Event = Json.decode(bytes).expect("what the event's reader takes is JSON of an event");
    assert_eq!(event, slow);
    let mut written = Vec::new();
    EventJson.encode(&event, &mut written).expect("what was read can be written");
    assert_eq!(EventJson.decode(&written).expect("what was written can be read"), event);
}

/// A record is a row or a dead letter, which still has the record.
pub(crate) fn loader_row(bytes: &[u8]) {
    static ROUTES: OnceLock<Routes> = OnceLock::new();
    let routes = ROUTES.get_or_init(|| Routes::defaults().expect("the default routes fit"));
    for route in routes {
        read_row(route, bytes);
    }
}

fn read_row(route: &Route, bytes: &[u8]) {
    let record = ConsumedRecord {
        source: TopicPartition::new(route.topic().clone(), Partition(0)),
        offset: Offset(1),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        key: None,
        value: Some(Bytes::copy_from_slice(bytes)),
        headers: Headers::new(),
    };
    match Row::new(route, record) {
        Ok(row) => assert_eq!(row.cells.len(), route.columns().len()),
        Err(refused) => assert_eq!(refused.record.value.as_deref(), Some(bytes)),
    }
}
