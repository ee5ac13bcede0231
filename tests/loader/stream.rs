//! From topics to tables: exact results, lag zero, rebalances, and PostgreSQL going away.

use std::time::Duration;

use loader::postgres::{Claimant, Database, Limits};
use loader::{Loader, PartitionState, SharedStatus, StartPolicy};
use millpond::broker::{Broker, Producer};
use millpond::error::Recovery;
use millpond::record::{Offset, Partition, TopicPartition};
use millpond_harness::{Postgres, Scratch};

use crate::fixture::{
    APP, ATTRIBUTIONS, Driven, EVENTS, append, append_events, attribution, broker, config, count, database, drained,
    event, loaded_positions, positions, query, record,
};

#[test]
fn every_record_is_a_row_once_and_the_lag_is_zero_behind_markers() {
    let (url, broker) = (database(), broker(3));
    append_events(&broker, 0..700);
    let mut producer = broker.producer("input").unwrap();
    producer.begin().unwrap();
    for user in 0..50 {
        producer.send(record(EVENTS, user % 3, 1_000, event(&format!("t{user}")))).unwrap();
    }
    producer.commit(Duration::from_secs(1)).unwrap();
    // Aborted records and their marker stand at the very end.
    producer.begin().unwrap();
    producer.send(record(EVENTS, 0, 1_000, event("aborted"))).unwrap();
    drop(producer);
    broker.producer("input").unwrap();
    for order in 0..20 {
        append(&broker, ATTRIBUTIONS, order % 3, attribution(&format!("o{order}"), "email"));
    }

    let mut driven = Driven::new(config(&url, "a"), &broker);
    driven.drain(&broker);
    let status = driven.status();
    driven.loader.close().unwrap();

    assert_eq!(loaded_positions(&url), positions(&broker, EVENTS));
    assert_eq!(count(&url, "SELECT count(DISTINCT user_id) FROM events WHERE event_time IS NOT NULL"), 750);
    assert_eq!(count(&url, "SELECT count(*) FROM purchase_marketing_attributions"), 20);
    let stored = query(&url, "SELECT part, next_offset FROM sink_offset WHERE topic = 'processed_events' ORDER BY 1");
    let end = |at: TopicPartition| vec![at.partition.to_string(), broker.end_offset(&at).unwrap().to_string()];
    assert_eq!(stored, broker.partitions(EVENTS).into_iter().map(end).collect::<Vec<_>>());
    assert_eq!((status.tables["events"].rows, status.records[EVENTS]), (750, 750));
    assert!(status.partitions.values().all(|partition| partition.state == PartitionState::Running));
}

#[test]
fn a_corrected_attribution_replaces_the_one_before_in_whatever_batch_it_comes() {
    let (url, broker) = (database(), broker(1));
    append(&broker, ATTRIBUTIONS, 0, attribution("o1", "organic"));
    append(&broker, ATTRIBUTIONS, 0, attribution("o1", "email"));
    let mut driven = Driven::new(config(&url, "a"), &broker);
    driven.drain(&broker);
    let table = "SELECT order_id, marketing_channel, source_offset FROM purchase_marketing_attributions";
    assert_eq!(query(&url, table), [["o1", "email", "1"]]);
    append(&broker, ATTRIBUTIONS, 0, attribution("o1", "social"));
    driven.drain(&broker);
    assert_eq!(query(&url, table), [["o1", "social", "2"]]);
}

#[test]
fn a_killed_loader_goes_on_where_postgresql_stands() {
    let (url, broker) = (database(), broker(2));
    for round in 0..5 {
        append_events(&broker, round * 900..(round + 1) * 900);
        let mut driven = Driven::new(config(&url, "a"), &broker);
        // Far enough to have written something of this round, but not all of it; then as if killed.
        let before = count(&url, "SELECT count(*) FROM events");
        driven.until("some rows", |status| status.batches > 0);
        drop(driven);
        assert!(count(&url, "SELECT count(*) FROM events") > before);
    }
    Driven::new(config(&url, "a"), &broker).drain(&broker);
    assert_eq!(loaded_positions(&url), positions(&broker, EVENTS));
}

