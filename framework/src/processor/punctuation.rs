//! Punctuators: callbacks by stream time or by wall clock.
//!
//! Stream-time schedules are aligned to multiples of their interval and fire once per crossing, however far stream time
//! jumps (as Kafka Streams). Wall-clock schedules count from their creation.

use std::time::Duration;

use crate::time::Timestamp;

/// Which clock drives a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Punctuation {
    /// The largest event time the task has seen: stands still without records.
    StreamTime,
    /// The wall clock.
    WallClock,
}

/// A schedule of one processor instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) id: ScheduleId,
    /// Index of the processor among the graph's life-cycle nodes.
    pub(crate) node: usize,
    kind: Punctuation,
    interval_ms: i64,
    next: Option<Timestamp>,
}

impl Schedule {
    /// `now` is the time of the clock that drives it. Stream time may be unset yet.
    pub(crate) fn new(id: ScheduleId, node: usize, kind: Punctuation, interval: Duration, now: Timestamp) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut schedule = Self { id, node, kind, interval_ms, next: None };
        // After a restart stream time is known: a boundary that the next record crosses is not missed.
        schedule.next = now.is_some().then(|| schedule.after(now));
        schedule
    }

    /// True when it fires now; moves on to its next time.
    pub(crate) fn due(&mut self, stream_time: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let time = match self.kind {
            Punctuation::StreamTime => stream_time,
            Punctuation::WallClock => now,
        };
        if !time.is_some() {
            return None;
        }
        // The first stream time only sets the phase: nothing was missed before it.
        let Some(next) = self.next else {
            self.next = Some(self.after(time));
            return None;
        };
        if time < next {
            if self.kind == Punctuation::WallClock && self.after(time) < next {
                // The clock was set back: the interval begins anew instead of lasting as long as the step.
                self.next = Some(self.after(time));
            }
            return None;
        }
        self.next = Some(self.after(time));
        Some(time)
    }

    fn after(&self, time: Timestamp) -> Timestamp {
        let past = match self.kind {
            Punctuation::StreamTime => time.as_millis().rem_euclid(self.interval_ms),
            Punctuation::WallClock => 0,
        };
        Timestamp::from_millis(time.as_millis().saturating_sub(past).saturating_add(self.interval_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn stream_time_fires_once_per_crossing_and_stays_aligned() {
        let mut schedule =
            Schedule::new(ScheduleId(0), 0, Punctuation::StreamTime, Duration::from_millis(10), Timestamp::NONE);
        let fired: Vec<i64> =
            [3, 9, 12, 19, 20, 47, 49, 50].into_iter().filter(|&ms| schedule.due(at(ms), at(0)).is_some()).collect();
        assert_eq!(fired, [12, 20, 47, 50]);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_stop_it() {
        let start = at(10_000_000);
        let mut schedule = Schedule::new(ScheduleId(0), 0, Punctuation::WallClock, Duration::from_millis(10), start);
        let fired: Vec<i64> =
            [5, 14, 15, 16].into_iter().filter(|&ms| schedule.due(Timestamp::NONE, at(ms)).is_some()).collect();
        assert_eq!(fired, [15]);
    }

    #[test]
    fn wall_clock_counts_from_its_creation_and_needs_no_record() {
        let mut schedule = Schedule::new(ScheduleId(0), 0, Punctuation::WallClock, Duration::from_millis(10), at(5));
        let fired: Vec<i64> = [14, 15, 20, 25, 60, 69]
            .into_iter()
            .filter(|&ms| schedule.due(Timestamp::NONE, at(ms)).is_some())
            .collect();
        assert_eq!(fired, [15, 25, 60]);
    }
}
