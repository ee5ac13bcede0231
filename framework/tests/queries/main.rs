//! Queries over HTTP: two instances on the simulated broker, asked as anybody would.
#![cfg(all(feature = "http", feature = "testing"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test: helpers fail it where they stand, and the servers wait by the real clock"
)]

mod asking;
mod stage;

use std::collections::BTreeSet;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use asking::{ask, found, until};
use stage::{Stage, keys, value_of};

/// Every key from every instance: it passes the question on to the owner.
#[test]
fn any_instance_answers_for_every_key_and_says_who_knew() {
    let stage = Stage::new();
    let mut knew = BTreeSet::new();
    for key in keys() {
        let answers = [0, 1].map(|instance| found(stage.address(instance), &format!("/stores/table/get?key={key}")));
        assert_eq!(answers[0], answers[1], "{key}");
        let answer = &answers[0];
        let (is_found, value) = (&answer["found"], &answer["value"]);
        assert_eq!((is_found, value, &answer["masked"]), (&json!(true), &json!(value_of(&key)), &json!(false)));
        let [part] = &answer["partitions"].as_array().unwrap()[..] else { panic!("one partition: {answer}") };
        let position = &part["position"];
        assert_eq!((&position["lag_records"], &position["age_ms"]), (&json!(0), &json!(0)), "{answer}");
        assert_eq!(position["inputs"][0]["committed"], position["inputs"][0]["end"]);
        knew.insert(part["instance"].as_str().unwrap().to_owned());
    }
    assert_eq!(knew, [0, 1].map(|instance| stage.address(instance).to_string()).into(), "both own some");
    let nobody = found(stage.address(0), "/stores/table/get?key=nobody");
    assert_eq!((&nobody["found"], &nobody["value"]), (&json!(false), &Value::Null));
}

fn told(answer: &Value) -> Vec<String> {
    answer["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn ranges_prefixes_and_counts_are_of_all_partitions() {
    let stage = Stage::new();
    for instance in [0, 1] {
        let get = |path: &str| found(stage.address(instance), &format!("/stores/table/{path}"));
        let all = get("range");
        assert_eq!((told(&all), &all["next"]), (keys(), &Value::Null));
        assert_eq!(all["partitions"].as_array().unwrap().len(), stage::PARTITIONS);
        assert_eq!(told(&get("range?from=k05&to=k07")), ["k05", "k06", "k07"]);
        assert_eq!(told(&get("range?from=k38")), ["k38", "k39"]);
        assert_eq!(told(&get("prefix?prefix=k1")), keys()[10..20]);
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&format!("range?limit=7{after}"));
            assert!(told(&page).len() <= 7);
            pages.extend(told(&page));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(pages, keys(), "page by page");
        let count = |path: &str| (get(path)["count"].clone(), get(path)["exact"].clone());
        assert_eq!(count("count"), (json!(keys().len()), json!(false)));
        assert_eq!(count("count?from=k05&to=k07"), (json!(3), json!(true)));
        assert_eq!(count("count?prefix=k2"), (json!(10), json!(true)));
        let parts = (0..stage::PARTITIONS).map(|partition| told(&get(&format!("range?partition={partition}"))));
        let mut parts: Vec<String> = parts.flatten().collect();
        parts.sort();
        assert_eq!(parts, keys(), "partition by partition");
    }
}

#[test]
fn rows_are_hidden_unless_the_configuration_shows_them() {
    let stage = Stage::new();
    let masked = stage.masked();
    // Also where the owner of the key would show its value.
    for key in keys() {
        let answer = ask(masked, &format!("/stores/table/get?key={key}"));
        assert_eq!(answer.code, 200);
        assert!(!answer.body.contains("value of") && !answer.body.contains(&key), "{}", answer.body);
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&json["found"], &json["value"], &json["masked"]), (&json!(true), &Value::Null, &json!(true)));
    }
    assert_eq!(found(masked, "/stores/table/count")["count"], keys().len());
    // Keys could be guessed from any of these, letter by letter.
    for path in [
        "range",
        "prefix?prefix=k",
        "count?prefix=k0",
        "count?from=k0",
        "partitions/0?application=app&ask=rows",
        "partitions/0?application=app&ask=count",
    ] {
        let refused = ask(masked, &format!("/stores/table/{path}"));
        assert_eq!(refused.code, 403, "{path}");
        assert!(refused.body.contains("queries.unmasked.stores") && !refused.body.contains("k05"), "{}", refused.body);
    }
    let stores = found(masked, "/stores");
    assert_eq!((&stores["stores"][0]["store"], &stores["stores"][0]["masked"]), (&json!("table"), &json!(true)));
    let owners = stores["stores"][0]["partitions"].as_array().unwrap().iter();
    let owners: BTreeSet<&str> = owners.map(|partition| partition["owner"].as_str().unwrap()).collect();
    assert_eq!(owners.len(), 2, "{stores}");
}

