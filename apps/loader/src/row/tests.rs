use bytes::Bytes;
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, TopicPartition};
use millpond::time::Timestamp;

use super::{Cell, MILLIS_MAX, Reason, Row};
use crate::route::Routes;

fn routes() -> Routes {
    Routes::from_toml(
        r#"
        [[route]]
        topic = "t"
        table = "t"
        kind = "append"
        columns = [
            { column = "name", type = "text", required = true },
            { column = "pieces", type = "bigint" },
            { column = "price", type = "double" },
            { column = "sold", type = "boolean" },
            { column = "at", field = "/when/ms", type = "timestamp" },
            { column = "document", field = "", type = "jsonb" },
        ]
        "#,
    )
    .unwrap()
}

fn record(value: Option<&[u8]>) -> ConsumedRecord {
    ConsumedRecord {
        source: TopicPartition::new("t", Partition(1)),
        offset: Offset(7),
        timestamp: Timestamp::from_millis(1_000),
        key: None,
        value: value.map(Bytes::copy_from_slice),
        headers: Headers::new(),
    }
}

fn row(value: &str) -> Result<Vec<Cell>, Reason> {
    let routes = routes();
    let (_, route) = routes.of("t").unwrap();
    Row::new(route, record(Some(value.as_bytes()))).map(|row| row.cells).map_err(|refused| refused.reason)
}

fn refusal(value: &str) -> Reason {
    row(value).unwrap_err()
}

#[test]
fn each_type_of_column_takes_its_json_value() {
    let cells = row(r#"{"name":"n","pieces":-3,"price":2,"sold":true,"when":{"ms":5}}"#).unwrap();
    let document = r#"{"name":"n","pieces":-3,"price":2,"sold":true,"when":{"ms":5}}"#;
    let expected = [
        Cell::Text("n".to_owned()),
        Cell::Integer(-3),
        Cell::Double(2.0),
        Cell::Boolean(true),
        Cell::Integer(5),
        Cell::Text(document.to_owned()),
    ];
    assert_eq!(cells, expected);
}

#[test]
fn what_is_missing_or_null_is_null_where_it_may_be() {
    let cells = row(r#"{"name":"","pieces":null}"#).unwrap();
    assert_eq!(cells[..5], [Cell::Text(String::new()), Cell::Null, Cell::Null, Cell::Null, Cell::Null]);
    assert_eq!(refusal("{}"), Reason::MissingField("name".to_owned()));
    assert_eq!(refusal(r#"{"name":null}"#), Reason::MissingField("name".to_owned()));
}

#[test]
fn a_value_of_another_type_is_refused_with_its_column() {
    for (value, column) in [
        (r#"{"name":1}"#, "name"),
        (r#"{"name":["n"]}"#, "name"),
        (r#"{"name":"n","pieces":"3"}"#, "pieces"),
        (r#"{"name":"n","pieces":1.5}"#, "pieces"),
        (r#"{"name":"n","price":"2"}"#, "price"),
        (r#"{"name":"n","sold":0}"#, "sold"),
        (r#"{"name":"n","when":{"ms":"now"}}"#, "at"),
    ] {
        assert_eq!(refusal(value), Reason::WrongType(column.to_owned()), "{value}");
    }
}

#[test]
fn numbers_beyond_their_column_are_refused() {
    let pieces = Reason::OutOfRange("pieces".to_owned());
    assert_eq!(refusal(r#"{"name":"n","pieces":9223372036854775808}"#), pieces);
    let at = Reason::OutOfRange("at".to_owned());
    assert_eq!(refusal(&format!(r#"{{"name":"n","when":{{"ms":{}}}}}"#, MILLIS_MAX + 1)), at);
    assert_eq!(refusal(r#"{"name":"n","price":1e999}"#), Reason::InvalidJson);
}

#[test]
fn nul_characters_are_refused_wherever_postgresql_would_meet_them() {
    assert_eq!(refusal(r#"{"name":"a\u0000b"}"#), Reason::NulCharacter("name".to_owned()));
    assert_eq!(refusal(r#"{"name":"n","other":[{"\u0000":1}]}"#), Reason::NulCharacter("document".to_owned()));
}

#[test]
fn what_is_no_document_is_refused() {
    assert_eq!(refusal(""), Reason::InvalidJson);
    assert_eq!(refusal(r#"{"name":"n"} x"#), Reason::InvalidJson);
    assert_eq!(refusal(r#"{"name":"\ud800"}"#), Reason::InvalidJson);
    assert_eq!(refusal("[1]"), Reason::NotAnObject);
    assert_eq!(refusal(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), Reason::InvalidJson);
    let routes = routes();
    let (_, route) = routes.of("t").unwrap();
    assert_eq!(Row::new(route, record(None)).unwrap_err().reason, Reason::NullValue);
    assert_eq!(Row::new(route, record(Some(b"{\"name\":\"\xff\"}"))).unwrap_err().reason, Reason::InvalidUtf8);
}

#[test]
fn a_record_without_a_time_of_its_own_is_refused() {
    let routes = routes();
    let (_, route) = routes.of("t").unwrap();
    for millis in [-1, i64::MIN, MILLIS_MAX + 1, i64::MAX] {
        let record = ConsumedRecord { timestamp: Timestamp::from_millis(millis), ..record(Some(b"{\"name\":\"n\"}")) };
        assert_eq!(Row::new(route, record).unwrap_err().reason, Reason::BadTimestamp);
    }
}
