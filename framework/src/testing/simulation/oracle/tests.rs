//! What the oracle must notice in logs of commit records, compacted or not.

use std::rc::Rc;

use super::super::Simulation;
use super::super::schedule::{Event, Schedule, Step};
use super::*;
use crate::broker::{Broker, CommittedOffset, Membership, Producer};
use crate::dsl::{StreamsBuilder, Topic};
use crate::record::{Headers, ProducerRecord};
use crate::serde::Utf8;
use crate::state::changelog::{begin_key, commit_key};
use crate::time::Timestamp;
use Entry::{Begin, Commit, Compact};

const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);
const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(0) };

/// What happens to a log of commit records.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Begin(u64),
    /// With the next input offset.
    Commit(u64, i64),
    Compact,
}

/// A world in which nothing runs.
fn world() -> Rc<World> {
    let builder = StreamsBuilder::new();
    builder.stream(&IN).to(&OUT);
    let simulation = Simulation::of(builder.build().unwrap());
    let world = World::new(&simulation, &Schedule::draw(&simulation, 0));
    world.heal();
    world
}

/// What is wrong when these entries are in a log.
fn found(entries: &[Entry], note: Option<Note>) -> Vec<String> {
    let world = world();
    if let Some(note) = note {
        world.note(note);
    }
    let log = TopicPartition::new("app-commits", Partition(0));
    world.broker.add_topic(&log.topic, 1);
    for entry in entries {
        let (key, value) = match *entry {
            Begin(sequence) => (begin_key(TASK), BeginRecord { sequence }.encode().unwrap()),
            Commit(sequence, next) => {
                let input = BTreeMap::from([(TopicPartition::new("in", Partition(0)), Offset(next))]);
                (commit_key(TASK), CommitRecord { sequence, input, ..CommitRecord::default() }.encode().unwrap())
            }
            Compact => {
                world.step(&Step::Event(Event::Compact));
                continue;
            }
        };
        let headers = Headers::new();
        let record = ProducerRecord {
            target: log.clone(),
            timestamp: Timestamp::EPOCH,
            key: Some(key),
            value: Some(value),
            headers,
        };
        world.broker.append(record).unwrap();
    }
    world.check()
}

#[test]
fn commits_are_followed_through_compactions() {
    let whole =
        [Begin(1), Commit(1, 4), Compact, Begin(2), Compact, Commit(2, 4), Begin(3), Commit(3, 9), Compact, Compact];
    assert_eq!(found(&whole, None), [""; 0]);
}

#[test]
fn a_gap_is_found_wherever_the_log_was_compacted() {
    let broken: [(&str, &[Entry]); 5] = [
        ("a number is left out", &[Begin(1), Commit(1, 4), Begin(3), Commit(3, 9)]),
        ("a number comes twice", &[Begin(1), Commit(1, 4), Begin(1), Commit(1, 9)]),
        ("a commit record is missing", &[Begin(1), Begin(2), Commit(2, 9)]),
        ("a begin record is missing", &[Begin(1), Commit(1, 4), Commit(2, 9)]),
        ("an offset goes back", &[Begin(1), Commit(1, 4), Begin(2), Commit(2, 3)]),
    ];
    for (what, entries) in broken {
        for at in 0..=entries.len() {
            let mut entries = entries.to_vec();
            entries.insert(at, Compact);
            let wrong = found(&entries, None);
            assert!(
                wrong.iter().any(|wrong| wrong.starts_with("app-commits-0 ")),
                "{what}, compacted at {at}: {wrong:?}"
            );
        }
    }
}

/// Its records are not those that were written; what comes of it is told elsewhere.
#[test]
fn a_log_that_an_operator_has_spoilt_and_compacted_is_not_judged() {
    assert_eq!(found(&[Begin(1), Commit(1, 4), Compact, Begin(3), Commit(3, 9)], Some(Note::Mistaken)), [""; 0]);
}

/// Where a process has stopped by name, too.
#[test]
fn state_that_is_wiped_without_a_cause_is_told_of_a_run_that_stopped() {
    let cases = [
        (None, true),
        (Some(Note::Tearing), true),
        (Some(Note::Mistaken), true),
        (Some(Note::OldState), false),
        (Some(Note::Cut), false),
    ];
    for (note, told) in cases {
        let world = world();
        if let Some(note) = note {
            world.note(note);
        }
        assert_eq!(world.check_stopped(), [""; 0], "{note:?}");
        world.facts.borrow_mut().wipes = 1;
        assert_eq!(world.check_stopped().len(), usize::from(told), "{note:?}");
    }
}

#[test]
fn offsets_that_went_back_are_told_of_a_run_that_stopped() {
    for (note, told) in [(None, true), (Some(Note::Mistaken), true), (Some(Note::Moved), false)] {
        let world = world();
        if let Some(note) = note {
            world.note(note);
        }
        let at = TopicPartition::new("in", Partition(0));
        let offset = |next| CommittedOffset { next: Offset(next), metadata: String::new() };
        world.broker.set_committed_offset(APPLICATION, &at, offset(5));
        let mut producer = world.broker.producer("app-0").unwrap();
        producer.begin().unwrap();
        let nobody = Membership { generation: -1, member_id: String::new() };
        producer.send_offsets_unchecked(&BTreeMap::from([(at, offset(3))]), &nobody).unwrap();
        producer.commit(std::time::Duration::ZERO).unwrap();
        let wrong = world.check_stopped();
        assert_eq!(wrong.len(), usize::from(told), "{note:?}: {wrong:?}");
    }
}
