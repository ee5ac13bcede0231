//! Event time: a point on the record's own clock. There is no wall clock in this module, nor anywhere in the core:
//! `now` is read once per loop at the edge and handed in as a [`Timestamp`].

use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch, as Kafka's record timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The smallest timestamp a record may carry: the epoch itself.
    pub const EPOCH: Self = Self(0);
    /// No time at all: Kafka's `-1`, and the stream time of a task that has seen no record.
    pub const NONE: Self = Self(-1);
    /// The latest representable time.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the epoch; negative values mean "no timestamp", as in Kafka.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// True when the record carried a timestamp.
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }

    /// This time plus `by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This time minus `by`, saturating; it may fall before the epoch.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        let ms = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// True when `self` is less than `window` before `now`. Not when it is after: a clock that was set back makes nothing last
    /// longer.
    pub(crate) fn is_within(self, window: Duration, now: Self) -> bool {
        self <= now && now.since(self) < window
    }
}

/// No time: what nobody has set must not look like the year 1970.
impl Default for Timestamp {
    fn default() -> Self {
        Self::NONE
    }
}

/// Measures how long a step takes, for whoever has one: the core itself has no clock, and never decides by what it says.
pub trait Stopwatch: fmt::Debug {
    /// Time since some moment before; it never goes back.
    fn reading(&self) -> Duration;
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
