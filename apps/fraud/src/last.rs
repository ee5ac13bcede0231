//! The last alerts, for the page: which user, and the events that fired each.

use std::collections::VecDeque;

use crate::Evidence;
use crate::activity::Add;

/// So many are kept.
const KEPT: usize = 12;

/// The last alerts of a process, the newest first. A transaction that failed finds them again, and they are kept once.
#[derive(Debug, Default)]
pub(crate) struct LastAlerts(VecDeque<Fired>);

/// An alert and its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fired {
    pub(crate) user: String,
    pub(crate) evidence: Evidence,
    /// In the order of event time; empty when they were forgotten before the alert left, as one that was held may find.
    pub(crate) events: Vec<Add>,
}

impl LastAlerts {
    pub(crate) fn note(&mut self, fired: Fired) {
        self.0.retain(|have| have.user != fired.user || have.evidence != fired.evidence);
        if self.0.len() == KEPT {
            self.0.pop_back();
        }
        self.0.push_front(fired);
    }

    /// The newest first.
    pub(crate) fn get(&self) -> Vec<Fired> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(at_ms: i64) -> Fired {
        let evidence = Evidence { first_event_ms: at_ms, last_event_ms: at_ms, events: 5, items: vec![] };
        Fired { user: "u".to_owned(), evidence, events: vec![] }
    }

    #[test]
    fn the_last_are_kept_and_one_that_is_found_again_is_kept_once() {
        let mut last = LastAlerts::default();
        (0..100).chain([98]).for_each(|at_ms| last.note(fired(at_ms)));
        let times: Vec<i64> = last.get().iter().map(|fired| fired.evidence.first_event_ms).collect();
        assert_eq!((times.len(), &times[..3]), (KEPT, &[98, 99, 97][..]));
    }
}
