//! Members that are replaced, thrown out or half-way through a rebalance; producers that cannot be made.

use std::time::Duration;

use millpond::broker::sim::{Fault, SimBroker, SimConfig};
use millpond::broker::{Broker, BrokerErrorKind};
use millpond::runtime::{Error, TaskState, ThreadConfig};
use millpond::state::MemoryDirectory;

use super::edge::Edge;
use super::{T, append, append_to, broker, committed_keys, copy, eager, patient, rounds, seconds, start, table};

/// The commit at a revocation fails, and so does its confirmation: the assignment is gone, and only joining again brings
/// another one.
#[test]
fn a_confirmation_that_fails_after_a_failed_commit_is_not_forgotten() {
    let edge = Edge::new(broker(1));
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    seconds(&mut thread, 3, T).unwrap();
    let now = T.plus(Duration::from_secs(2));
    append(&edge.sim, "a");
    rounds(&mut thread, 3, now).unwrap();
    edge.sim.fail_next(Fault::BeforeEndTxn);
    edge.fail("acknowledge", BrokerErrorKind::Retriable, 1);
    edge.sim.fail_next(Fault::GroupRebalance);
    seconds(&mut thread, 60, now).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"], "{:?}", thread.counters());
}

/// Not to be polled is to lose the partitions, after `max.poll.interval.ms`.
#[test]
fn a_thread_that_cannot_make_a_producer_goes_on_polling() {
    let edge = Edge::new(broker(1));
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 10, T).unwrap();
    append(&edge.sim, "a");
    edge.sim.fail_next(Fault::BeforeEndTxn);
    edge.fail("producer", BrokerErrorKind::Abortable, 20);
    let before = edge.calls("poll");
    rounds(&mut thread, 20, T).unwrap();
    assert!(edge.calls("poll") >= before + 19, "{} polls in 20 rounds", edge.calls("poll") - before);
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}

/// Two mishaps at once are no reason to end the process.
#[test]
fn a_member_that_joins_again_survives_a_producer_that_is_not_ready() {
    let edge = Edge::new(broker(1));
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 10, T).unwrap();
    edge.fail("producer", BrokerErrorKind::Abortable, 1);
    edge.fail("poll", BrokerErrorKind::MemberFenced, 1);
    append(&edge.sim, "a");
    rounds(&mut thread, 30, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}

