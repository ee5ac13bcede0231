//! The tables against the topics that they are loaded from.

use std::collections::BTreeMap;

use attribution::Attribution;
use millpond_harness::Received;

use super::differences::Differences;
use super::expected;
use super::partition::Position;
use crate::demo::database::{AttributionRow, Database, EventRow};

/// Walks through the table `events` in the order in which processed events are read.
#[derive(Debug)]
pub(super) struct EventsTable<'d> {
    database: &'d mut Database,
    topic: String,
    after: (i32, i64),
    page: std::vec::IntoIter<EventRow>,
    pub(super) differences: Differences,
    /// Processed events that the loader must refuse.
    pub(super) refused: Vec<Position>,
}

impl<'d> EventsTable<'d> {
    pub(super) fn new(database: &'d mut Database, topic: &str) -> Self {
        let (differences, refused) = (Differences::default(), Vec::new());
        let (after, page) = ((-1, -1), Vec::new().into_iter());
        Self { database, topic: topic.to_owned(), after, page, differences, refused }
    }

    /// The next processed event, in the order of partition and offset.
    pub(super) fn processed(&mut self, record: &Received) -> anyhow::Result<()> {
        let Some(expected) = expected::row(record) else {
            self.refused.push((self.topic.clone(), record.partition, record.offset));
            return Ok(());
        };
        let position = (record.partition, record.offset);
        while let Some(row) = self.next()? {
            let found = (row.source_partition, row.source_offset);
            if found < position {
                self.surplus(found);
                continue;
            }
            if found > position {
                self.put_back(row);
                break;
            }
            if row != expected {
                self.differences.add(format!("loader: another row than the record's: events {}", at(position)));
            }
            return Ok(());
        }
        self.differences.add(format!("loader: no row for the record: events {}", at(position)));
        Ok(())
    }

    /// After the last processed event.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        while let Some(row) = self.next()? {
            self.surplus((row.source_partition, row.source_offset));
        }
        Ok(())
    }

    fn surplus(&mut self, found: (i32, i64)) {
        self.differences.add(format!("loader: a row without a record that asks for it: events {}", at(found)));
    }

    fn next(&mut self) -> anyhow::Result<Option<EventRow>> {
        if self.page.len() == 0 {
            self.page = self.database.events_after(&self.topic, self.after.0, self.after.1)?.into_iter();
        }
        let row = self.page.next();
        if let Some(row) = &row {
            self.after = (row.source_partition, row.source_offset);
        }
        Ok(row)
    }

    fn put_back(&mut self, row: EventRow) {
        self.page = std::iter::once(row).chain(self.page.by_ref()).collect::<Vec<_>>().into_iter();
    }
}

fn at((partition, offset): (i32, i64)) -> String {
    format!("partition={partition} offset={offset}")
}

/// Compares the table with the last record of each order.
pub(super) fn compare_attributions(
    written: &[(Received, String, Attribution)],
    rows: Vec<AttributionRow>,
    differences: &mut Differences,
) {
    let mut expected: BTreeMap<&str, AttributionRow> = BTreeMap::new();
    for (record, order_id, attribution) in written {
        let row = AttributionRow {
            order_id: attribution.order_id.clone(),
            user_id: attribution.user_id.clone(),
            marketing_channel: attribution.marketing_channel.clone(),
            event_time_ms: record.timestamp_ms,
            source_partition: record.partition,
            source_offset: record.offset,
        };
        expected.insert(order_id, row);
    }
    for row in rows {
        match expected.remove(row.order_id.as_str()) {
            Some(expected) if expected == row => {}
            Some(_) => differences.add(format!("loader: another row than the order's: order_id={}", row.order_id)),
            None => differences.add(format!("loader: a row without a record: order_id={}", row.order_id)),
        }
    }
    for order_id in expected.keys() {
        differences.add(format!("loader: no row for the order: order_id={order_id}"));
    }
}
