//! The alerts that ship, at the pace of a test, and faults that make them fire.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use millpond_harness::{Prometheus, query, wait_for};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use regex::Regex;

use crate::expressions::grafana;
use crate::shop::Shop;
use crate::{LIMIT, values};

/// Thresholds that a test cannot wait for, each with one that it can.
const LOWERED: [(&str, &str); 2] =
    [("_lag_seconds) > 300", "_lag_seconds) > 3"), ("_lag_records > 10000", "_lag_records > 100")];

/// Writes the rules of the repository with no `for`, and windows of ten seconds.
pub(crate) fn shortened_rules(dir: &Path) {
    fs::create_dir_all(dir.join("rules")).unwrap();
    let waits = Regex::new(r"(?m)^\s*for: \w+\n").unwrap();
    let windows = Regex::new(r"\[(\d+[mh])\]").unwrap();
    for file in ["alerts.yml", "recording.yml"] {
        let mut text = fs::read_to_string(grafana("rules").join(file)).unwrap();
        if file == "alerts.yml" {
            for (usual, low) in LOWERED {
                assert!(text.contains(usual), "{usual}");
                text = text.replace(usual, low);
            }
        }
        let text = windows.replace_all(&waits.replace_all(&text, ""), "[10s]").into_owned();
        fs::write(dir.join("rules").join(file), text).unwrap();
    }
}

/// The names of alerts that fire for an application; those without one are for all.
pub(crate) fn firing(prometheus: &Prometheus, application: &str) -> BTreeSet<String> {
    let alerts = format!("ALERTS{{alertstate=\"firing\", application_id=~\"{application}|\"}}");
    let alerts = values(prometheus, &alerts).unwrap();
    alerts.into_iter().map(|(labels, _)| labels["alertname"].as_str().unwrap().to_owned()).collect()
}

/// Goes on working until these fire.
pub(crate) fn fire(shop: &mut Shop<'_>, prometheus: &Prometheus, application: &str, wanted: &[&str]) {
    let mut seen = BTreeSet::new();
    let found = wait_for(LIMIT, "", || {
        shop.work();
        seen.extend(firing(prometheus, application));
        wanted.iter().all(|alert| seen.contains(*alert))
    });
    assert!(found.is_ok(), "of {application} should fire {wanted:?}; these did: {seen:?}");
}

/// Goes on working until none of these fires any more.
pub(crate) fn calm(shop: &mut Shop<'_>, prometheus: &Prometheus, application: &str, alerts: &[&str]) {
    let mut left = BTreeSet::new();
    let found = wait_for(LIMIT, "", || {
        shop.work();
        left = firing(prometheus, application);
        !alerts.iter().any(|alert| left.contains(*alert))
    });
    assert!(found.is_ok(), "{application} is well again, and these still fire: {left:?}");
}

/// Somebody's session in PostgreSQL that holds a table and lets nobody in.
pub(crate) struct Lock {
    url: String,
    session: Option<JoinHandle<()>>,
}

/// A sentence by which the session is found.
const HOLD: &str = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)";

impl Lock {
    pub(crate) fn take(url: &str) -> Self {
        let own = url.to_owned();
        // It ends when it is told to, with an error.
        let session = std::thread::spawn(move || drop(query(&own, HOLD)));
        let lock = Self { url: url.to_owned(), session: Some(session) };
        wait_for(LIMIT, "the table is locked", || {
            let held = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'events'::regclass";
            query(url, held).is_ok_and(|rows| !rows.is_empty())
        })
        .unwrap();
        lock
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()";
        drop(query(&self.url, end));
        if let Some(session) = self.session.take() {
            drop(session.join());
        }
    }
}

/// A transaction of somebody else's in a changelog: until it ends nobody can read past it.
pub(crate) struct Open(BaseProducer);

impl Open {
    pub(crate) fn begin(bootstrap_servers: &str, topic: &str) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("transactional.id", "somebody-else")
            .set("transaction.timeout.ms", "300000")
            .create()
            .unwrap();
        producer.init_transactions(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        for partition in 0..2 {
            // With a key: a compacted topic refuses a record without one.
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
            let record = record.key(b"somebody".as_slice()).payload(b"not committed".as_slice());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        Self(producer)
    }

    pub(crate) fn abort(self) {
        self.0.abort_transaction(Duration::from_secs(30)).unwrap();
    }
}
