//! What can be asked and answered, in bytes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::record::TaskId;
use crate::runtime::stats::InputSnapshot;
use crate::state::KeyRange;
use crate::time::Timestamp;

/// A question about one store of one task.
#[derive(Debug)]
pub struct Question {
    /// The task.
    pub task: TaskId,
    /// The store's name.
    pub store: String,
    /// What is asked.
    pub ask: Ask,
    /// How stale the answer may be.
    pub bound: Bound,
    /// Nobody waits for the answer after this, by the wall clock.
    pub until: Timestamp,
    /// Takes the answer.
    pub reply: Reply,
}

/// What is asked of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The value of a key.
    Get(Bytes),
    /// The rows of a range, ascending: the first ones, at most so many rows and, but for the last row, bytes. The thread may
    /// stop earlier to get on with its work.
    Rows {
        /// The range.
        range: KeyRange,
        /// The most rows.
        rows_max: usize,
        /// The most bytes.
        bytes_max: usize,
    },
    /// How many rows the range has, counted up to so many.
    Count {
        /// The range.
        range: KeyRange,
        /// The most rows to count.
        rows_max: usize,
    },
    /// How many rows the store has, as its engine knows it without counting.
    ApproximateCount,
}

/// How stale an answer may be; the default allows anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// At most so many records that are not in the answer.
    pub lag_max: Option<u64>,
    /// The oldest record that is not in the answer is at most so old.
    pub age_max: Option<Duration>,
}

/// Where the answer goes. Dropped unused when the thread ends before it has answered.
pub struct Reply(Box<dyn FnOnce(Result<Answer, Refusal>) + Send>);

impl Reply {
    /// Answers by calling `take`, once, on the stream thread: it must not block.
    pub fn new(take: impl FnOnce(Result<Answer, Refusal>) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    pub(super) fn give(self, answer: Result<Answer, Refusal>) {
        (self.0)(answer);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// An answer, and of when it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the answer contains of the input.
    pub position: Position,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The value, if there is one.
    Value(Option<Bytes>),
    /// Rows in key order.
    Rows {
        /// Keys and values.
        rows: Vec<(Bytes, Bytes)>,
        /// The range has more rows behind these.
        more: bool,
    },
    /// A number of rows.
    Count {
        /// How many.
        count: u64,
        /// False when it is an estimate, or there are more rows than were counted.
        exact: bool,
    },
}

/// The commit that an answer is of, and what has come since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Number of the task's commit.
    pub sequence: u64,
    /// Stream time at that commit.
    pub stream_time: Timestamp,
    /// The inputs of the task: what is committed, and where they end as far as it is known.
    pub inputs: Vec<InputSnapshot>,
}

impl Position {
    /// Records of the task's inputs that are not in the answer; `None` while an end is not known.
    pub fn lag(&self) -> Option<u64> {
        self.inputs.iter().map(|input| input.lag_records).sum()
    }

    /// The age of the oldest of them by its timestamp; zero when there is none, `None` while that of an input is not known.
    pub fn age(&self) -> Option<Duration> {
        let ages: Option<Vec<Duration>> = self.inputs.iter().map(|input| input.lag).collect();
        ages.map(|ages| ages.into_iter().max().unwrap_or_default())
    }

