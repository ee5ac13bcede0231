//! The incremental way against the naive one: whatever the order of arrival within grace, each burst has one alert.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use millpond::serde::{Bincode, Serde, round_trip};
use proptest::prelude::*;

use super::*;
use crate::Alert;
use crate::reference::{CartAdd, verify};

fn rule(window_ms: u64, count: usize, grace_ms: u64, distinct_items: bool) -> Rule {
    Rule {
        window: Duration::from_millis(window_ms),
        count: NonZeroUsize::new(count).unwrap(),
        grace: Duration::from_millis(grace_ms),
        distinct_items,
        ..Rule::default()
    }
}

fn cart_add(user: u8, at_ms: i64, item: u8) -> CartAdd {
    CartAdd { user_id: format!("u{user}"), at_ms, item_url: (item > 0).then(|| format!("/i/{item}")) }
}

/// The detector without stores: events in order of arrival, wake-ups as stream time passes them.
#[derive(Default)]
struct Detector {
    users: BTreeMap<String, Activity>,
    stream_time_ms: i64,
    accepted: Vec<CartAdd>,
    alerts: Vec<Alert>,
}

impl Detector {
    fn arrive(&mut self, add: &CartAdd, rule: &Rule) {
        self.stream_time_ms = self.stream_time_ms.max(add.at_ms);
        let now_ms = self.stream_time_ms;
        if add.at_ms < now_ms - rule.grace_ms() {
            return;
        }
        self.accepted.push(add.clone());
        for (user, activity) in &mut self.users {
            if activity.wake_up_ms.is_some_and(|wake_up_ms| wake_up_ms <= now_ms) {
                self.alerts.extend(activity.release(now_ms, rule).into_iter().map(|found| Alert::new(user, found)));
                activity.wake_up_ms = activity.next_release_ms(now_ms, rule);
            }
        }
        let activity = self.users.entry(add.user_id.clone()).or_default();
        activity.add(Add { at_ms: add.at_ms, item: add.item_url.clone() }, rule);
        let released = activity.release(now_ms, rule);
        self.alerts.extend(released.into_iter().map(|found| Alert::new(&add.user_id, found)));
        activity.forget(now_ms, rule);
        activity.wake_up_ms = activity.next_release_ms(now_ms, rule);
        self.users.retain(|_, activity| {
            assert_eq!(round_trip(&Bincode, activity).as_ref(), Ok(&*activity));
            !activity.is_outdated(now_ms, rule)
        });
    }

    fn finish(mut self) -> (Vec<CartAdd>, Vec<Alert>) {
        for (user, activity) in &mut self.users {
            self.alerts.extend(activity.release_all().into_iter().map(|found| Alert::new(user, found)));
        }
        (self.accepted, self.alerts)
    }
}

fn detect(adds: &[CartAdd], rule: &Rule) -> (Vec<CartAdd>, Vec<Alert>) {
    let mut detector = Detector::default();
    for add in adds {
        detector.arrive(add, rule);
    }
    detector.finish()
}

/// Event times (ms) of one user, each with its own item, in order of arrival.
fn intervals(times_ms: &[i64], rule: &Rule) -> Vec<(i64, i64)> {
    let adds: Vec<CartAdd> = times_ms.iter().zip(1..).map(|(&at_ms, item)| cart_add(1, at_ms, item)).collect();
    let (accepted, alerts) = detect(&adds, rule);
    assert_eq!(verify(rule, &accepted, &alerts), []);
    alerts.iter().map(|alert| (alert.evidence.first_event_ms, alert.evidence.last_event_ms)).collect()
}

#[test]
fn five_events_within_less_than_the_window_alert_and_exactly_the_window_does_not() {
    let rule = Rule::default();
    assert_eq!(intervals(&[0, 1_000, 2_000, 3_000, 4_999], &rule), [(0, 4_999)]);
    assert_eq!(intervals(&[0, 1_000, 2_000, 3_000, 5_000], &rule), []);
    assert_eq!(intervals(&[0, 1_000, 2_000, 3_000], &rule), []);
}

