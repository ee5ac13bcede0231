//! I4: who a thread is in its group when it commits. A client's membership may change behind its thread's back, between two
//! polls, and a broker takes offsets from `(-1, "")` without a look at who they are of.

use std::time::Duration;

use millpond::broker::Membership;
use millpond::broker::sim::Fault;
use millpond::state::MemoryDirectory;

use super::edge::{Claim, Edge};
use super::{T, append, at, broker, committed_keys, copy, eager, patient, rounds, seconds, start};

/// Who the client says that it is when the commit is due, and whether that may commit.
const MEMBERSHIPS: [(&str, Claim, bool); 4] = [
    ("nobody, as before the join", |_| nobody(), false),
    ("a member of another generation", |so| Membership { generation: so.generation + 1, ..so }, false),
    ("another member", |so| Membership { member_id: format!("{}-other", so.member_id), ..so }, false),
    ("the member that was assigned", |so| so, true),
];

const fn nobody() -> Membership {
    Membership { generation: -1, member_id: String::new() }
}

#[test]
fn nothing_is_sent_for_another_member_than_the_one_that_was_assigned() {
    for (who, claim, may_commit) in MEMBERSHIPS {
        let edge = Edge::new(broker(1));
        let mut thread = start(&edge, copy(), &MemoryDirectory::new(), patient("app-0"), T);
        seconds(&mut thread, 3, T).unwrap();
        let now = T.plus(Duration::from_secs(2));
        append(&edge.sim, "a");
        rounds(&mut thread, 3, now).unwrap();
        let sent = |edge: &Edge| edge.calls("start_commit") + edge.calls("send_offsets") + edge.calls("commit");
        let next = |edge: &Edge| edge.sim.committed_offsets("app").get(&at("in", 0)).map(|offset| offset.next.0);
        let before = sent(&edge);
        assert_eq!(
            (edge.sim.unfinished_transactions().len(), next(&edge)),
            (1, Some(0)),
            "{who}: `a` waits for its commit"
        );
        edge.claim(Some(claim));
        let now = now.plus(Duration::from_secs(1));
        rounds(&mut thread, 3, now).unwrap();
        assert_eq!(sent(&edge) - before, usize::from(may_commit), "{who}");
        assert_eq!(next(&edge), Some(i64::from(may_commit)), "{who}");
        assert_eq!(committed_keys(&edge.sim, "out").len(), usize::from(may_commit), "{who}");
        assert_eq!(thread.counters().aborts.len(), usize::from(!may_commit), "{who}: {:?}", thread.counters());
        // It was a moment's doubt: what was not sent is processed again, and committed once.
        edge.claim(None);
        seconds(&mut thread, 10, now).unwrap();
        assert_eq!((committed_keys(&edge.sim, "out"), next(&edge)), (vec!["a".to_owned()], Some(1)), "{who}");
    }
}

/// A client that says so at the assignment, too, agrees with itself, and proves nothing.
#[test]
fn whoever_was_assigned_without_a_membership_commits_nothing() {
    let edge = Edge::new(broker(1));
    edge.claim(Some(|_| nobody()));
    append(&edge.sim, "a");
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    seconds(&mut thread, 10, T).unwrap();
    assert!(thread.is_assigned() && thread.counters().aborts.contains_key("aborted"), "{:?}", thread.counters());
    assert_eq!((edge.calls("start_commit"), edge.sim.committed_offsets("app").len()), (0, 0));
    assert_eq!(committed_keys(&edge.sim, "out"), [""; 0]);
    // The next assignment tells who it is.
    edge.claim(None);
    edge.sim.fail_next(Fault::GroupRebalance);
    seconds(&mut thread, 10, T.plus(Duration::from_secs(10))).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}
