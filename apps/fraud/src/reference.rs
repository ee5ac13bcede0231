//! What the application must write, said naively from all events at once. For tests, and for the demo's `--verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use millpond::record::{ConsumedRecord, Record};
use millpond::serde::{Bincode, Serde, Utf8};
use millpond::time::Timestamp;
use millpond_support::event::by_user;
use millpond_support::{EventJson, EventName};

use crate::{Alert, CartItem, Rule, cart_item};

/// One well-formed `add_to_cart` event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CartAdd {
    /// Who.
    pub user_id: String,
    /// Event time, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub item_url: Option<String>,
}

impl CartAdd {
    /// Reads a record of the events' topic. `None` for other events and for those that go to the dead letters.
    pub fn read(at_ms: i64, value: Option<&[u8]>) -> Option<Self> {
        let event = EventJson.decode(value?).ok()?;
        let record = by_user(Record::new((), event, Timestamp::from_millis(at_ms))).ok()?;
        if at_ms < 0 || record.value.event_name != EventName::AddToCart {
            return None;
        }
        let record = cart_item(record).ok()?;
        Some(Self { user_id: record.key, at_ms, item_url: record.value.item_url })
    }

    /// Reads a dead letter that carries the event which was refused as late; `None` for every other dead letter.
    pub fn read_late(letter: &ConsumedRecord) -> Option<Self> {
        let header = |name| std::str::from_utf8(letter.headers.last(name)??).ok();
        if header("__streams.errors.reason") != Some("late_event") {
            return None;
        }
        let at_ms = header("__streams.errors.timestamp")?.parse().ok()?;
        let user_id = Utf8.decode(letter.key.as_deref()?).ok()?;
        let CartItem { item_url } = Bincode.decode(letter.value.as_deref()?).ok()?;
        Some(Self { user_id, at_ms, item_url })
    }
}

/// Takes the events that were refused as late out of all events, each as often as it was refused.
pub fn leave_out(adds: Vec<CartAdd>, late: &[CartAdd]) -> Vec<CartAdd> {
    let mut refused: BTreeMap<&CartAdd, usize> = BTreeMap::new();
    for add in late {
        *refused.entry(add).or_default() += 1;
    }
    let accepted = |add: &CartAdd| match refused.get_mut(add) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    adds.into_iter().filter(accepted).collect()
}

/// A maximal union of qualifying intervals; both ends are times of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Burst {
    /// Time of the first event.
    pub first_ms: i64,
    /// Time of the last event.
    pub last_ms: i64,
}

/// The bursts of each user, in order of time. Users without one are left out.
pub fn bursts(rule: &Rule, adds: &[CartAdd]) -> BTreeMap<String, Vec<Burst>> {
    let mut users: BTreeMap<&str, Vec<&CartAdd>> = BTreeMap::new();
    for add in adds {
        users.entry(&add.user_id).or_default().push(add);
    }
    let found = users.into_iter().map(|(user, adds)| (user.to_owned(), bursts_of(rule, adds)));
    found.filter(|(_, bursts)| !bursts.is_empty()).collect()
}

fn bursts_of(rule: &Rule, mut adds: Vec<&CartAdd>) -> Vec<Burst> {
    adds.retain(|add| !rule.distinct_items || add.item_url.is_some());
    adds.sort();
    let mut bursts: Vec<Burst> = Vec::new();
    for (start, first) in adds.iter().enumerate() {
        // The longest interval that begins here: if any that begins here qualifies, this one does.
        let end_ms = first.at_ms.saturating_add(rule.window_ms());
        let interval: Vec<_> = adds.iter().skip(start).take_while(|add| add.at_ms < end_ms).collect();
        let items: BTreeSet<_> = interval.iter().map(|add| &add.item_url).collect();
        let size = if rule.distinct_items { items.len() } else { interval.len() };
        let Some(last) = interval.last().filter(|_| size >= rule.count.get()) else { continue };
        match bursts.last_mut().filter(|burst| first.at_ms <= burst.last_ms) {
            Some(burst) => burst.last_ms = burst.last_ms.max(last.at_ms),
            None => bursts.push(Burst { first_ms: first.at_ms, last_ms: last.at_ms }),
        }
    }
    bursts
}

