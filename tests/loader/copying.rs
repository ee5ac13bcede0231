//! The two ways into a table: `COPY` where the columns are exactly those of the route, `INSERT` elsewhere. They must not be
//! told apart by what arrives.

use std::collections::BTreeMap;

use loader::postgres::Database;
use loader::{Route, Routes, Row};
use millpond::broker::sim::SplitMix64;

use crate::database::{connected, route, rows};
use crate::fixture::{ATTRIBUTIONS, EVENTS, attribution, consumed, count, database, event, query};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copy,
    Insert,
}

impl Way {
    /// A database with this table, and the route to it.
    fn table(self, table: &str, create: &str, columns: &str) -> (String, Database, Route) {
        let url = database();
        let database = connected(&url);
        query(
            &url,
            &format!(
                "{create}, event_time timestamptz, source_topic text, source_partition integer, source_offset bigint, \
                 UNIQUE (source_topic, source_partition, source_offset))"
            ),
        );
        self.prepare(&url, table);
        let name = table.replace('"', "");
        let toml = format!("[[route]]\ntopic = \"t\"\ntable = \"{name}\"\nkind = \"append\"\ncolumns = [{columns}]");
        let route = Routes::from_toml(&toml).unwrap().iter().next().unwrap().clone();
        (url, database, route)
    }

    /// Sees to it that this way is taken, and that it is written down. The policy is none for the table's owner.
    fn prepare(self, url: &str, table: &str) {
        if self == Self::Insert {
            query(url, &format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"));
        }
        query(
            url,
            &format!(
                "CREATE TABLE ways (way text); \
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN INSERT INTO ways VALUES (split_part(current_query(), ' ', 1)); RETURN NULL; END $$; \
                 CREATE TRIGGER noted AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION note()"
            ),
        );
    }

    fn was_taken(self, url: &str) {
        let name = if self == Self::Copy { "COPY" } else { "INSERT" };
        assert!(count(url, "SELECT count(*) FROM ways") > 0);
        assert_eq!(query(url, "SELECT DISTINCT way FROM ways"), [[name]]);
    }
}

#[test]
fn every_type_of_column_arrives_as_it_was_on_both_ways() {
    for way in [Way::Copy, Way::Insert] {
        let (url, mut database, route) = way.table(
            "shop.\"select\"",
            "CREATE SCHEMA shop; CREATE TABLE shop.\"select\" (item text, pieces bigint, price double precision, \
             sold boolean, made timestamptz, document jsonb",
            r#"
            { column = "item", type = "text" },
            { column = "pieces", type = "bigint" },
            { column = "price", type = "double" },
            { column = "sold", type = "boolean" },
            { column = "made", type = "timestamp" },
            { column = "document", field = "/more", type = "jsonb" },
            "#,
        );
        database.check_route(&route).unwrap();
        let full = r#"{"item":"ä'\"\\,{}\n","pieces":-9223372036854775808,"price":0.1,"sold":false,
        "made":253402300799999,"more":{"a":[1,null]}}"#;
        let mut transaction = database.begin().unwrap();
        let loaded = transaction.load(&route, &rows(&route, [full.to_owned(), "{}".to_owned()])).unwrap();
        transaction.commit().unwrap();
        assert_eq!(loaded.refused, []);
        let sql = "SET TIME ZONE 'UTC'; SELECT encode(convert_to(item, 'UTF8'), 'hex'), pieces, price, sold, made, document, \
               event_time, source_topic, source_partition, source_offset FROM shop.\"select\" ORDER BY source_offset";
        let hex = "c3a427225c2c7b7d0a";
        let time = "2023-11-14 22:13:20.123+00";
        assert_eq!(
            query(&url, sql),
            [
                [
                    hex,
                    "-9223372036854775808",
                    "0.1",
                    "f",
                    "9999-12-31 23:59:59.999+00",
                    r#"{"a": [1, null]}"#,
                    time,
                    "t",
                    "0",
                    "0"
                ],
                ["", "", "", "", "", "", time, "t", "0", "1"],
            ]
        );
        way.was_taken(&url);
    }
}

