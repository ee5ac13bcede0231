//! The four applications at work on records of which nothing may show, while things break around them one after the other.

use std::fs;
use std::path::{Path, PathBuf};

use millpond_harness::{Client, Outgoing, Process, query, wait_for};

use super::canary::{payload, secret};
use super::shop::{APPLICATIONS, LIMIT, Shop, TOPICS, command, page_of};
use super::sinks::{Sinks, answer};

/// Commands that tell of an application. Those whose task is to show rows or records are none of them.
const COMMANDS: [&[&str]; 18] = [
    &["config", "check"],
    &["config", "show"],
    &["config", "show", "--json"],
    &["--show-config"],
    &["topology"],
    &["topology", "--json"],
    &["metrics"],
    &["doctor"],
    &["doctor", "--json"],
    &["state", "ls"],
    &["state", "ls", "--json"],
    &["state", "stats"],
    &["state", "verify"],
    &["state", "get"],
    &["dead-letters", "list"],
    &["dead-letters", "list", "--json"],
    &["dead-letters", "replay"],
    &["reset"],
];

/// A running application and the file that it logs to.
struct Running {
    name: &'static str,
    process: Process,
}

pub(crate) fn works_and_breaks(shop: &mut Shop, sinks: &mut Sinks) {
    let mut running: Vec<Running> = APPLICATIONS.into_iter().map(|name| start(shop, name)).collect();
    for one in &mut running {
        page_of(&mut one.process);
    }
    let client = shop.client();
    client.produce("events", events(0)).unwrap();
    works(shop, &client);
    hides_the_rows(&mut running, sinks);
    observe(&mut running, sinks);
    commands(shop, sinks);
    damage(shop, &mut running, &client);
    observe(&mut running, sinks);
    servers_go_away(shop, &mut running, sinks);
    end(running, sinks);
    spans(shop, sinks);
    sinks.logs_of_stores("stores", &shop.dir("state"));
    headers_of_dead_letters(shop, &client, sinks);
}

fn start(shop: &Shop, name: &'static str) -> Running {
    let log = shop.dir("logs").join(name);
    Running { name, process: Shop::start(name, &log, &shop.at_work(name)) }
}

