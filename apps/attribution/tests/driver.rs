//! The topology on the simulated broker, through the production loop: partitions, commits, crashes, dead letters.
#![allow(clippy::unwrap_used, reason = "tests panic: that gives a backtrace")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attribution::reference::{Deed, Fact, attributions, verify};
use attribution::{ATTRIBUTIONS, Attribution, AttributionStory, ORGANIC, Rule, STORES, Topics, Totals, told, topology};
use millpond::dsl::{KeyValueStoreRef, Stores, StreamsBuilder};
use millpond::http::{Block, Story, Traffic};
use millpond::record::Headers;
use millpond::serde::{Ordered, Raw, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;
use millpond_support::{EVENTS, Event, EventName};
use proptest::prelude::*;

fn driver(rule: Rule) -> TopologyTestDriver {
    let topology = topology(&Topics::default(), rule).unwrap();
    TopologyTestDriver::builder(topology).partitions(3).dead_letters(true).build()
}

fn visit(user: &str, channel: &str) -> Event {
    Event { channel: Some(channel.into()), ..Event::new(user, EventName::Visit) }
}

fn order(user: &str, order_id: &str) -> Event {
    Event { order_id: Some(order_id.into()), ..Event::new(user, EventName::OrderConfirmed) }
}

fn pipe(driver: &mut TopologyTestDriver, event: Event, at_ms: i64) {
    driver.pipe(&EVENTS, (), event, at_ms);
    driver.commit();
}

/// All committed records of an order, first to last: channel, time of the visit.
fn history(driver: &TopologyTestDriver, order_id: &str) -> Vec<(String, Option<i64>)> {
    let written = driver.read_committed(&ATTRIBUTIONS).into_iter();
    let of_order = written.filter(|(key, _)| key == order_id);
    of_order.map(|(_, attribution)| (attribution.marketing_channel, attribution.visit_time_ms)).collect()
}

fn known(channel: &str, visit_time_ms: i64) -> (String, Option<i64>) {
    (channel.to_owned(), Some(visit_time_ms))
}

fn organic() -> (String, Option<i64>) {
    (ORGANIC.to_owned(), None)
}

/// Reasons of the dead letters, sorted.
fn reasons(driver: &TopologyTestDriver) -> Vec<String> {
    let letters = driver.records("dead-letters");
    let reason = |headers: &Headers| headers.last("__streams.errors.reason").flatten().unwrap().to_vec();
    let mut reasons: Vec<String> =
        letters.iter().map(|letter| String::from_utf8(reason(&letter.headers)).unwrap()).collect();
    reasons.sort();
    reasons
}

#[test]
fn an_order_is_due_to_the_first_visit_and_later_visits_change_nothing() {
    let mut driver = driver(Rule::default());
    pipe(&mut driver, visit("u1", "mail"), 10);
    pipe(&mut driver, visit("u1", "ads"), 20);
    pipe(&mut driver, Event { event_name: EventName::SiteVisit, ..visit("u2", "tv") }, 5);
    pipe(&mut driver, order("u1", "o1"), 30);
    pipe(&mut driver, order("u2", "o2"), 5);
    pipe(&mut driver, order("u3", "o3"), 30);
    pipe(&mut driver, visit("u3", "ads"), 31);
    pipe(&mut driver, visit("u1", "radio"), 40);
    assert_eq!(history(&driver, "o1"), [known("mail", 10)]);
    assert_eq!(history(&driver, "o2"), [known("tv", 5)]);
    assert_eq!(history(&driver, "o3"), [organic()]);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn nothing_is_visible_before_the_commit() {
    let mut driver = driver(Rule::default());
    driver.pipe(&EVENTS, (), visit("u1", "mail"), 10);
    driver.pipe(&EVENTS, (), order("u1", "o1"), 30);
    driver.commit_once();
    driver.run();
    assert_eq!(driver.read_uncommitted(&ATTRIBUTIONS).len(), 1);
    assert_eq!(driver.read_committed(&ATTRIBUTIONS), []);
    driver.commit();
    assert_eq!(driver.read_committed(&ATTRIBUTIONS).len(), 1);
}

#[test]
fn a_first_visit_without_a_channel_is_organic() {
    let mut driver = driver(Rule::default());
    pipe(&mut driver, Event::new("u1", EventName::Visit), 10);
    pipe(&mut driver, visit("u2", ""), 10);
    for (user, order_id) in [("u1", "o1"), ("u2", "o2")] {
        pipe(&mut driver, visit(user, "ads"), 20);
        pipe(&mut driver, order(user, order_id), 30);
        assert_eq!(history(&driver, order_id), [known(ORGANIC, 10)]);
    }
}

#[test]
fn a_visit_that_arrives_late_corrects_the_orders_since() {
    let mut driver = driver(Rule::default());
    pipe(&mut driver, order("u1", "early"), 5);
    pipe(&mut driver, order("u1", "o1"), 30);
    pipe(&mut driver, order("u11", "other"), 30);
    pipe(&mut driver, visit("u1", "ads"), 20);
    pipe(&mut driver, visit("u1", "mail"), 10);
    pipe(&mut driver, visit("u1", "late"), 15);
    assert_eq!(history(&driver, "o1"), [organic(), known("ads", 20), known("mail", 10)]);
    assert_eq!(history(&driver, "early"), [organic()]);
    assert_eq!(history(&driver, "other"), [organic()]);
    // Of visits at the same time, the smaller channel.
    pipe(&mut driver, visit("u1", "natural"), 10);
    pipe(&mut driver, visit("u1", "affiliate"), 10);
    assert_eq!(history(&driver, "o1")[3..], [known("affiliate", 10)]);
}

#[test]
fn an_attribution_is_json_under_the_orders_id_at_the_time_of_the_order_without_headers() {
    let topology = topology(&Topics::default(), Rule::default()).unwrap();
    let mut driver = TopologyTestDriver::builder(topology).build();
    pipe(&mut driver, order("u1", "o1"), 30);
    pipe(&mut driver, visit("u1", "mail"), 10);
    let written = driver.records("attributions");
    let json = |channel, visit| {
        format!(
            r#"{{"user_id":"u1","order_id":"o1","marketing_channel":"{channel}","order_time_ms":30,"visit_time_ms":{visit}}}"#
        )
    };
    let values: Vec<String> =
        written.iter().map(|record| String::from_utf8(record.value.as_deref().unwrap().to_vec()).unwrap()).collect();
    assert_eq!(values, [json("organic", "null"), json("mail", "10")]);
    for record in &written {
        assert_eq!(record.key.as_deref(), Some(&b"o1"[..]));
        assert_eq!(record.timestamp, Timestamp::from_millis(30));
        assert_eq!(record.headers.iter().filter(|(name, _)| !name.starts_with("__")).count(), 0);
    }
}

#[test]
fn an_order_confirmed_twice_is_one_order_of_the_earlier_time() {
    let mut driver = driver(Rule::default());
    pipe(&mut driver, visit("u1", "mail"), 10);
    pipe(&mut driver, order("u1", "o1"), 30);
    pipe(&mut driver, order("u1", "o1"), 30);
    pipe(&mut driver, order("u1", "o1"), 40);
    assert_eq!(history(&driver, "o1"), [known("mail", 10)]);
    pipe(&mut driver, order("u1", "o1"), 9);
    assert_eq!(history(&driver, "o1"), [known("mail", 10), organic()]);
}

#[test]
fn a_crash_before_a_commit_forgets_state_and_output_together() {
    for commits_before_the_crash in 0..3 {
        for lose_disk in [false, true] {
            let mut driver = driver(Rule::default());
            pipe(&mut driver, order("u1", "o1"), 30);
            driver.pipe(&EVENTS, (), visit("u1", "mail"), 10);
            for _ in 0..commits_before_the_crash {
                driver.commit_once();
                driver.run();
            }
            if lose_disk {
                driver.crash_and_lose_disk();
            } else {
                driver.crash();
            }
            driver.commit();
            assert_eq!(history(&driver, "o1"), [organic(), known("mail", 10)]);
            pipe(&mut driver, visit("u1", "ads"), 20);
            pipe(&mut driver, order("u1", "o2"), 40);
            assert_eq!(history(&driver, "o2"), [known("mail", 10)]);
        }
    }
}

fn orders() -> KeyValueStoreRef<(String, String), Vec<u8>> {
    StreamsBuilder::new().key_value_store(Stores::persistent(STORES[1], &Ordered, &Raw))
}

fn first_visits() -> KeyValueStoreRef<String, Vec<u8>> {
    StreamsBuilder::new().key_value_store(Stores::persistent(STORES[0], &Utf8, &Raw))
}

#[test]
fn after_the_correction_period_an_order_stays_as_it_is_and_its_row_is_swept() {
    let rule = Rule { correction: Duration::from_secs(10) };
    let mut driver = driver(rule);
    let key = ("u1".to_owned(), "o1".to_owned());
    pipe(&mut driver, order("u1", "o1"), 1_000);
    pipe(&mut driver, visit("u1", "ads"), 11_000);
    pipe(&mut driver, visit("u1", "mail"), 500);
    assert_eq!(history(&driver, "o1"), [organic(), known("mail", 500)], "to the last millisecond");
    pipe(&mut driver, visit("u1", "ads"), 11_001);
    pipe(&mut driver, visit("u1", "radio"), 400);
    assert_eq!(history(&driver, "o1"), [organic(), known("mail", 500)], "and not after");
    pipe(&mut driver, order("u1", "o2"), 600);
    assert_eq!(history(&driver, "o2"), [known("radio", 400)], "a late order is attributed all the same");
    assert!(driver.get(&orders(), &("u1".to_owned(), "o2".to_owned())).is_none());
    assert!(driver.get(&orders(), &key).is_some());
    pipe(&mut driver, visit("u1", "ads"), 12_000);
    assert!(driver.get(&orders(), &key).is_none());
    assert!(driver.get(&first_visits(), &"u1".to_owned()).is_some());
}

#[test]
fn malformed_records_go_to_the_dead_letters_by_reason_and_the_stream_goes_on() {
    let mut driver = driver(Rule::default());
    let long = "x".repeat(900_000);
    let nested = format!(r#"{{"user_id":"u1","event_name":"visit","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let cases: Vec<(Option<Vec<u8>>, &str)> = vec![
        (None, "null_value"),
        (Some(b"not json".to_vec()), "malformed_value"),
        (Some(b"{\"user_id\":\"u1\",\"event_name\":\"visit\",\"page\":\"\xff\"}".to_vec()), "malformed_value"),
        (Some(nested.into()), "malformed_value"),
        (Some(br#"{"user_id":"u1","event_name":"visit","channel":7}"#.to_vec()), "malformed_value"),
        (Some(br#"{"user_id":"u1","event_name":"order_confirmed","order_id":7}"#.to_vec()), "malformed_value"),
        (Some(br#"{"event_name":"visit"}"#.to_vec()), "missing_user_id"),
        (Some(br#"{"event_name":"add_to_cart"}"#.to_vec()), "missing_user_id"),
        (Some(br#"{"user_id":"u1","event_name":"order_confirmed"}"#.to_vec()), "missing_order_id"),
        (Some(br#"{"user_id":"u1","event_name":"order_confirmed","order_id":""}"#.to_vec()), "missing_order_id"),
        (
            Some(format!(r#"{{"user_id":"u1","event_name":"order_confirmed","order_id":"{long}"}}"#).into()),
            "order_id_too_long",
        ),
        (Some(format!(r#"{{"user_id":"u1","event_name":"visit","channel":"{long}"}}"#).into()), "channel_too_long"),
        (Some(format!(r#"{{"user_id":"{long}","event_name":"visit"}}"#).into()), "user_id_too_long"),
    ];
    for (value, _) in &cases {
        let value = value.clone().map(Into::into);
        driver.pipe_raw("events", None, value, Timestamp::from_millis(1), Headers::new());
    }
    pipe(&mut driver, Event::new("u1", EventName::AddToCart), 1);
    pipe(&mut driver, visit("u1", "mail"), 2);
    pipe(&mut driver, order("u1", "o1"), 3);
    let mut expected: Vec<&str> = cases.iter().map(|(_, reason)| *reason).collect();
    expected.sort_unstable();
    assert_eq!(reasons(&driver), expected);
    assert_eq!(history(&driver, "o1"), [known("mail", 2)]);
    assert_eq!(driver.lag(), 0);
}

fn event(fact: &Fact) -> Event {
    match &fact.deed {
        Deed::Visited(channel) => visit(&fact.user_id, channel),
        Deed::Ordered(order_id) => order(&fact.user_id, order_id),
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    (0..3_u8, 0..20_i64, 0..3_u8, any::<bool>()).prop_map(|(user, at_ms, which, is_order)| {
        let deed = if is_order { Deed::Ordered(format!("o{user}{which}")) } else { Deed::Visited(format!("c{which}")) };
        Fact { user_id: format!("u{user}"), at_ms, deed }
    })
}

#[derive(Debug, Clone)]
enum Act {
    Happen(Fact),
    Commit,
    CommitOnce,
    Crash,
    LoseDisk,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => fact().prop_map(Act::Happen),
        3 => Just(Act::Commit),
        2 => Just(Act::CommitOnce),
        1 => Just(Act::Crash),
        1 => Just(Act::LoseDisk),
    ];
    prop::collection::vec(act, 0..80)
}

fn verified(driver: &TopologyTestDriver, facts: &[Fact]) -> Result<(), TestCaseError> {
    let written: Vec<(String, Attribution)> = driver.read_committed(&ATTRIBUTIONS);
    let pairs = written.iter().map(|(key, attribution)| (key.as_str(), attribution));
    prop_assert_eq!(verify(facts, pairs), []);
    prop_assert_eq!(driver.lag(), 0);
    Ok(())
}

#[test]
fn all_orders_of_arrival_end_in_the_same_table() {
    let user = |at_ms, deed| Fact { user_id: "u1".into(), at_ms, deed };
    let mut facts = [
        user(10, Deed::Visited("mail".into())),
        user(10, Deed::Visited("ads".into())),
        user(20, Deed::Visited("tv".into())),
        user(5, Deed::Ordered("o1".into())),
        user(10, Deed::Ordered("o2".into())),
        user(30, Deed::Ordered("o2".into())),
    ];
    let expected: BTreeMap<String, Attribution> = attributions(&facts);
    let mut orders = 0;
    permute(&mut facts, 0, &mut |facts| {
        let mut driver = driver(Rule::default());
        for fact in facts {
            pipe(&mut driver, event(fact), fact.at_ms);
        }
        let table: BTreeMap<String, Attribution> = driver.read_committed(&ATTRIBUTIONS).into_iter().collect();
        assert_eq!(table, expected, "{facts:?}");
        orders += 1;
    });
    assert_eq!(orders, 720);
}

fn permute(facts: &mut [Fact], fixed: usize, see: &mut impl FnMut(&[Fact])) {
    if fixed == facts.len() {
        return see(facts);
    }
    for next in fixed..facts.len() {
        facts.swap(fixed, next);
        permute(facts, fixed + 1, see);
        facts.swap(fixed, next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_commits_and_crashes_come_the_last_records_are_the_references(acts in acts()) {
        let mut driver = driver(Rule::default());
        let mut facts = Vec::new();
        for act in acts {
            match act {
                Act::Happen(fact) => {
                    driver.pipe(&EVENTS, (), event(&fact), fact.at_ms);
                    facts.push(fact);
                }
                Act::Commit => {
                    driver.commit();
                    verified(&driver, &facts)?;
                }
                Act::CommitOnce => {
                    driver.commit_once();
                    driver.run();
                }
                Act::Crash => driver.crash(),
                Act::LoseDisk => driver.crash_and_lose_disk(),
            }
        }
        driver.commit();
        verified(&driver, &facts)?;
    }
}

#[test]
fn the_page_counts_each_order_once_and_under_its_last_channel() {
    let totals = Arc::new(Totals::default());
    let topology = told(&Topics::default(), Rule::default(), &totals).unwrap();
    let mut driver = TopologyTestDriver::builder(topology).partitions(3).build();
    pipe(&mut driver, order("u1", "o1"), 5_000);
    pipe(&mut driver, order("u1", "o2"), 9_000);
    // Later than the one order, before the other; then before both; then the first order turns out to be older than all.
    pipe(&mut driver, visit("u1", "ads"), 7_000);
    pipe(&mut driver, visit("u1", "mail"), 2_000);
    pipe(&mut driver, order("u1", "o1"), 1_000);
    let section = AttributionStory(totals).tell(Timestamp::EPOCH, &Traffic::default());
    let told = section.blocks.iter().find_map(|block| match block {
        Block::Shares { shares, .. } => Some(shares),
        _ => None,
    });
    let told: Vec<_> = told.unwrap().iter().map(|share| (share.label.as_str(), share.count)).collect();
    assert_eq!(told, [("mail", 1), ("organic", 1)]);
}
