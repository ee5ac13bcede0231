//! What must be in the topics, from what is in the input, by the applications' naive references.

use std::collections::BTreeMap;

use attribution::Attribution;
use attribution::reference::Fact;
use fraud::reference::CartAdd;
use fraud::{Alert, Rule};
use millpond_harness::Received;
use redaction::{MARKER, reference};
use serde_json::Value;

use crate::findings::Findings;
use crate::order;
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
    let header = |letter: &Received, name| text(letter, &format!("__streams.errors.{name}")).unwrap_or_default();
    sorted(letters.iter().map(|letter| {
        // A header that is missing or no number points at nothing, and is found.
        let number = |name| header(letter, name).parse::<i64>().unwrap_or(-1);
        let partition = i32::try_from(number("partition")).unwrap_or(-1);
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
pub(crate) fn verify_redaction(
    events: &[Received],
    processed: &[Received],
    letters: &[Received],
    findings: &mut Findings,
) {
    let expected = events.iter().filter_map(redacted).collect();
    let plain = |r: &Received| (r.timestamp_ms, r.key.clone(), r.value.clone(), r.headers.clone());
    findings.compare("redaction", expected, processed.iter().map(plain).collect());
    verify_order(events, processed, findings);
    for letter in letters {
        let all: Vec<u8> = letter.headers.iter().flat_map(|(_, value)| value.clone().unwrap_or_default()).collect();
        let all = String::from_utf8_lossy(&all).into_owned() + &letter.key_text();
        let foreign = letter.headers.iter().any(|(name, _)| !name.starts_with("__streams.errors."));
        if letter.value.is_some() || foreign || all.contains(CANARY) {
            findings.wrong += 1;
            findings.say(format!("redaction: a dead letter quotes its record: {all}"));
        }
    }
}

/// What each partition of the output has of a partition of the input is a selection of it, in its order. The input itself
/// may have a record twice: the load writes without transactions.
fn verify_order(events: &[Received], processed: &[Received], findings: &mut Findings) {
    let number = |record| text(record, NUMBER)?.parse::<i64>().ok();
    let mut sources: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let source = |number: i64| number % i64::from(crate::shop::PARTITIONS);
    for number in events.iter().filter_map(number) {
        sources.entry(source(number)).or_default().push(number);
    }
    let mut places: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for record in processed {
        let Some(number) = number(record) else { continue };
        let place = places.entry((record.partition, source(number))).or_default();
        let rest = sources.get(&source(number)).and_then(|source| source.get(*place..)).unwrap_or_default();
        if let Some(at) = rest.iter().position(|next| *next == number) {
            *place += at + 1;
        } else {
            findings.disordered += 1;
            findings.say(format!("redaction: {number} is not in the order of its partition"));
        }
    }
}

fn redacted(event: &Received) -> Option<Plain> {
    if flaw(event).is_some_and(|flaw| flaw.redaction.is_some()) {
        return None;
    }
    let masked = |bytes: &Vec<u8>| {
        if bytes.contains(&b'@') { MARKER.as_bytes().to_vec() } else { bytes.clone() }
    };
    // What the reference cannot redact is refused; then the letter would be missing, and that is found.
    let value = match &event.value {
        Some(value) => Some(reference::redact(std::str::from_utf8(value).ok()?)?.into_bytes()),
        None => None,
    };
    let headers = event.headers.iter().map(|(name, value)| (name.clone(), value.as_ref().map(masked)));
    Some((event.timestamp_ms, event.key.as_ref().map(masked), value, headers.collect()))
}

/// Exactly one alert for each burst of what was taken in, those of a user in their order.
pub(crate) fn verify_fraud(rule: &Rule, adds: &[CartAdd], alerts: &[Received], findings: &mut Findings) {
    let mut found: Vec<Alert> = Vec::new();
    for record in alerts {
        match serde_json::from_str::<Alert>(&record.text()) {
            Ok(alert) if alert.user_id == record.key_text() => found.push(alert),
            _ => {
                findings.wrong += 1;
                findings.say(format!("fraud: an alert that cannot be read: {record:?}"));
            }
        }
    }
    findings.compared += found.len() as u64;
    order::verify_alerts(&found, findings);
    for difference in fraud::reference::verify(rule, adds, &found) {
        findings.say(difference.to_string());
        *match difference {
            fraud::reference::Difference::Missing { .. } => &mut findings.lost,
            fraud::reference::Difference::Repeated { .. } => &mut findings.duplicated,
            _ => &mut findings.wrong,
        } += 1;
    }
}

/// The last attribution of each order is the reference's, those of an order are in the order of its input, and no record was
/// written twice.
pub(crate) fn verify_attribution(events: &[Received], attributions: &[Received], findings: &mut Findings) {
    let facts = events.iter().filter_map(|event| Fact::read(event.timestamp_ms, event.value.as_deref()));
    let facts: Vec<Fact> = facts.collect();
    let mut written: Vec<(String, Attribution)> = Vec::new();
    for record in attributions {
        match serde_json::from_str(&record.text()) {
            Ok(attribution) => written.push((record.key_text(), attribution)),
            Err(error) => {
                findings.wrong += 1;
                findings.say(format!("attribution: a record that cannot be read: {error}"));
            }
        }
    }
    findings.compared += written.len() as u64;
    order::verify_attributions(events, &written, findings);
    let pairs = written.iter().map(|(key, value)| (key.as_str(), value));
    for difference in attribution::reference::verify(&facts, pairs) {
        findings.say(difference.to_string());
        *match difference {
            attribution::reference::Difference::Missing(_) => &mut findings.lost,
            _ => &mut findings.wrong,
        } += 1;
    }
    let mut last: BTreeMap<&str, &Attribution> = BTreeMap::new();
    for (key, value) in &written {
        // A correction always says something new: the same again is a record processed twice.
        if last.insert(key, value) == Some(value) {
            findings.duplicated += 1;
            findings.say(format!("attribution: order {key} was written twice"));
        }
    }
}

/// The table of events, in no order; null is an empty text.
pub(crate) const ROWS: &str = "select source_partition, source_offset, (extract(epoch from event_time) * 1000)::bigint, \
    user_id, event_name, page, item_url, channel, order_id, order_email from events";

/// What must be in the table of events: every redacted record that is not refused, once.
pub(crate) fn rows(processed: &[Received]) -> Vec<Vec<String>> {
    const FIELDS: [&str; 7] = ["user_id", "event_name", "page", "item_url", "channel", "order_id", "order_email"];
    let loaded = processed.iter().filter(|record| flaw(record).is_none_or(|flaw| flaw.loader.is_none()));
    let rows = loaded.map(|record| {
        // What cannot be read here has no row, which is then found.
        let event: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or_default();
        let field = |name| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let start = [record.partition.to_string(), record.offset.to_string(), record.timestamp_ms.to_string()];
        start.into_iter().chain(FIELDS.map(field)).collect()
    });
    rows.collect()
}

/// The table of attributions.
pub(crate) const ATTRIBUTION_ROWS: &str = "select order_id, user_id, marketing_channel, \
    (extract(epoch from event_time) * 1000)::bigint, source_partition, source_offset \
    from purchase_marketing_attributions";

/// What must be in the table of attributions: the last record of each order.
pub(crate) fn attribution_rows(attributions: &[Received]) -> Vec<Vec<String>> {
    let mut table = BTreeMap::new();
    for record in attributions {
        let Ok(attribution) = serde_json::from_str(&record.text()) else { continue };
        let Attribution { user_id, order_id, marketing_channel, .. } = attribution;
        let place = [record.timestamp_ms, i64::from(record.partition), record.offset].map(|number| number.to_string());
        let row = [order_id, user_id, marketing_channel].into_iter().chain(place).collect();
        table.insert(record.key_text(), row);
    }
    table.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(numbers: &[i64]) -> Vec<Received> {
        let record = |(offset, number): (i64, &i64)| Received {
            partition: 0,
            offset,
            key: None,
            value: None,
            timestamp_ms: 0,
            headers: vec![(NUMBER.to_owned(), Some(number.to_string().into_bytes()))],
        };
        (0..).zip(numbers).map(record).collect()
    }

    #[test]
    fn the_order_is_that_of_the_input_also_when_it_has_records_twice() {
        let disordered = |input: &[i64], output: &[i64]| {
            let mut findings = Findings::default();
            verify_order(&records(input), &records(output), &mut findings);
            findings.disordered
        };
        // Numbers of one partition, and of another that is mixed in.
        assert_eq!(disordered(&[4, 8, 12, 16], &[4, 8, 16]), 0);
        assert_eq!(disordered(&[4, 8, 12, 16], &[4, 12, 8, 16]), 1);
        assert_eq!(disordered(&[4, 8, 4, 8, 12], &[4, 8, 4, 8, 12]), 0);
        assert_eq!(disordered(&[4, 8, 12], &[4, 8, 4, 12]), 1);
        assert_eq!(disordered(&[4, 8, 5, 9], &[5, 4, 9, 8]), 0);
    }
}
