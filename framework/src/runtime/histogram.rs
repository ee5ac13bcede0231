//! Histograms of time with fixed buckets.

use std::time::Duration;

const BUCKETS: usize = 18;

/// Upper bounds of the buckets of a latency, in microseconds; one more bucket is open.
pub const LATENCY_BOUNDS_MICROS: [u64; BUCKETS] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The same of one operation on a store, in nanoseconds: most take less than the first bucket of a latency.
pub const OPERATION_BOUNDS_NANOS: [u64; BUCKETS] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// What is counted, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Scale {
    /// [`LATENCY_BOUNDS_MICROS`].
    #[default]
    Latency,
    /// [`OPERATION_BOUNDS_NANOS`].
    Operation,
}

impl Scale {
    const fn bounds(self) -> &'static [u64; BUCKETS] {
        match self {
            Self::Latency => &LATENCY_BOUNDS_MICROS,
            Self::Operation => &OPERATION_BOUNDS_NANOS,
        }
    }

    fn units(self, time: Duration) -> u64 {
        let units = match self {
            Self::Latency => time.as_micros(),
            Self::Operation => time.as_nanos(),
        };
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    const fn time(self, units: u64) -> Duration {
        match self {
            Self::Latency => Duration::from_micros(units),
            Self::Operation => Duration::from_nanos(units),
        }
    }
}

/// A histogram of latencies with fixed buckets: observing costs a search in eighteen numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    scale: Scale,
    buckets: [u64; BUCKETS],
    count: u64,
    /// In the unit of the scale.
    sum: u64,
}

impl Histogram {
    /// An empty one of the time that operations on stores take.
    pub const fn of_operations() -> Self {
        Self { scale: Scale::Operation, buckets: [0; BUCKETS], count: 0, sum: 0 }
    }

    /// Counts one latency.
    pub fn observe(&mut self, latency: Duration) {
        self.observe_many(latency, 1);
    }

    /// Counts the same latency `times` over, as for all records of one timestamp.
    pub fn observe_many(&mut self, latency: Duration, times: u64) {
        let units = self.scale.units(latency);
        let bucket = self.scale.bounds().partition_point(|bound| *bound < units);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket = bucket.saturating_add(times);
        }
        self.count = self.count.saturating_add(times);
        self.sum = self.sum.saturating_add(units.saturating_mul(times));
    }

    /// Adds what another one of the same kind has counted.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.scale, other.scale, "buckets of two kinds do not add up");
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Upper bound of each bucket with how many latencies are not above it; the count of all is [`count`](Self::count).
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut total = 0_u64;
        self.scale.bounds().iter().zip(&self.buckets).map(move |(bound, bucket)| {
            total = total.saturating_add(*bucket);
            (self.scale.time(*bound), total)
        })
    }

    /// How many latencies were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub const fn sum(&self) -> Duration {
        self.scale.time(self.sum)
    }

    /// The bound below which `quantile` (0 to 1) of the latencies are; `None` without any. Coarse: a bucket's bound.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among fewer than 2^52 observations"
        )]
        let rank = (self.count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64;
        let last = self.scale.time(*self.scale.bounds().last()?);
        (self.count > 0).then(|| self.cumulative().find(|(_, seen)| *seen >= rank).map_or(last, |(bound, _)| bound))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_histogram_counts_like_a_sorted_list(
            of_operations in any::<bool>(),
            times in proptest::collection::vec(0_u64..100_000_000, 1..200),
        ) {
            let mut histogram = if of_operations { Histogram::of_operations() } else { Histogram::default() };
            let time = if of_operations { Duration::from_nanos } else { Duration::from_micros };
            for value in &times {
                histogram.observe(time(*value));
            }
            for (bound, seen) in histogram.cumulative() {
                let below = times.iter().filter(|value| time(**value) <= bound).count() as u64;
                prop_assert_eq!(seen, below);
            }
            prop_assert_eq!(histogram.count(), times.len() as u64);
            prop_assert_eq!(histogram.sum(), time(times.iter().sum()));
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let median = sorted[sorted.len().div_ceil(2) - 1].min(60_000_000);
            prop_assert!(histogram.quantile(0.5).unwrap() >= time(median));
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn bounds_rise() {
        for bounds in [LATENCY_BOUNDS_MICROS, OPERATION_BOUNDS_NANOS] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
