//! Transactions that fail, hang or are torn.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::sim::{Fault, SimBroker, SimConfig};
use millpond::broker::{Broker, Producer};
use millpond::record::{Headers, ProducerRecord};
use millpond::runtime::config::StartFrom;
use millpond::runtime::{Breakage, Error, Refusal, StreamThread, TaskError, TaskState, ThreadConfig};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

use super::edge::Edge;
use super::{T, append, at, broker, committed_keys, copy, eager, patient, rounds, seconds, start, table_with_output};

/// The contract lets `send` fail with `Retriable`: nothing was queued, the producer lives on.
#[test]
fn a_full_producer_queue_loses_no_output() {
    for passes in 0..3 {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
        rounds(&mut thread, 10, T).unwrap();
        append(&broker, "a");
        append(&broker, "b");
        broker.fail_after(Fault::ProducerQueueFull, passes);
        rounds(&mut thread, 50, T).unwrap();
        let lag: u64 = broker.lag("app").values().sum();
        assert_eq!((committed_keys(&broker, "out"), lag), (vec!["a".to_owned(), "b".to_owned()], 0), "passes={passes}");
    }
}

/// As above, at a revocation: the partitions are given up, the open transaction must be, too. Left open, it holds the last
/// stable offset of the commit log that the same thread waits for in its next restore.
#[test]
fn a_full_producer_queue_at_a_revocation_leaves_no_transaction_open() {
    for passes in 0..4 {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = patient("app-0");
        let mut thread = start(&broker, copy(), &directory, config, T);
        rounds(&mut thread, 10, T).unwrap();
        rounds(&mut thread, 10, T.plus(Duration::from_secs(1))).unwrap();
        append(&broker, "a");
        rounds(&mut thread, 3, T.plus(Duration::from_secs(1))).unwrap();
        broker.fail_after(Fault::ProducerQueueFull, passes);
        broker.fail_next(Fault::GroupRebalance);
        rounds(&mut thread, 50, T.plus(Duration::from_secs(1))).unwrap();
        rounds(&mut thread, 50, T.plus(Duration::from_secs(2))).unwrap();
        rounds(&mut thread, 50, T.plus(Duration::from_secs(3))).unwrap();
        let told = format!("passes={passes} {:?} {:?}", thread.counters(), broker.committed_offsets("app"));
        assert_eq!(committed_keys(&broker, "out"), ["a"], "{told}");
    }
}

/// `start.from=latest`: what came after the start was read and processed; its first transaction fails.
#[test]
fn a_failed_first_transaction_from_latest_loses_nothing() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    append(&broker, "old");
    let config =
        ThreadConfig { start_from: StartFrom::Latest, commit_interval: Duration::from_millis(100), ..eager("app-0") };
    let mut thread = start(&broker, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    append(&broker, "a");
    rounds(&mut thread, 5, T).unwrap();
    assert_eq!(thread.tasks().map(|task| task.counters().processed).sum::<u64>(), 1);
    broker.fail_next(Fault::BeforeEndTxn);
    for ms in [200, 400, 600, 800] {
        rounds(&mut thread, 20, T.plus(Duration::from_millis(ms))).unwrap();
    }
    assert_eq!(committed_keys(&broker, "out"), ["a"]);
}

