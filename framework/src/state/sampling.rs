//! How long operations on stores take: which of them are measured, and who is told.

use std::cell::Cell;
use std::time::Duration;

use crate::time::Stopwatch;

/// What is done with a store, in the words of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreOperation {
    /// A value is read, and decoded.
    Get,
    /// A value is written, which goes into memory until the commit.
    Put,
    /// A row is deleted, in memory until the commit.
    Delete,
    /// The next committed rows of a range are read.
    Scan,
    /// The rows of a commit are written, those of all stores of the task in one batch.
    Flush,
}

impl StoreOperation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Get, Self::Put, Self::Delete, Self::Scan, Self::Flush];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Scan => "scan",
            Self::Flush => "flush",
        }
    }
}

/// Told how long operations on stores took. Called on the stream thread, within the operation's caller: must not block.
pub trait StoreTimer: Stopwatch {
    /// An operation on the store of that name has taken so long.
    fn took(&self, store: &str, operation: StoreOperation, time: Duration);
}

/// One operation of so many is measured: looking at the clock twice takes as long as reading a row that is in memory. A
/// prime, so that what a processor does with each record in turn is all met in time, not the same step again and again.
const ONE_OF: u32 = 127;

/// How many operations of each kind are passed over before the next is measured. The first is.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    get: Cell<u32>,
    put: Cell<u32>,
    delete: Cell<u32>,
    scan: Cell<u32>,
}

impl Sampling {
    /// True when this one is to be measured. Flushes are few: each is.
    pub(super) fn takes(&self, operation: StoreOperation) -> bool {
        let left = match operation {
            StoreOperation::Get => &self.get,
            StoreOperation::Put => &self.put,
            StoreOperation::Delete => &self.delete,
            StoreOperation::Scan => &self.scan,
            StoreOperation::Flush => return true,
        };
        let next = left.get().checked_sub(1);
        left.set(next.unwrap_or(ONE_OF - 1));
        next.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_so_many_is_measured_for_each_operation_by_itself() {
        let sampling = Sampling::default();
        let mut taken = Vec::new();
        // A get and a put in turn, as of a count: an even number of both together would only ever meet one of them.
        for round in 0..3 * ONE_OF {
            for operation in [StoreOperation::Get, StoreOperation::Put, StoreOperation::Put] {
                if sampling.takes(operation) {
                    taken.push((round, operation));
                }
            }
        }
        let of = |wanted| taken.iter().filter(move |(_, operation)| *operation == wanted).map(|(round, _)| *round);
        assert_eq!(of(StoreOperation::Get).collect::<Vec<_>>(), [0, ONE_OF, 2 * ONE_OF]);
        assert_eq!(of(StoreOperation::Put).count(), 6);
        assert!((0..10).all(|_| sampling.takes(StoreOperation::Flush)));
    }
}