#[test]
fn what_is_not_understood_is_refused_with_the_reason() {
    let stage = Stage::new();
    for (path, code, reason) in [
        ("/stores/nothing/get?key=k", 404, "no store nothing"),
        ("/stores/table/look?key=k", 400, "get, range, prefix or count"),
        ("/stores/table/get", 400, "say key"),
        ("/stores/table/get?key=k&limit=3", 400, "get has no limit"),
        ("/stores/table/get?key=k&max_lags=3", 400, "max_lags"),
        ("/stores/table/range?limit=many", 400, "limit"),
        ("/stores/table/range?after=0xfuzz", 400, "hexadecimal"),
        ("/stores/table/prefix", 400, "say prefix"),
        ("/stores/table/count?prefix=a&from=b", 400, "say prefix, or from and to"),
        ("/stores/table/range?partition=4", 400, "partitions 0 to 3"),
        ("/stores/table/partitions/0?application=other&ask=estimate", 421, "this is app"),
    ] {
        let refused = ask(stage.address(0), path);
        assert_eq!(refused.code, code, "{path}: {}", refused.body);
        let body: Value = serde_json::from_str(&refused.body).unwrap();
        assert!(body["reason"].as_str().unwrap().contains(reason), "{path}: {body}");
    }
    let off = ask(stage.off(), "/stores/table/get?key=k");
    assert!(off.code == 404 && off.body.contains("queries = on"), "{}", off.body);
    assert_eq!(ask(stage.off(), "/stores").code, 404);
    let post = asking::send(stage.address(0), "POST", "/stores/table/get?key=k");
    assert_eq!(post.code, 405);
}

/// Wherever the owner is: that it is asked over HTTP changes neither the code nor the reason.
#[test]
fn an_answer_that_would_lack_more_than_was_allowed_is_refused_with_what_it_would_lack() {
    let stage = Stage::new();
    let key = &keys()[0];
    let path = |bound: &str| format!("/stores/table/get?key={key}{bound}");
    for strict in ["&max_lag=0", "&max_age_ms=0", "&max_lag=0&max_age_ms=0"] {
        for instance in [0, 1] {
            assert_eq!(found(stage.address(instance), &path(strict))["value"], value_of(key), "nothing is missing");
        }
    }
    stage.fall_behind();
    until("something is missing", || ask(stage.address(0), &path("&max_lag=0")).code == 503);
    let younger = format!("&max_age_ms={}", stage::AGE.as_millis() - 1_000);
    let mut by = BTreeSet::new();
    for strict in ["&max_lag=0", "&max_age_ms=0", &younger, &format!("&max_lag=1000000{younger}")] {
        for instance in [0, 1] {
            let refused = ask(stage.address(instance), &path(strict));
            assert_eq!(refused.code, 503, "{strict}: {}", refused.body);
            assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
            let body: Value = serde_json::from_str(&refused.body).unwrap();
            let (owner, reason) = body["reason"].as_str().unwrap().split_once("the answer would lack ").unwrap();
            let (lag, age) = reason.split_once(" records, the oldest of ").unwrap();
            assert!(lag.parse::<u64>().unwrap() > 0, "{body}");
            assert!(age.strip_suffix(" ms ago").unwrap().parse::<u128>().unwrap() >= stage::AGE.as_millis(), "{body}");
            assert!(body["partition"].is_i64() && !refused.body.contains("value of"), "{body}");
            by.insert(owner.starts_with("the owner at 127.0.0.1:"));
        }
    }
    assert_eq!(by, [false, true].into(), "by the owner itself, and by the instance that asked it");
    // A whole range is as stale as its most stale partition.
    for what in ["range?max_lag=0", "count?from=k0&max_age_ms=0", "prefix?prefix=k&max_lag=0"] {
        let refused = ask(stage.address(0), &format!("/stores/table/{what}"));
        assert!(refused.code == 503 && refused.body.contains("the answer would lack"), "{what}: {}", refused.body);
    }
    // Whoever sets no bound, or a wide one, is told how stale it is.
    for wide in ["", "&max_age_ms=60000"] {
        let answer = found(stage.address(0), &path(wide));
        let position = &answer["partitions"][0]["position"];
        assert!(position["lag_records"].as_u64().unwrap() > 0, "{answer}");
        assert!(u128::from(position["age_ms"].as_u64().unwrap()) >= stage::AGE.as_millis(), "{answer}");
        assert_eq!(answer["value"], value_of(key));
    }
    stage.catch_up();
    until("nothing is missing any more", || ask(stage.address(1), &path("&max_lag=0")).code == 200);
}

