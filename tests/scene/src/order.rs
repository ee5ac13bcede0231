//! The order of outputs with one key. What comes of a key depends on how the partitions of the input were mixed; but whatever
//! the mixture, the records of one partition came in their order, and each output says more than the one before.

use std::collections::{BTreeMap, BTreeSet};

use attribution::Attribution;
use attribution::reference::{Deed, Fact};
use fraud::Alert;
use millpond_harness::Received;

use crate::findings::Findings;

/// Time and channel.
type Visit = (i64, String);

/// What the order of attributions is judged by.
#[derive(Debug, Default)]
struct Input {
    /// Visits that were the earliest of their user in their partition when they came: no other is ever told.
    earliest: BTreeSet<(String, Visit)>,
    /// Of each order and its time: the earliest visit that had come before it in its partition, if there was one. Of an order
    /// that is in the input more than once the one that asks for least.
    before_orders: BTreeMap<(String, i64), Option<Visit>>,
}

impl Input {
    /// From the events in the order of their partitions and offsets.
    fn read(events: &[Received]) -> Self {
        let mut input = Self::default();
        let mut seen: BTreeMap<(i32, String), Visit> = BTreeMap::new();
        for event in events {
            let Some(Fact { user_id, at_ms, deed }) = Fact::read(event.timestamp_ms, event.value.as_deref()) else {
                continue;
            };
            let place = (event.partition, user_id);
            match deed {
                Deed::Visited(channel) => {
                    let visit = (at_ms, channel);
                    if seen.get(&place).is_none_or(|first| visit < *first) {
                        input.earliest.insert((place.1.clone(), visit.clone()));
                        seen.insert(place, visit);
                    }
                }
                Deed::Ordered(order) => {
                    let before = seen.get(&place).cloned();
                    let known = input.before_orders.entry((order, at_ms)).or_insert_with(|| before.clone());
                    *known = later(known.take(), before);
                }
            }
        }
        input
    }
}

/// The later of two visits; none at all is the latest.
fn later(one: Option<Visit>, other: Option<Visit>) -> Option<Visit> {
    one.zip(other).map(|(one, other)| one.max(other))
}

fn visit_of(attribution: &Attribution) -> Option<Visit> {
    attribution.visit_time_ms.map(|at_ms| (at_ms, attribution.marketing_channel.clone()))
}

/// Attributions of an order go from later visits to earlier ones, each of which was the earliest in its partition when it came;
/// and the first one knows of every visit that came before the order in the order's own partition. `written` has those of
/// one order in their order.
pub(crate) fn verify_attributions(events: &[Received], written: &[(String, Attribution)], findings: &mut Findings) {
    let input = Input::read(events);
    let mut last: BTreeMap<&str, &Attribution> = BTreeMap::new();
    for (order, now) in written {
        let visit = visit_of(now);
        let told = match (last.insert(order, now), &visit) {
            (Some(before), _) if !goes_on(before, now) => Some("is not earlier than what was told before"),
            (_, Some(visit)) if !input.earliest.contains(&(now.user_id.clone(), visit.clone())) => {
                Some("tells a visit that came after an earlier one of its partition")
            }
            (None, _) => {
                let before = input.before_orders.get(&(order.clone(), now.order_time_ms)).cloned().flatten();
                let known = before.filter(|(at_ms, _)| *at_ms <= now.order_time_ms);
                let forgotten = known.is_some_and(|known| visit.as_ref().is_none_or(|visit| *visit > known));
                forgotten.then_some("does not know of a visit that came before the order in its partition")
            }
            _ => None,
        };
        if let Some(told) = told {
            findings.disordered += 1;
            findings.say(format!("attribution: order {order} {told}: {now:?}"));
        }
    }
}

/// Whether the second of two attributions of an order may follow the first: of an earlier time, or of the same time with an
/// earlier visit. The same again is told apart, as a record that was processed twice.
fn goes_on(before: &Attribution, now: &Attribution) -> bool {
    match now.order_time_ms.cmp(&before.order_time_ms) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => match (visit_of(before), visit_of(now)) {
            (_, None) => before == now,
            (None, Some(_)) => true,
            (Some(before), Some(now)) => now <= before,
        },
    }
}

/// Alerts of a user leave in the order of their bursts, but for the first: it leaves when it is found, and others are found
/// before it is known whether they are bursts of their own. `alerts` has those of one user in their order.
pub(crate) fn verify_alerts(alerts: &[Alert], findings: &mut Findings) {
    let mut last: BTreeMap<&str, (bool, i64)> = BTreeMap::new();
    for alert in alerts {
        let first_ms = alert.evidence.first_event_ms;
        let before = last.get(alert.user_id.as_str()).copied();
        if let Some((false, before_ms)) = before
            && first_ms < before_ms
        {
            findings.disordered += 1;
            findings
                .say(format!("fraud: an alert of {} from {first_ms} comes after one from {before_ms}", alert.user_id));
        }
        last.insert(&alert.user_id, (before.is_none(), first_ms));
    }
}

