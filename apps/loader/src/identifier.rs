//! Names in PostgreSQL, checked once.

use std::fmt;

use crate::route::RouteError;

/// PostgreSQL cuts longer identifiers off.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// An identifier of PostgreSQL that needs no escaping: a lower-case letter or `_`, then also digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(pub(crate) String);

impl Identifier {
    /// Checks a name.
    ///
    /// # Errors
    /// [`RouteError::BadIdentifier`]: choose another name.
    pub fn new(name: &str) -> Result<Self, RouteError> {
        let head = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if head && rest && name.len() <= IDENTIFIER_BYTES_MAX {
            Ok(Self(name.to_owned()))
        } else {
            Err(RouteError::BadIdentifier { name: name.to_owned() })
        }
    }

    /// The name as it stands.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shown in double quotes, as it goes into a statement: reserved words are fine then.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A table, with its schema where one was given; shown quoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    schema: Option<Identifier>,
    table: Identifier,
}

impl TableName {
    /// Checks `table` or `schema.table`.
    ///
    /// # Errors
    /// [`RouteError`]: a bad identifier, or one of the loader's own tables.
    pub fn new(name: &str) -> Result<Self, RouteError> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(Identifier::new(schema)?), Identifier::new(table)?),
            None => (None, Identifier::new(name)?),
        };
        if matches!(table.as_str(), "sink_offset" | "_sqlx_migrations") {
            return Err(RouteError::ReservedTable { table: table.0 });
        }
        Ok(Self { schema, table })
    }

    /// The name without quotes, for metrics and messages.
    pub fn plain(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.0, self.table.0),
            None => self.table.0.clone(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => write!(f, "{}", self.table),
        }
    }
}
