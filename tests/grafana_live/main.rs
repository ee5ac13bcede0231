//! Boards and rules against what they are made for: the four applications at work, scraped by a real Prometheus. Every
//! expression returns data; and what goes wrong for real makes the alert for it fire, and end.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod expressions;
mod firing;
mod shop;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use millpond_harness::{Error, Kafka, Postgres, Prometheus, Scratch, try_wait_for, wait_for};
use serde_json::{Value, json};

use firing::{Lock, Open, calm, fire};
use shop::{APPLICATIONS, Shop};

const LIMIT: Duration = Duration::from_mins(1);

/// What fires when nothing gets through.
const STUCK: [&str; 3] = ["MillpondCommitStalled", "MillpondLagSecondsHigh", "MillpondLagGrowing"];
/// What fires when a restore does not come to its end.
const STANDING: [&str; 3] = ["MillpondRestoreSlow", "MillpondRestoreStuck", "MillpondNotReady"];

/// Those that commit in transactions of Kafka.
const STREAMS: [&str; 3] = ["attribution", "fraud", "redaction"];
/// What a commit is made of, as the label says it.
const PHASES: [&str; 4] = ["end_transaction", "flush", "offsets", "store"];

/// The configuration that the repository ships, at the pace of a test.
fn configuration() -> String {
    include_str!("../../grafana/prometheus.yml").replace("5s", "1s")
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
fn every_expression_returns_data_and_what_goes_wrong_fires_its_alert() {
    let scratch = Scratch::new("grafana").unwrap();
    fs::create_dir_all(scratch.path().join("targets")).unwrap();
    firing::shortened_rules(scratch.path());
    let prometheus = Prometheus::start(scratch.path(), &configuration()).unwrap();
    let (kafka, database_url) = thread::scope(|scope| {
        let database_url = scope.spawn(|| Postgres::shared()?.create_database());
        (Kafka::shared().unwrap(), database_url.join().unwrap().unwrap())
    });
    let mut shop = Shop::open(scratch.path(), kafka, database_url);
    shop.announce();
    for fact in ["up", "millpond_ready"] {
        let is_so = || all_are(&prometheus, fact, APPLICATIONS.len(), 1.0);
        try_wait_for(LIMIT, format!("{fact} is 1 for all"), is_so).unwrap();
    }
    every_expression_returns_data(&mut shop, &prometheus);
    each_phase_of_a_commit_is_timed(&mut shop, &prometheus);
    nothing_fires_while_all_is_well(&mut shop, &prometheus);
    dead_letters(&mut shop, &prometheus);
    stuck_commit_and_growing_lag(&mut shop, &prometheus);
    restore_that_stands_still(&mut shop, &prometheus, kafka);
    stopped_application(&mut shop, &prometheus);
}

fn every_expression_returns_data(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    // What the boards' variable offers to choose from.
    let choice = prometheus.api("label/application_id/values", &[("match[]", "millpond_ready")]).unwrap();
    assert_eq!(choice, json!(APPLICATIONS));
    let mut empty = expressions::all();
    assert!(empty.len() > 300, "boards and rules are nearly empty: {}", empty.len());
    let found = wait_for(LIMIT, "", || {
        // Events go on: latencies and rates are those of the last seconds.
        shop.work();
        empty.retain(|expression| values(prometheus, &expression.text).unwrap().is_empty());
        empty.is_empty()
    });
    shop.check();
    let empty: Vec<String> =
        empty.iter().map(|expression| format!("{}: {}", expression.place, expression.text)).collect();
    assert!(found.is_ok(), "no data for\n{}", empty.join("\n"));
}

/// The panel has data as soon as one phase of one application has; here each of each must have some, and a time that can be.
fn each_phase_of_a_commit_is_timed(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    let wanted: BTreeSet<(String, String)> =
        STREAMS.iter().flat_map(|name| PHASES.map(|phase| ((*name).to_owned(), phase.to_owned()))).collect();
    let timed = |expression: &str| {
        let label = |series: &Value, name: &str| series[name].as_str().unwrap().to_owned();
        let values = values(prometheus, expression).unwrap().into_iter();
        let positive = values.filter(|(_, value)| *value > 0.0 && value.is_finite());
        positive.map(|(series, _)| (label(&series, "application_id"), label(&series, "phase"))).collect::<BTreeSet<_>>()
    };
    let by = "by (application_id, phase";
    for expression in [
        format!("sum {by}) (millpond_commit_seconds_count)"),
        format!("sum {by}) (millpond_commit_seconds_sum)"),
        // As the boards show them, of the last seconds.
        format!("histogram_quantile(0.99, sum {by}, le) (rate(millpond_commit_seconds_bucket[10s])))"),
    ] {
        let all = wait_for(LIMIT, "", || {
            shop.work();
            timed(&expression).is_superset(&wanted)
        });
        let missing: Vec<_> = wanted.difference(&timed(&expression)).cloned().collect();
        assert!(all.is_ok(), "{expression} has nothing for {missing:?}");
    }
    shop.check();
}

fn nothing_fires_while_all_is_well(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    // With windows of seconds a start looks like trouble, and so does a disk that somebody else fills: those that faults
    // below make fire are the ones that are watched.
    let watched = [&STUCK[..], &STANDING[..], &["MillpondDeadLetters", "MillpondDown", "MillpondNotLive"]].concat();
    calm(shop, prometheus, ".*", &watched);
}

fn dead_letters(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    shop.disturb();
    fire(shop, prometheus, "fraud", &["MillpondDeadLetters"]);
    let counted = values(prometheus, "sum by (reason) (millpond_dead_letters_total) > 0").unwrap();
    assert!(!counted.is_empty(), "no dead letter is counted");
    calm(shop, prometheus, "fraud", &["MillpondDeadLetters"]);
}

/// A table that is locked: the loader polls on, and nothing gets through.
fn stuck_commit_and_growing_lag(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    let lock = Lock::take(&shop.database_url);
    fire(shop, prometheus, "loader", &STUCK);
    let others = firing::firing(prometheus, "fraud");
    assert!(!others.contains("MillpondCommitStalled"), "fraud is well: {others:?}");
    drop(lock);
    calm(shop, prometheus, "loader", &STUCK);
}

/// A disk that is lost, and a changelog that cannot be read to its end: the restore begins and does not come through.
fn restore_that_stands_still(shop: &mut Shop<'_>, prometheus: &Prometheus, kafka: &Kafka) {
    let open = Open::begin(kafka.bootstrap_servers(), "fraud-carts-changelog");
    shop.kill("fraud");
    shop.lose_state("fraud");
    shop.restart("fraud");
    fire(shop, prometheus, "fraud", &STANDING);
    open.abort();
    calm(shop, prometheus, "fraud", &STANDING);
    shop.check();
}

fn stopped_application(shop: &mut Shop<'_>, prometheus: &Prometheus) {
    shop.kill("attribution");
    fire(shop, prometheus, "attribution", &["MillpondDown"]);
    shop.restart("attribution");
    calm(shop, prometheus, "attribution", &["MillpondDown"]);
    shop.check();
}