#[cfg(test)]
mod tests {
    use fraud::{Evidence, Finding};
    use serde_json::json;

    use super::*;

    /// An event of the only user, in the partition that it says.
    fn event(partition: i32, at_ms: i64, event: &serde_json::Value) -> Received {
        let value = Some(event.to_string().into_bytes());
        Received { partition, offset: 0, key: None, value, timestamp_ms: at_ms, headers: Vec::new() }
    }

    fn visited(partition: i32, at_ms: i64) -> Received {
        let channel = format!("c{at_ms}");
        event(partition, at_ms, &json!({ "user_id": "u", "event_name": "visit", "channel": channel }))
    }

    fn ordered(partition: i32, at_ms: i64) -> Received {
        event(partition, at_ms, &json!({ "user_id": "u", "event_name": "order_confirmed", "order_id": "o" }))
    }

    fn told(order_time_ms: i64, visit_time_ms: Option<i64>) -> (String, Attribution) {
        let attribution = Attribution {
            user_id: "u".into(),
            order_id: "o".into(),
            marketing_channel: visit_time_ms.map_or("organic".to_owned(), |at_ms| format!("c{at_ms}")),
            order_time_ms,
            visit_time_ms,
        };
        ("o".to_owned(), attribution)
    }

    fn disordered(events: &[Received], visits: &[Option<i64>]) -> u64 {
        let mut findings = Findings::default();
        let written: Vec<_> = visits.iter().map(|visit| told(100, *visit)).collect();
        verify_attributions(events, &written, &mut findings);
        findings.disordered
    }

    #[test]
    fn attributions_of_an_order_follow_the_order_of_its_input() {
        let events = [visited(0, 50), visited(0, 60), ordered(0, 100), visited(0, 40), visited(1, 45), visited(1, 30)];
        assert_eq!(disordered(&events, &[Some(50), Some(40), Some(30)]), 0);
        assert_eq!(disordered(&events, &[Some(45), Some(40), Some(30)]), 0, "partitions mix as they like");
        assert_eq!(disordered(&events, &[Some(30)]), 0);
        assert_eq!(disordered(&events, &[Some(50), Some(30), Some(40)]), 1, "the two last are swapped");
        assert_eq!(disordered(&events, &[None, Some(50), Some(30)]), 1, "the order before what came before it");
        assert_eq!(disordered(&events, &[Some(60), Some(50), Some(30)]), 1, "a visit that was not the earliest");
        let late = [visited(1, 30), ordered(0, 100), visited(0, 120)];
        assert_eq!(disordered(&late, &[None, Some(30)]), 0, "nothing came before it in its own partition");
    }

    #[test]
    fn an_order_that_comes_twice_may_move_to_its_earlier_time_only() {
        let events = [ordered(0, 100), visited(0, 50), ordered(1, 40)];
        let moved = |times: [(i64, Option<i64>); 3]| {
            let mut findings = Findings::default();
            let written = times.map(|(order, visit)| told(order, visit));
            verify_attributions(&events, &written, &mut findings);
            findings.disordered
        };
        assert_eq!(moved([(100, None), (100, Some(50)), (40, None)]), 0);
        assert_eq!(moved([(40, None), (100, None), (100, Some(50))]), 1);
    }

    #[test]
    fn alerts_of_a_user_follow_their_bursts_but_for_the_first() {
        let alert = |&(user, first_event_ms): &(&str, i64)| {
            let evidence = Evidence { first_event_ms, last_event_ms: first_event_ms + 1, events: 3, items: Vec::new() };
            Alert { user_id: user.to_owned(), alert: Finding::PotentialFraud, evidence }
        };
        let disordered = |alerts: &[(&str, i64)]| {
            let mut findings = Findings::default();
            verify_alerts(&alerts.iter().map(alert).collect::<Vec<_>>(), &mut findings);
            findings.disordered
        };
        assert_eq!(disordered(&[("a", 50), ("b", 9), ("a", 10), ("a", 20), ("a", 60)]), 0);
        assert_eq!(disordered(&[("a", 50), ("a", 20), ("a", 10)]), 1);
        assert_eq!(disordered(&[("a", 10), ("a", 60), ("b", 1), ("a", 20)]), 1);
    }
}
