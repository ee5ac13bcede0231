//! Records that cannot be loaded: set aside with a reason, once each, and the stream goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use loader::LoaderConfig;
use millpond::broker::sim::{Fault, Isolation, SimBroker};
use millpond::error::Recovery;
use millpond::record::ConsumedRecord;

use crate::fixture::{
    APP, DEAD_LETTERS, Driven, EVENTS, append, append_events, broker, config, count, database, event, query, record,
};
use crate::proxy::{Cut, Proxy};

fn letters(broker: &SimBroker) -> Vec<ConsumedRecord> {
    broker.records(DEAD_LETTERS, Isolation::ReadCommitted)
}

fn header(letter: &ConsumedRecord, name: &str) -> String {
    let value = letter.headers.last(&format!("__streams.errors.{name}")).unwrap().unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

/// Offset and reason of each letter.
fn told(broker: &SimBroker) -> Vec<(String, String)> {
    letters(broker).iter().map(|letter| (header(letter, "offset"), header(letter, "reason"))).collect()
}

#[test]
fn malformed_records_are_set_aside_with_their_reason_and_the_rest_is_loaded() {
    let (url, broker) = (database(), broker(1));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let malformed: [(&[u8], &str); 9] = [
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_utf8"),
        (b"{\"user_id\":", "invalid_json"),
        (b"[]", "not_an_object"),
        (b"{\"event_name\":\"visit\"}", "missing_field"),
        (b"{\"user_id\":7,\"event_name\":\"visit\"}", "wrong_type"),
        (b"{\"user_id\":\"a\\u0000\",\"event_name\":\"visit\"}", "nul_character"),
        (deep.as_bytes(), "invalid_json"),
        (b"{\"user_id\":1e999}", "invalid_json"),
    ];
    let mut expected = Vec::new();
    for (value, reason) in malformed {
        append(&broker, EVENTS, 0, event("good"));
        let offset = append(&broker, EVENTS, 0, value.to_vec());
        expected.push((offset.to_string(), reason.to_owned()));
    }
    let tombstone =
        broker.append(millpond::record::ProducerRecord { value: None, ..record(EVENTS, 0, 5, "") }).unwrap();
    expected.push((tombstone.to_string(), "null_value".to_owned()));
    let timeless = broker.append(record(EVENTS, 0, -1, event("u"))).unwrap();
    expected.push((timeless.to_string(), "bad_timestamp".to_owned()));
    let large = append(&broker, EVENTS, 0, event(&"x".repeat(900_000)));
    append(&broker, EVENTS, 0, event("last"));

    let mut driven = Driven::new(config(&url, "a"), &broker);
    driven.drain(&broker);

    // A user of 900 KB is fine for JSON and table: the index on positions does not hold it.
    assert_eq!(count(&url, &format!("SELECT length(user_id) FROM events WHERE source_offset = {large}")), 900_000);
    assert_eq!(told(&broker), expected);
    assert_eq!(count(&url, "SELECT count(*) FROM events WHERE user_id = 'good'"), 9);
    let by_reason: BTreeMap<_, u64> = expected.iter().fold(BTreeMap::new(), |mut counts, (_, reason)| {
        *counts.entry(reason.as_str()).or_default() += 1;
        counts
    });
    assert_eq!(driven.status().dead_letters, by_reason);
    let first = &letters(&broker)[1];
    assert_eq!(first.value.as_deref(), Some(&b"\xff\xfe"[..]));
    assert_eq!(
        (header(first, "topic"), header(first, "partition"), header(first, "node")),
        (EVENTS.into(), "0".into(), "events".into())
    );
}

#[test]
fn rows_that_the_database_refuses_are_set_aside() {
    let (url, broker) = (database(), broker(2));
    let mut driven = Driven::new(config(&url, "a"), &broker);
    query(&url, "ALTER TABLE events ADD CONSTRAINT known CHECK (user_id NOT LIKE '%7')");
    append_events(&broker, 0..200);
    driven.drain(&broker);
    assert_eq!(letters(&broker).len(), 20);
    assert!(told(&broker).iter().all(|(_, reason)| reason == "refused_by_database"));
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 180);
    assert_eq!(header(&letters(&broker)[0], "message"), "PostgreSQL refused the row: 23514, constraint known");
}

