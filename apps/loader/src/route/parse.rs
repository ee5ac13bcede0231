//! Routes from TOML, checked.

use std::collections::BTreeSet;

use super::{Column, ColumnType, Field, Route, RouteError, RouteKind, SOURCE_COLUMNS};
use crate::identifier::{Identifier, TableName};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoutesToml {
    pub(super) route: Vec<RouteToml>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteToml {
    topic: String,
    table: String,
    kind: KindToml,
    #[serde(default)]
    key: Vec<String>,
    columns: Vec<ColumnToml>,
}

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindToml {
    Append,
    Upsert,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnToml {
    column: String,
    field: Option<String>,
    #[serde(rename = "type")]
    kind: ColumnType,
    #[serde(default)]
    required: bool,
}

impl TryFrom<RouteToml> for Route {
    type Error = RouteError;

    fn try_from(raw: RouteToml) -> Result<Self, RouteError> {
        check_topic(&raw.topic)?;
        let table = TableName::new(&raw.table)?;
        let columns = raw.columns.into_iter().map(Column::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut names: BTreeSet<&str> = SOURCE_COLUMNS.into_iter().collect();
        for column in &columns {
            if !names.insert(column.name.as_str()) {
                return Err(RouteError::ColumnTwice { table: table.plain(), column: column.name.0.clone() });
            }
        }
        let key = raw.key.iter().map(|name| Identifier::new(name)).collect::<Result<Vec<_>, _>>()?;
        for name in &key {
            // NULL is not equal to itself, so a key that may be missing would never conflict.
            let usable = columns.iter().any(|column| column.name == *name && column.required);
            if !usable {
                return Err(RouteError::BadKey { table: table.plain(), column: name.0.clone() });
            }
        }
        let kind = match raw.kind {
            KindToml::Append if key.is_empty() => RouteKind::Append,
            KindToml::Upsert if !key.is_empty() => RouteKind::Upsert { key },
            KindToml::Append => return Err(RouteError::KeyOfAppend { table: table.plain() }),
            KindToml::Upsert => return Err(RouteError::NoKey { table: table.plain() }),
        };
        Ok(Self { topic: raw.topic.into(), table, kind, columns })
    }
}

impl TryFrom<ColumnToml> for Column {
    type Error = RouteError;

    fn try_from(raw: ColumnToml) -> Result<Self, RouteError> {
        let name = Identifier::new(&raw.column)?;
        let field = Field::new(raw.field.unwrap_or(raw.column));
        Ok(Self { name, field, kind: raw.kind, required: raw.required })
    }
}

/// Kafka's own rule for topic names.
fn check_topic(topic: &str) -> Result<(), RouteError> {
    let legal = topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if legal && !topic.is_empty() && topic != "." && topic != ".." && topic.len() <= 249 {
        Ok(())
    } else {
        Err(RouteError::BadTopic { topic: topic.to_owned() })
    }
}