/// A process that was replaced must not throw its successor's transaction out before it hears of it.
#[test]
fn a_replaced_instance_stops_without_fencing_its_successor() {
    let broker = broker(1);
    let mut old = start(&broker, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut old, 10, T).unwrap();
    append(&broker, "a");
    broker.fail_next(Fault::BeforeEndTxn);
    rounds(&mut old, 1, T).unwrap();
    let mut new = start(&broker, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    rounds(&mut new, 3, T).unwrap();
    let stopped = rounds(&mut old, 1, T);
    assert!(matches!(&stopped, Err(Error::Broker(error)) if error.kind == BrokerErrorKind::InstanceFenced));
    seconds(&mut new, 5, T).unwrap();
    assert_eq!((committed_keys(&broker, "out"), new.counters().aborts.len()), (vec!["a".to_owned()], 0));
}

/// One partition's leader is away, and nothing was ever committed for it. The others of the thread go on.
#[test]
fn a_partition_that_cannot_be_started_stops_only_itself() {
    let edge = Edge::new(broker(2));
    edge.fail("log_range in-1", BrokerErrorKind::Retriable, 40);
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    append(&edge.sim, "a");
    append_to(&edge.sim, 1, "b", Some("v".into()));
    seconds(&mut thread, 10, T).unwrap();
    assert_eq!((committed_keys(&edge.sim, "out"), thread.counters().aborts.len()), (vec!["a".to_owned()], 0));
    seconds(&mut thread, 60, T.plus(Duration::from_secs(10))).unwrap();
    assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    let mut keys = committed_keys(&edge.sim, "out");
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
}

/// More members than partitions: one has nothing to do until another leaves.
#[test]
fn a_member_without_partitions_waits_and_takes_over() {
    let broker = broker(2);
    let mut threads: Vec<_> = ["app-0", "app-1", "app-2"]
        .map(|instance| start(&broker, table(), &MemoryDirectory::new(), eager(instance), T))
        .into();
    for _ in 0..30 {
        for thread in &mut threads {
            rounds(thread, 1, T).unwrap();
        }
    }
    assert_eq!(threads.iter().map(|thread| thread.tasks().count()).collect::<Vec<_>>(), [1, 1, 0]);
    assert!(threads[2].is_assigned());
    threads.remove(0).close(true, T).unwrap();
    append(&broker, "a");
    for _ in 0..30 {
        for thread in &mut threads {
            rounds(thread, 1, T).unwrap();
        }
    }
    assert_eq!(threads.iter().map(|thread| thread.tasks().count()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(broker.lag("app").values().sum::<u64>(), 0);
}

/// Thrown out with a transaction open: its outputs must not appear beside those of the next try.
#[test]
fn a_member_that_is_thrown_out_in_a_transaction_sends_nothing_twice() {
    let broker = broker(1);
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    seconds(&mut thread, 3, T).unwrap();
    let now = T.plus(Duration::from_secs(2));
    append(&broker, "a");
    rounds(&mut thread, 3, now).unwrap();
    broker.expire_session("app", "app-0");
    rounds(&mut thread, 1, now).unwrap();
    assert_eq!(thread.tasks().count(), 0, "lost");
    seconds(&mut thread, 20, now).unwrap();
    assert_eq!(committed_keys(&broker, "out"), ["a"]);
}

/// Transactions run out, nothing else does.
fn impatient() -> SimBroker {
    let broker = SimBroker::with_config(SimConfig {
        start: T,
        transaction_timeout: Duration::from_secs(10),
        ..SimConfig::without_timeouts()
    });
    for topic in ["in", "out"] {
        broker.add_topic(topic, 1);
    }
    broker
}

/// A coordinator fences a producer whose transaction is too old. That is no twin, however often it happens.
#[test]
fn transactions_that_time_out_again_and_again_do_not_end_the_process() {
    let broker = impatient();
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    seconds(&mut thread, 3, T).unwrap();
    for pause in 0..8 {
        append(&broker, &format!("k{pause}"));
        rounds(&mut thread, 1, broker.now()).unwrap();
        assert_eq!(broker.unfinished_transactions(), ["app-0"]);
        // The process stands still, for longer than its transaction may be open.
        broker.advance(Duration::from_secs(11));
        rounds(&mut thread, 20, broker.now()).unwrap();
        broker.advance(Duration::from_secs(1));
        rounds(&mut thread, 20, broker.now()).unwrap();
    }
    let expected: Vec<String> = (0..8).map(|pause| format!("k{pause}")).collect();
    assert_eq!((committed_keys(&broker, "out"), thread.counters().aborts["fenced"]), (expected, 8));
}

/// The same, when the process stands still inside its commit: the round knows the time at which it began.
#[test]
fn a_commit_that_stands_still_until_its_transaction_times_out_is_not_taken_for_a_twin() {
    let broker = impatient();
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    seconds(&mut thread, 3, T).unwrap();
    let meanwhile = broker.clone();
    broker.on_pause(Some(Box::new(move || meanwhile.advance(Duration::from_secs(11)))));
    for pause in 0..8 {
        append(&broker, &format!("k{pause}"));
        rounds(&mut thread, 1, broker.now()).unwrap();
        broker.advance(Duration::from_secs(1));
        // Past the poll: in one of the requests of the commit.
        broker.fail_after(Fault::Paused, 1 + pause % 3);
        rounds(&mut thread, 1, broker.now()).unwrap();
        rounds(&mut thread, 20, broker.now()).unwrap();
        broker.advance(Duration::from_secs(1));
        rounds(&mut thread, 20, broker.now()).unwrap();
    }
    broker.on_pause(None);
    let expected: Vec<String> = (0..8).map(|pause| format!("k{pause}")).collect();
    assert_eq!(committed_keys(&broker, "out"), expected, "{:?}", thread.counters());
    assert!(thread.counters().aborts["fenced"] >= 3, "{:?}", thread.counters());
}

/// A process outside the group, with our transactional id, takes our transactions again and again: that ends us, by name.
#[test]
fn a_twin_that_fences_young_transactions_ends_the_process() {
    let broker = impatient();
    let mut thread = start(&broker, copy(), &MemoryDirectory::new(), patient("app-0"), T);
    seconds(&mut thread, 3, T).unwrap();
    let stopped = (0..10).try_for_each(|time| {
        append(&broker, "k");
        rounds(&mut thread, 1, broker.now())?;
        drop(broker.producer("app-0").unwrap());
        (0..4).try_for_each(|_| {
            broker.advance(Duration::from_secs(1));
            let told = rounds(&mut thread, 20, broker.now());
            assert!(time > 3 || told.is_ok(), "fenced {} times", time + 1);
            told
        })
    });
    assert!(matches!(stopped, Err(Error::DuplicateInstance { times: 5, .. })), "{stopped:?}");
}

/// The newer of two processes of one name has the membership; the older one hears of it with a late heartbeat. Until then
/// both make transactions under one id. Whatever the order, the newer stays.
#[test]
fn of_two_processes_of_one_name_the_newer_stays() {
    // When the newer one joins, and when the older one hears of it, in tenths of a second after the newer one's start.
    let orders = [(0, 4), (0, 30), (4, 6), (4, 60), (20, 24), (50, 90)];
    for order in orders {
        let fate = twins(order, eager("app-0").fenced_pause);
        assert_eq!(fate, Ok(()), "{order:?}");
    }
    // Without the pause they throw each other out until both have ended, in some of these orders.
    assert!(orders.iter().any(|&order| twins(order, Duration::ZERO).is_err()));
}

fn twins((joins_after, heard_after): (u64, u64), fenced_pause: Duration) -> Result<(), String> {
    let broker = broker(1);
    let process = |now| {
        let config = ThreadConfig { fenced_pause, ..patient("app-0") };
        start(&broker, copy(), &MemoryDirectory::new(), config, now)
    };
    let (mut old, mut new) = (Some(process(T)), None);
    broker.hold_heartbeats("app-0");
    let mut expected = Vec::new();
    for tenth in 0..300 {
        let now = T.plus(Duration::from_millis(100 * tenth));
        append(&broker, &tenth.to_string());
        expected.push(tenth.to_string());
        if tenth == 20 {
            new = Some(process(now));
        }
        if tenth == 20 + heard_after {
            broker.release();
        }
        for _ in 0..3 {
            if let Some(thread) = &mut old
                && let Err(error) = thread.run_once(now)
            {
                if !matches!(&error, Error::Broker(e) if e.kind == BrokerErrorKind::InstanceFenced) {
                    return Err(format!("the older one: {error}"));
                }
                old = None;
            }
            if let Some(thread) = new.as_mut().filter(|_| tenth >= 20 + joins_after) {
                thread.run_once(now).map_err(|error| format!("the newer one: {error}"))?;
            }
        }
    }
    let mut new = new.filter(|_| old.is_none()).ok_or("the older one goes on")?;
    seconds(&mut new, 3, T.plus(Duration::from_mins(1))).map_err(|error| error.to_string())?;
    let fenced = new.counters().aborts.get("fenced").copied().unwrap_or(0);
    match committed_keys(&broker, "out") {
        found if found != expected => Err(format!("{found:?}")),
        _ if fenced > 2 => Err(format!("the newer one was fenced {fenced} times")),
        _ => Ok(()),
    }
}

/// Clients that break are told as what they are, and not as a second process of our name.
#[test]
fn a_client_that_breaks_again_and_again_is_told_as_such() {
    let edge = Edge::new(broker(1));
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 10, T).unwrap();
    edge.fail("poll", BrokerErrorKind::MemberFenced, 4);
    append(&edge.sim, "a");
    rounds(&mut thread, 20, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"], "four are no reason to end");
    edge.fail("poll", BrokerErrorKind::MemberFenced, 1);
    let stopped = rounds(&mut thread, 1, T);
    assert!(matches!(stopped, Err(Error::ClientBroken { times: 5, .. })), "{stopped:?}");
}

/// A batch that cannot be read comes again after each restore, and that may take longer than a few seconds.
#[test]
fn a_failure_that_comes_again_after_each_long_restore_ends_the_process() {
    let edge = Edge::new(broker(1));
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 10, T).unwrap();
    for time in 1..5 {
        let now = T.plus(Duration::from_secs(time * 50));
        edge.fail("poll", BrokerErrorKind::MemberFenced, 1);
        rounds(&mut thread, 20, now).unwrap();
        assert!(thread.tasks().all(|task| task.state() == TaskState::Running));
    }
    edge.fail("poll", BrokerErrorKind::MemberFenced, 1);
    let stopped = rounds(&mut thread, 1, T.plus(Duration::from_secs(250)));
    assert!(matches!(stopped, Err(Error::ClientBroken { times: 5, .. })), "{stopped:?}");
}

/// A rebalance moves a task from one stream thread of a process to another, which opens the same state directory.
#[test]
fn a_task_moves_between_two_threads_of_a_process() {
    let (broker, directory) = (broker(2), MemoryDirectory::new());
    let mut one = start(&broker, table(), &directory, eager("app-p-0"), T);
    rounds(&mut one, 20, T).unwrap();
    assert_eq!(one.tasks().count(), 2);
    let mut two = start(&broker, table(), &directory, eager("app-p-1"), T);
    for _ in 0..20 {
        rounds(&mut two, 1, T).unwrap();
        rounds(&mut one, 1, T).unwrap();
    }
    assert_eq!((one.tasks().count(), two.tasks().count()), (1, 1));
}

/// A seek that timed out once, because the client's own thread did not answer, is made again.
#[test]
fn a_partition_whose_start_failed_once_is_read() {
    let edge = Edge::new(broker(1));
    append(&edge.sim, "a");
    edge.fail("start_at", BrokerErrorKind::Retriable, 1);
    let mut thread = start(&edge, copy(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut thread, 200, T).unwrap();
    assert_eq!(committed_keys(&edge.sim, "out"), ["a"]);
}
