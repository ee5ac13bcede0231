//! Which topic goes to which table, and which field to which column.

mod error;
mod parse;

use std::collections::BTreeSet;

use millpond::record::TopicName;

use crate::identifier::{Identifier, TableName};
pub use error::RouteError;
use parse::RoutesToml;

/// Columns that every table has, behind those of the route: event time and the record's position.
pub const SOURCE_COLUMNS: [&str; 4] = ["event_time", "source_topic", "source_partition", "source_offset"];

/// What a column holds, and so which JSON values fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// `text` from a JSON string without NUL characters.
    Text,
    /// `bigint` from a JSON number without a fraction, within 64 signed bits.
    Bigint,
    /// `double precision` from any JSON number.
    Double,
    /// `boolean` from `true` and `false`.
    Boolean,
    /// `timestamptz` from a whole number of milliseconds since the epoch, years 1 to 9999.
    Timestamp,
    /// `jsonb` from any JSON value without NUL characters.
    Jsonb,
}

impl ColumnType {
    /// The array type that carries many values of this column in one parameter.
    pub(crate) const fn array(self) -> &'static str {
        match self {
            Self::Text | Self::Jsonb => "text[]",
            Self::Bigint | Self::Timestamp => "bigint[]",
            Self::Double => "double precision[]",
            Self::Boolean => "boolean[]",
        }
    }
}

/// Where in the JSON document a column's value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A member of the outermost object.
    Member(String),
    /// A JSON pointer (RFC 6901); the empty one is the whole document.
    Pointer(String),
}

impl Field {
    fn new(text: String) -> Self {
        if text.is_empty() || text.starts_with('/') { Self::Pointer(text) } else { Self::Member(text) }
    }

    /// The value there.
    pub(crate) fn find<'v>(&self, document: &'v serde_json::Value) -> Option<&'v serde_json::Value> {
        match self {
            Self::Member(name) => document.get(name),
            Self::Pointer(pointer) => document.pointer(pointer),
        }
    }
}

/// One column of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the table.
    pub name: Identifier,
    /// Where its value comes from.
    pub field: Field,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether a record without it (or with a JSON null) is malformed. Otherwise the column is NULL.
    pub required: bool,
}

/// How rows meet those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteKind {
    /// Each record is a row, unique by its source position.
    Append,
    /// The last record of a key replaces the row of that key. All records of a key must be in one partition.
    Upsert {
        /// Columns with a unique constraint in the table; required ones of the route.
        key: Vec<Identifier>,
    },
}

/// A topic that goes to a table. The table must have [`SOURCE_COLUMNS`] too, and for [`RouteKind::Append`] a unique
/// constraint on the last three of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    topic: TopicName,
    table: TableName,
    kind: RouteKind,
    columns: Vec<Column>,
}

impl Route {
    /// The topic that is read.
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The table that is written.
    pub const fn table(&self) -> &TableName {
        &self.table
    }

    /// How rows meet those that are there.
    pub const fn kind(&self) -> &RouteKind {
        &self.kind
    }

    /// The columns that come from the record's value.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Positions in [`columns`](Self::columns) of the key; empty for [`RouteKind::Append`].
    pub(crate) fn key_columns(&self) -> Vec<usize> {
        match &self.kind {
            RouteKind::Append => Vec::new(),
            RouteKind::Upsert { key } => {
                key.iter().filter_map(|name| self.columns.iter().position(|column| column.name == *name)).collect()
            }
        }
    }
}

/// The routes of a loader: at least one, no topic twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// The routes of the demonstration: `processed_events` to `events`, `attributions` to
    /// `purchase_marketing_attributions`.
    ///
    /// # Errors
    /// [`RouteError`], never in a released program: a test reads these routes.
    pub fn defaults() -> Result<Self, RouteError> {
        Self::from_toml(include_str!("routes.toml"))
    }

    /// Reads `[[route]]` tables:
    ///
    /// ```
    /// let routes = loader::Routes::from_toml(
    ///     r#"
    ///     [[route]]
    ///     topic = "stock"
    ///     table = "warehouse.stock"
    ///     kind = "upsert"            # or "append"
    ///     key = ["item"]             # for "upsert"
    ///     columns = [
    ///         { column = "item", field = "item_url", type = "text", required = true },
    ///         { column = "pieces", type = "bigint" },   # the field is named like the column
    ///         { column = "document", field = "", type = "jsonb" }, # a JSON pointer; "" is everything
    ///     ]
    ///     "#,
    /// )?;
    /// assert_eq!(routes.iter().count(), 1);
    /// # Ok::<(), loader::RouteError>(())
    /// ```
    ///
    /// # Errors
    /// [`RouteError`] that names what to correct.
    pub fn from_toml(text: &str) -> Result<Self, RouteError> {
        let parsed: RoutesToml = toml::from_str(text)?;
        let routes = parsed.route.into_iter().map(Route::try_from).collect::<Result<Vec<_>, _>>()?;
        if routes.is_empty() {
            return Err(RouteError::NoRoute);
        }
        let mut topics = BTreeSet::new();
        for route in &routes {
            if !topics.insert(route.topic.clone()) {
                return Err(RouteError::TopicTwice { topic: route.topic.clone() });
            }
        }
        Ok(Self(routes))
    }

    /// The same routes from other topics, one for each in their order.
    ///
    /// # Errors
    /// [`RouteError::TopicCount`], [`RouteError::TopicTwice`].
    pub fn reading(mut self, topics: &[&str]) -> Result<Self, RouteError> {
        if topics.len() != self.0.len() {
            return Err(RouteError::TopicCount { topics: topics.len(), routes: self.0.len() });
        }
        for (route, &topic) in self.0.iter_mut().zip(topics) {
            route.topic = topic.into();
        }
        match topics.iter().find(|topic| topics.iter().filter(|other| other == topic).count() > 1) {
            Some(&topic) => Err(RouteError::TopicTwice { topic: topic.into() }),
            None => Ok(self),
        }
    }

    /// The routes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// The route of a topic, with its number.
    pub(crate) fn of(&self, topic: &str) -> Option<(usize, &Route)> {
        self.0.iter().enumerate().find(|(_, route)| &*route.topic == topic)
    }

    /// The topics that are read.
    pub(crate) fn topics(&self) -> Vec<TopicName> {
        self.0.iter().map(|route| route.topic.clone()).collect()
    }
}

impl<'r> IntoIterator for &'r Routes {
    type Item = &'r Route;
    type IntoIter = std::slice::Iter<'r, Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