#[test]
fn the_interval_slides() {
    // No bucket of five seconds that begins at a multiple of five holds five of these.
    assert_eq!(intervals(&[3_000, 4_000, 4_500, 5_500, 7_000], &Rule::default()), [(3_000, 7_000)]);
}

#[test]
fn a_burst_that_goes_on_has_one_alert_and_the_next_burst_another() {
    let rule = Rule::default();
    let long: Vec<i64> = (0..200).map(|second| second * 1_000).collect();
    assert_eq!(intervals(&long, &rule), [(0, 4_000)]);
    let two: Vec<i64> = (0..5).chain(60..65).map(|second| second * 1_000).collect();
    assert_eq!(intervals(&two, &rule), [(0, 4_000), (60_000, 64_000)]);
}

#[test]
fn equal_times_are_separate_events() {
    assert_eq!(intervals(&[7, 7, 7, 7, 7], &Rule::default()), [(7, 7)]);
}

#[test]
fn the_first_alert_leaves_with_the_fifth_event_and_the_next_when_bursts_cannot_join_any_more() {
    let rule = Rule::default();
    let mut detector = Detector::default();
    let mut alerts_after = |at_ms: i64, user: u8| {
        detector.arrive(&cart_add(user, at_ms, 1), &rule);
        detector.alerts.len()
    };
    let first: Vec<usize> = (0..5).map(|second| alerts_after(second * 1_000, 1)).collect();
    assert_eq!(first, [0, 0, 0, 0, 1]);
    let second: Vec<usize> = (10..15).map(|second| alerts_after(second * 1_000, 1)).collect();
    assert_eq!(second, [1, 1, 1, 1, 1], "late events could still fill the gap");
    assert_eq!(alerts_after(18_999, 2), 1);
    assert_eq!(alerts_after(19_000, 2), 2, "last event + window + grace: they cannot any more");
}

#[test]
fn late_events_that_join_two_bursts_leave_one_alert() {
    let rule = Rule::default();
    let joined = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 6, 5, 7].map(|second| second * 1_000);
    assert_eq!(intervals(&joined, &rule), [(0, 4_000)]);
}

#[test]
fn distinct_items_are_counted_instead_of_events_when_asked() {
    let rule = rule(5_000, 3, 10_000, true);
    let same: Vec<CartAdd> = (0..20).map(|at| cart_add(1, at * 100, 1)).collect();
    assert_eq!(detect(&same, &rule).1, []);
    let none: Vec<CartAdd> = (0..20).map(|at| cart_add(1, at * 100, 0)).collect();
    assert_eq!(detect(&none, &rule).1, []);
    let items = [(0, 1), (1_000, 2), (1_500, 1), (2_000, 0), (3_000, 3)];
    let (_, alerts) = detect(&items.map(|(at_ms, item)| cart_add(1, at_ms, item)), &rule);
    let expected = Evidence {
        first_event_ms: 0,
        last_event_ms: 3_000,
        events: 4,
        items: ["/i/1", "/i/2", "/i/1", "/i/3"].map(String::from).to_vec(),
    };
    assert_eq!(alerts, [Alert::new("u1", expected)]);
}

#[test]
fn a_bot_makes_a_short_row() {
    for distinct_items in [false, true] {
        let rule = Rule { distinct_items, ..Rule::default() };
        let mut activity = Activity::default();
        for at in 0..20_000_i64 {
            activity.add(Add { at_ms: at * 3, item: Some((at % 50).to_string()) }, &rule);
            activity.release(at * 3, &rule);
            activity.forget(at * 3, &rule);
            assert!(activity.adds.len() <= 10, "{}", activity.adds.len());
        }
    }
}

#[test]
fn a_row_has_a_limit_even_when_the_rule_has_none() {
    let rule = rule(3_600_000, 100_000, 3_600_000, false);
    let mut activity = Activity::default();
    for at_ms in 0..3_000 {
        activity.add(Add { at_ms, item: None }, &rule);
        activity.forget(at_ms, &rule);
    }
    assert_eq!(activity.adds.len(), ADDS_MAX);
    assert_eq!(activity.adds.last().map(|add| add.at_ms), Some(2_999));
}

