use super::*;
use crate::{Evidence, Finding};

fn adds(times_ms: &[i64]) -> Vec<CartAdd> {
    let item = |at_ms| Some(format!("/i/{at_ms}"));
    times_ms.iter().map(|&at_ms| CartAdd { user_id: "u1".into(), at_ms, item_url: item(at_ms) }).collect()
}

fn alert(times_ms: &[i64]) -> Alert {
    let items = adds(times_ms).into_iter().filter_map(|add| add.item_url).collect();
    let (first_event_ms, last_event_ms) = (times_ms[0], times_ms[times_ms.len() - 1]);
    let evidence = Evidence { first_event_ms, last_event_ms, events: times_ms.len(), items };
    Alert { user_id: "u1".into(), alert: Finding::PotentialFraud, evidence }
}

#[test]
fn bursts_are_unions_of_intervals_that_touch() {
    let rule = Rule::default();
    let times = [0, 1_000, 2_000, 3_000, 4_000, 5_000, 9_000, 20_000, 20_001, 20_002, 20_003, 20_004, 30_000];
    let expected = vec![Burst { first_ms: 0, last_ms: 5_000 }, Burst { first_ms: 20_000, last_ms: 20_004 }];
    assert_eq!(bursts(&rule, &adds(&times)), BTreeMap::from([("u1".to_owned(), expected)]));
    // Five seconds apart is too much; a shared event is enough.
    let touching = [0, 1, 2, 3, 4_999, 9_995, 9_996, 9_997, 9_998];
    let expected = vec![Burst { first_ms: 0, last_ms: 9_998 }];
    assert_eq!(bursts(&rule, &adds(&touching)), BTreeMap::from([("u1".to_owned(), expected)]));
}

#[test]
fn each_kind_of_difference_is_found() {
    let rule = Rule::default();
    let input = adds(&[0, 1, 2, 3, 4, 5, 20_000]);
    let burst = Burst { first_ms: 0, last_ms: 5 };
    let user_id = "u1".to_owned();
    let good = alert(&[0, 1, 2, 3, 4]);
    assert_eq!(verify(&rule, &input, std::slice::from_ref(&good)), []);
    assert_eq!(verify(&rule, &input, &[]), [Difference::Missing { user_id: user_id.clone(), burst }]);
    assert_eq!(
        verify(&rule, &input, &[good.clone(), alert(&[1, 2, 3, 4, 5])]),
        [Difference::Repeated { user_id, burst, alerts: 2 }]
    );
    let outside = alert(&[5, 20_000]);
    assert_eq!(verify(&rule, &input, &[good, outside.clone()]), [Difference::Unfounded(outside)]);
    let mut invented = alert(&[0, 1, 2, 3, 4]);
    invented.evidence.items[2] = "/i/9".into();
    let mut doubled = alert(&[0, 1, 2, 3, 4]);
    doubled.evidence.items[2] = "/i/1".into();
    for bad in [alert(&[0, 1, 2, 3]), invented, doubled] {
        assert_eq!(verify(&rule, &input, std::slice::from_ref(&bad)), [Difference::FalseEvidence(bad)]);
    }
}

#[test]
fn only_well_formed_events_of_the_kind_are_read() {
    let read = |text: &str| CartAdd::read(7, Some(text.as_bytes()));
    let good = r#"{"user_id":"u1","event_name":"add_to_cart","item_url":"/i/7"}"#;
    assert_eq!(read(good), adds(&[7]).pop());
    assert_eq!(CartAdd::read(-1, Some(good.as_bytes())), None);
    assert_eq!(CartAdd::read(7, None), None);
    for other in [
        r#"{"user_id":"u1","event_name":"visit"}"#,
        r#"{"event_name":"add_to_cart"}"#,
        r#"{"user_id":7,"event_name":"add_to_cart"}"#,
        "x",
    ] {
        assert_eq!(read(other), None, "{other}");
    }
}
