//! Questions about committed rows, asked of every thread now and then. They change nothing of a run.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;

use super::world::{Note, Slot, World};
use crate::record::{TaskId, TopicPartition};
use crate::runtime::query::{Answer, Ask, Bound, Found, Question, Refusal, Reply};
use crate::state::KeyRange;
use crate::state::changelog::{ChangelogKey, CommitRecord, classify};
use crate::time::Timestamp;

/// Each thread is asked once in so many rounds.
const ROUNDS: u64 = 8;

/// What was asked of one store in one round.
pub(super) struct Inquiry {
    task: TaskId,
    store: String,
    changelog: TopicPartition,
    answer: Receiver<Result<Answer, Refusal>>,
}

impl World {
    /// Asks for all rows of all stores of the thread.
    pub(super) fn inquire(slot: &mut Slot, now: Timestamp) -> Vec<Inquiry> {
        slot.rounds += 1;
        // What is broken on purpose is found by what comes of it.
        let due = slot.rounds.is_multiple_of(ROUNDS) && slot.config.breakage.is_none();
        let (true, Some(thread), Some(asker)) = (due, &slot.thread, &slot.asker) else { return Vec::new() };
        let mut inquiries = Vec::new();
        for task in thread.tasks() {
            for spec in task.stores().into_iter().flat_map(|stores| stores.specs()) {
                let Some(changelog) = &spec.changelog else { continue };
                let (reply, answer) = channel();
                let question = Question {
                    task: task.id(),
                    store: spec.name.clone(),
                    ask: Ask::Rows { range: KeyRange::all(), rows_max: usize::MAX, bytes_max: usize::MAX },
                    bound: Bound::default(),
                    until: now,
                    // Whoever asked has looked already when a round ended early.
                    reply: Reply::new(move |answer| drop(reply.send(answer))),
                };
                if asker.ask(question).is_ok() {
                    let changelog = TopicPartition::new(changelog.clone(), task.id().partition);
                    inquiries.push(Inquiry { task: task.id(), store: spec.name.clone(), changelog, answer });
                }
            }
        }
        inquiries
    }

    /// An answer has exactly the rows that the changelog had at the commit which it names.
    pub(super) fn check_answers(&self, asked: &[Inquiry]) {
        if [Note::Tearing, Note::Mistaken, Note::Cut].iter().any(|&note| self.is_noted(note)) {
            return;
        }
        for inquiry in asked {
            let Ok(Ok(answer)) = inquiry.answer.try_recv() else { continue };
            let Found::Rows { rows, more: false } = answer.found else {
                self.wrong(format!("a query of all rows of {} was answered in part", inquiry.store));
                continue;
            };
            let rows: BTreeMap<Bytes, Bytes> = rows.into_iter().collect();
            let sequence = answer.position.sequence;
            let Some(expected) = self.fold_at(inquiry, sequence) else { continue };
            self.facts.borrow_mut().answers += 1;
            if rows != expected {
                let Inquiry { task, store, .. } = inquiry;
                self.wrong(format!(
                    "a query of {store} of task {task} told {rows:?} of commit {sequence}, which has {expected:?}"
                ));
            }
        }
    }

    /// The rows of a changelog at that commit; `None` where the log does not tell: it is compacted, or the commit's marker is
    /// still on its way.
    fn fold_at(&self, inquiry: &Inquiry, sequence: u64) -> Option<BTreeMap<Bytes, Bytes>> {
        let at = &inquiry.changelog;
        let mut rows = BTreeMap::new();
        let (mut found, mut later) = ((sequence == 0).then(BTreeMap::new), false);
        for record in self.committed(at) {
            let (Some(key), value) = (record.key, record.value) else { continue };
            match (classify(&key), value) {
                (ChangelogKey::Row, Some(value)) => drop(rows.insert(key, value)),
                (ChangelogKey::Row, None) => drop(rows.remove(&key)),
                (ChangelogKey::Commit(task), Some(value)) if task == inquiry.task => {
                    let commit = CommitRecord::decode(&value).ok()?;
                    if commit.sequence == sequence {
                        found = Some(rows.clone());
                    }
                    later |= commit.sequence > sequence;
                }
                _ => {}
            }
        }
        // Rows of the commit that later ones have replaced may be gone.
        found.filter(|_| !(later && self.is_noted(Note::Compacted)))
    }
}
