//! Questions about committed rows while everything else goes on, or goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::Broker;
use millpond::broker::sim::{Fault, SimBroker};
use millpond::record::{Offset, Partition, TaskId};
use millpond::runtime::query::{Answer, Ask, Asker, Bound, Found, Question, Refusal, Reply, application_server, queue};
use millpond::runtime::{StreamThread, TaskState, ThreadConfig};
use millpond::state::{KeyRange, MemoryDirectory};
use millpond::time::Timestamp;

use super::{
    T, TASK, append, append_all, append_to, at, broker, committed_keys, eager, patient, rounds, start, table,
    table_with_output,
};

fn get(key: &str) -> Ask {
    Ask::Get(Bytes::copy_from_slice(key.as_bytes()))
}

const ALL: Ask = Ask::Rows { range: KeyRange::all(), rows_max: 10_000, bytes_max: 1 << 20 };

fn asked<B: Broker>(thread: &mut StreamThread<B>) -> Asker {
    let (asker, questions) = queue();
    thread.answer(questions);
    asker
}

/// Asks one task, and runs rounds until there is an answer: one that fails gives none.
fn answer_of<B: Broker>(
    (thread, asker): (&mut StreamThread<B>, &Asker),
    task: TaskId,
    (ask, bound): (Ask, Bound),
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let (reply, answer) = channel();
    let reply = Reply::new(move |answer| reply.send(answer).unwrap());
    let store = "table".to_owned();
    asker.ask(Question { task, store, ask, bound, until: now, reply }).unwrap();
    for _ in 0..20 {
        thread.run_once(now).unwrap();
        if let Ok(answer) = answer.try_recv() {
            return answer;
        }
    }
    panic!("no answer")
}

fn ask<B: Broker>(side: (&mut StreamThread<B>, &Asker), ask: Ask, now: Timestamp) -> Result<Answer, Refusal> {
    answer_of(side, TASK, (ask, Bound::default()), now)
}

fn keys(answer: &Answer) -> Vec<String> {
    let Found::Rows { rows, .. } = &answer.found else { panic!("{answer:?}") };
    rows.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
}

/// The bytes of `v` in a table, which keeps the time of each value before it.
fn row_of_v() -> Bytes {
    [&T.as_millis().to_be_bytes()[..], b"v"].concat().into()
}

fn soon(ms: u64) -> Timestamp {
    T.plus(Duration::from_millis(ms))
}

/// ```text
/// a C | b  in the overlay, its transaction open       a is told, b is not
/// ```
#[test]
fn an_answer_has_what_is_committed_and_tells_what_it_lacks() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    let mut thread = start(&broker, table_with_output(), &directory, patient("app-0"), T);
    let asker = asked(&mut thread);
    append(&broker, "a");
    rounds(&mut thread, 20, T).unwrap();
    rounds(&mut thread, 5, soon(200)).unwrap();
    append(&broker, "b");
    rounds(&mut thread, 5, soon(210)).unwrap();
    assert_eq!(thread.tasks().map(|task| task.counters().processed).sum::<u64>(), 2);

    let now = soon(220);
    let before = ask((&mut thread, &asker), ALL, now).unwrap();
    assert_eq!((keys(&before), before.position.lag()), (vec!["a".to_owned()], Some(1)));
    assert_eq!(before.position.age(), Some(Duration::from_millis(220)), "since the timestamp of b");
    let input = &before.position.inputs[0];
    assert_eq!((&*input.topic, input.committed, input.end), ("in", Some(Offset(1)), Some(Offset(2))));
    assert_eq!(ask((&mut thread, &asker), get("b"), now).unwrap().found, Found::Value(None));
    assert_eq!(ask((&mut thread, &asker), get("a"), now).unwrap().found, Found::Value(Some(row_of_v())));
    let count = Ask::Count { range: KeyRange::all(), rows_max: 9 };
    assert_eq!(ask((&mut thread, &asker), count, now).unwrap().found, Found::Count { count: 1, exact: true });
    let estimate = ask((&mut thread, &asker), Ask::ApproximateCount, now).unwrap().found;
    assert_eq!(estimate, Found::Count { count: 1, exact: false });
    for strict in
        [Bound { lag_max: Some(0), age_max: None }, Bound { lag_max: None, age_max: Some(Duration::from_millis(219)) }]
    {
        let refused = answer_of((&mut thread, &asker), TASK, (get("a"), strict), now);
        assert_eq!(refused, Err(Refusal::Stale { lag: 1, age: Duration::from_millis(220) }));
    }

    rounds(&mut thread, 5, soon(400)).unwrap();
    let after = ask((&mut thread, &asker), ALL, soon(400)).unwrap();
    assert_eq!((keys(&after), after.position.lag()), (vec!["a".to_owned(), "b".to_owned()], Some(0)));
    assert_eq!(after.position.sequence, before.position.sequence + 1);
    let fresh = Bound { lag_max: Some(0), age_max: Some(Duration::ZERO) };
    assert!(answer_of((&mut thread, &asker), TASK, (get("b"), fresh), soon(400)).is_ok());
    let counted = &thread.counters().queries;
    assert_eq!(*counted, BTreeMap::from([("answered", 7), ("stale", 2)]));
}

