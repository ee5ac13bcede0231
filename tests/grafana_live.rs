//! The Grafana board against what it is made for: the four applications at work, scraped by a real Prometheus. Every
//! expression of every panel returns data.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use millpond_harness::{
    Client, Error, Kafka, Launch, Outgoing, Postgres, Process, Prometheus, Scratch, built, try_wait_for, wait_for,
};
use serde_json::{Value, json};

const APPLICATIONS: [&str; 4] = ["attribution", "fraud", "loader", "redaction"];
const TOPICS: [&str; 4] = ["events", "processed_events", "fraud-detection", "attributions"];
const LIMIT: Duration = Duration::from_mins(1);

/// The configuration that the repository ships, at the pace of a test.
fn configuration() -> String {
    include_str!("../grafana/prometheus.yml").replace("5s", "1s")
}

/// An expression with the title of its panel, ready for Prometheus.
struct Expression {
    panel: String,
    text: String,
}

/// All expressions of all boards, with Grafana's variables replaced as Grafana would for the choice "All".
fn expressions() -> Vec<Expression> {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/dashboards");
    let files = fs::read_dir(boards).unwrap().map(|file| file.unwrap().path());
    let boards = files.map(|file| serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap());
    boards.flat_map(|board| of_panels(&board, &variables(&board))).collect()
}

/// The board's variables and Grafana's own; the longer names first, because some begin with others.
fn variables(board: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let own = board["templating"]["list"].as_array().unwrap().iter();
    let own = own.map(|variable| (format!("${}", text(&variable["name"])), text(&variable["allValue"])));
    let grafanas = [("$__rate_interval", "10s"), ("$__interval", "1s")];
    own.chain(grafanas.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn of_panels(parent: &Value, variables: &[(String, String)]) -> Vec<Expression> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for panel in list(&parent["panels"]) {
        for target in list(&panel["targets"]) {
            let text = target["expr"].as_str().unwrap().to_owned();
            let text = variables.iter().fold(text, |text, (name, value)| text.replace(name, value));
            assert!(!text.contains('$'), "an unknown variable in {text}");
            found.push(Expression { panel: panel["title"].as_str().unwrap().to_owned(), text });
        }
        // A row that is closed holds its panels itself.
        found.extend(of_panels(&panel, variables));
    }
    found
}

/// An application, on a port of its own choice.
fn start(name: &str, dir: &Path, kafka: &Kafka, database_url: &str) -> Result<Process, Error> {
    let launch = Launch::new(built(name)?, dir.join(format!("{name}.log")))
        .args(["--bootstrap-servers", kafka.bootstrap_servers(), "--application-id", name])
        .args(["--http", "127.0.0.1:0", "--log-format", "json", "--state-dir"])
        .arg(dir.join("state"));
    // The others would refuse a setting that they do not know.
    let launch = if name == "loader" { launch.env("MILLPOND_APP_DATABASE_URL", database_url) } else { launch };
    launch.start()
}

/// The address of its page, once it has told it.
fn page(process: &mut Process) -> Result<String, Error> {
    try_wait_for(LIMIT, format!("{} tells its page", process.name()), || {
        if process.ended()?.is_some() {
            return Err(Error::Ended { name: process.name().to_owned(), log: process.log_tail() });
        }
        let log = process.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let url = lines.find_map(|line| line.get("url")?.as_str().map(str::to_owned));
        Ok(url.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()))
    })
}

/// What a user does who visits, fills a cart too fast and orders; and records that are none.
fn produce(client: &Client, round: u64) -> Result<(), Error> {
    let user = format!("u{round}");
    let mut events = vec![json!({ "user_id": user, "event_name": "visit", "page": "/", "channel": "mail" })];
    let item = |n| json!({ "user_id": user, "event_name": "add_to_cart", "item_url": format!("/item/{n}") });
    events.extend((0..6).map(item));
    let (order, email) = (format!("o{round}"), format!("{user}@example.com"));
    events.push(json!({ "user_id": user, "event_name": "order_confirmed", "order_id": order, "order_email": email }));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let malformed = ["{\"user_id\":", "{\"event_name\":\"visit\"}"].map(Outgoing::value);
    let events = events.into_iter().map(|event| Outgoing::value(event.to_string()));
    client.produce("events", events.chain(malformed).chain([Outgoing::default()]).map(|record| record.at(now)))
}

