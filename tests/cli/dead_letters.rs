//! Records that were set aside are looked at and sent again, each once.

use serde_json::json;

use super::loading::Loading;
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
    assert_eq!(shown.err, "", "a bar is for those who look at a terminal");
    assert!(shown.out.contains("cli-letters-events-1@0") && !shown.out.contains("no json"), "{shown:?}");
    let with = shop.fraud(&["dead-letters", "show", malformed, "--payload", "--json"]).json();
    assert_eq!((&with["record"]["value"], &with["record"]["headers"][0][0]), (&"no json".into(), &"trace".into()));
    // The tool for any application finds them by its name.
    assert_eq!(shop.ask("millpond", &["dead-letters", "list", "--json"]).json(), listed);
    let by_tool = ["dead-letters", "show", malformed, "--payload", "--json"];
    assert_eq!(shop.ask("millpond", &by_tool).json(), with);
    assert_eq!(shop.ask("millpond", &["dead-letters", "show", malformed]).out, shown.out);

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

/// What the table did not take then, it takes now: the same record, at the end of the partition that it came from.
#[test]
fn a_letter_of_the_loader_is_listed_and_shown_and_loaded_when_it_is_sent_again() {
    let shop = Loading::new("cli-loader-letters");
    shop.feed();
    let mut process = shop.start();
    shop.wait_for_rows(&mut process, ["20", "4"]);
    shop.query("ALTER TABLE events ADD CONSTRAINT known CHECK (user_id <> 'stranger')");
    let stranger = Outgoing::value(r#"{"user_id":"stranger","event_name":"visit"}"#).key("k").header("trace", "7");
    let malformed = Outgoing::value("no json").partition(0).at(1_700_000_000_600);
    let records = [stranger.partition(1).at(1_700_000_000_500), malformed];
    shop.client.produce(&shop.topic("processed"), records).unwrap();
    let list = ["dead-letters", "list", "--json"];
    let mut listed = Value::Null;
    let waited = wait_for(LIMIT, "two letters", || {
        assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
        let answer = shop.ask(&list);
        // There is no such topic before the first letter.
        listed = if answer.code == 0 { answer.json() } else { Value::Null };
        listed["count"] == 2
    });
    assert!(waited.is_ok(), "{listed}\n{}", process.log_tail());
    assert_eq!(listed["reasons"], json!({ "invalid_json": 1, "refused_by_database": 1 }));
    assert_eq!(shop.tool(&list).json(), listed, "the tool finds the same");
    let letters = listed["letters"].as_array().unwrap();
    let refused = letters.iter().find(|letter| letter["reason"] == "refused_by_database").unwrap();
    assert_eq!(
        (&refused["partition"], &refused["offset"], &refused["node"]),
        (&1.into(), &10.into(), &"events".into())
    );
    let at = refused["at"].as_str().unwrap();

    let shown = shop.ask(&["dead-letters", "show", at]);
    assert!(shown.code == 0 && shown.out.contains("cli-loader-letters-processed-1@10"), "{shown:?}");
    assert!(shown.out.contains("23514, constraint known") && !shown.out.contains("stranger"), "{shown:?}");
    assert_eq!(shop.tool(&["dead-letters", "show", at]).out, shown.out);
    let with = shop.ask(&["dead-letters", "show", at, "--payload", "--json"]).json();
    assert_eq!(with["record"]["value"], json!({ "user_id": "stranger", "event_name": "visit" }));
    assert_eq!((&with["record"]["key"], &with["record"]["headers"][0][0]), (&"k".into(), &"trace".into()));

    shop.query("ALTER TABLE events DROP CONSTRAINT known");
    let replay = ["dead-letters", "replay", "--reason=refused_by_database", "--json"];
    let planned = shop.ask(&replay).json();
    assert_eq!((&planned["done"], &planned["letters"]), (&false.into(), &json!([at])), "{planned}");
    for (sent, before) in [(1, 0), (0, 1)] {
        let done = shop.ask(&[&replay[..], &["--yes"]].concat()).json();
        assert_eq!((&done["sent"], &done["replayed_before"]), (&sent.into(), &before.into()), "{done}");
    }
    shop.wait_for_rows(&mut process, ["21", "4"]);
    let row = "SELECT source_partition, (extract(epoch FROM event_time) * 1000)::bigint FROM events \
               WHERE user_id = 'stranger'";
    assert_eq!(shop.query(row), [["1", "1700000000500"]]);
    let told = shop.ask(&list).json();
    let replayed = |reason: &str| {
        let letter = told["letters"].as_array().unwrap().iter().find(|letter| letter["reason"] == reason);
        letter.unwrap()["replayed"].as_bool().unwrap()
    };
    assert_eq!((replayed("refused_by_database"), replayed("invalid_json"), &told["count"]), (true, false, &2.into()));
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
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
