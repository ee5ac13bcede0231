//! The topology on the simulated broker, through the production loop: partitions, commits, crashes, dead letters.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests panic: that gives a backtrace")]

use std::sync::Arc;
use std::time::Duration;

use fraud::reference::{CartAdd, leave_out, verify};
use fraud::{ALERTS, Alert, Evidence, Finding, FraudStory, Rule, STORES, Topics, Totals, told, topology};
use millpond::dsl::{KeyValueStoreRef, Stores, StreamsBuilder};
use millpond::http::{Block, Story, Traffic};
use millpond::record::Headers;
use millpond::serde::{Raw, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;
use millpond_support::{EVENTS, Event, EventName, Mask};
use proptest::prelude::*;

fn driver(rule: Rule) -> TopologyTestDriver {
    let topology = topology(&Topics::default(), rule).unwrap();
    TopologyTestDriver::builder(topology).partitions(3).dead_letters(true).build()
}

fn add_to_cart(user: &str, item: &str) -> Event {
    Event { item_url: Some(item.into()), ..Event::new(user, EventName::AddToCart) }
}

fn alert(user: &str, times_ms: &[i64]) -> (String, Alert) {
    let evidence = Evidence {
        first_event_ms: times_ms[0],
        last_event_ms: times_ms[times_ms.len() - 1],
        events: times_ms.len(),
        items: times_ms.iter().map(|at_ms| format!("/i/{at_ms}")).collect(),
    };
    (user.to_owned(), Alert { user_id: user.into(), alert: Finding::PotentialFraud, evidence })
}

fn pipe_adds(driver: &mut TopologyTestDriver, user: &str, times_ms: &[i64]) {
    for at_ms in times_ms {
        driver.pipe(&EVENTS, (), add_to_cart(user, &format!("/i/{at_ms}")), *at_ms);
    }
}

/// Lets the wall clock go on while stream time stands still.
fn stand_still(driver: &mut TopologyTestDriver) {
    driver.advance(Duration::from_secs(1));
    driver.advance(Rule::default().idle);
    driver.commit();
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

fn carts() -> KeyValueStoreRef<String, Vec<u8>> {
    StreamsBuilder::new().key_value_store(Stores::persistent(STORES[0], &Utf8, &Raw))
}

#[test]
fn five_adds_spread_over_the_partitions_make_one_alert_that_is_visible_after_the_commit() {
    let mut driver = driver(Rule::default());
    pipe_adds(&mut driver, "u1", &[0, 1_000, 2_000, 3_000, 4_999, 5_500]);
    pipe_adds(&mut driver, "u2", &[0, 1_000, 2_000, 3_000, 5_000]);
    driver.pipe(&EVENTS, (), Event::new("u2", EventName::Visit), 4_000);
    driver.commit_once();
    driver.run();
    assert_eq!(driver.read_uncommitted(&ALERTS).len(), 1);
    assert_eq!(driver.read_committed(&ALERTS), []);
    driver.commit();
    let alerts = driver.read_committed(&ALERTS);
    assert_eq!(alerts.len(), 1);
    let all = [0, 1_000, 2_000, 3_000, 4_999, 5_500, 0, 1_000, 2_000, 3_000, 5_000];
    let adds: Vec<CartAdd> = ["u1"; 6].into_iter().chain(["u2"; 5]).zip(all).map(add).collect();
    assert_eq!(verify(&Rule::default(), &adds, &[alerts[0].1.clone()]), []);
    assert_eq!(driver.lag(), 0);
    assert_eq!(reasons(&driver), [""; 0]);
}

fn add((user, at_ms): (&str, i64)) -> CartAdd {
    CartAdd { user_id: user.into(), at_ms, item_url: Some(format!("/i/{at_ms}")) }
}

#[test]
fn an_alert_is_json_under_the_users_id_without_headers_at_the_time_of_its_last_event() {
    let topology = topology(&Topics::default(), Rule::default()).unwrap();
    let mut driver = TopologyTestDriver::builder(topology).build();
    pipe_adds(&mut driver, "u1", &[10, 20, 30, 40, 50]);
    driver.commit();
    let written = driver.records("fraud-detection");
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].key.as_deref(), Some(&b"u1"[..]));
    let json = r#"{"user_id":"u1","alert":"potential fraud detected","first_event_ms":10,"last_event_ms":50,"events":5,"items":["/i/10","/i/20","/i/30","/i/40","/i/50"]}"#;
    assert_eq!(std::str::from_utf8(written[0].value.as_deref().unwrap()), Ok(json));
    assert_eq!(written[0].timestamp, Timestamp::from_millis(50));
    assert_eq!(written[0].headers.iter().filter(|(name, _)| !name.starts_with("__")).count(), 0);
}

