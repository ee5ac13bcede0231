use std::convert::Infallible;

use super::expected;
use super::*;

fn record(offset: i64, value: &str) -> Received {
    Received {
        partition: 1,
        offset,
        key: None,
        value: Some(value.as_bytes().to_vec()),
        timestamp_ms: 1_000 + offset,
        headers: Vec::new(),
    }
}

const ORDER: &str =
    r#"{"user_id":"u1","event_name":"order_confirmed","order_id":"o1","order_email":"ada@example.com"}"#;
const REDACTED: &str = r#"{"user_id":"u1","event_name":"order_confirmed","order_id":"o1","order_email":"[redacted]"}"#;
const VISIT: &str = r#"{"user_id":"u1","event_name":"visit"}"#;

fn compared(events: &[Received], processed: &[Received]) -> Redactions {
    let mut redactions = Redactions::default();
    let mut processed = processed.iter().cloned();
    redactions.begin();
    for event in events {
        redactions.event("events", event, || Ok::<_, Infallible>(processed.next())).unwrap();
    }
    processed.for_each(|record| redactions.surplus(&record));
    redactions
}

fn processed(offset: i64, from: &Received, value: &str) -> Received {
    Received { offset, value: Some(value.as_bytes().to_vec()), ..from.clone() }
}

#[test]
fn what_was_redacted_as_it_must_be_makes_no_difference() {
    let events = [record(0, VISIT), record(1, "{"), record(2, ORDER)];
    let outputs = [processed(10, &events[0], VISIT), processed(11, &events[2], REDACTED)];
    let redactions = compared(&events, &outputs);
    assert_eq!(redactions.differences, Differences::default());
    assert_eq!((redactions.redacted, redactions.refused), (1, vec![("events".to_owned(), 1, 1)]));
}

#[test]
fn a_leak_a_loss_a_double_and_another_order_are_each_found() {
    let events = [record(0, VISIT), record(1, ORDER)];
    let [first, second] = [processed(0, &events[0], VISIT), processed(1, &events[1], REDACTED)];
    let leak = processed(1, &events[1], ORDER);
    let late = Received { timestamp_ms: 7, ..second.clone() };
    let cases: [&[Received]; 6] = [
        &[first.clone(), leak],
        std::slice::from_ref(&first),
        std::slice::from_ref(&second),
        &[first.clone(), second.clone(), second.clone()],
        &[second.clone(), first.clone()],
        &[first.clone(), late],
    ];
    for outputs in cases {
        assert_eq!(compared(&events, outputs).differences.count, 1, "{outputs:?}");
    }
}

#[test]
fn dead_letters_are_compared_one_by_one() {
    let at = |offset| ("events".to_owned(), 0, offset);
    let differences = |expected: &[i64], found: &[i64]| {
        let mut differences = Differences::default();
        let positions = |offsets: &[i64]| offsets.iter().map(|offset| at(*offset)).collect();
        compare_dead_letters("fraud", positions(expected), positions(found), &mut differences);
        differences.first
    };
    assert_eq!(differences(&[3, 1], &[1, 3]), Vec::<String>::new());
    assert_eq!(differences(&[1, 3], &[3]), ["fraud: no dead letter for events-0@1"]);
    assert_eq!(differences(&[1], &[1, 1]), ["fraud: a dead letter too many: events-0@1"]);
    assert_eq!(differences(&[5], &[4, 5]), ["fraud: a dead letter too many: events-0@4"]);
}

#[test]
fn who_takes_what() {
    let takes = |value: &str| {
        let value = Some(value.as_bytes());
        (expected::fraud_takes(value), expected::attribution_takes(value))
    };
    assert_eq!(takes(VISIT), (true, true));
    assert_eq!(takes(r#"{"event_name":"visit"}"#), (false, false));
    assert_eq!(takes(r#"{"user_id":"","event_name":"visit"}"#), (false, false));
    assert_eq!(takes(r#"{"user_id":"u","event_name":"order_confirmed"}"#), (true, false));
    assert_eq!(takes(r#"{"user_id":"u","event_name":"visit","page":1}"#), (false, false));
    assert_eq!(takes("{"), (false, false));
    assert!(!expected::fraud_takes(None) && !expected::attribution_takes(None));
}

#[test]
fn a_row_has_the_records_fields_time_and_position() {
    let row = expected::row(&record(9, REDACTED)).unwrap();
    assert_eq!((row.user_id.as_deref(), row.order_email.as_deref(), row.page), (Some("u1"), Some("[redacted]"), None));
    assert_eq!((row.event_time_ms, row.source_partition, row.source_offset), (1_009, 1, 9));
    assert_eq!(expected::row(&record(9, r#"{"event_name":"visit"}"#)), None);
    assert_eq!(expected::row(&Received { value: None, ..record(9, "") }), None);
}

#[test]
fn the_table_holds_the_last_attribution_of_each_order() {
    let attribution = |channel: &str| Attribution {
        user_id: "u1".to_owned(),
        order_id: "o1".to_owned(),
        marketing_channel: channel.to_owned(),
        order_time_ms: 5,
        visit_time_ms: None,
    };
    let written = [
        (record(0, ""), "o1".to_owned(), attribution("organic")),
        (record(2, ""), "o1".to_owned(), attribution("mail")),
    ];
    let row = |channel: &str, offset: i64| super::super::database::AttributionRow {
        order_id: "o1".to_owned(),
        user_id: "u1".to_owned(),
        marketing_channel: channel.to_owned(),
        event_time_ms: 1_000 + offset,
        source_partition: 1,
        source_offset: offset,
    };
    let count = |rows| {
        let mut differences = Differences::default();
        compare_attributions(&written, rows, &mut differences);
        differences.count
    };
    assert_eq!(count(vec![row("mail", 2)]), 0);
    assert_eq!(count(vec![row("organic", 0)]), 1);
    assert_eq!(count(Vec::new()), 1);
}

#[test]
fn only_an_event_that_is_there_and_late_may_be_left_out() {
    let add = CartAdd { user_id: "u1".to_owned(), at_ms: 1_000, item_url: Some("/item/1".to_owned()) };
    let letter = |user: &str| Received { key: Some(user.into()), ..record(0, "\u{1}/item/1") };
    let at = |letter: Received, ms: &str| Received {
        headers: vec![("__streams.errors.timestamp".to_owned(), Some(ms.into()))],
        ..letter
    };
    let left_out =
        |letter: &Received, newest_ms| leave_out(&mut vec![add.clone()], letter, newest_ms, &Rule::default());
    assert!(left_out(&at(letter("u1"), "1000"), 11_001));
    assert!(!left_out(&at(letter("u1"), "1000"), 11_000), "within grace");
    assert!(!left_out(&at(letter("u2"), "1000"), 99_000), "nobody's");
    assert!(!left_out(&at(letter("u1"), "999"), 99_000), "another time");
}
