//! Fraud detection: one alert for each burst of items that a user puts into the cart.
//!
//! # What a burst is
//!
//! An interval of event time *qualifies* when it begins and ends with an `add_to_cart` event of the user, spans **less
//! than** [`Rule::window`], and holds at least [`Rule::count`] such events (or distinct items). A *burst* is a maximal
//! union of qualifying intervals that share a point in time: someone who goes on and on makes one burst, however long.
//! That is a property of the set of events: the order in which they arrive does not matter. [`reference::bursts`] says
//! it in a dozen lines.
//!
//! # What is promised
//!
//! Each burst gets exactly one [`Alert`], in any order of arrival, as long as no event is older than stream time minus
//! [`Rule::grace`] when it arrives; older ones are refused as `late_event`. The alert's interval lies within the burst
//! and satisfies the rule. It names the events known when the threshold was reached, so its content (not its existence)
//! may differ with the order of arrival. [`reference::verify`] checks just this.
//!
//! An alert leaves at once, unless the user has had one so recently that late events could still join both bursts into
//! one: then it is held until stream time says they cannot, at most window + grace after the earlier burst. A user who
//! was flagged seconds ago loses nothing by that. When the partition stands still for [`Rule::idle`], nothing more is
//! expected and held alerts leave; events that come after all and join such bursts find two alerts.
//!
//! # State
//!
//! One row per user with events younger than window + grace. Of a burst only its ends are kept, so a row has a few dozen
//! events however fast a bot is; rows of idle users are swept.

mod activity;
mod alert;
mod detector;
mod last;
pub mod reference;
mod rule;
mod settings;
mod story;
mod totals;

use std::sync::Arc;

use bytestring::ByteString;
use millpond::dsl::{Repartitioned, Stores, StreamsBuilder, Topic};
use millpond::processor::ProcessorError;
use millpond::record::Record;
use millpond::serde::{Bincode, Json, Ordered, Utf8};
use millpond::topology::{Topology, TopologyError};
use millpond_support::event::{URL_BYTES_MAX, by_user, within};
use millpond_support::{EVENTS, Event, EventName, StoreFormats};
use serde::{Deserialize, Serialize};

pub use alert::{Alert, Evidence, Finding};
pub use detector::STORES;
pub use rule::Rule;
pub use settings::Settings;
pub use story::FraudStory;
pub use totals::Totals;

use detector::BurstDetector;

/// Alerts under the user's id.
pub const ALERTS: Topic<String, Alert> = Topic::new("fraud-detection", &Utf8, &Json);

/// The topics that the application reads and writes.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Read.
    pub events: Topic<(), Event>,
    /// Written.
    pub alerts: Topic<String, Alert>,
}

impl Topics {
    /// Topics of these names.
    pub fn named(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self { events: EVENTS.named(input), alerts: ALERTS.named(output) }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self { events: EVENTS, alerts: ALERTS }
    }
}

/// What the detector needs of an `add_to_cart` event; its time is the record's timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CartItem {
    pub(crate) item_url: Option<String>,
}

/// Events in, alerts out.
///
/// Bad records, by reason: `malformed_value`, `null_value`, `missing_user_id`, `user_id_too_long`, `item_url_too_long`,
/// `late_event`.
///
/// # Errors
/// [`TopologyError`] when the topics' names are not legal or the same.
pub fn topology(topics: &Topics, rule: Rule) -> Result<Topology, TopologyError> {
    told(topics, rule, &Arc::default())
}

/// The same, with what happens counted in `totals`, and the last alerts kept there for the page.
///
/// # Errors
/// As [`topology`].
pub fn told(topics: &Topics, rule: Rule, totals: &Arc<Totals>) -> Result<Topology, TopologyError> {
    let totals = totals.clone();
    let builder = StreamsBuilder::new();
    let [carts, wake_ups] = STORES;
    let carts = builder.key_value_store(Stores::persistent(carts, &Utf8, &Bincode));
    let wake_ups = builder.key_value_store(Stores::persistent(wake_ups, &Ordered, &Bincode));
    builder
        .stream(&topics.events)
        .try_map(by_user)
        .filter(|_, event| event.event_name == EventName::AddToCart)
        .try_map(cart_item)
        .repartition(Repartitioned::named("by-user", &Utf8, &Bincode))
        .process("burst-detector", &(carts, wake_ups), move |(carts, wake_ups)| {
            BurstDetector::new(carts, wake_ups, rule, totals.clone())
        })
        .to(&topics.alerts);
    builder.build()
}

/// The serdes of the stores, for commands that look into them.
pub fn formats() -> StoreFormats {
    let [carts, wake_ups] = STORES;
    let formats = StoreFormats::new().store::<String, activity::Activity>(carts, &Utf8, &Bincode);
    let formats = formats.store::<(i64, String), ()>(wake_ups, &Ordered, &Bincode);
    // Everything is keyed by user on its way here.
    let formats = formats.keyed_within::<(i64, String), String>(wake_ups, &Ordered, |(_, user)| user.clone(), &Utf8);
    formats.prefixed::<i64>(wake_ups, &Ordered, None)
}

fn cart_item(record: Record<ByteString, Event>) -> Result<Record<String, CartItem>, ProcessorError> {
    let Record { key, value, timestamp, .. } = record;
    within(URL_BYTES_MAX, value.item_url.as_deref().unwrap_or_default(), "item_url_too_long")?;
    Ok(Record::new(key.into(), CartItem { item_url: value.item_url.map(String::from) }, timestamp))
}
