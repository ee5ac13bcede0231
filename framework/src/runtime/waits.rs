//! What a thread waits for: a broker that asks to try again, again and again. Waiting is right, and must not be silent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::thread::StreamThread;
use crate::broker::Broker;
use crate::time::Timestamp;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    Producer,
    Topics,
    Offsets,
    ChangelogEnds,
    InputRange,
    Transaction,
}

impl Wait {
    /// What it means, and what to do when it lasts.
    const fn text(self) -> &'static str {
        match self {
            Self::Producer => {
                "there is no producer, so nothing is processed: the transaction coordinator is away, or still ends the transaction \
                 of a predecessor; if it lasts, look at the brokers and at __transaction_state"
            }
            Self::Topics => "the topics cannot be described, so nothing is restored; if it lasts, look at the brokers",
            Self::Offsets => {
                "the restore waits for the group's offsets: their coordinator is away, or an open transaction holds them; if it \
                 lasts, find and abort that with kafka-transactions.sh find-hanging"
            }
            Self::ChangelogEnds => {
                "the restore waits for the ends of the changelogs: the leader of a partition is away; if it lasts, look for \
                 partitions without a leader with kafka-topics.sh --describe --unavailable-partitions"
            }
            Self::InputRange => {
                "a task without offsets waits to hear where its input begins and ends: the leader of a partition is away; if it \
                 lasts, look for partitions without a leader with kafka-topics.sh --describe --unavailable-partitions"
            }
            Self::Transaction => {
                "the restore waits for an open transaction of another producer; if it lasts, find and abort it with \
                 kafka-transactions.sh find-hanging"
            }
        }
    }
}

/// One that goes on.
#[derive(Debug)]
struct Waiting {
    since: Timestamp,
    told: Timestamp,
    reason: String,
}

/// What a thread waits for now.
#[derive(Debug, Default)]
pub(super) struct Waits {
    waiting: BTreeMap<Wait, Waiting>,
}

impl Waits {
    /// Goes on waiting. True when it has lasted for `patience`, since it began or since it was told last: then it is told.
    pub(super) fn on(
        &mut self,
        wait: Wait,
        reason: impl FnOnce() -> String,
        now: Timestamp,
        patience: Duration,
    ) -> bool {
        let waiting =
            self.waiting.entry(wait).or_insert_with(|| Waiting { since: now, told: now, reason: String::new() });
        // A clock that was set back must not keep it silent.
        waiting.since = waiting.since.min(now);
        waiting.told = waiting.told.min(now);
        if now.since(waiting.told) <= patience {
            return false;
        }
        waiting.told = now;
        waiting.reason = reason();
        tracing::warn!(since = ?now.since(waiting.since), reason = %waiting.reason, "{}", wait.text());
        true
    }

    /// It is there.
    pub(super) fn over(&mut self, wait: Wait) {
        self.waiting.remove(&wait);
    }

    /// Nothing is to be restored any more.
    pub(super) fn restored(&mut self) {
        self.waiting.retain(|wait, _| *wait == Wait::Producer);
    }

    /// What was told and goes on.
    fn told(&self, now: Timestamp) -> impl Iterator<Item = String> {
        let told = self.waiting.iter().filter(|(_, waiting)| waiting.told > waiting.since);
        told.map(move |(wait, waiting)| {
            let seconds = now.since(waiting.since).as_secs();
            format!("for {seconds} s: {} ({})", wait.text(), waiting.reason)
        })
    }
}

impl<B: Broker> StreamThread<B> {
    /// As [`Waits::on`], with the patience of two transactions: so long a coordinator may wait for a predecessor's.
    pub(super) fn waits_for(&mut self, wait: Wait, reason: &impl fmt::Display, now: Timestamp) -> bool {
        let patience = self.config.transaction_timeout.saturating_mul(2);
        self.waits.on(wait, || reason.to_string(), now, patience)
    }

    /// What this thread has been waiting for, for so long that it is not ready: a sentence for each, with what to do.
    pub fn waiting_for(&self, now: Timestamp) -> Vec<String> {
        self.waits.told(now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_wait_is_told_when_it_lasts_and_not_too_often() {
        let mut waits = Waits::default();
        let told = (0..=65).filter(|&second| waits.on(Wait::Topics, || "away".to_owned(), at(second), PATIENCE));
        assert_eq!(told.collect::<Vec<_>>(), [21, 42, 63]);
        let texts: Vec<String> = waits.told(at(65)).collect();
        assert!(texts[0].starts_with("for 65 s: the topics cannot be described"), "{texts:?}");
        assert!(texts[0].ends_with("(away)"), "{texts:?}");
        waits.over(Wait::Topics);
        assert!(!waits.on(Wait::Topics, String::new, at(90), PATIENCE));
        assert_eq!(waits.told(at(90)).count(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_a_wait_silent() {
        let mut waits = Waits::default();
        assert!(!waits.on(Wait::Producer, String::new, at(1_000), PATIENCE));
        assert!(!waits.on(Wait::Producer, String::new, at(10), PATIENCE));
        assert!(waits.on(Wait::Producer, String::new, at(31), PATIENCE));
    }
}
