//! The observer of a real thread: measures with the monotonic clock and keeps histograms.
#![allow(clippy::disallowed_methods, reason = "an edge: this is where the clock is read")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::observer::{CommitPhase, Moment, Observer};
use super::stats::{CommitPhases, Histogram, OperationTimes};
use crate::state::{StoreOperation, StoreTimer};
use crate::time::{Stopwatch, Timestamp};

/// What was measured since the thread started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measurements {
    pub(crate) poll: Histogram,
    pub(crate) process: Histogram,
    pub(crate) punctuate: Histogram,
    pub(crate) commit: CommitPhases,
    pub(crate) end_to_end: Histogram,
    pub(crate) query: Histogram,
    pub(crate) operations: BTreeMap<String, OperationTimes>,
}

/// Shared between the observer in the thread and the publisher beside it.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    origin: Instant,
    measured: Rc<RefCell<Measurements>>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), measured: Rc::default() }
    }

    pub(crate) fn read(&self) -> Measurements {
        self.measured.borrow().clone()
    }

    fn elapsed(&self, since: Moment) -> Duration {
        self.origin.elapsed().saturating_sub(since.0)
    }
}

impl Observer for Meter {
    fn start(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn polled(&mut self, since: Moment, _records: usize) {
        let elapsed = self.elapsed(since);
        self.measured.borrow_mut().poll.observe(elapsed);
    }

    fn processed(&mut self, since: Moment, records: usize) {
        if records > 0 {
            let elapsed = self.elapsed(since);
            self.measured.borrow_mut().process.observe(elapsed);
        }
    }

    fn committed(&mut self, phase: CommitPhase, since: Moment) {
        let elapsed = self.elapsed(since);
        let mut measured = self.measured.borrow_mut();
        match phase {
            CommitPhase::Flush => measured.commit.flush.observe(elapsed),
            CommitPhase::Offsets => measured.commit.offsets.observe(elapsed),
            CommitPhase::Transaction => measured.commit.end_transaction.observe(elapsed),
            CommitPhase::Store => measured.commit.store.observe(elapsed),
        }
    }

    fn visible(&mut self, times: &[Timestamp]) {
        let now = wall_clock();
        let mut measured = self.measured.borrow_mut();
        for &time in times {
            measured.end_to_end.observe(now.since(time));
        }
    }

    fn queried(&mut self, since: Moment) {
        let elapsed = self.elapsed(since);
        self.measured.borrow_mut().query.observe(elapsed);
    }

    fn punctuated(&mut self, took: Duration) {
        self.measured.borrow_mut().punctuate.observe(took);
    }

    fn timer(&self) -> Option<Rc<dyn StoreTimer>> {
        Some(Rc::new(self.clone()))
    }
}

impl Stopwatch for Meter {
    fn reading(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl StoreTimer for Meter {
    fn took(&self, store: &str, operation: StoreOperation, time: Duration) {
        let operations = &mut self.measured.borrow_mut().operations;
        match operations.get_mut(store) {
            Some(times) => times.observe(operation, time),
            None => operations.entry(store.to_owned()).or_default().observe(operation, time),
        }
    }
}

/// The wall clock, read once per round.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(millis.saturating_add(crate::failpoint::clock_offset_ms()))
}
