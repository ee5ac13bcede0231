//! The last alerts, for the page: which user, and the events that fired each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::Evidence;
use crate::activity::Add;

/// So many are kept.
const KEPT: usize = 12;

/// The last alerts of a process, shared between its tasks and its page. As they were found: a transaction that failed finds
/// them again, and that counts once.
#[derive(Debug, Default)]
pub struct LastAlerts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    fired: VecDeque<Fired>,
    total: u64,
}

/// An alert and its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fired {
    pub(crate) user: String,
    pub(crate) evidence: Evidence,
    /// In the order of event time; empty when they were forgotten before the alert left, as one that was held may find.
    pub(crate) events: Vec<Add>,
}

impl LastAlerts {
    pub(crate) fn note(&self, user: &str, evidence: &Evidence, events: Vec<Add>) {
        let fired = Fired { user: user.to_owned(), evidence: evidence.clone(), events };
        // A poisoned lock means that a reader panicked; what is kept is whole.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.fired.len();
        kept.fired.retain(|have| have.user != fired.user || have.evidence != fired.evidence);
        if kept.fired.len() == before {
            kept.total = kept.total.saturating_add(1);
        }
        if kept.fired.len() == KEPT {
            kept.fired.pop_back();
        }
        kept.fired.push_front(fired);
    }

    /// The newest first, and how many there were in all.
    pub(crate) fn get(&self) -> (Vec<Fired>, u64) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.fired.iter().cloned().collect(), kept.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(at_ms: i64) -> Evidence {
        Evidence { first_event_ms: at_ms, last_event_ms: at_ms, events: 5, items: vec![] }
    }

    #[test]
    fn the_last_are_kept_and_one_that_is_found_again_is_kept_once() {
        let last = LastAlerts::default();
        (0..100).for_each(|at_ms| last.note("u", &evidence(at_ms), vec![]));
        last.note("u", &evidence(98), vec![]);
        let (fired, total) = last.get();
        let times: Vec<i64> = fired.iter().map(|fired| fired.evidence.first_event_ms).collect();
        assert_eq!((times.len(), &times[..3], total), (KEPT, &[98, 99, 97][..], 100));
    }
}