/// A partition that was paused when its transaction failed.
#[test]
fn a_paused_partition_is_read_on_after_a_failed_transaction() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let config = ThreadConfig {
        commit_interval: Duration::from_millis(100),
        records_per_round: 1,
        buffered_records_per_partition: 2,
        ..eager("app-0")
    };
    let mut thread = start(&broker, copy(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    let keys: Vec<String> = (0..10).map(|i| format!("k{i}")).collect();
    for key in &keys {
        append(&broker, key);
    }
    rounds(&mut thread, 2, T).unwrap();
    broker.fail_next(Fault::BeforeEndTxn);
    for ms in 2..10 {
        rounds(&mut thread, 20, T.plus(Duration::from_millis(100 * ms))).unwrap();
    }
    assert_eq!(committed_keys(&broker, "out"), keys);
}

/// A transaction that nobody ends holds the changelog's last stable offset: the thread waits, at rest.
#[test]
fn a_restore_that_waits_for_a_hanging_transaction_does_not_spin() {
    let edge = Edge::new(broker(1));
    append(&edge.sim, "a");
    let directory = MemoryDirectory::new();
    let mut thread = start(&edge, table_with_output(), &directory, eager("app-0"), T);
    rounds(&mut thread, 20, T).unwrap();
    drop(thread);
    let mut zombie = edge.sim.producer("zombie").unwrap();
    zombie.begin().unwrap();
    let record = ProducerRecord {
        target: at("app-table-changelog", 0),
        timestamp: T,
        key: Some(Bytes::from_static(b"z")),
        value: Some(Bytes::from_static(b"z")),
        headers: Headers::new(),
    };
    zombie.send(record).unwrap();
    let config = ThreadConfig { poll_timeout: Duration::from_millis(20), ..eager("app-0") };
    let mut thread = start(&edge, table_with_output(), &directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    edge.take_waits();
    rounds(&mut thread, 100, T).unwrap();
    let waits = edge.take_waits();
    assert!(waits.iter().any(|wait| !wait.is_zero()), "{} polls without a wait, nothing to do", waits.len());
}

/// A copy of the last commit request arrives in the middle of the next transaction, and nobody has noticed a retry.
///
/// ```text
/// out-0: a C | b C ← the late copy        app-commits-0: begin(2) commit(2) C | begin(3) C ← and no commit(3)
/// ```
#[test]
fn a_transaction_that_a_late_request_has_torn_stops_the_thread_by_name() {
    for (topology, output) in [(copy as fn() -> Topology, "out"), (table_with_output, "changes")] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = patient("app-0");
        let mut thread = start(&broker, topology(), &directory, config.clone(), T);
        rounds(&mut thread, 20, T).unwrap();
        append(&broker, "a");
        broker.fail_next(Fault::EndTxnDuplicatedUnnoticed);
        let second = T.plus(Duration::from_secs(1));
        rounds(&mut thread, 5, second).unwrap();
        append(&broker, "b");
        rounds(&mut thread, 5, second).unwrap();
        assert_eq!(committed_keys(&broker, output), ["a"]);
        assert_eq!(broker.release(), 1);
        assert_eq!(committed_keys(&broker, output), ["a", "b"], "committed, and nobody asked for it");
        assert_eq!(broker.lag("app").values().sum::<u64>(), 1, "its offset is not");
        // The thread goes on to its commit, which fails. It looks twice before it gives up.
        rounds(&mut thread, 50, T.plus(Duration::from_secs(2))).unwrap();
        let stopped = rounds(&mut thread, 50, T.plus(Duration::from_secs(4)));
        let torn = |error: &Error| {
            matches!(error, Error::Task(TaskError::Refused(Refusal::TornTransaction { sequence: 3, .. })))
        };
        assert!(stopped.as_ref().is_err_and(torn), "{output}: {stopped:?}");
        drop(thread);
        let mut thread = start(&broker, topology(), &directory, config, T.plus(Duration::from_secs(5)));
        rounds(&mut thread, 50, T.plus(Duration::from_secs(5))).unwrap();
        let stopped = rounds(&mut thread, 50, T.plus(Duration::from_secs(7)));
        assert!(stopped.as_ref().is_err_and(torn), "{output}: {stopped:?}");
        assert_eq!(committed_keys(&broker, output), ["a", "b"], "never repeated");
    }
}

/// A process stands still in the middle of its restore, is thrown out, and its successor commits. When it wakes it reads on:
/// up to the middle of that commit, because its fetches are short. It must not take that for a torn transaction, nor stop.
#[test]
fn a_member_that_stood_still_in_its_restore_does_not_take_its_successors_commit_for_a_torn_one() {
    for passes in 0..40 {
        let broker = SimBroker::with_config(SimConfig { max_poll_records: 1, ..SimConfig::without_timeouts() });
        for topic in ["in", "changes"] {
            broker.add_topic(topic, 1);
        }
        let (one, two) = (MemoryDirectory::new(), MemoryDirectory::new());
        let mut first = start(&broker, table_with_output(), &one, eager("app-0"), T);
        append(&broker, "a");
        rounds(&mut first, 20, T).unwrap();
        drop(first);
        let mut first = start(&broker, table_with_output(), &one, eager("app-0"), T);
        let successor = Rc::new(RefCell::new(None));
        let meanwhile = (broker.clone(), Rc::clone(&successor));
        broker.on_pause(Some(Box::new(move || {
            let (broker, successor) = &meanwhile;
            broker.expire_session("app", "app-0");
            append(broker, "b");
            let mut thread = start(broker, table_with_output(), &two, eager("app-1"), T);
            rounds(&mut thread, 30, T).unwrap();
            *successor.borrow_mut() = Some(thread);
        })));
        broker.fail_after(Fault::Paused, passes);
        for second in 0..10 {
            let now = T.plus(Duration::from_secs(second));
            for _ in 0..10 {
                let woken = rounds(&mut first, 1, now);
                assert!(woken.is_ok(), "passes={passes}: {woken:?}");
                if let Some(thread) = &mut *successor.borrow_mut() {
                    rounds(thread, 1, now).unwrap();
                }
            }
        }
        broker.on_pause(None);
        let expected = if successor.borrow().is_some() { vec!["a", "b"] } else { vec!["a"] };
        assert_eq!(committed_keys(&broker, "changes"), expected, "passes={passes}");
    }
}

/// Under load, with rounds that take long and a commit interval that never comes: a transaction is committed before half of its
/// time-out has passed, give or take a round, and every round polls.
#[test]
fn under_load_a_transaction_is_younger_than_half_its_time_out_and_polls_come_in_time() {
    const TIMEOUT: Duration = Duration::from_secs(10);
    for round_ms in [1, 90, 700, 2_400] {
        let round = Duration::from_millis(round_ms);
        let sim = SimBroker::with_config(SimConfig {
            start: T,
            transaction_timeout: TIMEOUT,
            max_poll_records: 50,
            ..SimConfig::without_timeouts()
        });
        for topic in ["in", "out"] {
            sim.add_topic(topic, 4);
        }
        for record in 0..2_000 {
            super::append_to(&sim, record % 4, &format!("k{record}"), Some(Bytes::from_static(b"v")));
        }
        let edge = Edge::new(sim.clone());
        let config = ThreadConfig {
            commit_interval: Duration::from_hours(1),
            transaction_timeout: TIMEOUT,
            records_per_round: 16,
            ..eager("app-0")
        };
        let mut thread = start(&edge, copy(), &MemoryDirectory::new(), config, T);
        rounds(&mut thread, 10, T).unwrap();
        let (mut open_since, mut oldest, mut busy) = (None, Duration::ZERO, 0);
        for _ in 0..400 {
            let (before, now) = (edge.calls("poll"), sim.now());
            thread.run_once(now).unwrap();
            assert!(edge.calls("poll") > before, "a round without a poll");
            if sim.unfinished_transactions().is_empty() {
                open_since = None;
            } else {
                busy += 1;
                let since = *open_since.get_or_insert(now);
                oldest = oldest.max(now.plus(round).since(since));
            }
            sim.advance(round);
        }
        assert!(busy > 50, "{round_ms} ms: there was no load");
        assert!(oldest <= TIMEOUT / 2 + round * 2, "{round_ms} ms: a transaction was open for {oldest:?}");
        assert!(oldest < TIMEOUT && thread.counters().aborts.is_empty(), "{:?}", thread.counters());
    }
}

/// A thread that copies, and has committed "a" at `now`; a copy of that request is on its way, and nobody has noticed.
fn with_a_late_copy(
    (broker, directory): (&SimBroker, &MemoryDirectory),
    config: ThreadConfig,
    now: Timestamp,
) -> StreamThread<SimBroker> {
    let mut thread = start(broker, copy(), directory, config, T);
    rounds(&mut thread, 20, T).unwrap();
    append(broker, "a");
    broker.fail_next(Fault::EndTxnDuplicatedUnnoticed);
    rounds(&mut thread, 5, now).unwrap();
    thread
}

/// The same, with a begin record that is slower than the output: their partitions are led by two brokers. Without waiting for it
/// the late copy commits an output of which nothing tells, and the process that dies then repeats it in silence.
///
/// ```text
/// out-0: a C │ b C ← the late copy, or nothing      app-commits-0: begin(2) commit(2) C │ begin(3) is on its way
/// ```
#[test]
fn no_output_is_in_its_log_before_the_begin_record_is_in_its_own() {
    for (breakage, early, end) in
        [(None, vec!["a"], vec!["a", "b"]), (Some(Breakage::OutputsBeforeBegin), vec!["a", "b"], vec!["a", "b", "b"])]
    {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = ThreadConfig { breakage, ..patient("app-0") };
        let second = T.plus(Duration::from_secs(1));
        let mut thread = with_a_late_copy((&broker, &directory), config.clone(), second);
        append(&broker, "b");
        broker.fail_next(Fault::DeliverySlow);
        rounds(&mut thread, 5, second).unwrap();
        assert_eq!(broker.release(), 1);
        assert_eq!(committed_keys(&broker, "out"), early, "{breakage:?}");
        drop(thread);
        let mut thread = start(&broker, copy(), &directory, config, T.plus(Duration::from_secs(2)));
        seconds(&mut thread, 5, T.plus(Duration::from_secs(2))).unwrap();
        assert_eq!(committed_keys(&broker, "out"), end, "{breakage:?}");
        assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
    }
}

/// A commit that is due waits for begin records without standing still, and is due again.
#[test]
fn a_begin_record_that_is_slow_delays_its_commit_and_nothing_else() {
    for topology in [copy as fn() -> Topology, table_with_output] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, topology(), &directory, eager("app-0"), T);
        rounds(&mut thread, 20, T).unwrap();
        for key in ["a", "b", "c"] {
            broker.fail_next(Fault::DeliverySlow);
            append(&broker, key);
            rounds(&mut thread, 10, T).unwrap();
        }
        assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
        assert_eq!(broker.unfinished_transactions(), Vec::<String>::new());
    }
}

