use super::{RouteError, RouteKind, Routes};

fn refusal(toml: &str) -> RouteError {
    Routes::from_toml(toml).unwrap_err()
}

fn one(topic: &str, table: &str, kind: &str, columns: &str) -> String {
    format!("[[route]]\ntopic = \"{topic}\"\ntable = \"{table}\"\n{kind}\ncolumns = [{columns}]\n")
}

const ID: &str = "{ column = \"id\", type = \"text\", required = true }";

#[test]
fn the_default_routes_fill_both_tables() {
    let routes = Routes::defaults().unwrap();
    let shown: Vec<_> = routes.iter().map(|route| (&**route.topic(), route.table().plain())).collect();
    let attributions = "purchase_marketing_attributions".to_owned();
    assert_eq!(shown, [("processed_events", "events".to_owned()), ("attributions", attributions)]);
    let kinds: Vec<_> = routes.iter().map(|route| matches!(route.kind(), RouteKind::Append)).collect();
    assert_eq!(kinds, [true, false]);
    assert_eq!(routes.of("attributions").unwrap().1.key_columns(), [1]);
}

#[test]
fn names_that_could_break_out_of_a_statement_are_refused() {
    for table in
        ["events; drop table x", "Events", "1st", "", "a.b.c", "x\\\" y", "sink_offset", "public._sqlx_migrations"]
    {
        let error = refusal(&one("t", table, "kind = \"append\"", ID));
        let named = matches!(error, RouteError::BadIdentifier { .. } | RouteError::ReservedTable { .. });
        assert!(named, "{table}: {error}");
    }
    let long = "x".repeat(64);
    assert_eq!(refusal(&one("t", &long, "kind = \"append\"", ID)), RouteError::BadIdentifier { name: long });
}

#[test]
fn keys_must_be_required_columns() {
    let optional = "{ column = \"id\", type = \"text\" }";
    let table = "t".to_owned();
    let bad_key = RouteError::BadKey { table: table.clone(), column: "id".to_owned() };
    assert_eq!(refusal(&one("t", "t", "kind = \"upsert\"\nkey = [\"id\"]", optional)), bad_key);
    assert_eq!(refusal(&one("t", "t", "kind = \"upsert\"", ID)), RouteError::NoKey { table: table.clone() });
    assert_eq!(refusal(&one("t", "t", "kind = \"append\"\nkey = [\"id\"]", ID)), RouteError::KeyOfAppend { table });
}

#[test]
fn columns_and_topics_come_once() {
    let twice = format!("{ID}, {ID}");
    let error = refusal(&one("t", "t", "kind = \"append\"", &twice));
    assert_eq!(error, RouteError::ColumnTwice { table: "t".to_owned(), column: "id".to_owned() });
    let taken = refusal(&one("t", "t", "kind = \"append\"", "{ column = \"source_offset\", type = \"bigint\" }"));
    assert_eq!(taken, RouteError::ColumnTwice { table: "t".to_owned(), column: "source_offset".to_owned() });
    let both = one("t", "a", "kind = \"append\"", ID) + &one("t", "b", "kind = \"append\"", ID);
    assert_eq!(refusal(&both), RouteError::TopicTwice { topic: "t".into() });
}

#[test]
fn an_unknown_key_is_shown_with_its_line() {
    let error = refusal("[[route]]\ntopic = \"t\"\ntabel = \"t\"\n").to_string();
    assert!(error.contains("line 3") && error.contains("tabel"), "{error}");
    assert_eq!(refusal("route = []"), RouteError::NoRoute);
    let topic = "a b".to_owned();
    assert_eq!(refusal(&one(&topic, "t", "kind = \"append\"", ID)), RouteError::BadTopic { topic });
}

#[test]
fn routes_read_other_topics_in_their_order() {
    let topics = |input: &[&str]| Routes::defaults().unwrap().reading(input).map(|routes| routes.topics());
    assert_eq!(topics(&["a", "b"]), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(topics(&["a"]), Err(RouteError::TopicCount { topics: 1, routes: 2 }));
    assert_eq!(topics(&["a", "a"]), Err(RouteError::TopicTwice { topic: "a".into() }));
}
