//! Where a stream thread answers: between two rounds, and never for long.

use std::time::Duration;

use super::question::{Answer, Ask, Found, Position, Question, Refusal};
use super::queue::Questions;
use crate::broker::Broker;
use crate::runtime::observer::Moment;
use crate::runtime::{StreamThread, TaskView};
use crate::state::{Direction, KeyRange, StoreError, StoreIndex, StoreKind, TaskStores};
use crate::task::TaskState;
use crate::time::Timestamp;

/// Questions that one round answers.
const QUESTIONS_MAX: usize = 32;
/// What one round spends on them, about; the rest waits for the next one.
const TIME_MAX: Duration = Duration::from_millis(2);
/// A range looks at the time once in so many rows: what is small is told whole.
const ROWS_BETWEEN: usize = 64;
/// How long a poll waits at most while questions come: they are looked for after it.
const ASKED_POLL: Duration = Duration::from_millis(5);
/// So long after a question the next one is expected.
const ASKED_LATELY: Duration = Duration::from_secs(1);

/// A thread's questions, and what it must remember between two rounds to answer them.
#[derive(Debug)]
pub(crate) struct Desk {
    questions: Questions,
    asked: Option<Timestamp>,
    last_round: Timestamp,
    /// Since when the thread may have lost its tasks without having heard of it.
    doubted_since: Option<Timestamp>,
}

impl Desk {
    pub(crate) const fn new(questions: Questions) -> Self {
        Self { questions, asked: None, last_round: Timestamp::NONE, doubted_since: None }
    }

    /// How long a poll may wait.
    pub(crate) fn poll_timeout(&self, usual: Duration, now: Timestamp) -> Duration {
        let lately = self.asked.is_some_and(|asked| now >= asked && now.since(asked) <= ASKED_LATELY);
        if lately { usual.min(ASKED_POLL) } else { usual }
    }

    /// A process that stood still for longer than `pause` may have been replaced: its first rounds would answer with what was
    /// right before. It hears of it within `pause`, by its next heartbeat.
    fn come_round(&mut self, now: Timestamp, pause: Duration) {
        let stood_still = self.last_round.is_some() && now.since(self.last_round) > pause;
        self.last_round = now;
        if stood_still && !pause.is_zero() {
            self.doubted_since = Some(now);
        }
        // A clock that was set back ends the doubt early rather than late: it says nothing about the group.
        self.doubted_since = self.doubted_since.filter(|&since| now >= since && now.since(since) <= pause);
    }
}

impl<B: Broker> StreamThread<B> {
    /// Answers these questions from now on.
    pub fn answer(&mut self, questions: Questions) {
        self.desk = Some(Box::new(Desk::new(questions)));
    }

    /// Answers what waits, within the bounds of a round.
    pub(crate) fn answer_questions(&mut self, now: Timestamp) {
        let Some(mut desk) = self.desk.take() else { return };
        desk.come_round(now, self.config.fenced_pause);
        let mut next = desk.questions.next();
        if next.is_some() {
            desk.asked = Some(now);
            let started = self.observer.start();
            let deadline = started.after(TIME_MAX);
            let mut answered = 0;
            while let Some(question) = next.take() {
                let answer = self.answer_of(&question, &desk, (now, deadline));
                let result = answer.as_ref().map_or_else(Refusal::result, |_| "answered");
                *self.counters.queries.entry(result).or_default() += 1;
                question.reply.give(answer);
                answered += 1;
                if answered < QUESTIONS_MAX && self.observer.start() < deadline {
                    next = desk.questions.next();
                }
            }
            self.observer.queried(started);
        }
        self.desk = Some(desk);
    }

    fn answer_of(&self, question: &Question, desk: &Desk, time: (Timestamp, Moment)) -> Result<Answer, Refusal> {
        let (now, deadline) = time;
        if now > question.until {
            return Err(Refusal::Late);
        }
        if !self.is_assigned() || desk.doubted_since.is_some() {
            return Err(Refusal::Rebalancing);
        }
        let Some(task) = self.tasks.get(&question.task) else {
            let waits = self.waiting.contains_key(&question.task);
            return Err(if waits { Refusal::Restoring { remaining: None } } else { Refusal::NotHere });
        };
        match task.state() {
            TaskState::Running => {}
            TaskState::Created | TaskState::Restoring => {
                let restoring = self.restoring();
                let replay = restoring.iter().find(|replay| replay.task == question.task);
                return Err(Refusal::Restoring { remaining: replay.map(|replay| replay.remaining) });
            }
            TaskState::Suspended | TaskState::Closed => return Err(Refusal::Rebalancing),
        }
        let task = TaskView::new(task);
        let stores = task.stores().ok_or(Refusal::NoSuchStore)?;
        let named = |(spec, _): &(&crate::state::StoreSpec, u16)| spec.name == question.store;
        let (spec, index) = stores.specs().iter().zip(0..).find(named).ok_or(Refusal::NoSuchStore)?;
        let position = self.position_of(&task, now);
        position.within(&question.bound)?;
        let store = Store { stores, index: StoreIndex(index), kind: spec.kind };
        let found = store.find(&question.ask, &|| self.observer.start() < deadline);
        let found = found.map_err(|error| {
            // Whoever processes meets it too, and acts on it.
            tracing::error!(%error, task = %question.task, store = %question.store, "a query could not read its store");
            Refusal::Failed
        })?;
        Ok(Answer { position, found })
    }