/// An output that is slower than the commit record: the late copy comes between the two, and then the process dies.
///
/// ```text
/// out-0: a C │ b is on its way      app-commits-0: begin(3) commit(3)? C ← the late copy
/// ```
/// Without waiting for "b" before commit record and offsets, both say that it is there.
#[test]
fn no_commit_record_is_in_its_log_before_the_outputs_are_in_theirs() {
    for (breakage, end) in [(None, vec!["a", "b"]), (Some(Breakage::EndBeforeDelivery), vec!["a"])] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let config = ThreadConfig { breakage, ..patient("app-0") };
        let second = T.plus(Duration::from_secs(1));
        let mut thread = with_a_late_copy((&broker, &directory), config.clone(), second);
        append(&broker, "b");
        // The begin record is in time, the output is not.
        broker.fail_after(Fault::DeliverySlow, 1);
        rounds(&mut thread, 5, second).unwrap();
        broker.fail_next(Fault::CrashAfterSendOffsets);
        let third = T.plus(Duration::from_secs(2));
        drop(rounds(&mut thread, 5, third));
        drop(thread);
        broker.take_crash();
        broker.release();
        let mut thread = start(&broker, copy(), &directory, config, third);
        drop(seconds(&mut thread, 5, third));
        assert_eq!(committed_keys(&broker, "out"), end, "{breakage:?}");
    }
}
