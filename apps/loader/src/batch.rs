//! What was read and not yet written.

use std::collections::BTreeSet;

use millpond::record::ConsumedRecord;

use crate::route::{Route, RouteKind, Routes};
use crate::row::{Cell, Refused, Row};

/// Records between a poll and the SQL transaction that takes them, sorted by route.
#[derive(Debug)]
pub(crate) struct Batch {
    rows: Vec<Vec<Row>>,
    refused: Vec<Refused>,
    records: usize,
    bytes: usize,
}

impl Batch {
    /// Nothing read yet.
    pub(crate) fn new(routes: &Routes) -> Self {
        Self { rows: routes.iter().map(|_| Vec::new()).collect(), refused: Vec::new(), records: 0, bytes: 0 }
    }

    /// Takes a record: as a row when it fits its table, else as refused. A record of a topic without route is not ours.
    pub(crate) fn push(&mut self, routes: &Routes, record: ConsumedRecord) {
        let Some((number, route)) = routes.of(&record.source.topic) else { return };
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(record.size());
        match Row::new(route, record) {
            Ok(row) => {
                if let Some(rows) = self.rows.get_mut(number) {
                    rows.push(row);
                }
            }
            Err(refused) => self.refused.push(*refused),
        }
    }

    /// The rows of each route, in the routes' order; those of one partition in offset order.
    pub(crate) fn rows(&self) -> &[Vec<Row>] {
        &self.rows
    }

    /// The records that fit no table.
    pub(crate) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// How many records were taken.
    pub(crate) const fn records(&self) -> usize {
        self.records
    }

    /// Bytes of those records as read.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when nothing was read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// The rows that one statement can take: PostgreSQL refuses to upsert a key twice in one statement (21000), so only the
/// last row of a key stays. Order is kept.
pub(crate) fn last_of_each_key<'r>(route: &Route, rows: &'r [Row]) -> Vec<&'r Row> {
    if matches!(route.kind(), RouteKind::Append) {
        return rows.iter().collect();
    }
    let key = route.key_columns();
    let mut seen: BTreeSet<Vec<KeyCell<'r>>> = BTreeSet::new();
    let mut kept: Vec<&Row> = rows
        .iter()
        .rev()
        .filter(|row| seen.insert(key.iter().filter_map(|column| row.cells.get(*column)).map(KeyCell::from).collect()))
        .collect();
    kept.reverse();
    kept
}

/// A key cell with an order. Doubles by their bits: `0.0` and `-0.0` are one key to PostgreSQL, hence the sum.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum KeyCell<'r> {
    Null,
    Text(&'r str),
    Integer(i64),
    Double(u64),
    Boolean(bool),
}

impl<'r> From<&'r Cell> for KeyCell<'r> {
    fn from(cell: &'r Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Text(text) => Self::Text(text),
            Cell::Integer(integer) => Self::Integer(*integer),
            Cell::Double(double) => Self::Double((double + 0.0).to_bits()),
            Cell::Boolean(flag) => Self::Boolean(*flag),
        }
    }
}

#[cfg(test)]
mod tests;
