//! When to try again, and when to give up.

use std::time::{Duration, Instant};

use crate::error::Error;

const LONGEST: Duration = Duration::from_secs(3);
/// A recovery that lasted this long ends a series of failures, even when there was nothing to write.
const STABLE: Duration = Duration::from_secs(30);

/// Waits that double up to 3 s, and a limit for how long it may go on failing.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    give_up_after: Duration,
    since: Option<Instant>,
    wait: Duration,
    next: Option<Instant>,
    recovered: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, give_up_after: Duration) -> Self {
        Self { first, give_up_after, since: None, wait: first, next: None, recovered: None }
    }

    /// It worked: the next failure begins anew.
    pub(crate) const fn succeeded(&mut self) {
        *self = Self::new(self.first, self.give_up_after);
    }

    /// It may work now. Only time or [`succeeded`](Self::succeeded) tells: claims that succeed while every write fails
    /// must come to an end as well.
    pub(crate) const fn recovered(&mut self, now: Instant) {
        self.recovered = Some(now);
    }

    /// It failed: sets the time of the next attempt.
    ///
    /// # Errors
    /// [`Error::GaveUp`] when it has been failing for too long.
    pub(crate) fn failed(&mut self, now: Instant, error: Error) -> Result<(), Error> {
        if self.recovered.take().is_some_and(|at| now.saturating_duration_since(at) >= STABLE) {
            self.succeeded();
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.give_up_after {
            return Err(Error::GaveUp { after: self.give_up_after, last: Box::new(error) });
        }
        self.next = now.checked_add(self.wait);
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
        Ok(())
    }

    /// True when it may be tried (again).
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Backoff, LONGEST, STABLE};
    use crate::error::Error;

    const FIRST: Duration = Duration::from_millis(50);

    #[test]
    fn waits_double_up_to_a_limit_and_then_it_is_given_up() {
        let failure = Error::MissingTopic { topic: "t".into() };
        let begin = Instant::now();
        let mut backoff = Backoff::new(FIRST, Duration::from_mins(1));
        let mut now = begin;
        assert!(backoff.is_over(now));
        let mut waits = Vec::new();
        while backoff.failed(now, failure.clone()).is_ok() {
            assert!(!backoff.is_over(now));
            let next = backoff.next.unwrap();
            waits.push(next - now);
            now = next;
            assert!(backoff.is_over(now));
        }
        assert_eq!((waits[0], waits[1], *waits.last().unwrap()), (FIRST, FIRST * 2, LONGEST));
        assert!(now - begin >= Duration::from_mins(1));
        backoff.succeeded();
        assert!(backoff.failed(now, failure).is_ok());
    }

    #[test]
    fn a_recovery_counts_only_when_it_lasts() {
        let failure = || Error::MissingTopic { topic: "t".into() };
        let mut now = Instant::now();
        let mut backoff = Backoff::new(FIRST, Duration::from_mins(1));
        let mut rounds = 0;
        while backoff.failed(now, failure()).is_ok() {
            now += LONGEST;
            backoff.recovered(now);
            rounds += 1;
        }
        assert_eq!(rounds, 20, "claims that succeed in between change nothing");
        backoff.recovered(now);
        assert!(backoff.failed(now + STABLE, failure()).is_ok());
    }
}