#[test]
fn two_loaders_share_the_partitions_while_they_come_and_go() {
    let (url, broker) = (database(), broker(4));
    let mut first = Driven::new(config(&url, "a"), &broker);
    append_events(&broker, 0..1_000);
    first.until("rows", |status| status.batches > 0);
    let mut second = Driven::new(config(&url, "b"), &broker);
    for round in 1..20 {
        append_events(&broker, round * 100 + 900..round * 100 + 1_000);
        first.loader.run_once().unwrap();
        second.loader.run_once().unwrap();
    }
    while second.status().partitions.len() != 4 {
        first.loader.run_once().unwrap();
        second.loader.run_once().unwrap();
    }
    // It leaves as after a scale-in: the session ends, the other one takes all.
    first.loader.close().unwrap();
    broker.expire_session(APP, "loader-a-0");
    append_events(&broker, 2_900..3_000);
    second.drain(&broker);
    assert_eq!(second.status().partitions.len(), 8);
    assert_eq!(loaded_positions(&url), positions(&broker, EVENTS));
    assert_eq!(second.status().tables["events"].present, 0);
}

#[test]
fn a_loader_whose_claim_is_taken_stands_still_and_says_so() {
    let (url, broker) = (database(), broker(2));
    let mut config = config(&url, "a");
    config.give_up_after = Duration::from_millis(300);
    let mut driven = Driven::new(config, &broker);
    append_events(&broker, 0..10);
    driven.drain(&broker);
    let taken = TopicPartition::new(EVENTS, Partition(1));
    let thief = Claimant { application_id: APP.to_owned(), owner: "thief".to_owned() };
    let id = broker.topic_id(EVENTS).unwrap();
    Database::new(&url, Limits::default()).unwrap().claim(&thief, &taken, Offset(0), id).unwrap();
    append_events(&broker, 10..20);
    driven.until("fenced", |status| status.partitions[&taken].state == PartitionState::Fenced);
    // Only the lost partition stands still.
    let other = TopicPartition::new(EVENTS, Partition(0));
    driven.until("the other goes on", |status| status.partitions[&other].next == broker.last_stable_offset(&other));
    assert_eq!(count(&url, "SELECT count(*) FROM events WHERE source_partition = 1"), 5);
    let error = loop {
        if let Err(error) = driven.loader.run_once() {
            break error;
        }
    };
    assert_eq!(error, loader::Error::Fenced { partition: taken });
    assert_eq!(error.recovery(), Recovery::Shutdown);
}

#[test]
fn postgresql_killed_in_the_stream_costs_nothing() {
    let scratch = Scratch::new("loader-restart").unwrap();
    let mut postgres = Postgres::start(scratch.path()).unwrap();
    let url = postgres.create_database().unwrap();
    let broker = broker(3);
    let mut driven = Driven::new(config(&url, "a"), &broker);
    for round in 0..3 {
        append_events(&broker, round * 2_000..(round + 1) * 2_000);
        let batches = driven.status().batches;
        driven.until("some rows", |status| status.batches > batches);
        append_events(&broker, 10_000 + round * 100..10_000 + (round + 1) * 100);
        if round == 1 {
            postgres.stop().unwrap();
        } else {
            postgres.kill().unwrap();
        }
        let errors = driven.status().postgres_errors;
        // The group is polled all the time, or it would take the partitions away.
        driven.until("errors", |status| {
            // A backend outlives a killed server by a moment, and may write all that was left: then there is more.
            if drained(&broker) {
                append_events(&broker, 20_000..20_003);
            }
            status.postgres_errors >= errors + 2
        });
        assert!(!driven.status().connected);
        assert_eq!(broker.group(APP).assignments.len(), 1);
        postgres.restart().unwrap();
        driven.drain(&broker);
    }
    let rows = postgres.query(&url, "SELECT source_partition, source_offset FROM events ORDER BY 1, 2").unwrap();
    assert_eq!(rows, positions(&broker, EVENTS));
}

