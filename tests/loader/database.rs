//! Claims, fences, migrations and rows, without any broker.

use std::thread;

use loader::postgres::{Advance, Claimant, Database, Error, Limits};
use loader::{Route, Routes, Row};
use millpond::broker::TopicId;
use millpond::record::{Offset, Partition, TopicPartition};
use millpond_harness::wait_for;

use crate::fixture::{APP, ATTRIBUTIONS, EVENTS, LIMIT, attribution, consumed, count, database, event, query};

const TOPIC: TopicId = TopicId([7; 16]);

pub(crate) fn connected(url: &str) -> Database {
    let mut database = Database::new(url, Limits::default()).unwrap();
    database.migrate().unwrap();
    database
}

fn claimant(owner: &str) -> Claimant {
    Claimant { application_id: APP.to_owned(), owner: owner.to_owned() }
}

fn partition() -> TopicPartition {
    TopicPartition::new(EVENTS, Partition(0))
}

pub(crate) fn route(topic: &str) -> Route {
    let routes = Routes::defaults().unwrap();
    routes.iter().find(|route| &**route.topic() == topic).unwrap().clone()
}

pub(crate) fn rows(route: &Route, values: impl IntoIterator<Item = String>) -> Vec<Row> {
    let make = |(offset, value): (i64, String)| Row::new(route, consumed(route.topic(), offset, &value)).unwrap();
    (0..).zip(values).map(make).collect()
}

#[test]
fn migrations_run_once_however_many_processes_start_at_a_time() {
    let url = database();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || connected(&url).migrate())
        })
        .collect();
    for start in starts {
        assert_eq!(start.join().unwrap(), Ok(()));
    }
    assert_eq!(count(&url, "SELECT count(*) FROM _sqlx_migrations WHERE success"), 3);
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let url = database();
    connected(&url);
    query(&url, "INSERT INTO _sqlx_migrations VALUES (9000, 'later', now(), true, '\\x00', 1)");
    let error = Database::new(&url, Limits::default()).unwrap().migrate().unwrap_err();
    assert_eq!(error, Error::NewerDatabase { version: 9000 });
    // The lock is given back, or the next start would hang.
    query(&url, "DELETE FROM _sqlx_migrations WHERE version = 9000");
    assert_eq!(Database::new(&url, Limits::default()).unwrap().migrate(), Ok(()));
    query(&url, "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2");
    let changed = Database::new(&url, Limits::default()).unwrap().migrate();
    assert_eq!(changed, Err(Error::ChangedMigration { version: 2 }));
}

#[test]
fn a_fenced_zombie_writes_nothing() {
    let url = database();
    let (mut old, mut new) = (connected(&url), connected(&url));
    let claim = old.claim(&claimant("old"), &partition(), Offset(5), TOPIC).unwrap();
    assert_eq!((claim.epoch, claim.next), (1, Offset(5)));
    let later = new.claim(&claimant("new"), &partition(), Offset(0), TOPIC).unwrap();
    assert_eq!((later.epoch, later.next), (2, Offset(5)));

    let step = Advance { partition: partition(), claim, next: Offset(9) };
    let mut transaction = old.begin().unwrap();
    assert_eq!(transaction.advance(&claimant("old"), &[step]).unwrap(), [partition()]);
    transaction.roll_back().unwrap();
    assert_eq!(old.renew(&claimant("old"), &partition()).unwrap(), None);
    assert_eq!(query(&url, "SELECT next_offset, epoch, owner FROM sink_offset"), [["5", "2", "new"]]);
}

/// One lost claim of several is named; the others are not blamed.
#[test]
fn the_fence_names_exactly_the_lost_partitions() {
    let url = database();
    let (mut old, mut new) = (connected(&url), connected(&url));
    let all: Vec<_> = (0..3).map(|number| TopicPartition::new(EVENTS, Partition(number))).collect();
    let claims: Vec<_> = all.iter().map(|at| old.claim(&claimant("old"), at, Offset(0), TOPIC).unwrap()).collect();
    new.claim(&claimant("new"), &all[1], Offset(0), TOPIC).unwrap();
    let steps: Vec<_> = all
        .iter()
        .zip(&claims)
        .map(|(at, claim)| Advance { partition: at.clone(), claim: *claim, next: Offset(1) })
        .collect();
    let mut transaction = old.begin().unwrap();
    assert_eq!(transaction.advance(&claimant("old"), &steps).unwrap(), [all[1].clone()]);
    // Dropped, not rolled back: the connection goes, and the offsets with it.
    drop(transaction);
    assert_eq!(count(&url, "SELECT sum(next_offset) FROM sink_offset"), 0);
}

