//! Rows from records: pure, and the only place that looks into a payload.

use std::fmt;

use millpond::record::ConsumedRecord;
use serde_json::Value;

use crate::route::{Column, ColumnType, Route};

/// The years 1 to 9999, which every client of PostgreSQL can read back.
const MILLIS_MIN: i64 = -62_135_596_800_000;
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// One value of a row, in the form that goes into an array parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// `text`, and `jsonb` as its text.
    Text(String),
    /// `bigint`, and `timestamptz` as milliseconds since the epoch.
    Integer(i64),
    /// `double precision`.
    Double(f64),
    /// `boolean`.
    Boolean(bool),
}

/// A record that fits its table, as far as can be told without asking the database.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One cell for each column of the route, in its order.
    pub cells: Vec<Cell>,
    /// What it was made from: its position and time are columns too, and the database may still refuse the row.
    pub record: ConsumedRecord,
}

/// Why a record cannot be loaded. Shown without anything from the payload: names of columns come from the routes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// A tombstone: there is no document.
    NullValue,
    /// The value is not UTF-8.
    InvalidUtf8,
    /// The value is not JSON, is nested deeper than 128 levels, or has a number beyond a double.
    InvalidJson,
    /// The document is not an object.
    NotAnObject,
    /// A required field is missing or null.
    MissingField(String),
    /// A field holds another type of value than its column.
    WrongType(String),
    /// A number or time does not fit its column.
    OutOfRange(String),
    /// A string holds the NUL character, which PostgreSQL cannot store.
    NulCharacter(String),
    /// The record has no timestamp, or one outside the years 1 to 9999.
    BadTimestamp,
    /// The database refused this row: the SQLSTATE, and the constraint where there is one.
    Refused {
        /// PostgreSQL's five-character code.
        sqlstate: String,
        /// The constraint.
        constraint: Option<String>,
    },
}

impl Reason {
    /// The reason as a metric label and header: few, stable values.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NullValue => "null_value",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
            Self::OutOfRange(_) => "out_of_range",
            Self::NulCharacter(_) => "nul_character",
            Self::BadTimestamp => "bad_timestamp",
            Self::Refused { .. } => "refused_by_database",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NullValue => f.write_str("the value is null"),
            Self::InvalidUtf8 => f.write_str("the value is not UTF-8"),
            Self::InvalidJson => f.write_str("the value is not JSON, or nested too deeply"),
            Self::NotAnObject => f.write_str("the document is not an object"),
            Self::MissingField(column) => write!(f, "the field of column {column} is missing"),
            Self::WrongType(column) => write!(f, "the field of column {column} is of another type"),
            Self::OutOfRange(column) => write!(f, "the field of column {column} is out of range"),
            Self::NulCharacter(column) => write!(f, "the field of column {column} has a NUL character"),
            Self::BadTimestamp => f.write_str("the timestamp is missing or out of range"),
            Self::Refused { sqlstate, constraint: None } => write!(f, "PostgreSQL refused the row: {sqlstate}"),
            Self::Refused { sqlstate, constraint: Some(name) } => {
                write!(f, "PostgreSQL refused the row: {sqlstate}, constraint {name}")
            }
        }
    }
}

/// A record that goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// As it was read.
    pub record: ConsumedRecord,
    /// Why it cannot be loaded.
    pub reason: Reason,
}

impl Row {
    /// The row of a record.
    ///
    /// # Errors
    /// The record and why it does not fit: it belongs to the dead letters.
    pub fn new(route: &Route, record: ConsumedRecord) -> Result<Self, Box<Refused>> {
        match cells(route, &record) {
            Ok(cells) => Ok(Self { cells, record }),
            Err(reason) => Err(Box::new(Refused { record, reason })),
        }
    }
}

fn cells(route: &Route, record: &ConsumedRecord) -> Result<Vec<Cell>, Reason> {
    if !record.timestamp.is_some() || !fits_timestamptz(record.timestamp.as_millis()) {
        return Err(Reason::BadTimestamp);
    }
    let value = record.value.as_ref().ok_or(Reason::NullValue)?;
    let text = std::str::from_utf8(value).map_err(|_| Reason::InvalidUtf8)?;
    // The parser's own limit of 128 levels bounds the stack, here and where the document is dropped.
    let document: Value = serde_json::from_str(text).map_err(|_| Reason::InvalidJson)?;
    if !document.is_object() {
        return Err(Reason::NotAnObject);
    }
    route.columns().iter().map(|column| cell(column, &document)).collect()
}

fn cell(column: &Column, document: &Value) -> Result<Cell, Reason> {
    let name = || column.name.as_str().to_owned();
    let value = match column.field.find(document) {
        Some(value) if !value.is_null() => value,
        _ if column.required => return Err(Reason::MissingField(name())),
        _ => return Ok(Cell::Null),
    };
    match (column.kind, value) {
        (ColumnType::Jsonb, any) if has_nul(any) => Err(Reason::NulCharacter(name())),
        (ColumnType::Jsonb, any) => Ok(Cell::Text(any.to_string())),
        (ColumnType::Text, Value::String(text)) if text.contains('\0') => Err(Reason::NulCharacter(name())),
        (ColumnType::Text, Value::String(text)) => Ok(Cell::Text(text.clone())),
        (ColumnType::Boolean, Value::Bool(flag)) => Ok(Cell::Boolean(*flag)),
        (ColumnType::Double, Value::Number(number)) => {
            number.as_f64().map(Cell::Double).ok_or_else(|| Reason::OutOfRange(name()))
        }
        (ColumnType::Bigint, Value::Number(number)) => match number.as_i64() {
            Some(integer) => Ok(Cell::Integer(integer)),
            None if number.is_u64() => Err(Reason::OutOfRange(name())),
            None => Err(Reason::WrongType(name())),
        },
        (ColumnType::Timestamp, Value::Number(number)) => match number.as_i64() {
            Some(millis) if fits_timestamptz(millis) => Ok(Cell::Integer(millis)),
            None if !number.is_u64() => Err(Reason::WrongType(name())),
            _ => Err(Reason::OutOfRange(name())),
        },
        _ => Err(Reason::WrongType(name())),
    }
}

const fn fits_timestamptz(millis: i64) -> bool {
    millis >= MILLIS_MIN && millis <= MILLIS_MAX
}

/// Recursion is bounded: the parser refuses more than 128 levels.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, item)| name.contains('\0') || has_nul(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