/// Rows whose commit is on its way, and those that are processed ahead of it, are not told; nor is what a failed commit takes
/// back, ever.
#[test]
fn nothing_of_a_commit_in_flight_is_told_before_it_has_ended_well() {
    for fault in [None, Some(Fault::BeforeEndTxn), Some(Fault::SendOffsets)] {
        let (broker, directory) = (broker(1), MemoryDirectory::new());
        let mut thread = start(&broker, table_with_output(), &directory, eager("app-0"), T);
        let asker = asked(&mut thread);
        rounds(&mut thread, 20, T).unwrap();
        broker.fail_next(Fault::CommitSlow);
        append(&broker, "a");
        rounds(&mut thread, 3, T).unwrap();
        append(&broker, "b");
        rounds(&mut thread, 3, T).unwrap();
        assert_eq!(thread.tasks().map(|task| task.counters().processed).sum::<u64>(), 2, "b is ahead of its commit");
        let answer = ask((&mut thread, &asker), ALL, T).unwrap();
        assert_eq!((keys(&answer), answer.position.lag()), (Vec::<String>::new(), Some(2)), "{fault:?}");
        if let Some(fault) = fault {
            broker.fail_next(fault);
            // The revocation waits for the commit.
            broker.fail_next(Fault::GroupRebalance);
        } else {
            thread.commit(T).unwrap();
        }
        let mut told = 0;
        for _ in 0..60 {
            if let Ok(answer) = ask((&mut thread, &asker), ALL, T) {
                let committed = committed_keys(&broker, "changes");
                assert!(committed.starts_with(&keys(&answer)), "{fault:?}: {answer:?} of {committed:?}");
                told = keys(&answer).len();
            }
        }
        assert_eq!((told, committed_keys(&broker, "changes").len()), (2, 2), "{fault:?}");
    }
}

