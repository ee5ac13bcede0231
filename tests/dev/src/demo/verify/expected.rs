//! What single records must become, written slow and obvious. It shares no code with the applications.

use millpond_harness::Received;
use serde_json::Value;

use crate::demo::database::EventRow;

/// The longest id and the longest address of an item that the applications take, in bytes.
const ID_BYTES_MAX: usize = 512;
const URL_BYTES_MAX: usize = 4096;

/// Redaction must refuse the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// The redacted value; null stays null.
pub(super) fn redacted(value: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refused> {
    let Some(value) = value else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| Refused)?;
    redaction::reference::redact(text).map(|text| Some(text.into_bytes())).ok_or(Refused)
}

/// Whether fraud detection takes the record, whatever it makes of it.
pub(super) fn fraud_takes(value: Option<&[u8]>) -> bool {
    let Some(event) = event_of_a_user(value) else { return false };
    let is_add = event.get("event_name").and_then(Value::as_str) == Some("add_to_cart");
    !is_add || length(&event, "item_url") <= URL_BYTES_MAX
}

/// Whether attribution takes the record, whatever it makes of it.
pub(super) fn attribution_takes(value: Option<&[u8]>) -> bool {
    let Some(event) = event_of_a_user(value) else { return false };
    match event.get("event_name").and_then(Value::as_str) {
        Some("order_confirmed") => (1..=ID_BYTES_MAX).contains(&length(&event, "order_id")),
        Some("visit" | "site_visit") => length(&event, "channel") <= ID_BYTES_MAX,
        _ => true,
    }
}

fn length(event: &Value, member: &str) -> usize {
    event.get(member).and_then(Value::as_str).map_or(0, str::len)
}

/// A JSON object with a name and a user, and texts where texts must be.
fn event_of_a_user(value: Option<&[u8]>) -> Option<Value> {
    let event: Value = serde_json::from_slice(value?).ok()?;
    event.get("event_name")?.as_str()?;
    let user = event.get("user_id")?.as_str()?;
    let texts = ["page", "item_url", "channel", "order_id", "order_email"];
    let are_texts = texts.iter().all(|name| event.get(name).is_none_or(|text| text.is_string() || text.is_null()));
    (are_texts && (1..=ID_BYTES_MAX).contains(&user.len())).then_some(event)
}

/// The row that a processed event must be; none when the loader must refuse it.
pub(super) fn row(record: &Received) -> Option<EventRow> {
    let event: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
    let event = event.as_object()?;
    // The outer `None`: not a text; the inner one: NULL.
    let text = |name: &str| match event.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) if !text.contains('\0') => Some(Some(text.clone())),
        Some(_) => None,
    };
    Some(EventRow {
        user_id: Some(text("user_id")??),
        event_name: Some(text("event_name")??),
        page: text("page")?,
        item_url: text("item_url")?,
        channel: text("channel")?,
        order_id: text("order_id")?,
        order_email: text("order_email")?,
        event_time_ms: record.timestamp_ms,
        source_partition: record.partition,
        source_offset: record.offset,
    })
}