#[test]
fn a_terminated_backend_is_replaced() {
    let (url, broker) = (database(), broker(2));
    let mut driven = Driven::new(config(&url, "a"), &broker);
    for round in 0..5 {
        append_events(&broker, round * 100..(round + 1) * 100);
        driven.loader.run_once().unwrap();
        query(
            &url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    driven.drain(&broker);
    assert!(driven.status().postgres_errors > 0);
    assert_eq!(loaded_positions(&url), positions(&broker, EVENTS));
}

#[test]
fn a_database_that_stays_away_ends_the_loader_with_an_error() {
    let scratch = Scratch::new("loader-away").unwrap();
    let mut postgres = Postgres::start(scratch.path()).unwrap();
    let url = postgres.create_database().unwrap();
    let broker = broker(1);
    let mut config = config(&url, "a");
    config.give_up_after = Duration::from_millis(500);
    let mut driven = Driven::new(config, &broker);
    driven.until("claimed", |status| status.partitions.values().any(|at| at.state == PartitionState::Running));
    postgres.kill().unwrap();
    append_events(&broker, 0..10);
    let error = loop {
        if let Err(error) = driven.loader.run_once() {
            break error;
        }
    };
    assert!(matches!(&error, loader::Error::GaveUp { .. }), "{error}");
    assert_eq!(error.recovery(), Recovery::Shutdown);
}

#[test]
fn offsets_outside_the_log_end_the_loader_instead_of_skipping() {
    let (url, broker) = (database(), broker(1));
    append_events(&broker, 0..10);
    let mut driven = Driven::new(config(&url, "a"), &broker);
    driven.drain(&broker);
    drop(driven);
    let at = TopicPartition::new(EVENTS, Partition(0));
    append_events(&broker, 10..30);
    broker.delete_records_before(&at, Offset(20));
    let mut driven = Driven::new(config(&url, "a"), &broker);
    let error = loop {
        if let Err(error) = driven.loader.run_once() {
            break error;
        }
    };
    let expected = loader::Error::OutsideLog { partition: at, next: Offset(10), start: Offset(20), end: Offset(30) };
    assert_eq!(error, expected);
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 10);
}

#[test]
fn a_partition_never_loaded_starts_where_the_policy_says() {
    let (url, broker) = (database(), broker(1));
    append_events(&broker, 0..10);
    let mut config = config(&url, "a");
    config.start = StartPolicy::Latest;
    let mut driven = Driven::new(config, &broker);
    driven.until("claimed", |status| {
        status.partitions.values().all(|at| at.state == PartitionState::Running) && !status.partitions.is_empty()
    });
    append_events(&broker, 10..13);
    driven.drain(&broker);
    assert_eq!(query(&url, "SELECT source_offset FROM events ORDER BY 1"), [["10"], ["11"], ["12"]]);
}

#[test]
fn a_missing_topic_is_waited_for() {
    let url = database();
    let broker = millpond::broker::sim::SimBroker::new();
    assert!(broker.add_topic(EVENTS, 1));
    let mut loader = Loader::new(config(&url, "a"), broker.clone(), SharedStatus::default()).unwrap();
    let error = loader.join().unwrap_err();
    assert_eq!(
        (error.recovery(), error),
        (Recovery::Retry, loader::Error::MissingTopic { topic: ATTRIBUTIONS.into() })
    );
    assert!(broker.add_topic(ATTRIBUTIONS, 1));
    assert_eq!(loader.join(), Ok(()));
}

#[test]
fn a_stopped_loader_has_written_what_it_read_and_keeps_its_place() {
    let (url, broker) = (database(), broker(2));
    append_events(&broker, 0..300);
    let stop = std::sync::atomic::AtomicBool::new(true);
    loader::run(&config(&url, "a"), broker.clone(), &SharedStatus::default(), &stop).unwrap();
    assert_eq!(broker.group(APP).assignments.len(), 0, "stopped before it began");
    let mut driven = Driven::new(config(&url, "a"), &broker);
    driven.until("rows", |status| status.batches > 0);
    driven.drain(&broker);
    driven.loader.close().unwrap();
    assert!(drained(&broker));
    assert_eq!(broker.group(APP).assignments.len(), 1, "a static member stays");
}