    /// Refuses what is more stale than the bound.
    pub(super) fn within(&self, bound: &Bound) -> Result<(), Refusal> {
        let is_bounded = bound.lag_max.is_some() || bound.age_max.is_some();
        let (lag, age) = match (self.lag(), self.age()) {
            (None, _) if is_bounded => return Err(Refusal::Unknown),
            (_, None) if bound.age_max.is_some() => return Err(Refusal::Unknown),
            (lag, age) => (lag.unwrap_or_default(), age.unwrap_or_default()),
        };
        let is_late = bound.lag_max.is_some_and(|most| lag > most) || bound.age_max.is_some_and(|most| age > most);
        if is_late { Err(Refusal::Stale { lag, age }) } else { Ok(()) }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The thread does not have the task: ask its owner.
    #[error("the task is not here")]
    NotHere,
    /// The group is between two assignments, or the process stood still so long that it may have lost its own.
    #[error("the group is between two assignments")]
    Rebalancing,
    /// The task is not restored yet.
    #[error("the task is restoring its state{}", remaining.map_or_else(String::new, |left| format!(", {left} records to go")))]
    Restoring {
        /// Records still to replay, once it is known.
        remaining: Option<u64>,
    },
    /// The answer would be more stale than allowed.
    #[error("the answer would lack {lag} records, the oldest of {} ms ago", age.as_millis())]
    Stale {
        /// Records that would be missing.
        lag: u64,
        /// Age of the oldest of them.
        age: Duration,
    },
    /// How stale the answer is is not known: the task has just started.
    #[error("the end of an input is not known yet")]
    Unknown,
    /// The task has no such store.
    #[error("the task has no such store")]
    NoSuchStore,
    /// Too many questions wait.
    #[error("too many questions wait")]
    Busy,
    /// The thread came to it too late.
    #[error("the stream thread was busy for too long")]
    Late,
    /// The thread has ended.
    #[error("the application is stopping")]
    Stopped,
    /// The store failed: the log says why.
    #[error("the store could not be read, see the log")]
    Failed,
}

impl Refusal {
    /// What metrics count it as.
    pub(crate) const fn result(&self) -> &'static str {
        match self {
            Self::Stale { .. } | Self::Unknown => "stale",
            Self::NotHere | Self::Rebalancing | Self::Restoring { .. } => "unavailable",
            Self::Busy | Self::Late | Self::Stopped => "late",
            Self::NoSuchStore | Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Offset, Partition};

    fn position(lag_records: u64, lag: Duration, end: Option<i64>) -> Position {
        let input = InputSnapshot {
            topic: "in".into(),
            partition: Partition(0),
            committed: Some(Offset(1)),
            position: None,
            end: end.map(Offset),
            lag_records: end.map(|_| lag_records),
            lag: end.map(|_| lag),
        };
        Position {
            sequence: 1,
            stream_time: Timestamp::EPOCH,
            inputs: vec![input.clone(), InputSnapshot { lag: end.map(|_| Duration::ZERO), ..input }],
        }
    }

    #[test]
    fn an_answer_is_refused_when_it_lacks_more_than_is_allowed() {
        let position = position(3, Duration::from_secs(2), Some(4));
        assert_eq!((position.lag(), position.age()), (Some(6), Some(Duration::from_secs(2))));
        let bound = |lag_max, age_ms: Option<u64>| Bound { lag_max, age_max: age_ms.map(Duration::from_millis) };
        for fine in [bound(None, None), bound(Some(6), None), bound(None, Some(2_000)), bound(Some(6), Some(2_000))] {
            assert_eq!(position.within(&fine), Ok(()), "{fine:?}");
        }
        let stale = Err(Refusal::Stale { lag: 6, age: Duration::from_secs(2) });
        for strict in
            [bound(Some(5), None), bound(None, Some(1_999)), bound(Some(9), Some(0)), bound(Some(0), Some(9_000))]
        {
            assert_eq!(position.within(&strict), stale, "{strict:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_fresh() {
        let position = position(0, Duration::ZERO, None);
        assert_eq!(position.lag(), None);
        assert_eq!(position.within(&Bound::default()), Ok(()));
        assert_eq!(position.within(&Bound { lag_max: Some(u64::MAX), age_max: None }), Err(Refusal::Unknown));
    }

    #[test]
    fn a_record_of_which_no_age_is_known_is_not_young() {
        let mut position = position(3, Duration::ZERO, Some(4));
        position.inputs[1].lag = None;
        assert_eq!((position.lag(), position.age()), (Some(6), None));
        let old = Bound { lag_max: None, age_max: Some(Duration::MAX) };
        assert_eq!(position.within(&old), Err(Refusal::Unknown));
        assert_eq!(position.within(&Bound { lag_max: Some(6), age_max: None }), Ok(()));
    }
}