#[test]
fn a_task_that_restores_says_so_and_then_has_every_row() {
    let broker = broker(1);
    let names: Vec<String> = (0..1_500).map(|n| format!("k{n:04}")).collect();
    append_all(&broker, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut first = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    rounds(&mut first, 40, T).unwrap();
    first.close(true, T).unwrap();
    let mut thread = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let asker = asked(&mut thread);
    let mut refusals = Vec::new();
    let answer = loop {
        match ask((&mut thread, &asker), ALL, T) {
            Ok(answer) => break answer,
            Err(refusal) => refusals.push(refusal),
        }
        assert!(refusals.len() < 100, "{refusals:?}");
    };
    assert_eq!(keys(&answer), names, "never a part of them");
    let restoring = |refusal: &Refusal| matches!(refusal, Refusal::Restoring { remaining: Some(1..) });
    assert!(refusals.iter().any(restoring), "{refusals:?}");
    assert_eq!(thread.counters().queries["unavailable"], refusals.len() as u64);
}

/// Another member takes half of the partitions over. Nobody answers for a partition between the old owner and the new one, and
/// nobody else does.
#[test]
fn a_partition_is_answered_by_its_owner_alone() {
    let broker = broker(2);
    append_to(&broker, 0, "zero", Some("v".into()));
    append_to(&broker, 1, "one", Some("v".into()));
    let mut old = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let old_asker = asked(&mut old);
    rounds(&mut old, 20, T).unwrap();
    let mut new = start(&broker, table(), &MemoryDirectory::new(), eager("app-1"), T);
    let new_asker = asked(&mut new);
    let task = |partition| TaskId { subtopology: 0, partition: Partition(partition) };
    let mut owners = Vec::new();
    for _ in 0..60 {
        for (partition, key) in [(0, "zero"), (1, "one")] {
            let question = || (get(key), Bound::default());
            let answers = [
                answer_of((&mut old, &old_asker), task(partition), question(), T),
                answer_of((&mut new, &new_asker), task(partition), question(), T),
            ];
            for answer in answers.iter().flatten() {
                assert_eq!(answer.found, Found::Value(Some(row_of_v())), "{key}");
            }
            let refused = |refusal: &Refusal| {
                matches!(refusal, Refusal::NotHere | Refusal::Rebalancing | Refusal::Restoring { .. })
            };
            assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(refused), "{answers:?}");
            let [old, new] = answers.map(|answer| answer.is_ok());
            assert!(!(old && new), "both answer for {partition}");
            owners.push((partition, old, new));
        }
    }
    let last = &owners[owners.len() - 2..];
    let moved = last.iter().filter(|(_, old, new)| !old && *new).count();
    assert_eq!(moved, 1, "each has one: {last:?}");
    let gone = last.iter().find(|(_, old, _)| !old).unwrap().0;
    let refused = answer_of((&mut old, &old_asker), task(gone), (ALL, Bound::default()), T);
    assert_eq!(refused, Err(Refusal::NotHere));
}

/// A process that was stopped for a minute wakes with the rows of a minute ago. Its group may have another owner by then.
#[test]
fn a_process_that_stood_still_does_not_answer_before_it_must_have_heard_of_its_successor() {
    let broker = broker(1);
    append(&broker, "a");
    let config = eager("app-0");
    let pause = config.fenced_pause;
    let mut thread = start(&broker, table(), &MemoryDirectory::new(), config, T);
    let asker = asked(&mut thread);
    rounds(&mut thread, 20, T).unwrap();
    assert!(ask((&mut thread, &asker), get("a"), T).is_ok());
    let woken = T.plus(Duration::from_mins(1));
    assert_eq!(ask((&mut thread, &asker), get("a"), woken), Err(Refusal::Rebalancing));
    let within = woken.plus(pause);
    assert_eq!(ask((&mut thread, &asker), get("a"), within), Err(Refusal::Rebalancing));
    assert!(ask((&mut thread, &asker), get("a"), within.plus(Duration::from_millis(1))).is_ok());
}

#[test]
fn a_question_that_nobody_waits_for_is_not_looked_up() {
    let broker = broker(1);
    let mut thread = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let asker = asked(&mut thread);
    rounds(&mut thread, 20, T).unwrap();
    let (reply, answer) = channel();
    let reply = Reply::new(move |answer| reply.send(answer).unwrap());
    let question = Question { task: TASK, store: "table".into(), ask: ALL, bound: Bound::default(), until: T, reply };
    asker.ask(question).unwrap();
    thread.run_once(soon(1)).unwrap();
    assert_eq!(answer.try_recv().unwrap(), Err(Refusal::Late));
}

