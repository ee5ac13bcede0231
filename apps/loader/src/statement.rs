//! The statements of a route, written once.

use crate::route::{ColumnType, Route, RouteKind};

/// The `INSERT` of a route: one array parameter for each column, then event time, topic, partition and offset. The
/// arrays travel in binary, so that a thousand rows are one round trip and need no escaping.
///
/// Names come from checked identifiers and are quoted; values never come into the text.
pub(crate) fn insert(route: &Route) -> String {
    let columns = route.columns();
    let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
    let mut parameters: Vec<String> =
        columns.iter().enumerate().map(|(number, column)| parameter(number, column.kind.array())).collect();
    for (number, array) in (columns.len()..).zip(["bigint[]", "text[]", "integer[]", "bigint[]"]) {
        parameters.push(parameter(number, array));
    }
    let aliases: Vec<String> = (1..=parameters.len()).map(|number| format!("c{number}")).collect();
    let mut values: Vec<String> =
        columns.iter().zip(&aliases).map(|(column, alias)| expression(column.kind, alias)).collect();
    for (kind, alias) in SOURCE_KINDS.into_iter().zip(aliases.iter().skip(columns.len())) {
        values.push(expression(kind, alias));
    }
    let all_names: Vec<&str> = names.iter().map(String::as_str).chain(crate::route::SOURCE_COLUMNS).collect();
    format!(
        "INSERT INTO {} AS t ({}) SELECT {} FROM UNNEST({}) AS r({}) {}",
        route.table(),
        all_names.join(", "),
        values.join(", "),
        parameters.join(", "),
        aliases.join(", "),
        conflict(route, &all_names),
    )
}

/// Event time, topic, partition and offset. The topic is text and partition and offset are numbers, both as they are.
const SOURCE_KINDS: [ColumnType; 4] = [ColumnType::Timestamp, ColumnType::Text, ColumnType::Bigint, ColumnType::Bigint];

fn parameter(number: usize, array: &str) -> String {
    format!("${}::{array}", number.saturating_add(1))
}

fn expression(kind: ColumnType, alias: &str) -> String {
    match kind {
        // An interval is multiplied as a double of microseconds, which is exact up to 2^53 and for whole seconds: in one
        // product, the year 9999 would be off by some microseconds.
        ColumnType::Timestamp => format!(
            "timestamptz 'epoch' + r.{alias} / 1000 * interval '1 second' + r.{alias} % 1000 * interval '1 millisecond'"
        ),
        ColumnType::Jsonb => format!("r.{alias}::jsonb"),
        ColumnType::Text | ColumnType::Bigint | ColumnType::Double | ColumnType::Boolean => format!("r.{alias}"),
    }
}

fn conflict(route: &Route, names: &[&str]) -> String {
    match route.kind() {
        // The fence alone keeps records from coming twice. Should the offsets be lost (a table restored without the
        // other), a record that is there already is left as it is.
        RouteKind::Append => "ON CONFLICT (source_topic, source_partition, source_offset) DO NOTHING".to_owned(),
        RouteKind::Upsert { key } => {
            let key: Vec<String> = key.iter().map(ToString::to_string).collect();
            let set: Vec<String> = names
                .iter()
                .filter(|name| !key.iter().any(|column| column == *name))
                .map(|name| format!("{name} = excluded.{name}"))
                .collect();
            format!("ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::insert;
    use crate::route::Routes;

    #[test]
    fn an_upsert_replaces_every_column_but_the_key() {
        let routes = Routes::defaults().unwrap();
        let (_, route) = routes.of("attributions").unwrap();
        assert_eq!(
            insert(route),
            "INSERT INTO \"purchase_marketing_attributions\" AS t (\"user_id\", \"order_id\", \"marketing_channel\", \
             event_time, source_topic, source_partition, source_offset) \
             SELECT r.c1, r.c2, r.c3, timestamptz 'epoch' + r.c4 / 1000 * interval '1 second' \
             + r.c4 % 1000 * interval '1 millisecond', r.c5, r.c6, r.c7 \
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::bigint[]) \
             AS r(c1, c2, c3, c4, c5, c6, c7) \
             ON CONFLICT (\"order_id\") DO UPDATE SET \"user_id\" = excluded.\"user_id\", \
             \"marketing_channel\" = excluded.\"marketing_channel\", event_time = excluded.event_time, \
             source_topic = excluded.source_topic, source_partition = excluded.source_partition, \
             source_offset = excluded.source_offset"
        );
    }

    #[test]
    fn an_append_leaves_a_record_that_is_there_already() {
        let routes = Routes::defaults().unwrap();
        let (_, route) = routes.of("processed_events").unwrap();
        assert!(insert(route).ends_with("ON CONFLICT (source_topic, source_partition, source_offset) DO NOTHING"));
    }
}