#[test]
fn times_of_all_years_are_kept_to_the_millisecond_on_both_ways() {
    for way in [Way::Copy, Way::Insert] {
        let (url, mut database, route) = way.table(
            "times",
            "CREATE TABLE times (made timestamptz, pieces bigint",
            r#"{ column = "made", type = "timestamp" }, { column = "pieces", field = "made", type = "bigint" }"#,
        );
        let mut rng = SplitMix64::new(1);
        let (first, last) = (-62_135_596_800_000_i64, 253_402_300_799_999_i64);
        let drawn = (0..2_000).map(|_| first + i64::try_from(rng.below(u64::try_from(last - first).unwrap())).unwrap());
        let times: Vec<i64> = [first, -1, 0, 1, last].into_iter().chain(drawn).collect();
        let mut transaction = database.begin().unwrap();
        let loaded =
            transaction.load(&route, &rows(&route, times.iter().map(|ms| format!("{{\"made\":{ms}}}")))).unwrap();
        transaction.commit().unwrap();
        assert_eq!(loaded.rows, 2_005);
        assert_eq!(
            query(&url, "SELECT pieces, made FROM times WHERE extract(epoch FROM made) * 1000 <> pieces"),
            Vec::<Vec<String>>::new()
        );
        way.was_taken(&url);
    }
}

/// A column of another type than the route's: PostgreSQL converts what is inserted, and could not read what is copied.
#[test]
fn a_column_of_another_type_is_inserted() {
    let url = database();
    let mut database = connected(&url);
    query(&url, "ALTER TABLE events ALTER COLUMN page TYPE varchar(20)");
    Way::Copy.prepare(&url, "events");
    let route = &route(EVENTS);
    let mut transaction = database.begin().unwrap();
    assert_eq!(transaction.load(route, &rows(route, [event("a")])).unwrap().rows, 1);
    transaction.commit().unwrap();
    Way::Insert.was_taken(&url);
}

/// The last of each order, as a map has it: batches of new orders are copied, those that replace one are not, and for a while
/// after them none is tried.
#[test]
fn of_each_order_the_last_row_is_there_whichever_way_it_came() {
    for way in [Way::Copy, Way::Insert] {
        let url = database();
        let mut database = connected(&url);
        way.prepare(&url, "purchase_marketing_attributions");
        let route = &route(ATTRIBUTIONS);
        let (mut rng, mut expected, mut offset, mut next) = (SplitMix64::new(7), BTreeMap::new(), 0, 0);
        for batch in 0..60 {
            // Whole stretches are new; in others an order in four was there before, often in the same batch.
            let again = batch % 20 >= 10;
            let drawn: Vec<(u64, u64)> = (0..=rng.below(12))
                .map(|_| {
                    if again && next > 0 && rng.below(4) == 0 {
                        return (rng.below(next), rng.below(3));
                    }
                    next += 1;
                    (next - 1, rng.below(3))
                })
                .collect();
            let rows: Vec<Row> = (offset..)
                .zip(&drawn)
                .map(|(offset, (order, channel))| {
                    let value = attribution(&format!("o{order}"), &format!("c{channel}"));
                    Row::new(route, consumed(ATTRIBUTIONS, offset, &value)).unwrap()
                })
                .collect();
            for (offset, (order, channel)) in (offset..).zip(&drawn) {
                expected.insert(format!("o{order}"), [format!("c{channel}"), offset.to_string()]);
            }
            offset += i64::try_from(drawn.len()).unwrap();
            let mut transaction = database.begin().unwrap();
            assert_eq!(transaction.load(route, &rows).unwrap().refused, []);
            transaction.commit().unwrap();
        }
        let sql = "SELECT order_id, marketing_channel, source_offset FROM purchase_marketing_attributions";
        let found: BTreeMap<String, [String; 2]> = query(&url, sql)
            .into_iter()
            .map(|row| match <[String; 3]>::try_from(row).unwrap() {
                [order, channel, offset] => (order, [channel, offset]),
            })
            .collect();
        assert_eq!(found, expected);
        let ways: &[[&str; 1]] = if way == Way::Copy { &[["COPY"], ["INSERT"]] } else { &[["INSERT"]] };
        assert_eq!(query(&url, "SELECT DISTINCT way FROM ways ORDER BY way"), ways);
    }
}
