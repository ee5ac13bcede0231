//! From a user's first visit and an order to the order's channel. Pure: no store, no clock.

use bytestring::ByteString;
use millpond::processor::ProcessorError;
use millpond::record::Record;
use millpond::time::Timestamp;
use millpond_support::event::{ID_BYTES_MAX, within};
use millpond_support::{Event, EventName};
use serde::{Deserialize, Serialize};

/// The channel of orders that no visit with a channel came before.
pub const ORGANIC: &str = "organic";

/// Which channel an order is due to, as JSON:
///
/// ```
/// # use attribution::Attribution;
/// let json = r#"{"user_id":"u1","order_id":"o1","marketing_channel":"mail","order_time_ms":7,"visit_time_ms":5}"#;
/// let attribution: Attribution = serde_json::from_str(json)?;
/// assert_eq!(serde_json::to_string(&attribution)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attribution {
    /// Who ordered.
    pub user_id: String,
    /// What was ordered.
    pub order_id: String,
    /// The channel of the first visit, or [`ORGANIC`].
    pub marketing_channel: String,
    /// Event time of the order, in milliseconds since the epoch.
    pub order_time_ms: i64,
    /// Event time of the first visit; null when there was none before the order.
    pub visit_time_ms: Option<i64>,
}

impl Attribution {
    /// The attribution of an order, given the user's earliest visit.
    pub(crate) fn of(user: &str, order_id: &str, order_time: Timestamp, first_visit: Option<&Visit>) -> Self {
        let visit = first_visit.filter(|visit| visit.at_ms <= order_time.as_millis());
        Self {
            user_id: user.to_owned(),
            order_id: order_id.to_owned(),
            marketing_channel: visit.map_or(ORGANIC, |visit| visit.channel.as_str()).to_owned(),
            order_time_ms: order_time.as_millis(),
            visit_time_ms: visit.map(|visit| visit.at_ms),
        }
    }
}

/// A visit. Earlier ones are smaller; of those at the same time, the one whose channel is. Bytes of the store
/// `first-visits`: bincode of the fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) at_ms: i64,
    pub(crate) channel: String,
}

/// What the attributor needs of an event; its time is the record's timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Visit { channel: String },
    Order { order_id: String },
}

pub(crate) fn is_relevant(event: &Event) -> bool {
    matches!(event.event_name, EventName::Visit | EventName::SiteVisit | EventName::OrderConfirmed)
}

/// A relevant event as a step.
///
/// # Errors
/// The record is bad: `channel_too_long`, `missing_order_id` (absent, null or empty), `order_id_too_long`.
pub(crate) fn step(record: Record<ByteString, Event>) -> Result<Record<String, Step>, ProcessorError> {
    let Record { key, value, timestamp, .. } = record;
    let step = if value.event_name == EventName::OrderConfirmed {
        let order_id = value.order_id.filter(|id| !id.is_empty());
        let order_id = order_id.ok_or_else(|| ProcessorError::bad_record("missing_order_id"))?;
        within(ID_BYTES_MAX, &order_id, "order_id_too_long")?;
        Step::Order { order_id: order_id.into() }
    } else {
        let channel = value.channel.filter(|channel| !channel.is_empty());
        let channel = channel.map_or_else(|| ORGANIC.to_owned(), String::from);
        within(ID_BYTES_MAX, &channel, "channel_too_long")?;
        Step::Visit { channel }
    };
    Ok(Record::new(key.into(), step, timestamp))
}

#[cfg(test)]
mod tests {
    use millpond::serde::{Bincode, Serde};

    use super::*;

    /// Golden: a change here makes rows and changelogs of running applications unreadable; give the type a new version
    /// then. Steps are in a repartition topic, where old ones wait while an application is replaced.
    #[test]
    fn rows_and_steps_have_the_bytes_they_always_had() {
        let bytes = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        let visit = Visit { at_ms: 300, channel: "mail".into() };
        assert_eq!(bytes(&|out| Bincode.encode(&visit, out).unwrap()), b"\x01\x01\xfb\x58\x02\x04mail");
        let step = Step::Visit { channel: "mail".into() };
        assert_eq!(bytes(&|out| Bincode.encode(&step, out).unwrap()), b"\x01\x01\x00\x04mail");
        let step = Step::Order { order_id: "o1".into() };
        assert_eq!(bytes(&|out| Bincode.encode(&step, out).unwrap()), b"\x01\x01\x01\x02o1");
    }

    #[test]
    fn visits_are_ordered_by_time_then_channel() {
        let visit = |at_ms, channel: &str| Visit { at_ms, channel: channel.into() };
        assert!(visit(1, "z") < visit(2, "a"));
        assert!(visit(1, "a") < visit(1, "b"));
    }
}
