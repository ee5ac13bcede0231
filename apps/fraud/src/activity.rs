//! What is remembered of one user, and how bursts grow from it. Pure: no store, no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Evidence, Rule};

/// A user cannot make a row longer than this, whatever the rule: beyond it the oldest events outside of bursts are
/// forgotten early. Far above what the default rule can reach.
const ADDS_MAX: usize = 1024;

/// A user's recent events and bursts. Bytes of the store `carts`: bincode of the fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// Sorted. Of the events inside a burst only those near its ends.
    adds: Vec<Add>,
    /// Sorted, none touches another.
    bursts: Vec<Burst>,
    /// When the store `wake-ups` has this user.
    pub(crate) wake_up_ms: Option<i64>,
}

/// One `add_to_cart`. Sorted by time first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) at_ms: i64,
    pub(crate) item: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Burst {
    first_ms: i64,
    last_ms: i64,
    /// The alert that has not left yet; `None` once it has.
    held: Option<Evidence>,
}

impl Burst {
    /// True while an event may still arrive that joins it with a later burst.
    fn may_grow(&self, stream_time_ms: i64, rule: &Rule) -> bool {
        stream_time_ms < self.last_ms.saturating_add(rule.reach_ms())
    }
}

impl Activity {
    /// Takes an event in. It may begin a burst, prolong one, or join several into one.
    pub(crate) fn add(&mut self, add: Add, rule: &Rule) {
        if rule.distinct_items && (add.item.is_none() || self.adds.binary_search(&add).is_ok()) {
            return;
        }
        let at_ms = add.at_ms;
        let place = self.adds.partition_point(|have| *have <= add);
        self.adds.insert(place, add);
        if let Some(found) = self.qualifying_around(at_ms, rule) {
            self.join(found);
        }
        self.thin_around(at_ms, rule);
    }

    /// Takes out the alerts that must leave now. Bursts that late events may still join share one alert: the first that
    /// left, or else that of the earliest burst.
    pub(crate) fn release(&mut self, stream_time_ms: i64, rule: &Rule) -> Vec<Evidence> {
        let may_be_joined = |left: &Burst, _: &Burst| left.may_grow(stream_time_ms, rule);
        let mut released = Vec::new();
        for group in self.bursts.chunk_by_mut(may_be_joined) {
            if group.iter().all(|burst| burst.held.is_some()) {
                released.extend(group.first_mut().and_then(|burst| burst.held.take()));
            }
        }
        released
    }

    /// Takes out all alerts: nothing more is expected that would join bursts.
    pub(crate) fn release_all(&mut self) -> Vec<Evidence> {
        self.bursts.iter_mut().filter_map(|burst| burst.held.take()).collect()
    }

    /// The stream time at which [`release`](Self::release) must be asked again although no event arrives.
    pub(crate) fn next_release_ms(&self, stream_time_ms: i64, rule: &Rule) -> Option<i64> {
        if self.bursts.iter().all(|burst| burst.held.is_none()) {
            return None;
        }
        let growing = self.bursts.iter().filter(|burst| burst.may_grow(stream_time_ms, rule));
        growing.map(|burst| burst.last_ms.saturating_add(rule.reach_ms())).min()
    }

    /// Forgets what no event within grace can meet again. Alerts still held stay, with their bursts.
    pub(crate) fn forget(&mut self, stream_time_ms: i64, rule: &Rule) {
        let horizon_ms = stream_time_ms.saturating_sub(rule.reach_ms());
        self.adds.retain(|add| add.at_ms > horizon_ms);
        self.bursts.retain(|burst| burst.held.is_some() || burst.last_ms > horizon_ms);
        if let Some(too_many) = self.adds.len().checked_sub(ADDS_MAX) {
            self.adds.drain(..too_many);
        }
    }