/// Questions that pile up are refused, and those of a thread that has ended are not waited for.
#[test]
fn the_queue_has_an_end_and_ends_with_its_thread() {
    let broker = broker(1);
    let mut thread = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let asker = asked(&mut thread);
    rounds(&mut thread, 20, T).unwrap();
    let (reply, answers) = channel();
    let question = || {
        let reply = reply.clone();
        let reply = Reply::new(move |answer| reply.send(answer).unwrap());
        Question { task: TASK, store: "table".into(), ask: ALL, bound: Bound::default(), until: T, reply }
    };
    let taken = (0..5_000).take_while(|_| asker.ask(question()).is_ok()).count();
    assert!(taken < 5_000);
    assert_eq!(asker.ask(question()), Err(Refusal::Busy));
    let before = answers.try_iter().count();
    thread.run_once(T).unwrap();
    let answered = answers.try_iter().count();
    assert!(before == 0 && (1..taken).contains(&answered), "a round answers some of them: {answered} of {taken}");
    drop(thread);
    assert_eq!(asker.ask(question()), Err(Refusal::Stopped));
    drop(reply);
    assert_eq!(answers.iter().count(), 0, "the others are dropped unanswered");
}

fn address(broker: &SimBroker) -> Option<String> {
    application_server(&broker.committed_offsets("app")[&at("in", 0)]).map(str::to_owned)
}

fn answering_at(instance: &str, address: &str) -> ThreadConfig {
    ThreadConfig { application_server: Some(Arc::from(address)), ..eager(instance) }
}

/// The address is in the group's offsets as soon as the task runs, and is the next owner's when that one runs, although nothing
/// is read in between. The state stays what it was.
#[test]
fn the_group_knows_where_the_owner_of_an_idle_partition_answers() {
    let (broker, directory) = (broker(1), MemoryDirectory::new());
    append(&broker, "a");
    let mut first = start(&broker, table(), &directory, answering_at("app-0", "one:1"), T);
    rounds(&mut first, 20, T).unwrap();
    assert_eq!(address(&broker).as_deref(), Some("one:1"));
    let commits = first.counters().commits;
    rounds(&mut first, 20, soon(60_000)).unwrap();
    assert_eq!(first.counters().commits, commits, "once");
    first.close(true, T).unwrap();
    assert_eq!(address(&broker).as_deref(), Some("one:1"), "until somebody else has committed");

    let mut second = start(&broker, table(), &directory, answering_at("app-1", "two:2"), T);
    let asker = asked(&mut second);
    rounds(&mut second, 20, T).unwrap();
    assert_eq!((address(&broker).as_deref(), second.counters().commits), (Some("two:2"), 1));
    assert_eq!(second.tasks().map(|task| task.state()).collect::<Vec<_>>(), [TaskState::Running]);
    assert_eq!(keys(&ask((&mut second, &asker), ALL, T).unwrap()), ["a"]);
    second.close(true, T).unwrap();

    // Whoever answers no queries takes the address out with its first commit.
    let mut third = start(&broker, table(), &directory, eager("app-2"), T);
    rounds(&mut third, 20, T).unwrap();
    append(&broker, "b");
    rounds(&mut third, 20, T).unwrap();
    assert_eq!(address(&broker), None);
}

/// Rows and bytes of an answer are bounded, and what is left can be asked for.
#[test]
fn a_long_range_comes_in_parts() {
    let broker = broker(1);
    append_all(&broker, &["a", "b", "c", "d", "e"]);
    let mut thread = start(&broker, table(), &MemoryDirectory::new(), eager("app-0"), T);
    let asker = asked(&mut thread);
    rounds(&mut thread, 20, T).unwrap();
    let mut part = |start: &[u8], end: Option<&[u8]>, rows_max, bytes_max| {
        let range = KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) };
        let answer = ask((&mut thread, &asker), Ask::Rows { range, rows_max, bytes_max }, T).unwrap();
        let Found::Rows { more, .. } = answer.found else { panic!("{answer:?}") };
        (keys(&answer).concat(), more)
    };
    assert_eq!(part(b"", None, 2, 1_000), ("ab".into(), true));
    assert_eq!(part(b"b\0", None, 2, 1_000), ("cd".into(), true));
    assert_eq!(part(b"d\0", None, 2, 1_000), ("e".into(), false));
    assert_eq!(part(b"", Some(b"c"), 2, 1_000), ("ab".into(), false));
    assert_eq!(part(b"", None, 9, 15), ("ab".into(), true), "a row is ten bytes");
    assert_eq!(part(b"", None, 0, 0), ("a".into(), true), "there is always one");
    assert_eq!(part(b"x", None, 9, 1_000), (String::new(), false));
}
