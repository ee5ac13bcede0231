//! Clocks, and states that were away for a day: no deleted key comes back (I10), and nothing is wiped without a cause.

use std::time::Duration;

use millpond::broker::sim::Fault;
use millpond::state::{MemoryDirectory, StoreFault};

use super::{T, append, append_to, broker, eager, later, patient, rounds, rows, start, table};

/// One busy task keeps the thread's commits busy; the quiet one was owned all the time.
#[test]
fn a_quiet_task_of_a_busy_thread_keeps_its_state() {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append_to(&broker, 0, "busy", Some("v".into()));
    append_to(&broker, 1, "quiet", Some("v".into()));
    rounds(&mut thread, 20, T).unwrap();
    for minutes in 1..(13 * 60) {
        append_to(&broker, 0, "busy", Some("v".into()));
        rounds(&mut thread, 1, T.plus(Duration::from_secs(60 * minutes))).unwrap();
    }
    broker.fail_next(Fault::BeforeEndTxn);
    append_to(&broker, 0, "busy", Some("v".into()));
    rounds(&mut thread, 20, later(13)).unwrap();
    assert_eq!(thread.counters().state_wipes, 0);
}

/// NTP sets the clock back by an hour.
#[test]
fn a_clock_that_is_set_back_does_not_stop_commits() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = patient("app-0");
    let mut thread = start(&broker, table(), &directory, config, later(1));
    append(&broker, "a");
    rounds(&mut thread, 20, later(1)).unwrap();
    rounds(&mut thread, 20, later(1).plus(Duration::from_secs(1))).unwrap();
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
    append(&broker, "b");
    for second in 0..600 {
        rounds(&mut thread, 1, T.plus(Duration::from_secs(second))).unwrap();
    }
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0, "ten minutes later");
}

/// I10: a disk that was written while the clock was wrong comes back after its deletions are compacted away.
#[test]
fn a_disk_from_the_future_brings_no_deleted_key_back() {
    let (broker, old, new) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &old, eager("app-0"), later(24 * 365));
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, later(24 * 365)).unwrap();
    drop(thread);
    let mut thread = start(&broker, table(), &new, eager("app-0"), T);
    append_to(&broker, 0, "k", None);
    rounds(&mut thread, 20, T).unwrap();
    append(&broker, "m");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    broker.compact("app-table-changelog", true);
    let mut thread = start(&broker, table(), &old, eager("app-0"), later(72));
    rounds(&mut thread, 20, later(72)).unwrap();
    assert_eq!(rows(&old, "table"), ["l", "m"]);
}

/// I10: a process is revoked and stands still for a day. Another one deletes a key meanwhile, and the deletion is compacted
/// away. The task comes back to the first one, which has not closed it.
#[test]
fn a_member_that_slept_for_a_day_after_its_revocation_brings_no_deleted_key_back() {
    let (broker, old, new) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut sleeper = start(&broker, table(), &old, eager("app-1"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut sleeper, 20, T).unwrap();
    // The first partition goes to the first name.
    let mut other = start(&broker, table(), &new, eager("app-0"), T);
    rounds(&mut other, 1, T).unwrap();
    rounds(&mut sleeper, 1, T).unwrap();
    append_to(&broker, 0, "k", None);
    rounds(&mut other, 20, T).unwrap();
    append(&broker, "m");
    rounds(&mut other, 20, later(25)).unwrap();
    broker.compact("app-table-changelog", true);
    other.close(true, later(25)).unwrap();
    rounds(&mut sleeper, 20, later(25)).unwrap();
    assert_eq!(rows(&old, "table"), ["l", "m"]);
}

/// As above, but the outcome of its own commit was unknown when it fell asleep: the deletion in it was never replayed.
#[test]
fn a_member_that_slept_for_a_day_after_an_unknown_commit_brings_no_deleted_key_back() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &directory, eager("app-0"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, T).unwrap();
    append_to(&broker, 0, "k", None);
    broker.fail_next(Fault::EndTxnResponseLost);
    while broker.faults_hit().is_empty() {
        rounds(&mut thread, 1, T).unwrap();
    }
    broker.compact("app-table-changelog", true);
    rounds(&mut thread, 20, later(25)).unwrap();
    assert_eq!(rows(&directory, "table"), ["l"]);
}

/// I10: a restore into an empty store is interrupted after its rows are down. They have an age from then on: a day later they
/// must not be used.
#[test]
fn an_interrupted_restore_brings_no_deleted_key_back_a_day_later() {
    let (broker, owner, interrupted) = (broker(1), MemoryDirectory::new(), MemoryDirectory::new());
    let mut thread = start(&broker, table(), &owner, eager("app-0"), T);
    append(&broker, "k");
    append(&broker, "l");
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut thread = start(&broker, table(), &interrupted, eager("app-0"), T);
    interrupted.fail_after(StoreFault::CrashBeforeBatch, 1);
    rounds(&mut thread, 20, T).unwrap_err();
    drop(thread);
    let mut thread = start(&broker, table(), &owner, eager("app-0"), later(1));
    append_to(&broker, 0, "k", None);
    rounds(&mut thread, 20, later(1)).unwrap();
    append(&broker, "m");
    rounds(&mut thread, 20, later(1)).unwrap();
    drop(thread);
    broker.compact("app-table-changelog", true);
    let mut thread = start(&broker, table(), &interrupted, eager("app-0"), later(26));
    rounds(&mut thread, 20, later(26)).unwrap();
    assert_eq!(rows(&interrupted, "table"), ["l", "m"]);
}
