//! The shop's events: JSON values of a topic without keys. The record's timestamp is the event time.

mod plain;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use millpond::dsl::Topic;
use millpond::processor::ProcessorError;
use millpond::record::Record;
use millpond::serde::{Ignored, Json, Serde, SerdeError};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The events as the shop writes them. Keys on the wire are null; others are ignored.
pub const EVENTS: Topic<(), Event> = Topic::new("events", &Ignored, &EventJson);

/// The longest id (of a user, an order, a channel) that is taken, in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// The longest address of an item or a page that is taken, in bytes. State and output hold several of them per user.
pub const URL_BYTES_MAX: usize = 4096;

/// Arrays and objects may be nested that deep in an event.
const DEPTH_MAX: usize = 128;

/// One event of the shop. Members that it does not name are ignored, absent ones and JSON's null are `None`. Its texts share the
/// bytes that they were read from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Event {
    /// Who did it. Events without it are malformed; see [`by_user`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<ByteString>,
    /// What was done.
    pub event_name: EventName,
    /// The page on which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<ByteString>,
    /// The item that was put into the cart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_url: Option<ByteString>,
    /// Where the visitor came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ByteString>,
    /// The order that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<ByteString>,
    /// Where the confirmation was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_email: Option<ByteString>,
}

impl Event {
    /// An event of a user, with nothing else set.
    pub fn new(user_id: impl Into<ByteString>, event_name: EventName) -> Self {
        Self { user_id: Some(user_id.into()), event_name, ..Self::default() }
    }
}

/// What was done. Names that no application knows are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EventName {
    /// `visit`
    #[default]
    Visit,
    /// `site_visit`: means the same as `visit`.
    SiteVisit,
    /// `add_to_cart`
    AddToCart,
    /// `order_confirmed`
    OrderConfirmed,
    /// Any other name.
    Other(ByteString),
}

impl EventName {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Visit => "visit",
            Self::SiteVisit => "site_visit",
            Self::AddToCart => "add_to_cart",
            Self::OrderConfirmed => "order_confirmed",
            Self::Other(name) => name,
        }
    }
}

impl EventName {
    /// One that applications know.
    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "visit" => Self::Visit,
            "site_visit" => Self::SiteVisit,
            "add_to_cart" => Self::AddToCart,
            "order_confirmed" => Self::OrderConfirmed,
            _ => return None,
        })
    }
}

impl From<&str> for EventName {
    fn from(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes a name without a copy of it: most are known.
        struct Name;

        impl Visitor<'_> for Name {
            type Value = EventName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an event")
            }

