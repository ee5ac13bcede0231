//! What is written when a burst is found.

use serde::{Deserialize, Serialize};

/// One per burst, as JSON:
///
/// ```
/// # use fraud::Alert;
/// let json = r#"{"user_id":"u1","alert":"potential fraud detected","first_event_ms":1000,"last_event_ms":4000,"events":5,"items":["/i/1"]}"#;
/// let alert: Alert = serde_json::from_str(json)?;
/// assert_eq!(serde_json::to_string(&alert)?, json);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Whose burst it is.
    pub user_id: String,
    /// What was found.
    pub alert: Finding,
    /// Where it was found.
    #[serde(flatten)]
    pub evidence: Evidence,
}

impl Alert {
    pub(crate) fn new(user_id: &str, evidence: Evidence) -> Self {
        Self { user_id: user_id.to_owned(), alert: Finding::PotentialFraud, evidence }
    }
}

/// What an alert says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// A burst of items.
    #[serde(rename = "potential fraud detected")]
    PotentialFraud,
}

/// An interval that satisfies the rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Event time of its first event, in milliseconds since the epoch.
    pub first_event_ms: i64,
    /// Event time of its last event.
    pub last_event_ms: i64,
    /// How many events of it were known.
    pub events: usize,
    /// Their items, in the order of event time, without the events that named none.
    pub items: Vec<String>,
}
