//! Records that were set aside are looked at and sent again, each once.

use super::*;

const NO_USER: &str = r#"{"event_name":"add_to_cart","item_url":"/i/1"}"#;

fn list(shop: &Shop) -> Value {
    let listed = shop.fraud(&["dead-letters", "list", "--json"]);
    if listed.code == 0 { listed.json() } else { Value::Null }
}

fn letters(shop: &Shop, process: &mut Process, count: u64) -> Value {
    let waited = wait_for(LIMIT, format!("{count} letters"), || {
        assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
        list(shop)["count"] == count
    });
    assert!(waited.is_ok(), "{}\n{}", list(shop), process.log_tail());
    list(shop)
}

#[test]
fn letters_are_listed_shown_and_sent_again_once() {
    let shop = Shop::new("cli-letters");
    let bad = Outgoing::value("no json").key("k").header("trace", "7").partition(1).at(1_700_000_000_000);
    let without_user = Outgoing::value(NO_USER).partition(0).at(1_700_000_000_001);
    shop.client.produce(&shop.topic("events"), [bad, without_user]).unwrap();
    shop.client.create_topics(&[&shop.topic("repaired")], PARTITIONS, &[]).unwrap();
    let mut process = shop.start();
    let listed = letters(&shop, &mut process, 2);
    assert_eq!(listed["reasons"]["missing_user_id"], 1, "{listed}");
    let all = listed["letters"].as_array().unwrap();
    let of = |reason: &str| all.iter().find(|letter| letter["reason"] == reason).unwrap()["at"].as_str().unwrap();
    let (malformed, no_user) = (of("malformed_value"), of("missing_user_id"));

    let shown = shop.fraud(&["dead-letters", "show", malformed]);
    assert!(shown.out.contains("cli-letters-events-1@0") && !shown.out.contains("no json"), "{shown:?}");
    let with = shop.fraud(&["dead-letters", "show", malformed, "--payload", "--json"]).json();
    assert_eq!((&with["record"]["value"], &with["record"]["headers"][0][0]), (&"no json".into(), &"trace".into()));

    // A plan sends nothing.
    let to = format!("--to={}", shop.topic("repaired"));
    let replay = ["dead-letters", "replay", "--reason=missing_user_id", &to, "--json"];
    let planned = shop.fraud(&replay).json();
    assert_eq!((&planned["done"], &planned["letters"][0]), (&false.into(), &no_user.into()));
    assert!(shop.client.read_committed(&shop.topic("repaired")).unwrap().is_empty());
    // Sent once, however often it is asked for.
    for (sent, before) in [(1, 0), (0, 1)] {
        let done = shop.fraud(&[&replay[..], &["--yes"]].concat()).json();
        assert_eq!((&done["sent"], &done["replayed_before"]), (&sent.into(), &before.into()), "{done}");
    }
    let repaired = shop.client.read_committed(&shop.topic("repaired")).unwrap();
    let record: Vec<_> = repaired.iter().map(|record| (record.text(), record.partition, record.timestamp_ms)).collect();
    assert_eq!(record, [(NO_USER.to_owned(), 0, 1_700_000_000_001)]);
    assert_eq!(shop.fraud(&[&replay[..], &["--yes", "--again"]].concat()).json()["sent"], 1);

    // Sent to where it was read, the application meets it again, and refuses it again.
    let back = shop.fraud(&["dead-letters", "replay", malformed, "--yes", "--json"]).json();
    assert_eq!(back["sent"], 1, "{back}");
    let listed = letters(&shop, &mut process, 3);
    let of_reason = listed["letters"].as_array().unwrap().iter().filter(|letter| letter["reason"] == "malformed_value");
    let replayed: Vec<_> = of_reason.map(|letter| letter["replayed"].as_bool().unwrap()).collect();
    assert_eq!(replayed, [true, false]);
    let events = shop.client.read_committed(&shop.topic("events")).unwrap();
    let again = events.iter().rfind(|event| event.partition == 1).unwrap();
    assert_eq!((again.text(), again.key_text(), again.timestamp_ms), ("no json".into(), "k".into(), 1_700_000_000_000));
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

/// Such letters only point to the record: it is taken from where it was read.
#[test]
fn a_letter_without_its_record_is_sent_from_the_source_while_that_is_there() {
    let shop = Shop::new("cli-pointers");
    let without_user = (0..2).map(|at| Outgoing::value(NO_USER).partition(0).at(1_700_000_000_000 + at));
    shop.client.produce(&shop.topic("events"), without_user).unwrap();
    shop.client.create_topics(&[&shop.topic("repaired")], PARTITIONS, &[]).unwrap();
    let mut process = shop.start_with(&["--set=errors.dead.letter.queue.payload=omit"]);
    let listed = letters(&shop, &mut process, 2);
    assert_eq!(listed["letters"][0]["has_record"], false, "{listed}");
    assert!(process.stop().unwrap().success());
    shop.client.delete_records(&shop.topic("events"), |start, end| (start + 1).min(end)).unwrap();
    let to = format!("--to={}", shop.topic("repaired"));
    let done = shop.fraud(&["dead-letters", "replay", "--all", &to, "--yes", "--json"]).json();
    assert_eq!((&done["sent"], done["gone"].as_array().unwrap().len()), (&1.into(), 1), "{done}");
    let repaired = shop.client.read_committed(&shop.topic("repaired")).unwrap();
    assert_eq!((repaired.len(), repaired[0].timestamp_ms), (1, 1_700_000_000_001));
}

#[test]
fn what_is_not_there_or_not_said_is_named() {
    let shop = Shop::new("cli-no-letters");
    assert_eq!(shop.fraud(&["dead-letters", "list", "--json"]).error(), "unknown-topic");
    shop.client.create_topics(&[&shop.topic("dead-letters")], 1, &[]).unwrap();
    assert_eq!(shop.fraud(&["dead-letters", "list", "--json"]).json()["count"], 0);
    for (line, code) in [
        (&["show", "0@0"][..], "unknown-letter"),
        (&["show", "first"], "usage"),
        (&["replay"], "usage"),
        (&["replay", "0@0"], "unknown-letter"),
    ] {
        assert_eq!(shop.fraud(&[&["dead-letters", "--json"], line].concat()).error(), code, "{line:?}");
    }
}
