//! `dead-letters list` and `dead-letters show`.

use std::collections::BTreeMap;

use millpond::runtime::letters::{DeadLetter, Payload};
use serde_json::{Value, json};

use super::ListArgs;
use super::read::Letters;
use crate::cli::Failure;
use crate::cli::output::{Output, lines, table};
use crate::cli::time::shown;
use crate::formats::guess;

pub(super) fn list(args: &ListArgs, letters: &Letters, out: &mut Output<'_>) -> Result<(), Failure> {
    let wanted = |letter: &&DeadLetter| args.reason.as_ref().is_none_or(|reason| *reason == letter.reason);
    let found: Vec<&DeadLetter> = letters.all.iter().filter(wanted).collect();
    let skipped = if args.limit == 0 { 0 } else { found.len().saturating_sub(args.limit) };
    let newest = || found.iter().skip(skipped).copied();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in &found {
        *reasons.entry(&letter.reason).or_default() += 1;
    }
    out.answer(
        || {
            let all: Vec<Value> = newest().map(|letter| header(letter, letters)).collect();
            json!({ "topic": letters.topic, "count": found.len(), "reasons": reasons, "letters": all })
        },
        || {
            let rows = newest().map(|letter| {
                let replayed = if letters.is_replayed(letter) { "replayed" } else { "" };
                let cells = [place(letter), shown(letter.written), letter.reason.clone(), letter.node.clone()];
                cells.into_iter().chain([source(letter), replayed.to_owned()]).collect()
            });
            let reasons = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>();
            let sum = format!("{} in {}: {}", found.len(), letters.topic, reasons.join(", "));
            table(&["at", "written", "reason", "node", "read at", ""], rows) + &lines([sum])
        },
    )
}

pub(super) fn one(at: &str, payload: bool, letters: &Letters, out: &mut Output<'_>) -> Result<(), Failure> {
    let letter = letters.find(at)?;
    let record = letter.payload.as_ref();
    out.answer(
        || {
            let mut json = header(letter, letters);
            if let (true, Value::Object(fields)) = (payload, &mut json) {
                fields.insert("record".into(), record.map_or(Value::Null, record_json));
            }
            json
        },
        || {
            let mut text = vec![
                format!("letter     {at} in {}, written {}", letters.topic, shown(letter.written)),
                format!("reason     {} ({})", letter.reason, letter.exception),
                format!("message    {}", letter.message),
                format!("node       {}", letter.node),
                format!("read at    {}, time {}", source(letter), shown(letter.timestamp)),
                format!("replayed   {}", if letters.is_replayed(letter) { "yes" } else { "no" }),
            ];
            text.push(match record {
                None => "record     not in the letter: it is where it was read, if it is still there".to_owned(),
                Some(_) if !payload => "record     in the letter; --payload prints it".to_owned(),
                Some(record) => format!("record     {}", record_json(record)),
            });
            lines(text)
        },
    )
}

pub(super) fn place(letter: &DeadLetter) -> String {
    format!("{}@{}", letter.at.partition, letter.offset)
}

pub(super) fn source(letter: &DeadLetter) -> String {
    format!("{}@{}", letter.source, letter.source_offset)
}

fn header(letter: &DeadLetter, letters: &Letters) -> Value {
    json!({
        "at": place(letter), "written_ms": letter.written.as_millis(), "reason": letter.reason, "node": letter.node,
        "exception": letter.exception, "message": letter.message, "topic": &*letter.source.topic,
        "partition": letter.source.partition.0, "offset": letter.source_offset.0,
        "timestamp_ms": letter.timestamp.as_millis(), "has_record": letter.payload.is_some(),
        "replayed": letters.is_replayed(letter),
    })
}

fn record_json(record: &Payload) -> Value {
    let bytes = |bytes: Option<&bytes::Bytes>| bytes.map_or(Value::Null, |bytes| guess(bytes));
    let headers = record.headers.iter().map(|(name, value)| json!([name, bytes(value)]));
    json!({
        "key": bytes(record.key.as_ref()), "value": bytes(record.value.as_ref()), "headers": headers.collect::<Vec<_>>(),
    })
}