#[test]
fn a_crash_before_a_commit_forgets_state_and_output_together() {
    // events -> commit 1 -> repartition topic -> commit 2 -> alerts
    for commits_before_the_crash in 0..3 {
        for lose_disk in [false, true] {
            let mut driver = driver(Rule::default());
            pipe_adds(&mut driver, "u1", &[0, 1, 2]);
            driver.commit();
            pipe_adds(&mut driver, "u1", &[3, 4]);
            for _ in 0..commits_before_the_crash {
                driver.commit_once();
                driver.run();
            }
            if lose_disk {
                driver.crash_and_lose_disk();
            } else {
                driver.crash();
            }
            let committed = driver.read_committed(&ALERTS).len();
            assert_eq!(committed, usize::from(commits_before_the_crash == 2));
            driver.commit();
            assert_eq!(driver.read_committed(&ALERTS), [alert("u1", &[0, 1, 2, 3, 4])]);
            pipe_adds(&mut driver, "u1", &[5, 6]);
            driver.commit();
            assert_eq!(driver.read_committed(&ALERTS).len(), 1, "the burst goes on");
        }
    }
}

#[test]
fn the_alert_of_a_second_burst_is_held_until_no_late_event_can_join_it_with_the_first() {
    let mut driver = driver(Rule::default());
    pipe_adds(&mut driver, "u1", &[0, 1, 2, 3, 4]);
    driver.commit();
    pipe_adds(&mut driver, "u1", &[6_000, 6_001, 6_002, 6_003, 6_004]);
    driver.commit();
    assert_eq!(driver.read_committed(&ALERTS).len(), 1);
    driver.crash();
    // Any user of the same partition moves stream time there: these are in all partitions.
    for user in 0..20 {
        pipe_adds(&mut driver, &format!("other-{user}"), &[16_600]);
    }
    driver.commit();
    assert_eq!(driver.read_committed(&ALERTS).len(), 2);
    stand_still(&mut driver);
    assert_eq!(driver.read_committed(&ALERTS).len(), 2);
}

#[test]
fn late_events_that_join_two_bursts_leave_one_alert() {
    let mut driver = driver(Rule::default());
    let seconds = |seconds: &[i64]| seconds.iter().map(|second| second * 1_000).collect::<Vec<_>>();
    pipe_adds(&mut driver, "u1", &seconds(&[0, 1, 2, 3, 4]));
    driver.commit();
    pipe_adds(&mut driver, "u1", &seconds(&[8, 9, 10, 11, 12]));
    driver.commit();
    pipe_adds(&mut driver, "u1", &seconds(&[6, 5, 7]));
    driver.commit();
    stand_still(&mut driver);
    assert_eq!(driver.read_committed(&ALERTS).len(), 1);
}