#[test]
fn a_claim_waits_for_the_zombies_open_transaction_and_sees_its_commit() {
    let url = database();
    let mut old = connected(&url);
    let claim = old.claim(&claimant("old"), &partition(), Offset(0), TOPIC).unwrap();
    let mut transaction = old.begin().unwrap();
    let step = Advance { partition: partition(), claim, next: Offset(110) };
    assert_eq!(transaction.advance(&claimant("old"), &[step]).unwrap(), []);
    let taker = thread::spawn({
        let url = url.clone();
        move || connected(&url).claim(&claimant("new"), &partition(), Offset(0), TOPIC).unwrap()
    });
    let blocked =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_for(LIMIT, "the claim waits", || count(&url, blocked) == 1).unwrap();
    transaction.commit().unwrap();
    let claim = taker.join().unwrap();
    assert_eq!((claim.epoch, claim.next), (2, Offset(110)));
}

#[test]
fn a_topic_that_was_made_again_is_refused() {
    let url = database();
    let mut database = connected(&url);
    database.claim(&claimant("a"), &partition(), Offset(0), TOPIC).unwrap();
    let again = database.claim(&claimant("a"), &partition(), Offset(0), TopicId([8; 16]));
    assert_eq!(again, Err(Error::TopicRecreated { topic: EVENTS.to_owned() }));
    assert_eq!(query(&url, "SELECT epoch FROM sink_offset"), [["1"]]);
}

#[test]
fn exactly_the_rows_that_the_database_refuses_are_left_out() {
    let url = database();
    let mut database = connected(&url);
    query(&url, "ALTER TABLE events ADD CONSTRAINT known CHECK (user_id NOT LIKE 'bad%')");
    let route = route(EVENTS);
    let bad = [0, 3, 17, 18, 49];
    let user = |row: usize| event(&if bad.contains(&row) { format!("bad{row}") } else { format!("u{row}") });
    let mut transaction = database.begin().unwrap();
    let loaded = transaction.load(&route, &rows(&route, (0..50).map(user))).unwrap();
    transaction.commit().unwrap();
    assert_eq!(loaded.refused.iter().map(|refused| refused.row).collect::<Vec<_>>(), bad);
    let reason = loaded.refused[0].reason.to_string();
    assert_eq!(reason, "PostgreSQL refused the row: 23514, constraint known");
    assert_eq!((loaded.rows, loaded.present), (45, 0));
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 45);
}

/// A constraint that is checked at COMMIT would otherwise spoil the batch when no row can be blamed any more.
#[test]
fn a_deferred_constraint_blames_its_row() {
    let url = database();
    let mut database = connected(&url);
    query(&url, "ALTER TABLE events ADD CONSTRAINT one_each UNIQUE (user_id) DEFERRABLE INITIALLY DEFERRED");
    let route = route(EVENTS);
    let mut transaction = database.begin().unwrap();
    let loaded = transaction.load(&route, &rows(&route, ["a", "b", "a", "c"].map(event))).unwrap();
    transaction.commit().unwrap();
    assert_eq!(loaded.refused.iter().map(|refused| refused.row).collect::<Vec<_>>(), [2]);
    assert_eq!(count(&url, "SELECT count(*) FROM events"), 3);
}

