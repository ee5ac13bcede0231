//! How much a round processes. Between two polls and two looks at the clock lies one round: one that lasts as long as a
//! transaction may be open never commits, however often it is repeated.

use std::time::Duration;

use crate::time::Timestamp;

/// Records of a round, by how long the rounds before it took.
#[derive(Debug)]
pub(super) struct Pace {
    records: usize,
    most: usize,
    /// Of the round before this one.
    began: Timestamp,
    processed: usize,
    /// The last rounds were short enough for more.
    short: bool,
}

impl Pace {
    pub(super) const fn new(most: usize) -> Self {
        Self { records: most, most, began: Timestamp::NONE, processed: 0, short: true }
    }

    /// A round begins. One that took more than a quarter of `transaction_timeout` and has processed something was too long.
    pub(super) fn round(&mut self, now: Timestamp, transaction_timeout: Duration) {
        let took = if self.began.is_some() { now.since(self.began) } else { Duration::ZERO };
        self.began = now;
        let processed = std::mem::take(&mut self.processed);
        if processed > 0 {
            self.short = took < transaction_timeout / 8;
            if took > transaction_timeout / 4 {
                self.halve(processed);
            }
        }
    }

    /// How many records this round may process.
    pub(super) const fn records(&self) -> usize {
        self.records
    }

    pub(super) const fn processed(&mut self, records: usize) {
        self.processed = records;
    }

    /// The coordinator has ended a transaction for its age.
    pub(super) fn timed_out(&mut self) {
        self.halve(self.records);
    }

    /// A commit has ended well: a little more, as long as rounds are short.
    pub(super) fn committed(&mut self) {
        if self.short {
            self.records = (self.records + self.records / 8 + 1).min(self.most);
        }
    }

    fn halve(&mut self, processed: usize) {
        let before = self.records;
        self.records = (processed.min(self.records) / 2).max(1);
        if self.records < before {
            tracing::info!(records = self.records, before, "a round takes long for a transaction, and processes less");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(8);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_long_round_halves_what_it_processed_and_short_ones_grow_with_commits() {
        let mut pace = Pace::new(1_000);
        pace.round(at(0), TIMEOUT);
        pace.processed(100);
        pace.round(at(3), TIMEOUT);
        assert_eq!(pace.records(), 50);
        pace.committed();
        assert_eq!(pace.records(), 50, "the round before was long");
        pace.processed(50);
        pace.round(at(3), TIMEOUT);
        pace.committed();
        assert_eq!(pace.records(), 57);
        (0..100).for_each(|_| pace.committed());
        assert_eq!(pace.records(), 1_000);
    }

    #[test]
    fn a_pause_in_which_nothing_was_processed_changes_nothing_and_one_record_is_the_least() {
        let mut pace = Pace::new(3);
        pace.round(at(0), TIMEOUT);
        pace.round(at(1_000), TIMEOUT);
        assert_eq!(pace.records(), 3);
        for _ in 0..3 {
            pace.timed_out();
        }
        assert_eq!(pace.records(), 1);
    }
}
