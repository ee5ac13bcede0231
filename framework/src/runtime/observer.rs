//! Measurements leave the core through this trait: the core has no clock of its own.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::state::StoreTimer;
use crate::time::Timestamp;

/// A moment, as the observer counts time; zero for one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// A later one.
    #[must_use]
    pub const fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// An earlier one.
    #[must_use]
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// The steps of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitPhase {
    /// Changelog rows and commit records handed to the producer.
    Flush,
    /// Offsets into the transaction.
    Offsets,
    /// The end of the transaction, which waits for the delivery of everything in it.
    Transaction,
    /// Rows and checkpoints into the stores.
    Store,
}

/// Told how long things took. Called on the stream thread: must not block.
pub trait Observer: fmt::Debug {
    /// The moment before a measured step.
    fn start(&self) -> Moment;

    /// A poll has brought that many records.
    fn polled(&mut self, since: Moment, records: usize);

    /// That many records were processed and produced.
    fn processed(&mut self, since: Moment, records: usize);

    /// A phase of a commit is over.
    fn committed(&mut self, phase: CommitPhase, since: Moment);

    /// A commit has made the effects of records with these event times visible; a sample of them.
    fn visible(&mut self, times: &[Timestamp]);

    /// Queries that were waiting have been answered.
    fn queried(&mut self, since: Moment);

    /// Punctuators that were due have run.
    fn punctuated(&mut self, took: Duration);

    /// What measures them, and operations on stores: they are inside a task, which cannot be told from outside. `None`: nobody
    /// wants to know.
    fn timer(&self) -> Option<Rc<dyn StoreTimer>> {
        None
    }
}

/// An observer that observes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn start(&self) -> Moment {
        Moment::default()
    }

    fn polled(&mut self, _since: Moment, _records: usize) {}

    fn processed(&mut self, _since: Moment, _records: usize) {}

    fn committed(&mut self, _phase: CommitPhase, _since: Moment) {}

    fn visible(&mut self, _times: &[Timestamp]) {}

    fn punctuated(&mut self, _took: Duration) {}

    fn queried(&mut self, _since: Moment) {}
}
