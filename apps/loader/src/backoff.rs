//! When to try again, and when to give up.

use std::time::{Duration, Instant};

use crate::error::Error;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3);

/// Waits that double from 50 ms to 3 s, and a limit for how long it may go on failing.
#[derive(Debug)]
pub(crate) struct Backoff {
    give_up_after: Duration,
    since: Option<Instant>,
    wait: Duration,
    next: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(give_up_after: Duration) -> Self {
        Self { give_up_after, since: None, wait: FIRST, next: None }
    }

    /// It worked: the next failure begins anew.
    pub(crate) const fn succeeded(&mut self) {
        *self = Self::new(self.give_up_after);
    }

    /// It failed: sets the time of the next attempt.
    ///
    /// # Errors
    /// [`Error::GaveUp`] when it has been failing for too long.
    pub(crate) fn failed(&mut self, now: Instant, error: Error) -> Result<(), Error> {
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

    use super::{Backoff, FIRST, LONGEST};
    use crate::error::Error;

    #[test]
    fn waits_double_up_to_a_limit_and_then_it_is_given_up() {
        let failure = Error::MissingTopic { topic: "t".into() };
        let begin = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(60));
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
        assert!(now - begin >= Duration::from_secs(60));
        backoff.succeeded();
        assert!(backoff.failed(now, failure).is_ok());
    }
}
