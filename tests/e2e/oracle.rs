//! What must be in the topics, from what is in the input, by the applications' naive references.

use std::collections::BTreeMap;

use attribution::Attribution;
use attribution::reference::Fact;
use fraud::reference::CartAdd;
use fraud::{Alert, Rule};
use millpond_harness::Received;
use redaction::{MARKER, reference};
use serde_json::Value;

use crate::shop::{CANARY, FLAW, FLAWS, Flaw, NUMBER};

/// Where a dead letter's record is, and why it is one.
pub(crate) type Refused = (String, i32, i64, String);

fn text(record: &Received, name: &str) -> Option<String> {
    record.header(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

fn flaw(record: &Received) -> Option<&'static Flaw> {
    let name = text(record, FLAW)?;
    FLAWS.iter().find(|flaw| flaw.name == name)
}

/// The records of `topic` that must be refused for a flaw.
pub(crate) fn refused(
    topic: &str,
    events: &[Received],
    reason: impl Fn(&Flaw) -> Option<&'static str>,
) -> Vec<Refused> {
    let refused = events.iter().filter_map(|event| {
        let reason = reason(flaw(event)?)?;
        Some((topic.to_owned(), event.partition, event.offset, reason.to_owned()))
    });
    sorted(refused)
}

/// The dead letters as they are, by what they point at.
pub(crate) fn dead_letters(letters: &[Received]) -> Vec<Refused> {
    let header = |letter: &Received, name| text(letter, &format!("__streams.errors.{name}")).unwrap();
    sorted(letters.iter().map(|letter| {
        let number = |name| header(letter, name).parse::<i64>().unwrap();
        let partition = i32::try_from(number("partition")).unwrap();
        (header(letter, "topic"), partition, number("offset"), header(letter, "reason"))
    }))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}

/// A redacted record, without its place.
type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

/// Each event once, redacted; those of one partition in their order; nothing refused, no address left.
pub(crate) fn verify_redaction(events: &[Received], processed: &[Received], letters: &[Received]) {
    let expected = sorted(events.iter().filter_map(redacted));
    let actual = sorted(processed.iter().cloned().map(|r| (r.timestamp_ms, r.key, r.value, r.headers)));
    assert_same("redaction", &expected, &actual);
    let mut last: BTreeMap<(i32, i64), i64> = BTreeMap::new();
    for record in processed {
        let Some(number) = text(record, NUMBER).and_then(|number| number.parse::<i64>().ok()) else { continue };
        let source = number % i64::from(crate::shop::PARTITIONS);
        let before = last.insert((record.partition, source), number);
        assert!(before < Some(number), "redaction: {number} came after {before:?}");
    }
    for letter in letters {
        assert_eq!(letter.value, None, "the redactor's dead letters carry no payload");
        let all: Vec<u8> = letter.headers.iter().flat_map(|(_, value)| value.clone().unwrap_or_default()).collect();
        let all = String::from_utf8_lossy(&all).into_owned() + &letter.key_text();
        assert!(!all.contains(CANARY), "a redactor's dead letter quotes its record: {all}");
        assert!(letter.headers.iter().all(|(name, _)| name.starts_with("__streams.errors.")), "{:?}", letter.headers);
    }
}

fn redacted(event: &Received) -> Option<Plain> {
    if flaw(event).is_some_and(|flaw| flaw.redaction.is_some()) {
        return None;
    }
    let masked = |bytes: &Vec<u8>| {
        if bytes.contains(&b'@') { MARKER.as_bytes().to_vec() } else { bytes.clone() }
    };
    let value =
        event.value.as_ref().map(|value| reference::redact(std::str::from_utf8(value).unwrap()).unwrap().into_bytes());
    let headers = event.headers.iter().map(|(name, value)| (name.clone(), value.as_ref().map(masked)));
    Some((event.timestamp_ms, event.key.as_ref().map(masked), value, headers.collect()))
}

/// Exactly one alert for each burst; `late` are the users whose only event was refused as late.
pub(crate) fn verify_fraud(rule: &Rule, events: &[Received], alerts: &[Received], is_late: impl Fn(&CartAdd) -> bool) {
    let adds = events.iter().filter_map(|event| CartAdd::read(event.timestamp_ms, event.value.as_deref()));
    let adds: Vec<CartAdd> = adds.filter(|add| !is_late(add)).collect();
    let found: Vec<Alert> = alerts.iter().map(|alert| serde_json::from_str(&alert.text()).unwrap()).collect();
    for (alert, record) in found.iter().zip(alerts) {
        assert_eq!(alert.user_id, record.key_text());
    }
    assert!(found.len() > 10, "a test without alerts shows nothing: {}", found.len());
    let differences = fraud::reference::verify(rule, &adds, &found);
    assert!(differences.is_empty(), "{}", first(&differences));
}

/// The last attribution of each order is the reference's, and no record was written twice.
pub(crate) fn verify_attribution(events: &[Received], attributions: &[Received]) {
    let facts = events.iter().filter_map(|event| Fact::read(event.timestamp_ms, event.value.as_deref()));
    let facts: Vec<Fact> = facts.collect();
    let written: Vec<(String, Attribution)> =
        attributions.iter().map(|r| (r.key_text(), serde_json::from_str(&r.text()).unwrap())).collect();
    assert!(written.len() > 10, "a test without orders shows nothing: {}", written.len());
    let differences = attribution::reference::verify(&facts, written.iter().map(|(key, value)| (key.as_str(), value)));
    assert!(differences.is_empty(), "{}", first(&differences));
    let mut last: BTreeMap<&str, &Attribution> = BTreeMap::new();
    for (key, value) in &written {
        // A correction always says something new: the same again is a record processed twice.
        assert_ne!(last.insert(key, value), Some(value), "attribution: order {key} was written twice");
    }
}

/// The table of events, in the order of [`rows`]; null is an empty text.
pub(crate) const ROWS: &str = "select source_partition, source_offset, (extract(epoch from event_time) * 1000)::bigint, \
    user_id, event_name, page, item_url, channel, order_id, order_email from events \
    order by source_partition, source_offset";

/// What must be in the table of events: every redacted record that is not refused, once.
pub(crate) fn rows(processed: &[Received]) -> Vec<Vec<String>> {
    const FIELDS: [&str; 7] = ["user_id", "event_name", "page", "item_url", "channel", "order_id", "order_email"];
    let loaded = processed.iter().filter(|record| flaw(record).is_none_or(|flaw| flaw.loader.is_none()));
    let rows = loaded.map(|record| {
        let event: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let field = |name| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = (record.partition, record.offset);
        let start = [place.0.to_string(), place.1.to_string(), record.timestamp_ms.to_string()];
        (place, start.into_iter().chain(FIELDS.map(field)).collect())
    });
    sorted(rows).into_iter().map(|(_, row)| row).collect()
}

/// The table of attributions, in the order of [`attribution_rows`].
pub(crate) const ATTRIBUTION_ROWS: &str = "select order_id, user_id, marketing_channel, \
    (extract(epoch from event_time) * 1000)::bigint, source_partition, source_offset \
    from purchase_marketing_attributions order by order_id collate \"C\"";

/// What must be in the table of attributions: the last record of each order.
pub(crate) fn attribution_rows(attributions: &[Received]) -> Vec<Vec<String>> {
    let mut table = BTreeMap::new();
    for record in attributions {
        let Attribution { user_id, order_id, marketing_channel, .. } = serde_json::from_str(&record.text()).unwrap();
        let place = [record.timestamp_ms, i64::from(record.partition), record.offset].map(|number| number.to_string());
        let row = [order_id, user_id, marketing_channel].into_iter().chain(place).collect();
        table.insert(record.key_text(), row);
    }
    table.into_values().collect()
}

fn first(differences: &[impl std::fmt::Display]) -> String {
    let lines: Vec<_> = differences.iter().take(5).map(ToString::to_string).collect();
    format!("{} differences\n{}", differences.len(), lines.join("\n"))
}

/// Equal, or the first difference instead of megabytes.
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &[T], actual: &[T]) {
    let differs = expected.iter().zip(actual).position(|(expected, actual)| expected != actual);
    let at = differs.unwrap_or_else(|| expected.len().min(actual.len()));
    let show = |items: &[T]| format!("{:?}", items.get(at)).chars().take(400).collect::<String>();
    assert!(
        expected == actual,
        "{what}: expected={} actual={} first difference at {at}: expected {} found {}",
        expected.len(),
        actual.len(),
        show(expected),
        show(actual)
    );
}
