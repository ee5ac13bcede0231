use std::collections::BTreeMap;

use bytes::Bytes;
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, TopicPartition};
use millpond::time::Timestamp;
use proptest::prelude::*;

use super::{Batch, last_of_each_key};
use crate::route::Routes;
use crate::row::Reason;

fn record(topic: &str, offset: i64, value: &str) -> ConsumedRecord {
    ConsumedRecord {
        source: TopicPartition::new(topic, Partition(0)),
        offset: Offset(offset),
        timestamp: Timestamp::EPOCH,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

fn attribution(offset: i64, order: u8, channel: &str) -> ConsumedRecord {
    let value = format!(r#"{{"user_id":"u","order_id":"o{order}","marketing_channel":"{channel}"}}"#);
    record("attributions", offset, &value)
}

#[test]
fn records_are_sorted_by_route_and_bad_ones_set_aside() {
    let routes = Routes::defaults().unwrap();
    let mut batch = Batch::new(&routes);
    assert!(batch.is_empty());
    batch.push(&routes, record("processed_events", 0, r#"{"user_id":"u","event_name":"visit"}"#));
    batch.push(&routes, attribution(0, 1, "email"));
    batch.push(&routes, record("processed_events", 1, "{}"));
    batch.push(&routes, record("unrelated", 0, "{}"));
    assert_eq!(batch.rows().iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(batch.refused()[0].reason, Reason::MissingField("user_id".to_owned()));
    assert_eq!((batch.records(), batch.refused().len()), (3, 1));
}

proptest! {
    /// Against a map: upserting what is kept leaves the same table as upserting everything one by one.
    #[test]
    fn the_last_row_of_each_key_is_kept_in_order(orders in prop::collection::vec((0_u8..8, 0_u8..4), 0..40)) {
        let routes = Routes::defaults().unwrap();
        let (number, route) = routes.of("attributions").unwrap();
        let mut batch = Batch::new(&routes);
        let mut table = BTreeMap::new();
        for (offset, (order, channel)) in (0_i64..).zip(&orders) {
            batch.push(&routes, attribution(offset, *order, &format!("c{channel}")));
            table.insert(*order, offset);
        }
        let kept: Vec<i64> = last_of_each_key(route, &batch.rows()[number]).iter().map(|row| row.record.offset.0).collect();
        let mut expected: Vec<i64> = table.into_values().collect();
        expected.sort_unstable();
        prop_assert_eq!(kept, expected);
    }
}
