//! Attribution: which channel brought the user who ordered.
//!
//! # The rule
//!
//! An order (`order_confirmed`) belongs to the channel of the user's earliest visit (`visit` or `site_visit`), if that was
//! not after the order, by event time; a visit at the same millisecond counts. Without such a visit, and when the visit
//! names no channel, the order is [`ORGANIC`]. Of several earliest visits at the same millisecond, the one whose channel
//! comes first in the order of its bytes counts (no channel counts as `organic`). An order id that is confirmed several
//! times by one user is one order, of the earliest time. Order ids of different users must differ: the users' records
//! would replace each other. [`reference::attributions`] says it in a dozen lines.
//!
//! # What is promised
//!
//! Each order gets a record at once, with what is known. A visit or confirmation that arrives late corrects it with
//! another record under the same key, so that **the last record of each order does not depend on the order of arrival**,
//! as long as what corrects an order arrives before stream time is [`Rule::correction`] past the order's event time.
//! After that the order stays as it is. Nothing is refused for being late.
//!
//! # State
//!
//! One small row for each user, kept for ever: the earliest visit. One row for each order that may still be corrected;
//! those that may not are swept. Most events are visits that are not the first: they cost one read and no write.

mod attribution;
mod attributor;
pub mod reference;
mod settings;
mod shares;
mod totals;

use std::sync::Arc;
use std::time::Duration;

use millpond::dsl::{Repartitioned, Stores, StreamsBuilder, Topic};
use millpond::serde::{Bincode, Json, Ordered, Utf8};
use millpond::topology::{Topology, TopologyError};
use millpond_support::event::by_user;
use millpond_support::{EVENTS, Event, StoreFormats};

pub use attribution::{Attribution, ORGANIC};
pub use attributor::STORES;
pub use settings::Settings;
pub use shares::AttributionStory;
pub use totals::Totals;

use attribution::{is_relevant, step};
use attributor::Attributor;

/// Attributions under the order's id; the last record of an id counts. A record's timestamp is the order's event time.
pub const ATTRIBUTIONS: Topic<String, Attribution> = Topic::new("attributions", &Utf8, &Json);

/// The topics that the application reads and writes.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Read.
    pub events: Topic<(), Event>,
    /// Written.
    pub attributions: Topic<String, Attribution>,
}

impl Topics {
    /// Topics of these names.
    pub fn named(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self { events: EVENTS.named(input), attributions: ATTRIBUTIONS.named(output) }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self { events: EVENTS, attributions: ATTRIBUTIONS }
    }
}

/// The options of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How long after an order's event time, by stream time, it may still be corrected.
    pub correction: Duration,
}

impl Default for Rule {
    /// A day.
    fn default() -> Self {
        Self { correction: Duration::from_hours(24) }
    }
}

/// Events in, attributions out.
///
/// Bad records, by reason: `malformed_value`, `null_value`, `missing_user_id`, `user_id_too_long`, `channel_too_long`,
/// `missing_order_id`, `order_id_too_long`.
///
/// # Errors
/// [`TopologyError`] when the topics' names are not legal or the same.
pub fn topology(topics: &Topics, rule: Rule) -> Result<Topology, TopologyError> {
    told(topics, rule, &Arc::default())
}

/// The same, with orders by channel counted in `totals`, for the page and the metrics.
///
/// # Errors
/// As [`topology`].
pub fn told(topics: &Topics, rule: Rule, totals: &Arc<Totals>) -> Result<Topology, TopologyError> {
    let totals = totals.clone();
    let builder = StreamsBuilder::new();
    let [first_visits, orders] = STORES;
    let first_visits = builder.key_value_store(Stores::persistent(first_visits, &Utf8, &Bincode));
    let orders = builder.key_value_store(Stores::persistent(orders, &Ordered, &Ordered));
    builder
        .stream(&topics.events)
        .try_map(by_user)
        .filter(|_, event| is_relevant(event))
        .try_map(step)
        .repartition(Repartitioned::named("by-user", &Utf8, &Bincode))
        .process("attributor", &(first_visits, orders), move |(first_visits, orders)| {
            Attributor::new(first_visits, orders, rule.correction, totals.clone())
        })
        .to(&topics.attributions);
    builder.build()
}

/// The serdes of the stores, for commands that look into them. Times are shown in milliseconds since the epoch: their bytes
/// are those of the number.
pub fn formats() -> StoreFormats {
    let [first_visits, orders] = STORES;
    let formats = StoreFormats::new().store::<String, attribution::Visit>(first_visits, &Utf8, &Bincode);
    let formats = formats.store::<(String, String), i64>(orders, &Ordered, &Ordered);
    // Everything is keyed by user on its way here.
    let formats = formats.keyed_within::<(String, String), String>(orders, &Ordered, |(user, _)| user.clone(), &Utf8);
    formats.prefixed::<String>(orders, &Ordered, Some(&Utf8))
}