#[test]
fn a_held_alert_leaves_when_the_stream_stands_still() {
    let mut driver = driver(Rule::default());
    pipe_adds(&mut driver, "u1", &[0, 1, 2, 3, 4]);
    driver.commit();
    pipe_adds(&mut driver, "u1", &[6_000, 6_001, 6_002, 6_003, 6_004]);
    driver.commit();
    driver.advance(Duration::from_secs(1));
    driver.advance(Duration::from_secs(4));
    driver.commit();
    assert_eq!(driver.read_committed(&ALERTS).len(), 1, "not idle for five seconds yet");
    stand_still(&mut driver);
    assert_eq!(driver.read_committed(&ALERTS).len(), 2);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn an_event_beyond_grace_goes_to_the_dead_letters() {
    let mut driver = driver(Rule::default());
    pipe_adds(&mut driver, "u1", &[20_000]);
    driver.commit();
    pipe_adds(&mut driver, "u1", &[10_000, 9_999]);
    driver.pipe(&EVENTS, (), Event::new("", EventName::AddToCart), 9_998);
    driver.commit();
    assert_eq!(reasons(&driver), ["late_event", "missing_user_id"]);
    let late: Vec<CartAdd> = driver.records("dead-letters").iter().filter_map(CartAdd::read_late).collect();
    assert_eq!(late, [add(("u1", 9_999))]);
    let all = [("u1", 9_999), ("u1", 10_000), ("u1", 9_999)].map(add).to_vec();
    assert_eq!(leave_out(all, &late), [("u1", 10_000), ("u1", 9_999)].map(add), "once, as it was refused once");
}

#[test]
fn malformed_records_go_to_the_dead_letters_by_reason_and_the_stream_goes_on() {
    let mut driver = driver(Rule::default());
    let long = "x".repeat(900_000);
    let nested = format!(r#"{{"user_id":"u1","event_name":"visit","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let cases: Vec<(Option<Vec<u8>>, &str)> = vec![
        (None, "null_value"),
        (Some(b"".to_vec()), "malformed_value"),
        (Some(b"not json".to_vec()), "malformed_value"),
        (Some(b"{\"user_id\":\"u1\",\"event_name\":\"visit\",\"page\":\"\xff\"}".to_vec()), "malformed_value"),
        (Some(nested.into()), "malformed_value"),
        (Some(br#"{"user_id":"u1"}"#.to_vec()), "malformed_value"),
        (Some(br#"{"user_id":7,"event_name":"add_to_cart"}"#.to_vec()), "malformed_value"),
        (Some(br#"{"user_id":"u1","event_name":"add_to_cart","item_url":{}}"#.to_vec()), "malformed_value"),
        (Some(br#"{"event_name":"add_to_cart"}"#.to_vec()), "missing_user_id"),
        (Some(br#"{"user_id":null,"event_name":"page_view"}"#.to_vec()), "missing_user_id"),
        (Some(br#"{"user_id":"","event_name":"visit"}"#.to_vec()), "missing_user_id"),
        (Some(format!(r#"{{"user_id":"{long}","event_name":"visit"}}"#).into()), "user_id_too_long"),
        (
            Some(format!(r#"{{"user_id":"u1","event_name":"add_to_cart","item_url":"{long}"}}"#).into()),
            "item_url_too_long",
        ),
    ];
    for (value, _) in &cases {
        let value = value.clone().map(Into::into);
        driver.pipe_raw("events", None, value, Timestamp::from_millis(1), Headers::new());
    }
    // Well-formed: of another kind, with a key, with a long text that nobody keeps.
    let page = format!(r#"{{"user_id":"u1","event_name":"page_view","page":"{long}"}}"#);
    driver.pipe_raw("events", Some("k".into()), Some(page.into()), Timestamp::from_millis(1), Headers::new());
    pipe_adds(&mut driver, "u1", &[0, 1, 2, 3, 4]);
    driver.commit();
    let mut expected: Vec<&str> = cases.iter().map(|(_, reason)| *reason).collect();
    expected.sort_unstable();
    assert_eq!(reasons(&driver), expected);
    assert_eq!(driver.read_committed(&ALERTS).len(), 1);
    assert_eq!(driver.lag(), 0);
}

#[test]
fn rows_of_idle_users_are_swept() {
    let mut driver = driver(Rule::default());
    let users: Vec<String> = (0..100).map(|user| format!("u{user}")).collect();
    for user in &users {
        pipe_adds(&mut driver, user, &[0]);
    }
    driver.commit();
    let rows = |driver: &TopologyTestDriver| users.iter().filter(|user| driver.get(&carts(), user).is_some()).count();
    assert_eq!(rows(&driver), 100);
    for at_ms in [16_600, 18_200] {
        for other in 0..20 {
            pipe_adds(&mut driver, &format!("other-{other}"), &[at_ms]);
        }
        driver.commit();
    }
    assert_eq!(rows(&driver), 0);
    driver.crash_and_lose_disk();
    assert_eq!(rows(&driver), 0, "the changelog forgot them, too");
}

#[derive(Debug, Clone)]
enum Act {
    Add(u8, i64),
    Commit,
    CommitOnce,
    Crash,
    LoseDisk,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        20 => (0..2_u8, 0..9_000_i64).prop_map(|(user, at_ms)| Act::Add(user, at_ms)),
        2 => Just(Act::Commit),
        2 => Just(Act::CommitOnce),
        1 => Just(Act::Crash),
        1 => Just(Act::LoseDisk),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_commits_and_crashes_come_each_burst_has_one_alert(
        acts in acts(),
        distinct_items: bool,
        grace_ms in prop_oneof![Just(10_000), 0..9_000_u64],
    ) {
        let (window, grace) = (Duration::from_millis(700), Duration::from_millis(grace_ms));
        let rule = Rule { window, grace, distinct_items, ..Rule::default() };
        let mut driver = driver(rule);
        let mut adds = Vec::new();
        for act in acts {
            match act {
                Act::Add(user, at_ms) => {
                    let user_id = format!("u{user}");
                    let item_url = format!("/i/{}", at_ms % 7);
                    driver.pipe(&EVENTS, (), add_to_cart(&user_id, &item_url), at_ms);
                    adds.push(CartAdd { user_id, at_ms, item_url: Some(item_url) });
                }
                Act::Commit => driver.commit(),
                Act::CommitOnce => {
                    driver.commit_once();
                    driver.run();
                }
                Act::Crash => driver.crash(),
                Act::LoseDisk => driver.crash_and_lose_disk(),
            }
        }
        driver.commit();
        stand_still(&mut driver);
        let alerts: Vec<Alert> = driver.read_committed(&ALERTS).into_iter().map(|(_, alert)| alert).collect();
        let late: Vec<CartAdd> = driver.records("dead-letters").iter().filter_map(CartAdd::read_late).collect();
        prop_assert!(late.is_empty() || grace_ms < 9_000);
        prop_assert_eq!(verify(&rule, &leave_out(adds, &late), &alerts), []);
        prop_assert_eq!(driver.lag(), 0);
    }
}

#[test]
fn the_page_tells_when_each_of_the_events_came_that_fired_an_alert() {
    let totals = Arc::new(Totals::default());
    let topology = told(&Topics::default(), Rule::default(), &totals).unwrap();
    let mut driver = TopologyTestDriver::builder(topology).partitions(3).build();
    // Out of order, and with one more than it takes.
    pipe_adds(&mut driver, "u1", &[1_000, 1_700, 5_400, 2_900, 3_400, 6_000]);
    driver.commit();
    let section = FraudStory::new(totals, Rule::default(), Mask::new(true)).tell(Timestamp::EPOCH, &Traffic::default());
    let timelines = section.blocks.iter().find_map(|block| match block {
        Block::Timelines { timelines, .. } => Some(timelines),
        _ => None,
    });
    let alert = &timelines.unwrap()[0];
    let marks: Vec<_> = alert.marks.iter().map(|mark| (mark.after_ms.unwrap(), mark.label.as_str())).collect();
    let expected = [(0, "/i/1000"), (700, "/i/1700"), (1_900, "/i/2900"), (2_400, "/i/3400"), (4_400, "/i/5400")];
    assert_eq!((alert.at_ms, marks), (1_000, expected.to_vec()));
}