/// The values of an expression with their labels; what is not a number is no value.
fn values(prometheus: &Prometheus, expression: &str) -> Result<Vec<(Value, f64)>, Error> {
    let mut data = prometheus.api("query", &[("query", expression)])?;
    let result: Vec<Value> = serde_json::from_value(data["result"].take()).unwrap();
    let value = |mut series: Value| {
        let value: f64 = series["value"][1].as_str().unwrap().parse().unwrap();
        (series["metric"].take(), value)
    };
    Ok(result.into_iter().map(value).filter(|(_, value)| !value.is_nan()).collect())
}

/// Whether an expression has this value in every one of so many series.
fn all_are(prometheus: &Prometheus, expression: &str, count: usize, wanted: f64) -> Result<Option<()>, Error> {
    let values = values(prometheus, expression)?;
    Ok((values.len() == count && values.iter().all(|(_, value)| value.total_cmp(&wanted).is_eq())).then_some(()))
}

#[test]
fn every_expression_of_the_board_returns_data() {
    let scratch = Scratch::new("grafana").unwrap();
    let targets = scratch.path().join("targets");
    fs::create_dir_all(&targets).unwrap();
    let prometheus = Prometheus::start(scratch.path(), &configuration()).unwrap();
    let (kafka, database_url) = thread::scope(|scope| {
        let database_url = scope.spawn(|| Postgres::shared()?.create_database());
        (Kafka::shared().unwrap(), database_url.join().unwrap().unwrap())
    });
    let client = kafka.client();
    client.create_topics(&TOPICS, 2, &[]).unwrap();
    let start = |name| start(name, scratch.path(), kafka, &database_url).unwrap();
    let mut applications = APPLICATIONS.map(start);
    let pages: Vec<String> = applications.iter_mut().map(|application| page(application).unwrap()).collect();
    // Renamed, because Prometheus may look at any moment.
    fs::write(scratch.path().join("targets.json"), json!([{ "targets": pages }]).to_string()).unwrap();
    fs::rename(scratch.path().join("targets.json"), targets.join("demo.json")).unwrap();
    for fact in ["up", "millpond_ready"] {
        let is_so = || all_are(&prometheus, fact, APPLICATIONS.len(), 1.0);
        try_wait_for(LIMIT, format!("{fact} is 1 for all"), is_so).unwrap();
    }
    // What the board's variable offers to choose from.
    let choice = prometheus.api("label/application_id/values", &[("match[]", "millpond_ready")]).unwrap();
    assert_eq!(choice, json!(APPLICATIONS));

    let mut empty = expressions();
    assert!(empty.len() > 30, "the board is nearly empty");
    let mut round = 0;
    let found = wait_for(LIMIT, "", || {
        // Events go on: latencies and rates are those of the last seconds.
        produce(&client, round).unwrap();
        round += 1;
        empty.retain(|expression| values(&prometheus, &expression.text).unwrap().is_empty());
        empty.is_empty()
    });
    for application in &mut applications {
        assert!(application.ended().unwrap().is_none(), "{} ended:\n{}", application.name(), application.log_tail());
    }
    let counted = values(&prometheus, "sum by (reason) (millpond_dead_letters_total) > 0").unwrap();
    assert!(!counted.is_empty(), "no dead letter is counted");
    let empty: Vec<String> =
        empty.iter().map(|expression| format!("{}: {}", expression.panel, expression.text)).collect();
    assert!(found.is_ok(), "no data after {round} rounds of events for\n{}", empty.join("\n"));
}
