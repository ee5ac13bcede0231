//! The owned iterator over a store: overlay over committed rows.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use super::stores::TaskStores;
use super::{Backend, Direction, KeyRange, StoreError, StoreIndex, StoreOperation};

/// Committed rows are read this many at first, then four times as many each time: a scan of a few rows reads few.
const CHUNK_ROWS_MIN: usize = 8;
/// No chunk has more rows than this…
const CHUNK_ROWS_MAX: usize = 1024;
/// …nor grows once it holds this many bytes.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Rows of a range, in key order of the scan's direction. An `Err` ends the scan.
///
/// The iterator holds no lock: the store may be written, committed and even closed while it is open. Each row is read when
/// it is asked for, so a write behind the iterator does not show, a write ahead of it does. Deleting the rows met is safe;
/// writing ever further ahead makes a loop without end.
#[derive(Debug)]
#[must_use = "a scan reads nothing until it is iterated"]
pub struct Rows {
    stores: Rc<TaskStores>,
    store: StoreIndex,
    direction: Direction,
    view: View,
    /// What is left of the range; the scan's only position.
    rest: KeyRange,
    /// Committed rows read ahead, in the direction of the scan.
    chunk: VecDeque<(Bytes, Bytes)>,
    /// How many rows the next chunk has.
    next_chunk: usize,
    /// True when no committed row comes after the chunk.
    exhausted: bool,
    /// The stores' generation when the chunk was read: committed rows change only with it.
    generation: u64,
    ended: bool,
}

/// Which rows a scan sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The task's own: uncommitted writes over committed rows.
    Own,
    /// Committed rows only, as queries see them.
    Committed,
}

impl Rows {
    pub(crate) fn new(
        stores: Rc<TaskStores>,
        store: StoreIndex,
        range: KeyRange,
        direction: Direction,
        view: View,
    ) -> Self {
        Self {
            store,
            direction,
            view,
            rest: range,
            chunk: VecDeque::new(),
            next_chunk: CHUNK_ROWS_MIN,
            exhausted: false,
            generation: stores.generation(),
            ended: false,
            stores,
        }
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        loop {
            self.fill()?;
            let committed = self.chunk.front();
            let overlaid = match self.view {
                View::Own => self.stores.first_overlaid(self.store, &self.rest, self.direction)?,
                View::Committed => None,
            };
            let Some((key, value)) = overlaid else { return Ok(self.take_committed()) };
            if committed.is_some_and(|(committed, _)| self.direction.is_before(committed, &key)) {
                return Ok(self.take_committed());
            }
            if committed.is_some_and(|(committed, _)| *committed == key) {
                self.chunk.pop_front();
            }
            self.rest.advance(&key, self.direction);
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }

    fn take_committed(&mut self) -> Option<(Bytes, Bytes)> {
        let row = self.chunk.pop_front()?;
        self.rest.advance(&row.0, self.direction);
        Some(row)
    }

    /// Reads the next chunk when the last one is used up, or is older than the newest committed batch.
    fn fill(&mut self) -> Result<(), StoreError> {
        let generation = self.stores.generation();
        if self.generation != generation {
            self.generation = generation;
            self.chunk.clear();
            self.exhausted = false;
        }
        if !self.chunk.is_empty() || self.exhausted || self.rest.is_empty() {
            return Ok(());
        }
        let (chunk, limit) = (&mut self.chunk, self.next_chunk);
        let read = |backend: &dyn Backend| -> Result<bool, StoreError> {
            let mut bytes = 0;
            let mut rows = backend.scan(self.store, &self.rest, self.direction)?;
            while chunk.len() < limit && bytes < CHUNK_BYTES_MAX {
                let Some(row) = rows.next() else { return Ok(true) };
                let (key, value) = row?;
                bytes += key.len() + value.len();
                chunk.push_back((key, value));
            }
            Ok(false)
        };
        self.exhausted = match self.view {
            View::Own => {
                self.stores.timed(self.store, StoreOperation::Scan, || self.stores.with_committed(self.store, read))
            }
            // A query: its time is measured as a whole.
            View::Committed => self.stores.with_committed(self.store, read),
        }?;
        self.next_chunk = (limit * 4).min(CHUNK_ROWS_MAX);
        Ok(())
    }
}

impl Iterator for Rows {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step().transpose();
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}
