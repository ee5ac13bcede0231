//! The roles of PostgreSQL, on a real server: the loader can do its work with them, and nothing else.

use bytes::Bytes;
use loader::{Loader, LoaderConfig, Routes, SharedStatus};
use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::record::{Headers, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond_harness::{Error, Postgres};

use super::files::{deployed, text};

/// The database's URL as another user, who needs no password here.
fn as_role(url: &str, role: &str) -> String {
    let (before, after) = url.split_once("postgres@").unwrap();
    format!("{before}{role}@{after}")
}

fn refused(answer: Result<Vec<Vec<String>>, Error>) -> bool {
    matches!(answer, Err(Error::Tool { output, .. }) if output.contains("permission denied"))
}

#[test]
fn the_loader_migrates_and_loads_as_its_own_role_and_may_do_nothing_else() {
    // A server of its own: roles are the whole server's.
    let scratch = millpond_harness::Scratch::new("roles").unwrap();
    let postgres = Postgres::start(scratch.path()).unwrap();
    let owner = postgres.create_database().unwrap();
    for _ in 0..2 {
        // Twice changes nothing.
        postgres.query(&owner, &text(deployed("postgresql/roles.sql"))).unwrap();
    }
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    assert!(broker.add_topic("processed_events", 1) && broker.add_topic("attributions", 1));
    let record = |topic: &str, value: &'static str| ProducerRecord {
        target: TopicPartition::new(topic, Partition(0)),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        key: None,
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: Headers::new(),
    };
    broker.append(record("processed_events", r#"{"user_id":"u","event_name":"visit"}"#)).unwrap();
    broker.append(record("attributions", r#"{"user_id":"u","order_id":"o","marketing_channel":"mail"}"#)).unwrap();

    let url = as_role(&owner, "loader");
    let status = SharedStatus::default();
    let config = LoaderConfig::new("loader", "loader-0", &url, Routes::defaults().unwrap());
    let mut loader = Loader::new(config, broker, status.clone()).unwrap();
    loader.join().unwrap();
    let began = std::time::Instant::now();
    while status.get().records.values().sum::<u64>() < 2 {
        loader.run_once().unwrap();
        assert!(began.elapsed().as_secs() < 60, "{:?}", status.get());
    }
    assert_eq!(postgres.query(&url, "SELECT user_id FROM events").unwrap(), [["u"]]);

    for sql in ["CREATE ROLE intruder", "CREATE DATABASE other", "CREATE SCHEMA other", "SELECT * FROM pg_authid"] {
        assert!(refused(postgres.query(&url, sql)), "the loader may not: {sql}");
    }
    postgres.query(&owner, "ALTER ROLE reader LOGIN").unwrap();
    let reader = as_role(&owner, "reader");
    assert!(refused(postgres.query(&reader, "SELECT * FROM events")), "not before it is granted");
    postgres.query(&owner, &text(deployed("postgresql/reader.sql"))).unwrap();
    let channel = "SELECT marketing_channel FROM purchase_marketing_attributions";
    assert_eq!(postgres.query(&reader, channel).unwrap(), [["mail"]]);
    for sql in ["SELECT * FROM sink_offset", "DELETE FROM events", "CREATE TABLE t (a int)"] {
        assert!(refused(postgres.query(&reader, sql)), "readers may not: {sql}");
    }
}