/// An instance that is asked for a partition of another one, by an instance, does not pass it on: it would go round in circles.
#[test]
fn whoever_does_not_own_a_partition_says_so() {
    let stage = Stage::new();
    let codes = (0..stage::PARTITIONS).map(|partition| {
        let path = format!("/stores/table/partitions/{partition}?application=app&ask=estimate");
        [0, 1].map(|instance| ask(stage.address(instance), &path).code)
    });
    let codes: Vec<[u16; 2]> = codes.collect();
    assert!(codes.iter().all(|codes| [[200, 421], [421, 200]].contains(codes)), "{codes:?}");
    assert_eq!(codes.iter().filter(|codes| codes[0] == 200).count(), stage::PARTITIONS / 2);
}

#[test]
fn when_an_instance_dies_its_keys_are_unavailable_until_they_have_another_owner() {
    let stage = Stage::new();
    let of_first = |key: &&String| {
        let answer = found(stage.address(1), &format!("/stores/table/get?key={key}"));
        answer["partitions"][0]["instance"] == stage.address(0).to_string()
    };
    let keys = keys();
    let lost = keys.iter().find(of_first).unwrap();
    let kept = keys.iter().find(|key| !of_first(key)).unwrap();
    let path = format!("/stores/table/get?key={lost}");
    stage.kill_first();
    let refused = ask(stage.address(1), &path);
    assert_eq!(refused.code, 503, "{}", refused.body);
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    let reason = body["reason"].as_str().unwrap();
    assert!(reason.starts_with("the owner at 127.0.0.1:") && body["partition"].is_i64(), "{body}");
    // A range without a partition would look like one in which nothing was.
    assert_eq!(ask(stage.address(1), "/stores/table/range").code, 503);
    assert_eq!(ask(stage.address(1), &format!("/stores/table/get?key={kept}")).code, 200);

    stage.end_session_of_first();
    until("the other one answers for all", || ask(stage.address(1), &path).code == 200);
    assert_eq!(found(stage.address(1), &path)["value"], value_of(lost));
    until("it owns all", || ask(stage.address(1), "/stores/table/range").code == 200);
    assert_eq!(told(&found(stage.address(1), "/stores/table/range")), keys);
}

/// While the stream threads stand still, requests wait; there are only so many of them, and other paths do not feel it.
#[test]
fn there_are_only_so_many_queries_at_a_time() {
    let stage = Stage::new();
    let address = stage.address(0);
    let (go_on, gate) = channel();
    stage.hold(gate);
    let (told, answers) = channel();
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let told = told.clone();
            std::thread::spawn(move || told.send(ask(address, "/stores/table/count")).unwrap())
        })
        .collect();
    drop(told);
    let refused = answers.iter().find(|answer| answer.code == 429).unwrap();
    assert!(refused.head.contains("retry-after: 1") && refused.body.contains("too many"), "{}", refused.body);
    assert_eq!(ask(address, "/livez").code, 200);
    go_on.send(()).unwrap();
    for asking in asking {
        asking.join().unwrap();
    }
    // Those that have waited for too long were told so.
    assert!(answers.iter().all(|answer| [200, 429, 503].contains(&answer.code)));
    until("everything is as before", || ask(address, "/stores/table/count").code == 200);
}