/// A burst, an order with an address, and records that cannot be taken, each for another reason. Everything in them is
/// somebody's.
fn events(round: i64) -> Vec<Outgoing> {
    let second = round * 100;
    let user = format!("{}.{round}", payload("user"));
    let record = |tenth: i64, value: Vec<u8>| {
        let record = Outgoing::value(value).partition(0).at(1_700_000_000_000 + second * 1_000 + tenth * 100);
        record.key(payload("key")).header(payload("header"), payload("header-value"))
    };
    let event = |tenth: i64, rest: &str| record(tenth, format!(r#"{{"user_id":"{user}",{rest}}}"#).into_bytes());
    let order = format!(
        r#""event_name":"order_confirmed","order_id":"{}.{round}","order_email":"{}@example.com""#,
        payload("order"),
        payload("mail")
    );
    let mut events = vec![
        event(0, r#""event_name":"visit","channel":"mail""#),
        event(1, &order),
        record(2, format!("not json but {}", payload("malformed")).into_bytes()),
        record(2, [b"{\"user_id\":\"\xff", payload("bytes").as_bytes(), b"\"}"].concat()),
        record(2, format!(r#"{{"user_id":{{"{}":1}},"event_name":"visit"}}"#, payload("type")).into_bytes()),
        record(2, format!(r#"{{"{0}":1,"user_id":"{0}","user_id":"{0}"}}"#, payload("twice")).into_bytes()),
        record(2, format!(r#"{{"event_name":"{}"}}"#, payload("nobody")).into_bytes()),
        event(2, &format!(r#""event_name":"visit","channel":"{}""#, payload("long").repeat(40))),
        // PostgreSQL has no such character.
        event(2, &format!(r#""event_name":"visit","page":"{}\u0000""#, payload("null"))),
    ];
    let carts =
        (3..8).map(|n| event(n, &format!(r#""event_name":"add_to_cart","item_url":"/{}/{n}""#, payload("item"))));
    events.extend(carts);
    events
}

/// Each has done its work, and set aside what it could not do; the canaries are where they belong.
fn works(shop: &Shop, client: &Client) {
    let read = |topic: &str| client.topics().unwrap().contains(topic).then(|| client.read_committed(topic).unwrap());
    let enough = |topic: &str, count: usize| {
        let found = || read(topic).is_some_and(|records| records.len() >= count);
        wait_for(LIMIT, format!("{count} records in {topic}"), found).unwrap();
    };
    enough("fraud-detection", 1);
    enough("attributions", 1);
    let letter = format!("not json but {}", payload("loader"));
    client.produce("processed_events", [Outgoing::value(letter).partition(0)]).unwrap();
    for name in APPLICATIONS {
        enough(&format!("{name}-dead-letters"), 1);
    }
    let alerts = read("fraud-detection").unwrap_or_default();
    assert!(alerts.iter().any(|alert| alert.text().contains(&payload("user"))), "{alerts:?}");
    let rows = "SELECT count(*) FROM purchase_marketing_attributions";
    wait_for(LIMIT, "a row is loaded", || query(&shop.database.url, rows).is_ok_and(|rows| rows != [["0"]])).unwrap();
}

/// Whoever knows a user hears that there is a row, and nothing of it. Asked of any other instance as well.
fn hides_the_rows(running: &mut [Running], sinks: &mut Sinks) {
    let key = format!("{}.0", payload("user"));
    let path = format!("/stores/carts/get?key={key}");
    for one in running {
        let address = page_of(&mut one.process);
        if one.name == "fraud" {
            // The row is there a moment after the alert.
            let found = || answer(&address, &path).contains(r#""found":true"#);
            wait_for(LIMIT, "the row of the user", found).unwrap();
        }
        let told = answer(&address, &path);
        let is_masked = told.contains(r#""masked":true"#) && told.contains(r#""value":null"#);
        assert_eq!(is_masked, one.name == "fraud", "{}: {told}", one.name);
        sinks.add(format!("{}: the row of a user", one.name), &told);
    }
}

/// They came with the token, from each application, and have nothing of it or of a record.
fn spans(shop: &Shop, sinks: &mut Sinks) {
    let spans = shop.collector.spans();
    for name in APPLICATIONS {
        let own: Vec<_> = spans.iter().filter(|span| span.resource["service.name"] == name).collect();
        assert!(!own.is_empty(), "{name} sends spans");
        sinks.add(format!("{name}: spans"), &format!("{own:#?}"));
    }
    let tokens = shop.collector.tokens();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| token.ends_with(&secret("otlp"))), "{tokens:?}");
}

fn observe(running: &mut [Running], sinks: &mut Sinks) {
    for one in running {
        let address = page_of(&mut one.process);
        sinks.page(one.name, &address);
    }
}

fn commands(shop: &Shop, sinks: &mut Sinks) {
    for name in APPLICATIONS {
        let variables = shop.variables(name);
        for line in COMMANDS {
            sinks.command(format!("{name} {}", line.join(" ")), &mut command(name, line, &variables));
        }
    }
    // With what is in files.
    for name in ["redaction", "loader"] {
        for line in [&["config", "check"][..], &["config", "show"], &["doctor", "--json"]] {
            let sink = format!("{name} {}, with files", line.join(" "));
            sinks.command(sink, &mut command(name, line, &shop.at_work(name)));
        }
    }
    // The tool for any application, as one that commits in Kafka and one that does not.
    for name in ["fraud", "loader"] {
        let mut variables = shop.variables(name);
        variables.insert("MILLPOND_APPLICATION_ID".into(), name.to_owned());
        for line in COMMANDS {
            let sink = format!("millpond {} of {name}", line.join(" "));
            sinks.command(sink, &mut command("millpond", line, &variables));
        }
    }
}

/// A damaged state is found at the start, set aside and restored.
fn damage(shop: &Shop, running: &mut Vec<Running>, client: &Client) {
    let at = running.iter().position(|one| one.name == "fraud").unwrap();
    let mut fraud = running.remove(at);
    fraud.process.kill().unwrap();
    let mut files = Vec::new();
    files_of_stores(&shop.dir("state").join("fraud"), &mut files);
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, vec![b'x'; bytes.len()]).unwrap();
    }
    let mut fraud = start(shop, "fraud");
    let told = || fraud.process.log().contains("set aside");
    wait_for(LIMIT, "the damage is told", told).unwrap_or_else(|error| panic!("{error}: {}", fraud.process.log_tail()));
    client.produce("events", events(1)).unwrap();
    let all = || client.read_committed("fraud-detection").unwrap().len() >= 2;
    wait_for(LIMIT, "another alert", all).unwrap_or_else(|error| panic!("{error}: {}", fraud.process.log_tail()));
    page_of(&mut fraud.process);
    running.push(fraud);
}

/// Manifests: without a whole one nothing of a store can be read.
fn files_of_stores(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_of_stores(&path, found);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")) {
            found.push(path);
        }
    }
}

/// The database, then the brokers. Nobody ends because of it: they try again, and say so.
fn servers_go_away(shop: &mut Shop, running: &mut [Running], sinks: &mut Sinks) {
    // Rows that cannot be written now.
    shop.database.server.kill().unwrap();
    shop.client().produce("events", events(2)).unwrap();
    let refused = |one: &Running| one.process.log().matches("Connection refused").count();
    let loader = running.iter().find(|one| one.name == "loader").unwrap();
    wait_for(LIMIT, "the loader misses its database", || refused(loader) > 0).unwrap();
    let read = shop.client().read_committed("processed_events").unwrap();
    assert!(read.iter().any(|record| record.text().contains(&payload("user"))));
    shop.kafka.kill().unwrap();
    for one in running.iter() {
        let before = refused(one);
        wait_for(LIMIT, format!("{} misses its brokers", one.name), || refused(one) > before).unwrap();
    }
    observe(running, sinks);
    // At once: each waits for brokers as long as it may.
    let lines = APPLICATIONS
        .iter()
        .flat_map(|name| [&["doctor", "--json"][..], &["dead-letters", "list"]].map(|line| (*name, line)));
    let asked: Vec<_> = lines
        .map(|(name, line)| {
            let mut command = command(name, line, &shop.variables(name));
            (format!("{name} {} alone", line.join(" ")), std::thread::spawn(move || command.output().unwrap()))
        })
        .collect();
    for (sink, output) in asked {
        let output = output.join().unwrap();
        assert_eq!(output.status.code(), Some(1), "{sink}");
        sinks.answer(sink, &output);
    }
    observe(running, sinks);
}

fn end(running: Vec<Running>, sinks: &mut Sinks) {
    for one in &running {
        one.process.terminate();
    }
    for mut one in running {
        one.process.stop().unwrap();
        let log = one.process.log();
        assert!(log.lines().count() > 2_000 && log.contains("SASL"), "{} was talkative", one.name);
        sinks.file(format!("{}: log", one.name), one.process.log_path());
    }
}

/// What is added to a dead letter tells of the record and holds nothing of it. The record's own headers go along.
fn headers_of_dead_letters(shop: &mut Shop, client: &Client, sinks: &mut Sinks) {
    shop.kafka.restart().unwrap();
    for name in APPLICATIONS {
        let letters = client.read_committed(&format!("{name}-dead-letters")).unwrap();
        assert!(!letters.is_empty(), "{name}");
        for (header, value) in letters.into_iter().flat_map(|letter| letter.headers) {
            if header.starts_with("__") {
                let value = String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
                sinks.add(format!("{name}: dead letter's {header}"), &value);
            }
        }
    }
    assert!(TOPICS.iter().all(|topic| client.topics().unwrap().contains(*topic)));
}
