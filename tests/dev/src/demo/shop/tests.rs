use std::collections::BTreeMap;

use attribution::reference::{Fact, attributions};
use fraud::Rule;
use fraud::reference::{CartAdd, bursts};

use super::*;

const PLAN: Plan = Plan { seed: 7, rate: 5_000, users: 100_000, partitions: 4 };
const SECONDS: u64 = 20;

/// Values, or none for null, with their event times and partitions.
fn produced(plan: Plan, events: u64) -> Vec<(i64, i32, Option<Vec<u8>>)> {
    let (mut shop, mut value) = (Shop::new(plan), Vec::new());
    let mut next = || {
        let emission = shop.next(&mut value);
        (emission.at_ms, emission.partition, (!emission.is_null).then(|| value.clone()))
    };
    (0..events).map(|_| next()).collect()
}

#[test]
fn the_same_plan_makes_the_same_events_and_another_seed_others() {
    let first = produced(PLAN, 10_000);
    assert_eq!(first, produced(PLAN, 10_000));
    assert_ne!(first, produced(Plan { seed: 8, ..PLAN }, 10_000));
}

#[test]
fn events_are_about_as_old_as_their_number_says() {
    for (number, (at_ms, _, _)) in (0..).zip(produced(PLAN, 50_000)) {
        let delay_ms = number * 1000 / 5_000 - at_ms;
        assert!((0..5_000).contains(&delay_ms), "event {number} is {delay_ms} ms late");
    }
}

#[test]
fn every_partition_gets_its_share() {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    for (_, partition, _) in produced(PLAN, 40_000) {
        *counts.entry(partition).or_default() += 1;
    }
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

#[test]
fn there_is_work_for_every_application() {
    let events = produced(PLAN, SECONDS * u64::from(PLAN.rate));
    let total = events.len();
    let adds: Vec<_> =
        events.iter().filter_map(|(at_ms, _, value)| CartAdd::read(at_ms + 1000, value.as_deref())).collect();
    let bursts: usize = bursts(&Rule::default(), &adds).values().map(Vec::len).sum();
    assert!((5..200).contains(&bursts), "bursts: {bursts}");

    let facts: Vec<_> =
        events.iter().filter_map(|(at_ms, _, value)| Fact::read(at_ms + 1000, value.as_deref())).collect();
    let organic = attributions(&facts).values().filter(|found| found.marketing_channel == attribution::ORGANIC).count();
    let orders = attributions(&facts).len();
    assert!(organic > 0 && organic < orders, "organic: {organic} of {orders}");

    let texts = events.iter().map(|(_, _, value)| value.as_deref().and_then(|value| std::str::from_utf8(value).ok()));
    let redacted: Vec<_> =
        texts.map(|text| text.and_then(|text| Some((text, redaction::reference::redact(text)?)))).collect();
    let refused = redacted.iter().filter(|found| found.is_none()).count();
    let masked = redacted.iter().flatten().filter(|(text, redacted)| text != redacted).count();
    assert!((total / 4_000..total / 500).contains(&refused), "malformed: {refused}");
    assert!(masked >= orders, "every order has an address: masked={masked} orders={orders}");
    let leak = redacted.iter().flatten().find(|(_, redacted)| redacted.contains('@') || redacted.contains("%40"));
    assert_eq!(leak, None);
}

#[test]
fn some_orders_are_corrected_by_visits_that_are_reported_late() {
    let events = produced(PLAN, SECONDS * u64::from(PLAN.rate));
    let facts: Vec<_> =
        events.iter().filter_map(|(at_ms, _, value)| Fact::read(at_ms + 1000, value.as_deref())).collect();
    let last = attributions(&facts);
    let corrected = (1..=10).any(|tenth| {
        let early = attributions(facts.get(..facts.len() * tenth / 10).unwrap());
        early.iter().any(|(order, attribution)| last.get(order) != Some(attribution))
    });
    assert!(corrected);
}