            fn visit_str<E>(self, name: &str) -> Result<EventName, E> {
                Ok(EventName::from(name))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// Events as JSON. What is malformed anywhere is malformed for every application: bytes that are not UTF-8 and nesting
/// over 128 levels are refused also in members that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventJson;

impl Serde<Event> for EventJson {
    fn encode(&self, value: &Event, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Json.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Event, SerdeError> {
        // JSON readers do not look into strings that they skip.
        let text = std::str::from_utf8(bytes).map_err(|error| SerdeError::Utf8 { position: error.valid_up_to() })?;
        if nested_deeper_than(DEPTH_MAX, bytes) {
            return Err(SerdeError::Malformed { format: "JSON", reason: "nested deeper than 128 levels" });
        }
        Json::decode_text(text)
    }

    fn decode_bytes(&self, bytes: &Bytes) -> Result<Event, SerdeError> {
        let text = ByteString::try_from(bytes.clone());
        let text = text.map_err(|error| SerdeError::Utf8 { position: error.valid_up_to() })?;
        shared(&text).map_or_else(|| self.decode(bytes), Ok)
    }
}

/// An event that is plain, without a copy of its texts.
fn shared(text: &ByteString) -> Option<Event> {
    let members = plain::members(text)?;
    let share = |part: &str| text.slice_ref(part);
    let name = members.event_name?;
    Some(Event {
        user_id: members.user_id.map(share),
        event_name: EventName::known(name).unwrap_or_else(|| EventName::Other(share(name))),
        page: members.page.map(share),
        item_url: members.item_url.map(share),
        channel: members.channel.map(share),
        order_id: members.order_id.map(share),
        order_email: members.order_email.map(share),
    })
}

fn nested_deeper_than(depth_max: usize, json: &[u8]) -> bool {
    // Nearly every event ends here: without that many brackets there cannot be that many levels.
    if json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= depth_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

/// The record under its user's id, for [`try_map`](millpond::dsl::KStream::try_map). Headers stay behind: they may hold
/// personal data, and what is derived from events must not carry it on.
///
/// # Errors
/// The record is bad: `missing_user_id` (absent, null or empty), `user_id_too_long` (over [`ID_BYTES_MAX`]).
pub fn by_user(record: Record<(), Event>) -> Result<Record<ByteString, Event>, ProcessorError> {
    let Record { mut value, timestamp, .. } = record;
    let user_id = value.user_id.take().filter(|id| !id.is_empty());
    let user_id = user_id.ok_or_else(|| ProcessorError::bad_record("missing_user_id"))?;
    within(ID_BYTES_MAX, &user_id, "user_id_too_long")?;
    Ok(Record::new(user_id, value, timestamp))
}

/// Refuses text that is too long to be kept.
///
/// # Errors
/// The record is bad, for that reason.
pub fn within(bytes_max: usize, text: &str, reason: &'static str) -> Result<(), ProcessorError> {
    if text.len() <= bytes_max { Ok(()) } else { Err(ProcessorError::bad_record(reason)) }
}

#[cfg(test)]
mod tests {
    use millpond::time::Timestamp;

    use super::*;

    /// By both readers, which must agree.
    fn decode(text: &str) -> Result<Event, SerdeError> {
        let event = EventJson.decode(text.as_bytes());
        assert_eq!(EventJson.decode_bytes(&Bytes::copy_from_slice(text.as_bytes())), event, "{text}");
        event
    }

    #[test]
    fn an_event_survives_and_writes_only_what_it_has() {
        let event = Event { item_url: Some("/i/1".into()), ..Event::new("u1", EventName::AddToCart) };
        let mut bytes = Vec::new();
        EventJson.encode(&event, &mut bytes).unwrap();
        assert_eq!(bytes, br#"{"user_id":"u1","event_name":"add_to_cart","item_url":"/i/1"}"#);
        assert_eq!(EventJson.decode(&bytes), Ok(event));
    }

    #[test]
    fn names_survive_known_or_not() {
        for name in ["visit", "site_visit", "add_to_cart", "order_confirmed", "page_view", ""] {
            assert_eq!(EventName::from(name).as_str(), name);
        }
        assert_eq!(EventName::from("page_view"), EventName::Other("page_view".into()));
    }

    #[test]
    fn null_and_absent_are_the_same_and_unknown_members_are_ignored() {
        let expected = Event::new("u1", EventName::Visit);
        assert_eq!(decode(r#"{"user_id":"u1","event_name":"visit","channel":null,"x":[1]}"#), Ok(expected.clone()));
        assert_eq!(decode(r#"{"event_name":"visit","user_id":"u1"}"#), Ok(expected));
    }

    #[test]
    fn wrong_types_are_refused() {
        for text in [
            "null",
            "[]x",
            "7",
            "{}",
            r#"{"event_name":7}"#,
            r#"{"event_name":"visit","user_id":7}"#,
            r#"{"event_name":"visit","channel":["a"]}"#,
            r#"{"event_name":"visit","user_id":"a","user_id":"b"}"#,
            r#"{"event_name":"visit"}x"#,
        ] {
            assert!(matches!(decode(text), Err(SerdeError::Json { .. })), "{text}");
        }
    }

    #[test]
    fn members_nobody_reads_must_be_well_formed_too() {
        let bad_text = b"{\"event_name\":\"visit\",\"x\":\"\xff\"}";
        assert_eq!(EventJson.decode(bad_text), Err(SerdeError::Utf8 { position: 27 }));
        let error = EventJson.decode_bytes(&Bytes::from_static(bad_text)).unwrap_err();
        assert_eq!(error, SerdeError::Utf8 { position: 27 });
        let nested =
            |levels: usize| format!(r#"{{"event_name":"visit","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(decode(&nested(127)), Ok(Event::default()));
        let error = SerdeError::Malformed { format: "JSON", reason: "nested deeper than 128 levels" };
        assert_eq!(decode(&nested(128)), Err(error.clone()));
        assert_eq!(decode(&nested(10_000)), Err(error));
    }

    #[test]
    fn brackets_side_by_side_or_in_text_are_not_depth() {
        let flat = format!(r#"{{"event_name":"visit","x":[{}[]]}}"#, "[],".repeat(500));
        assert_eq!(decode(&flat), Ok(Event::default()));
        let text = format!(r#"{{"event_name":"visit","x":"\"\\\"{}"}}"#, "[".repeat(500));
        assert_eq!(decode(&text), Ok(Event::default()));
    }

    #[test]
    fn a_record_moves_under_its_user_and_leaves_its_headers() {
        let mut record = Record::new((), Event::new("u1", EventName::Visit), Timestamp::from_millis(7));
        record.headers.push("from", None);
        let moved = by_user(record).unwrap();
        assert_eq!(moved, Record::new("u1".into(), Event::default(), Timestamp::from_millis(7)));
    }

    #[test]
    fn a_record_without_a_usable_user_is_bad_and_says_why() {
        let reason = |user_id: Option<String>| {
            let event = Event { user_id: user_id.map(Into::into), ..Event::default() };
            by_user(Record::new((), event, Timestamp::EPOCH)).map_err(|error| error.reason())
        };
        assert_eq!(reason(None).unwrap_err(), "missing_user_id");
        assert_eq!(reason(Some(String::new())).unwrap_err(), "missing_user_id");
        assert_eq!(reason(Some("u".repeat(ID_BYTES_MAX + 1))).unwrap_err(), "user_id_too_long");
        assert_eq!(reason(Some("u".repeat(ID_BYTES_MAX))).unwrap().key.len(), ID_BYTES_MAX);
    }
}
