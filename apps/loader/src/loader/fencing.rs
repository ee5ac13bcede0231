//! Which of two loaders of one name stays.
//!
//! ```text
//! old  ── dead letters, by a new producer ─▶ fences the new one's ──▶ its heartbeat is refused: it ends
//! new  ── joins (takes the membership) ── fenced: no producer for a while ──▶ nobody answers: it stays
//! ```
//! The group decides, as for stream threads: it gives a static member's place to whoever joins last, and tells the older one
//! by its next heartbeat. A producer that answers a fencing with another one would fence the winner, until both give up.

use std::time::{Duration, Instant};

use millpond::broker::{BrokerError, BrokerErrorKind};

use crate::error::Error;

/// So many fencings within [`WINDOW`] mean that another process uses this name outside the group: a twin inside it would have
/// ended by then, or have ended this one.
const FENCED_MAX: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

/// What a loader remembers of fencings.
#[derive(Debug)]
pub(super) struct Fencing {
    pause: Duration,
    at: Vec<Instant>,
    held_until: Option<Instant>,
}

impl Fencing {
    pub(super) const fn new(pause: Duration) -> Self {
        Self { pause, at: Vec::new(), held_until: None }
    }

    /// Takes note of a failure that is a fencing: from now on no producer is made.
    ///
    /// # Errors
    /// The failure itself, when it comes again and again.
    pub(super) fn note(&mut self, error: &Error, now: Instant) -> Result<(), Error> {
        let Error::Broker(BrokerError { kind: BrokerErrorKind::ProducerFenced, .. }) = error else { return Ok(()) };
        self.at.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.at.push(now);
        self.held_until = now.checked_add(self.pause);
        if self.at.len() < FENCED_MAX { Ok(()) } else { Err(error.clone()) }
    }

    /// The group has told who we are: an assignment.
    pub(super) const fn confirmed(&mut self) {
        self.held_until = None;
    }

    /// True while no producer may be made.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use millpond::broker::{BrokerError, BrokerErrorKind};

    use super::{FENCED_MAX, Fencing, WINDOW};
    use crate::error::Error;

    const PAUSE: Duration = Duration::from_secs(2);

    fn failed(kind: BrokerErrorKind) -> Error {
        BrokerError::new("commit", kind, "test").into()
    }

    #[test]
    fn a_fencing_holds_the_producer_until_the_group_or_time_has_decided() {
        let now = Instant::now();
        let mut fencing = Fencing::new(PAUSE);
        fencing.note(&failed(BrokerErrorKind::Abortable), now).unwrap();
        assert!(!fencing.is_held(now), "only a fencing");
        fencing.note(&failed(BrokerErrorKind::ProducerFenced), now).unwrap();
        assert!(fencing.is_held(now) && !fencing.is_held(now + PAUSE));
        fencing.confirmed();
        assert!(!fencing.is_held(now));
    }

    #[test]
    fn fencings_that_do_not_end_end_the_loader() {
        let begin = Instant::now();
        let mut fencing = Fencing::new(PAUSE);
        let mut times = 0;
        while fencing.note(&failed(BrokerErrorKind::ProducerFenced), begin + PAUSE * times).is_ok() {
            times += 1;
        }
        assert_eq!(usize::try_from(times).unwrap() + 1, FENCED_MAX);
        assert!(fencing.note(&failed(BrokerErrorKind::ProducerFenced), begin + WINDOW * 2).is_ok(), "long ago");
    }
}
