//! What counts as a burst, and how long to wait for what is late.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The rule and its options. Times are event times, to the millisecond, except [`idle`](Self::idle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// A qualifying interval spans less than this.
    pub window: Duration,
    /// A qualifying interval holds at least that many events, or distinct items.
    pub count: NonZeroUsize,
    /// An event may be that much older than the newest event of its partition.
    pub grace: Duration,
    /// Count distinct `item_url`s instead of events; events without one then count for nothing.
    pub distinct_items: bool,
    /// A held alert leaves when stream time has not moved for this long by the wall clock.
    pub idle: Duration,
}

impl Default for Rule {
    /// Five events in less than five seconds, ten seconds of grace, idle after five seconds.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(5),
            count: NonZeroUsize::MIN.saturating_add(4),
            grace: Duration::from_secs(10),
            distinct_items: false,
            idle: Duration::from_secs(5),
        }
    }
}

impl Rule {
    pub(crate) fn window_ms(&self) -> i64 {
        millis(self.window)
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        millis(self.grace)
    }

    /// So long after an event, by stream time, no event can arrive that shares a qualifying interval with it.
    pub(crate) fn reach_ms(&self) -> i64 {
        self.window_ms().saturating_add(self.grace_ms())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
