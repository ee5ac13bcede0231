//! How long a round waits for records when there is nothing else to do.

use std::time::Duration;

use super::thread::StreamThread;
use crate::broker::Broker;
use crate::task::{Task, TaskState};
use crate::time::Timestamp;

/// While a commit is in flight: its end is looked for after the poll.
const IN_FLIGHT: Duration = Duration::from_millis(2);
/// Never less: time is told in milliseconds, and a poll that does not wait at all would be a loop that burns a core.
const LEAST: Duration = Duration::from_millis(1);

impl<B: Broker> StreamThread<B> {
    /// Not longer than until the next commit: the last records before a pause would wait a whole poll for theirs.
    pub(super) fn patience(&self, now: Timestamp) -> Duration {
        if self.replay_moved || self.tasks.values().any(|task| task.buffered() > 0) {
            return Duration::ZERO;
        }
        let most = self.config.poll_timeout;
        let most = match self.until_commit(now) {
            _ if self.commit_in_flight() || self.waits_for_begins() => most.min(IN_FLIGHT),
            Some(left) => most.min(left.max(LEAST)),
            None => most,
        };
        self.desk.as_ref().map_or(most, |desk| desk.poll_timeout(most, now))
    }

    /// How long until what is there is to be committed; `None` when there is nothing: only then a round may wait for longer. What
    /// counts here is some of what a commit takes along, so a commit that is due takes place and this does not begin to spin.
    fn until_commit(&self, now: Timestamp) -> Option<Duration> {
        let transaction = self.transaction.as_ref()?;
        // Rows alone open no transaction before their commit, and what was processed ahead of one does after it.
        let holds = |task: &Task| task.state() == TaskState::Running && task.uncommitted_bytes() > 0;
        let waits = transaction.open_since().is_some() || self.tasks.values().any(holds);
        // A clock that was set back begins the interval anew; see `commit_due`.
        let since = if now < self.last_commit { Duration::ZERO } else { now.since(self.last_commit) };
        waits.then(|| self.config.commit_interval.saturating_sub(since))
    }
}