    /// The events of an alert that leaves now; empty when some of them are forgotten, as one that was held may find.
    pub(crate) fn events_of(&self, evidence: &Evidence) -> Vec<Add> {
        let (first_ms, last_ms) = (evidence.first_event_ms, evidence.last_event_ms);
        let inside = self.adds.iter().filter(|add| (first_ms..=last_ms).contains(&add.at_ms));
        let events: Vec<Add> = inside.take(evidence.events).cloned().collect();
        let items = events.iter().filter_map(|add| add.item.as_ref());
        if events.len() == evidence.events && items.eq(&evidence.items) { events } else { Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.adds.is_empty() && self.bursts.is_empty() && self.wake_up_ms.is_none()
    }

    /// True when [`forget`](Self::forget) would leave nothing.
    pub(crate) fn is_outdated(&self, stream_time_ms: i64, rule: &Rule) -> bool {
        let horizon_ms = stream_time_ms.saturating_sub(rule.reach_ms());
        self.wake_up_ms.is_none()
            && self.adds.iter().all(|add| add.at_ms <= horizon_ms)
            && self.bursts.iter().all(|burst| burst.held.is_none() && burst.last_ms <= horizon_ms)
    }

    /// The union of the qualifying intervals that hold that time, as a burst of its own.
    ///
    /// Events missing inside other bursts do not change what comes of it: see [`thin_around`](Self::thin_around).
    fn qualifying_around(&self, at_ms: i64, rule: &Rule) -> Option<Burst> {
        let window_ms = rule.window_ms();
        let begin = self.adds.partition_point(|add| add.at_ms <= at_ms.saturating_sub(window_ms));
        let mut found: Option<Burst> = None;
        for start in begin..self.adds.len() {
            let rest = self.adds.get(start..).unwrap_or_default();
            let Some(first_ms) = rest.first().map(|add| add.at_ms).filter(|&first_ms| first_ms <= at_ms) else { break };
            let length = rest.partition_point(|add| add.at_ms < first_ms.saturating_add(window_ms));
            let interval = rest.get(..length).unwrap_or_default();
            let (Some(needed), Some(last)) = (shortest_qualifying(interval, rule), interval.last()) else { continue };
            match &mut found {
                // The first start has the earliest first event, later starts may reach further.
                Some(burst) => burst.last_ms = burst.last_ms.max(last.at_ms),
                None => found = Some(Burst { first_ms, last_ms: last.at_ms, held: evidence(needed) }),
            }
        }
        found
    }

    /// Unites a burst with those that it touches. One alert is kept: none if one has left already, else the earliest.
    fn join(&mut self, mut burst: Burst) {
        let from = self.bursts.partition_point(|have| have.last_ms < burst.first_ms);
        // Never less than `from`, unless the row is damaged: then it is merged as far as it makes sense.
        let to = self.bursts.partition_point(|have| have.first_ms <= burst.last_ms).max(from);
        let touched: Vec<Burst> = self.bursts.drain(from..to).collect();
        if let Some(earliest) = touched.first() {
            burst.first_ms = burst.first_ms.min(earliest.first_ms);
            burst.held.clone_from(&earliest.held);
        }
        for touched in &touched {
            burst.last_ms = burst.last_ms.max(touched.last_ms);
            if touched.held.is_none() {
                burst.held = None;
            }
        }
        self.bursts.insert(from, burst);
    }

    /// Drops the inner events of the burst at that time.
    ///
    /// Qualifying intervals inside of a burst are known by its bounds. One that goes beyond an end begins or ends with an
    /// event outside; if it holds `count` events (items) of the burst, it holds the `count` nearest to that end. So those
    /// decide, and the others may go.
    fn thin_around(&mut self, at_ms: i64, rule: &Rule) {
        let Some(burst) = self.bursts.iter().find(|burst| burst.first_ms <= at_ms && at_ms <= burst.last_ms) else {
            return;
        };
        let from = self.adds.partition_point(|add| add.at_ms < burst.first_ms);
        let to = self.adds.partition_point(|add| add.at_ms <= burst.last_ms);
        if to.saturating_sub(from) <= rule.count.get() {
            return;
        }
        let mut inner: Vec<Add> = self.adds.drain(from..to).collect();
        let mut keep = vec![false; inner.len()];
        mark_first(inner.iter().zip(keep.iter_mut()), rule);
        mark_first(inner.iter().zip(keep.iter_mut()).rev(), rule);
        let mut keep = keep.into_iter();
        inner.retain(|_| keep.next().unwrap_or(true));
        self.adds.splice(from..from, inner);
    }
}

/// The shortest beginning of `interval` that has enough events or items.
fn shortest_qualifying<'a>(interval: &'a [Add], rule: &Rule) -> Option<&'a [Add]> {
    let count = rule.count.get();
    if !rule.distinct_items {
        return interval.get(..count);
    }
    let mut items = BTreeSet::new();
    let last = interval.iter().position(|add| items.insert(&add.item) && items.len() == count)?;
    interval.get(..=last)
}

fn evidence(events: &[Add]) -> Option<Evidence> {
    Some(Evidence {
        first_event_ms: events.first()?.at_ms,
        last_event_ms: events.last()?.at_ms,
        events: events.len(),
        items: events.iter().filter_map(|add| add.item.clone()).collect(),
    })
}

/// Marks the first `count` events, or the first events of the first `count` items.
fn mark_first<'a>(adds: impl Iterator<Item = (&'a Add, &'a mut bool)>, rule: &Rule) {
    let mut items = BTreeSet::new();
    let new = adds.filter(|(add, _)| !rule.distinct_items || items.insert(&add.item));
    new.take(rule.count.get()).for_each(|(_, keep)| *keep = true);
}

#[cfg(test)]
mod tests;
