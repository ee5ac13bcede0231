//! Why routes were refused.

use millpond::record::TopicName;

/// Why routes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The text is not what is expected; the message shows the line.
    #[error("the routes cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// No `[[route]]` at all.
    #[error("no route is configured; add a [[route]] with topic, table, kind and columns")]
    NoRoute,
    /// Not an identifier.
    #[error("{name:?} is no name for a table or column: use a-z, 0-9 and _, not starting with a digit, at most 63")]
    BadIdentifier {
        /// What was given.
        name: String,
    },
    /// Not a topic's name.
    #[error("{topic:?} is no name for a topic: use letters, digits, dot, _ and -, at most 249")]
    BadTopic {
        /// What was given.
        topic: String,
    },
    /// One of the loader's own tables.
    #[error("table {table} is the loader's own; choose another table")]
    ReservedTable {
        /// The table.
        table: String,
    },
    /// A topic with two routes.
    #[error("topic {topic} has two routes; give it one")]
    TopicTwice {
        /// The topic.
        topic: TopicName,
    },
    /// Other topics for the routes, but not one for each.
    #[error("{topics} topics are given for {routes} routes; give one for each, in their order, separated by commas")]
    TopicCount {
        /// How many topics were given.
        topics: usize,
        /// How many routes there are.
        routes: usize,
    },
    /// A column that is there twice, or is one of `SOURCE_COLUMNS`.
    #[error("column {column} of table {table} is set twice, or is one that the loader fills; rename or remove it")]
    ColumnTwice {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A key column that is not among the columns, or not required.
    #[error("key column {column} of table {table} must be one of its columns, with required = true")]
    BadKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// `append` with a key.
    #[error("table {table} is of kind append, which has no key; remove the key or say kind = \"upsert\"")]
    KeyOfAppend {
        /// The table.
        table: String,
    },
    /// `upsert` without a key.
    #[error("table {table} is of kind upsert, which needs key = [..]")]
    NoKey {
        /// The table.
        table: String,
    },
}