#[test]
fn the_last_attribution_of_an_order_stays() {
    let url = database();
    let mut database = connected(&url);
    let route = route(ATTRIBUTIONS);
    let first = [("o1", "email"), ("o2", "organic"), ("o1", "search")];
    let second = [("o2", "social")];
    let mut offset = 0;
    for batch in [&first[..], &second[..]] {
        let mut transaction = database.begin().unwrap();
        let make = |(order, channel): &(&str, &str)| {
            offset += 1;
            Row::new(&route, consumed(ATTRIBUTIONS, offset, &attribution(order, channel))).unwrap()
        };
        let rows: Vec<_> = batch.iter().map(make).collect();
        assert_eq!(transaction.load(&route, &rows).unwrap().refused, []);
        transaction.commit().unwrap();
    }
    let table =
        "SELECT order_id, marketing_channel, user_id, source_offset FROM purchase_marketing_attributions ORDER BY 1";
    assert_eq!(query(&url, table), [["o1", "search", "u", "3"], ["o2", "social", "u", "4"]]);
}

#[test]
fn a_record_that_is_there_already_is_left_as_it_is() {
    let url = database();
    let mut database = connected(&url);
    let route = route(EVENTS);
    for (users, rows_written, present) in [(["a", "b"], 2, 0), (["x", "y"], 0, 2)] {
        let mut transaction = database.begin().unwrap();
        let loaded = transaction.load(&route, &rows(&route, users.map(event))).unwrap();
        transaction.commit().unwrap();
        assert_eq!((loaded.rows, loaded.present), (rows_written, present));
    }
    assert_eq!(query(&url, "SELECT user_id FROM events ORDER BY source_offset"), [["a"], ["b"]]);
}

#[test]
fn a_route_that_does_not_fit_its_table_is_refused_at_the_start() {
    let url = database();
    let mut database = connected(&url);
    let columns = "event_time timestamptz, source_topic text, source_partition integer, source_offset bigint";
    query(
        &url,
        &format!("CREATE TABLE without_unique (id text, {columns}); CREATE TABLE other_type (id integer, {columns})"),
    );
    for (table, sqlstate) in
        [("missing", "42P01"), ("sources", "42P01"), ("without_unique", "42P10"), ("other_type", "42804")]
    {
        let toml = format!(
            "[[route]]\ntopic = \"t\"\ntable = \"{table}\"\nkind = \"append\"\n\
             columns = [{{ column = \"id\", type = \"text\" }}]"
        );
        let error = database.check_route(Routes::from_toml(&toml).unwrap().iter().next().unwrap()).unwrap_err();
        let Error::Setup { sqlstate: code, .. } = &error else { panic!("{table}: {error}") };
        assert_eq!(code, sqlstate, "{table}");
    }
    for route in &Routes::defaults().unwrap() {
        assert_eq!(database.check_route(route), Ok(()));
    }
}

#[test]
fn errors_never_quote_a_row() {
    let url = database();
    let mut database = connected(&url);
    query(&url, "ALTER TABLE events ALTER COLUMN page TYPE integer USING 1");
    query(&url, "ALTER TABLE events ALTER COLUMN page TYPE text; ALTER TABLE events ADD CHECK (page::integer > 0)");
    let route = route(EVENTS);
    let value = r#"{"user_id":"u","event_name":"visit","page":"secret@example.com"}"#.to_owned();
    let mut transaction = database.begin().unwrap();
    let loaded = transaction.load(&route, &rows(&route, [value])).unwrap();
    transaction.roll_back().unwrap();
    let shown = format!("{:?} {}", loaded.refused, loaded.refused[0].reason);
    assert!(shown.contains("22P02") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_server_that_is_not_there_may_be_tried_again_and_a_bad_url_not() {
    let url = database();
    let port_one = format!("{}127.0.0.1:1/x", url.split_once("127").unwrap().0);
    let absent = Database::new(&port_one, Limits::default()).unwrap().connect().unwrap_err();
    assert_eq!(absent.recovery(), millpond::error::Recovery::Retry, "{absent}");
    assert_eq!(Database::new("postgres://[", Limits::default()).unwrap_err(), Error::BadUrl);
    let missing = format!("{url}_missing");
    let error = Database::new(&missing, Limits::default()).unwrap().connect().unwrap_err();
    assert_eq!(error.recovery(), millpond::error::Recovery::Shutdown, "{error}");
}
