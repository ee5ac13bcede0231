//! Which of two processes of one name stays.
//!
//! ```text
//! old  ── commits ─▶ fenced: no producer for a while ──▶ its heartbeat is refused: it ends
//! new  ── init_transactions (fences the old one's producer) ── joins (takes its membership) ──▶ it stays
//! ```
//! The group decides: `JoinGroup` gives a static member's place to whoever joins last, and the older one is told by its next
//! heartbeat. `init_transactions` decides nothing: it fences whoever came before, and each of the two could answer it with
//! another one until both give up. So whoever is fenced makes no producer before it must have heard that it was replaced.

use std::time::Duration;

use super::Error;
use super::thread::StreamThread;
use crate::broker::{Broker, BrokerError};
use crate::record::TaskId;
use crate::time::Timestamp;

/// So many fencings within [`WINDOW`] mean that another process uses this `transactional.id` outside the group: a twin inside
/// it would have ended by then, or have ended this one.
const FENCED_MAX: usize = 5;
/// So many clients that break within [`WINDOW`] mean that a new one does not mend it.
const BROKEN_MAX: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// So long a client's failure is remembered: the same one comes again after each restore, which may take a while.
const SAME_WINDOW: Duration = Duration::from_mins(10);
/// So often within [`DAMAGED_WINDOW`] the state of one task is set aside and restored.
const DAMAGED_MAX: usize = 3;
const DAMAGED_WINDOW: Duration = Duration::from_hours(1);
/// What a twin may take from `init_transactions` to `JoinGroup`, and a heartbeat from being due to its answer.
const JOIN_MAX: Duration = Duration::from_secs(2);

/// What a thread remembers of fencings and broken clients.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    /// Fenced in a transaction that began then; the next round tells why.
    pub(super) inside: Option<Timestamp>,
    fenced_at: Vec<Timestamp>,
    broken: Vec<(Timestamp, String)>,
    damaged: Vec<(Timestamp, TaskId)>,
    held_since: Option<Timestamp>,
}

impl Fencing {
    /// The group has told who we are: an assignment.
    pub(super) const fn confirmed(&mut self) {
        self.held_since = None;
    }
}

impl<B: Broker> StreamThread<B> {
    /// A producer is fenced by another one with its name, or by the coordinator, which ends a transaction that is older than
    /// its time-out. The first counts.
    pub(super) fn tell_fencing_from_timeout(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some(since) = self.fencing.inside.take() else { return Ok(()) };
        let age = now.since(since);
        if age < self.config.transaction_timeout {
            return self.note_fencing(now);
        }
        self.pace.timed_out();
        tracing::warn!(
            ?age,
            "the transaction was open for longer than transaction.timeout.ms, so the broker has ended it"
        );
        Ok(())
    }

    /// Counts a fencing by another process with our name, and lets the group decide which one stays.
    pub(super) fn note_fencing(&mut self, now: Timestamp) -> Result<(), Error> {
        self.hold_producer(now);
        match count(&mut self.fencing.fenced_at, now) {
            times if times < FENCED_MAX => Ok(()),
            times => Err(Error::DuplicateInstance { instance: self.config.instance_id.clone(), times }),
        }
    }

    /// Counts a client that was given up: for whatever reason within a minute, for the same one within ten.
    pub(super) fn note_broken_client(&mut self, source: &BrokerError, now: Timestamp) -> Result<(), Error> {
        let broken = &mut self.fencing.broken;
        broken.retain(|(at, _)| at.is_within(SAME_WINDOW, now));
        broken.push((now, source.reason.clone()));
        let counts = |(at, reason): &&(Timestamp, _)| at.is_within(WINDOW, now) || *reason == source.reason;
        match broken.iter().filter(counts).count() {
            times if times < BROKEN_MAX => Ok(()),
            times => Err(Error::ClientBroken { times, source: source.clone() }),
        }
    }

    /// Counts a state that was found damaged. A disk that breaks one after the other is not mended by restores, and of what was
    /// set aside only the newest two are kept.
    pub(super) fn note_damage(&mut self, task: TaskId, error: Error, now: Timestamp) -> Result<Error, Error> {
        let damaged = &mut self.fencing.damaged;
        damaged.retain(|(at, _)| at.is_within(DAMAGED_WINDOW, now));
        damaged.push((now, task));
        match damaged.iter().filter(|(_, of)| *of == task).count() {
            times if times < DAMAGED_MAX => Ok(error),
            times => Err(Error::DamagedAgain { task, times, source: Box::new(error) }),
        }
    }

    /// Makes no producer until an assignment, or time enough without a word from the group, says that we are still a member.
    pub(super) fn hold_producer(&mut self, now: Timestamp) {
        self.fencing.held_since = Some(now);
    }

    pub(super) fn producer_is_held(&self, now: Timestamp) -> bool {
        self.fencing.held_since.is_some_and(|since| since.is_within(self.config.fenced_pause, now))
    }
}

/// Notes one more, and tells how many there were within the window.
fn count(times: &mut Vec<Timestamp>, now: Timestamp) -> usize {
    times.retain(|at| at.is_within(WINDOW, now));
    times.push(now);
    times.len()
}

/// How long whoever is fenced waits for the group's word.
pub(super) const fn pause(heartbeat_interval: Duration) -> Duration {
    heartbeat_interval.saturating_add(JOIN_MAX)
}