/// p-0: 50 good, 1 bad, ..; the letters are committed to Kafka, then COMMIT is lost, then the process dies.
#[test]
fn a_crash_between_letters_and_commit_repeats_no_letter() {
    for cut in [Cut::Request, Cut::Response] {
        let (url, broker) = (database(), broker(1));
        let proxy = Proxy::start(&url);
        let mut driven = Driven::new(config(&proxy.url, "a"), &broker);
        append_events(&broker, 0..50);
        driven.drain(&broker);
        append(&broker, EVENTS, 0, "bad");
        append_events(&broker, 51..100);
        append(&broker, EVENTS, 0, "bad");
        // The claim is made already: the next COMMIT is the batch's.
        proxy.cut(cut, 0);
        while !proxy.has_cut() {
            driven.loader.run_once().unwrap();
        }
        assert_eq!(letters(&broker).len(), 2, "the letters were sent before the cut");
        drop(driven);
        let mut driven = Driven::new(config(&url, "a"), &broker);
        driven.drain(&broker);
        assert_eq!(told(&broker), [("50".into(), "invalid_json".into()), ("100".into(), "invalid_json".into())]);
        assert_eq!(count(&url, "SELECT count(*) FROM events"), 99, "{cut:?}");
        // Behind the mark letters are sent again.
        append(&broker, EVENTS, 0, "bad");
        driven.drain(&broker);
        assert_eq!(letters(&broker).len(), 3);
    }
}

#[test]
fn a_lost_answer_from_kafka_repeats_no_letter() {
    for fault in [Fault::EndTxnResponseLost, Fault::EndTxnRequestLost, Fault::SendOffsetsResponseLost, Fault::AfterSend]
    {
        let (url, broker) = (database(), broker(1));
        let mut driven = Driven::new(config(&url, "a"), &broker);
        append_events(&broker, 0..10);
        driven.drain(&broker);
        append(&broker, EVENTS, 0, "bad");
        append_events(&broker, 10..20);
        broker.fail_next(fault);
        driven.drain(&broker);
        assert_eq!(told(&broker), [("10".into(), "invalid_json".into())], "{fault:?}");
        assert_eq!(count(&url, "SELECT count(*) FROM events"), 20);
        assert!(driven.status().kafka_errors > 0);
    }
}

/// The older one's letters go by a new producer, which fences the newer one's. The group decides who stays, not the producers.
///
/// ```text
/// old ── takes p-0 "bad" ──────────── letter, by a new producer ── poll: the group has another of this name: ends
/// new ────────── init_transactions ────────────────────────────── joins, claims, fenced: waits, claims again, loads
/// ```
#[test]
fn of_two_loaders_of_one_name_the_newer_one_stays() {
    let (url, broker) = (database(), broker(1));
    let config = || LoaderConfig { fenced_pause: Duration::from_millis(100), ..config(&url, "a") };
    let mut older = Driven::new(config(), &broker);
    append_events(&broker, 0..10);
    older.drain(&broker);
    let mut newer = Driven::new(config(), &broker);
    append(&broker, EVENTS, 0, "bad");
    append_events(&broker, 10..20);
    while letters(&broker).is_empty() {
        older.loader.run_once().unwrap();
    }
    // Letters would go by a producer of their own: the offsets that are displayed meet the fencing.
    append_events(&broker, 20..25);
    newer.until("it has been fenced", |status| status.kafka_errors > 0);
    let error = older.loader.run_once().unwrap_err();
    assert_eq!(error.recovery(), Recovery::Shutdown, "{error}");
    append(&broker, EVENTS, 0, "bad");
    append_events(&broker, 25..30);
    newer.drain(&broker);
    assert_eq!(told(&broker), [("10".into(), "invalid_json".into()), ("26".into(), "invalid_json".into())]);
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 30);
}

/// A coordinator that has just moved may answer that nothing is committed: the mark must not be forgotten over that.
#[test]
fn an_answer_that_nothing_is_committed_is_doubted() {
    let (url, broker) = (database(), broker(1));
    let proxy = Proxy::start(&url);
    let mut driven = Driven::new(config(&proxy.url, "a"), &broker);
    append_events(&broker, 0..10);
    driven.drain(&broker);
    append(&broker, EVENTS, 0, "bad");
    proxy.cut(Cut::Request, 0);
    while !proxy.has_cut() {
        driven.loader.run_once().unwrap();
    }
    broker.fail_next(Fault::CommittedOffsetTransientlyMissing);
    driven.drain(&broker);
    assert_eq!(letters(&broker).len(), 1);
    // When the answer stays the same, it is believed: the group was deleted.
    drop(driven);
    broker.delete_group_offsets(APP);
    let mut driven = Driven::new(config(&url, "a"), &broker);
    append_events(&broker, 20..30);
    driven.drain(&broker);
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 20);
}