#[test]
fn all_orders_of_arrival_of_seven_events_alert_the_same_bursts() {
    // Two bursts that the event at 5 joins, and one apart.
    let times = [0, 2, 4, 5, 6, 8, 30];
    let rule = rule(5, 3, 1_000, false);
    let mut orders = 0;
    permute(&mut times.to_vec(), 0, &mut |times| {
        orders += 1;
        assert_eq!(intervals(times, &rule).len(), 1, "{times:?}");
    });
    assert_eq!(orders, 5_040);
}

fn permute(times: &mut Vec<i64>, fixed: usize, see: &mut impl FnMut(&[i64])) {
    if fixed == times.len() {
        return see(times);
    }
    for next in fixed..times.len() {
        times.swap(fixed, next);
        permute(times, fixed + 1, see);
        times.swap(fixed, next);
    }
}

/// Events of a few users, in an order of arrival in which each is at most `grace_ms` late.
fn arrivals(grace_ms: i64) -> impl Strategy<Value = Vec<CartAdd>> {
    let add = (0..2_u8, 0..120_i64, 0..6_u8, 0..=grace_ms);
    prop::collection::vec(add, 0..90).prop_map(|mut adds| {
        adds.sort_by_key(|(_, at_ms, _, delay_ms)| at_ms + delay_ms);
        adds.into_iter().map(|(user, at_ms, item, _)| cart_add(user, at_ms, item)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_burst_has_one_alert_in_any_order_within_grace(
        (grace_ms, adds) in (0..40_i64).prop_flat_map(|grace_ms| (Just(grace_ms), arrivals(grace_ms))),
        window_ms in 0..12_u64,
        count in 1..6_usize,
        distinct_items: bool,
    ) {
        let rule = rule(window_ms, count, grace_ms.unsigned_abs(), distinct_items);
        let (accepted, alerts) = detect(&adds, &rule);
        prop_assert_eq!(accepted.len(), adds.len(), "nothing was late");
        prop_assert_eq!(verify(&rule, &accepted, &alerts), []);
    }

    #[test]
    fn what_is_late_is_left_out_and_the_rest_still_holds(adds in arrivals(100), window_ms in 1..12_u64, count in 1..6_usize) {
        let rule = rule(window_ms, count, 20, false);
        let (accepted, alerts) = detect(&adds, &rule);
        prop_assert_eq!(verify(&rule, &accepted, &alerts), []);
    }
}

/// Golden: a change here makes rows and changelogs of running applications unreadable; give the type a new version then.
#[test]
fn a_row_has_the_bytes_it_always_had() {
    let add = |at_ms, item: Option<&str>| Add { at_ms, item: item.map(str::to_owned) };
    let held = Evidence { first_event_ms: 1, last_event_ms: 2, events: 5, items: vec!["b".into()] };
    let activity = Activity {
        adds: vec![add(-1, None), add(300, Some("a"))],
        bursts: vec![
            Burst { first_ms: 1, last_ms: 2, held: Some(held) },
            Burst { first_ms: 3, last_ms: 4, held: None },
        ],
        wake_up_ms: Some(5),
    };
    let mut bytes = Vec::new();
    Bincode.encode(&activity, &mut bytes).unwrap();
    let expected: [&[u8]; 7] =
        [&[1, 1], &[2, 1, 0], &[251, 88, 2, 1, 1, b'a'], &[2, 2, 4, 1], &[2, 4, 5, 1, 1, b'b'], &[6, 8, 0], &[1, 10]];
    assert_eq!(bytes, expected.concat());
}

/// A row of a damaged disk may say anything: what comes of it is not defined, but it is no panic.
#[test]
fn bursts_in_no_order_are_survived() {
    let burst = |first_ms, last_ms| Burst { first_ms, last_ms, held: None };
    let rule = rule(5_000, 2, 1_000, false);
    let add = |at_ms| Add { at_ms, item: None };
    let mut activity = Activity {
        adds: vec![add(9_000), add(1_000)],
        bursts: vec![burst(8_000, 1_000), burst(20_000, 30), burst(5_000, 40_000)],
        wake_up_ms: None,
    };
    for at_ms in [2_000, 8_500, 100, 30_000] {
        activity.add(add(at_ms), &rule);
        activity.release(at_ms, &rule);
        activity.forget(at_ms, &rule);
    }
}
