//! What the input looks like: how many events, of whom, how long.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::demo::Random;

/// How often each key occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Keys {
    /// All keys equally often.
    Uniform,
    /// As Zipf's law has it: the second key half as often as the first, and so on.
    Skewed,
    /// Each key once, in no order.
    Distinct,
}

impl Keys {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Skewed => "skewed",
            Self::Distinct => "distinct",
        }
    }

    /// The key of the event with this number.
    pub(crate) fn draw(self, number: u64, of: u32, random: &mut Random) -> u32 {
        match self {
            Self::Uniform => random.below(of),
            Self::Skewed => skewed(of, random),
            Self::Distinct => distinct(number, of),
        }
    }
}

/// The logarithm of the rank is uniform: Zipf's law with an exponent of one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `of`")]
fn skewed(of: u32, random: &mut Random) -> u32 {
    let uniform = f64::from(random.below(1 << 24)) / f64::from(1 << 24);
    ((f64::from(of) + 1.0).powf(uniform) - 1.0) as u32
}

/// A step that has no divisor in common with any round number goes through all keys.
fn distinct(number: u64, of: u32) -> u32 {
    const STEP: u64 = 2_654_435_761;
    u32::try_from(number.wrapping_mul(STEP) % u64::from(of.max(1))).unwrap_or(0)
}

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The shop's events, as JSON.
    Events,
    /// Orders, each once, with their channels, as JSON.
    Attributions,
    /// A number in decimal digits under each key.
    Amounts,
}

/// What librdkafka makes a batch of when records come faster than it sends them (`batch.size`).
pub(crate) const LARGE_BATCH_BYTES: u32 = 1_000_000;
/// What Java's producer does: its default of `batch.size`.
pub(crate) const SMALL_BATCH_BYTES: u32 = 16_384;

/// A loaded topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) content: Content,
    pub(crate) events: u64,
    pub(crate) keys: Keys,
    pub(crate) users: u32,
    /// Bytes of an event's value, at least.
    pub(crate) record_bytes: usize,
    pub(crate) partitions: i32,
    /// Bytes of a batch at most, before compression.
    pub(crate) batch_bytes: u32,
}

impl Shape {
    /// So many rows, each of its own key.
    pub(crate) fn rows(rows: u32, partitions: i32) -> Self {
        let (content, keys) = (Content::Amounts, Keys::Distinct);
        let batch_bytes = LARGE_BATCH_BYTES;
        Self { content, events: u64::from(rows), keys, users: rows, record_bytes: 0, partitions, batch_bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn distinct_keys_are_all_keys_once() {
        let mut random = Random::new(1);
        let keys: BTreeSet<u32> = (0..1000).map(|number| Keys::Distinct.draw(number, 1000, &mut random)).collect();
        assert_eq!((keys.len(), keys.last()), (1000, Some(&999)));
    }

    #[test]
    fn skewed_keys_reach_from_first_to_last_and_the_first_is_the_most_frequent() {
        let mut random = Random::new(1);
        let mut seen = vec![0_u32; 1000];
        for number in 0..200_000 {
            seen[Keys::Skewed.draw(number, 1000, &mut random) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 0));
        assert_eq!(seen.iter().max(), seen.first());
        let half = f64::from(seen[1]) / f64::from(seen[0]);
        assert!((0.4..0.7).contains(&half), "{half}");
    }
}
