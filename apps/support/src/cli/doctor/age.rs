//! How long local state was away, and what the next start does about it. Pure.

use std::time::Duration;

use jiff::SignedDuration;
use millpond::state::{Age, Checkpoint, DELETE_RETENTION};
use millpond::time::Timestamp;

use crate::cli::time::shown;
use crate::finding::Finding;

const CODE: &str = "state-age";

/// How long the changelogs of a state keep deletions, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The shortest `delete.retention.ms` of them.
    Told(Duration),
    /// The brokers answer, and do not tell the setting: a start is not told either, and assumes Kafka's default.
    NotTold,
    /// The brokers do not answer. A start asks them itself.
    NotAsked,
}

impl Kept {
    /// How long, and in whose words.
    const fn known(self) -> (Duration, &'static str) {
        match self {
            Self::Told(kept) => (kept, "of its changelogs"),
            Self::NotTold => (DELETE_RETENTION, "Kafka's default; the brokers do not tell the topic's"),
            Self::NotAsked => (DELETE_RETENTION, "Kafka's default; the topic's is not known while no broker answers"),
        }
    }
}

/// What a start at `now` would do with a state that has changelogs.
pub(super) fn judge(name: &str, checkpoint: &Checkpoint, kept: Kept, now: Timestamp) -> Finding {
    let owned_until = checkpoint.owned_until;
    let (retention, whence) = kept.known();
    let setting = format!("delete.retention.ms={} ({whence})", retention.as_millis());
    let owned = format!("{name} was last owned at {}", shown(owned_until));
    let away = span(Duration::from_secs(now.since(owned_until).as_secs()));
    match checkpoint.age(now, retention) {
        Age::NeverOwned => {
            Finding::fine(CODE, format!("{name} does not say when it was last owned: its age does not count"))
        }
        Age::Usable { until } => {
            let most = span(until.since(owned_until));
            let what =
                format!("{owned}, {away} ago: a start within {most} of that, half of {setting}, goes on from it");
            Finding::fine(CODE, what)
        }
        Age::TooOld => {
            let what = format!(
                "{owned}, {away} ago, longer than half of {setting}: it is too old to be used, and the next start restores it in full"
            );
            let fix = match kept {
                Kept::Told(_) | Kept::NotTold => "nothing need be done: the next start restores it from the changelog",
                Kept::NotAsked => {
                    "nothing need be done: the next start restores it from the changelog, or goes on from it if that keeps deletions for longer; ask again when the brokers answer"
                }
            };
            Finding::warning(CODE, what, fix)
        }
        Age::Ahead => {
            let what = format!("{owned}, which has not come yet: its age is unknown");
            let fix = "set the clock right, if it is this one that is wrong; the next start restores the state from the changelog";
            Finding::warning(CODE, what, fix)
        }
    }
}

/// `13h 1m`.
fn span(time: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX))
}