/// Where the alerts are not what the events ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A burst has no alert.
    Missing {
        /// Whose.
        user_id: String,
        /// Which.
        burst: Burst,
    },
    /// A burst has several alerts.
    Repeated {
        /// Whose.
        user_id: String,
        /// Which.
        burst: Burst,
        /// How many.
        alerts: usize,
    },
    /// An alert is in no burst.
    Unfounded(Alert),
    /// An alert names events that are not there, or not enough of them.
    FalseEvidence(Alert),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { user_id, burst: Burst { first_ms, last_ms } } => {
                write!(f, "fraud: no alert for a burst: user_id={user_id} first_ms={first_ms} last_ms={last_ms}")
            }
            Self::Repeated { user_id, burst: Burst { first_ms, last_ms }, alerts } => write!(
                f,
                "fraud: alerts={alerts} for one burst: user_id={user_id} first_ms={first_ms} last_ms={last_ms}"
            ),
            Self::Unfounded(alert) => write!(
                f,
                "fraud: an alert outside of any burst: user_id={} first_ms={} last_ms={}",
                alert.user_id, alert.evidence.first_event_ms, alert.evidence.last_event_ms
            ),
            Self::FalseEvidence(alert) => write!(
                f,
                "fraud: an alert whose evidence is not in the input: user_id={} first_ms={} last_ms={}",
                alert.user_id, alert.evidence.first_event_ms, alert.evidence.last_event_ms
            ),
        }
    }
}

/// Compares all alerts with all events: exactly one alert in each burst, each with true and sufficient evidence. Neither
/// order matters. Empty when all is well. Events that were refused as late must not be among `adds`: see [`leave_out`].
pub fn verify(rule: &Rule, adds: &[CartAdd], alerts: &[Alert]) -> Vec<Difference> {
    let bursts = bursts(rule, adds);
    let mut users: BTreeMap<&str, Vec<&CartAdd>> = BTreeMap::new();
    for add in adds {
        users.entry(&add.user_id).or_default().push(add);
    }
    let mut differences = Vec::new();
    let mut found: BTreeMap<(&str, Burst), usize> = BTreeMap::new();
    for (user, bursts) in &bursts {
        found.extend(bursts.iter().map(|burst| ((user.as_str(), *burst), 0)));
    }
    for alert in alerts {
        let evidence = &alert.evidence;
        let of_user = bursts.get(&alert.user_id).map(Vec::as_slice).unwrap_or_default();
        let burst = of_user
            .iter()
            .find(|burst| burst.first_ms <= evidence.first_event_ms && evidence.last_event_ms <= burst.last_ms);
        let Some(burst) = burst else {
            differences.push(Difference::Unfounded(alert.clone()));
            continue;
        };
        if let Some(count) = found.get_mut(&(alert.user_id.as_str(), *burst)) {
            *count += 1;
        }
        if !is_true(rule, users.get(alert.user_id.as_str()).map(Vec::as_slice).unwrap_or_default(), alert) {
            differences.push(Difference::FalseEvidence(alert.clone()));
        }
    }
    for ((user, burst), alerts) in found {
        match alerts {
            0 => differences.push(Difference::Missing { user_id: user.to_owned(), burst }),
            1 => {}
            _ => differences.push(Difference::Repeated { user_id: user.to_owned(), burst, alerts }),
        }
    }
    differences
}

/// True when the evidence satisfies the rule and every event it names is among the user's.
fn is_true(rule: &Rule, adds: &[&CartAdd], alert: &Alert) -> bool {
    let evidence = &alert.evidence;
    let (first_ms, last_ms) = (evidence.first_event_ms, evidence.last_event_ms);
    let inside: Vec<_> = adds.iter().filter(|add| first_ms <= add.at_ms && add.at_ms <= last_ms).collect();
    let mut items: Vec<&str> = inside.iter().filter_map(|add| add.item_url.as_deref()).collect();
    let all_there = evidence.items.iter().all(|item| {
        let place = items.iter().position(|have| have == item);
        place.map(|place| items.swap_remove(place)).is_some()
    });
    let distinct: BTreeSet<_> = evidence.items.iter().collect();
    let size = if rule.distinct_items { distinct.len() } else { evidence.events };
    all_there
        && inside.iter().any(|add| add.at_ms == first_ms)
        && inside.iter().any(|add| add.at_ms == last_ms)
        && evidence.events <= inside.len()
        && evidence.items.len() <= evidence.events
        && last_ms.saturating_sub(first_ms) < rule.window_ms()
        && size >= rule.count.get()
}

#[cfg(test)]
mod tests;
