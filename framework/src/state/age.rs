//! How long a state was away, and whether its rows may still be used. A start decides by it, and whoever looks at a state
//! directory can tell beforehand what a start will do.

use std::time::Duration;

use super::Checkpoint;
use crate::time::Timestamp;

/// Kafka's default of `delete.retention.ms`: how long a compacted topic keeps tombstones. It counts where a changelog's own
/// setting is not known.
pub const DELETE_RETENTION: Duration = Duration::from_hours(24);

/// How far the clocks of two machines may differ.
const CLOCK_SLACK: Duration = Duration::from_hours(1);

/// What the age of a state means for a start that finds it on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The checkpoint names no time at which the directory was owned: its age is not judged.
    NeverOwned,
    /// The rows are not too old: they are gone on from, and only what the changelogs have since then is read.
    Usable {
        /// The last moment at which this is so.
        until: Timestamp,
    },
    /// The rows are removed, and the state is restored in full: the changelogs need not have all deletions since then, so
    /// deleted keys would come back.
    TooOld,
    /// It was owned at a time that has not come yet: a clock was wrong, so its age is unknown. A process that has not owned
    /// it before removes the rows and restores the state in full.
    Ahead,
}

impl Checkpoint {
    /// The age of the state at `now`, where its changelogs keep deletions for `kept`: the shortest of their
    /// `delete.retention.ms`, or [`DELETE_RETENTION`]. State may be away for half of that; the other half is for clocks that
    /// differ. Only state that has a changelog has an age.
    pub fn age(&self, now: Timestamp, kept: Duration) -> Age {
        let away_max = kept / 2;
        if !self.owned_until.is_some() {
            return Age::NeverOwned;
        }
        if self.owned_until.since(now) > CLOCK_SLACK {
            return Age::Ahead;
        }
        if now.since(self.owned_until) > away_max {
            return Age::TooOld;
        }
        Age::Usable { until: self.owned_until.plus(away_max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn owned_until() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn age(now: Timestamp, kept: Duration) -> Age {
        Checkpoint { owned_until: owned_until(), ..Checkpoint::default() }.age(now, kept)
    }

    #[test]
    fn a_state_may_be_away_for_half_of_what_its_changelogs_keep_deletions() {
        for kept in [DELETE_RETENTION, 2 * HOUR, 240 * HOUR] {
            let last = owned_until().plus(kept / 2);
            assert_eq!(age(owned_until(), kept), Age::Usable { until: last });
            assert_eq!(age(last, kept), Age::Usable { until: last });
            assert_eq!(age(last.plus(SECOND), kept), Age::TooOld);
        }
    }

    #[test]
    fn a_state_of_the_future_has_an_unknown_age_unless_clocks_may_differ_by_so_much() {
        let until = owned_until().plus(12 * HOUR);
        assert_eq!(age(owned_until().minus(HOUR), DELETE_RETENTION), Age::Usable { until });
        assert_eq!(age(owned_until().minus(HOUR + SECOND), DELETE_RETENTION), Age::Ahead);
    }

    #[test]
    fn a_state_that_was_never_owned_has_no_age() {
        assert_eq!(Checkpoint::default().age(owned_until(), DELETE_RETENTION), Age::NeverOwned);
    }
}