    fn position_of(&self, task: &TaskView<'_>, now: Timestamp) -> Position {
        let checkpoint = task.checkpoint();
        Position {
            sequence: checkpoint.sequence,
            stream_time: checkpoint.stream_time,
            inputs: task.inputs().map(|(input, _)| self.input_snapshot(task, input, now)).collect(),
        }
    }
}

/// The committed rows of a store.
struct Store<'a> {
    stores: &'a std::rc::Rc<TaskStores>,
    index: StoreIndex,
    kind: StoreKind,
}

impl Store<'_> {
    /// Reads until there is no time left.
    fn find(&self, ask: &Ask, has_time: &dyn Fn() -> bool) -> Result<Found, StoreError> {
        match ask {
            Ask::Get(key) => Ok(Found::Value(self.stores.committed_get(self.index, key)?)),
            Ask::ApproximateCount => {
                let count = self.stores.committed_count(self.index)?;
                Ok(Found::Count { count, exact: self.kind == StoreKind::InMemory })
            }
            Ask::Count { range, rows_max } => {
                let mut count = 0;
                for row in self.stores.committed_scan(self.index, range.clone(), Direction::Forward)? {
                    row?;
                    if count >= *rows_max || is_over(count, has_time) {
                        return Ok(Found::Count { count: count as u64, exact: false });
                    }
                    count += 1;
                }
                Ok(Found::Count { count: count as u64, exact: true })
            }
            Ask::Rows { range, rows_max, bytes_max } => self.rows(range, (*rows_max, *bytes_max), has_time),
        }
    }

    fn rows(&self, range: &KeyRange, most: (usize, usize), has_time: &dyn Fn() -> bool) -> Result<Found, StoreError> {
        let (rows_max, bytes_max) = most;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in self.stores.committed_scan(self.index, range.clone(), Direction::Forward)? {
            let (key, value) = row?;
            // There is always one: whoever goes on behind the last row comes to the end.
            let full = !rows.is_empty() && (rows.len() >= rows_max || bytes >= bytes_max);
            if full || is_over(rows.len(), has_time) {
                return Ok(Found::Rows { rows, more: true });
            }
            bytes += key.len() + value.len();
            rows.push((key, value));
        }
        Ok(Found::Rows { rows, more: false })
    }
}

fn is_over(rows: usize, has_time: &dyn Fn() -> bool) -> bool {
    rows > 0 && rows.is_multiple_of(ROWS_BETWEEN) && !has_time()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::query::queue;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_thread_that_stood_still_doubts_until_it_must_have_heard() {
        let (_asker, questions) = queue();
        let mut desk = Desk::new(questions);
        let pause = Duration::from_millis(2_500);
        let mut doubts = |ms| {
            desk.come_round(at(ms), pause);
            desk.doubted_since.is_some()
        };
        assert_eq!([0, 1_000, 3_500].map(&mut doubts), [false; 3], "it came round in time");
        assert_eq!([6_001, 7_000, 8_501].map(&mut doubts), [true; 3]);
        assert_eq!([8_502, 9_000].map(&mut doubts), [false; 2]);
        assert_eq!([20_000, 19_000, 19_100].map(&mut doubts), [true, false, false], "the clock was set back");
    }

    #[test]
    fn polls_are_short_while_questions_come() {
        let (_asker, questions) = queue();
        let mut desk = Desk::new(questions);
        let usual = Duration::from_millis(100);
        assert_eq!(desk.poll_timeout(usual, at(0)), usual);
        desk.asked = Some(at(1_000));
        assert_eq!(desk.poll_timeout(usual, at(2_000)), ASKED_POLL);
        assert_eq!(desk.poll_timeout(Duration::from_millis(1), at(2_000)), Duration::from_millis(1));
        assert_eq!([at(2_001), at(999)].map(|now| desk.poll_timeout(usual, now)), [usual; 2]);
    }
}
