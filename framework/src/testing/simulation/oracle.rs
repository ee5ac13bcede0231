//! What must hold of every run when it has come to rest.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::world::{APPLICATION, Note, World};
use crate::broker::sim::Isolation;
use crate::record::{ConsumedRecord, Offset, Partition, TaskId, TopicPartition};
use crate::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, classify};

impl World {
    /// Everything but the output.
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = self.check_stopped();
        let open = self.broker.unfinished_transactions();
        wrong.extend(open.into_iter().map(|id| format!("a transaction is left open: {id}")));
        for topic in self.broker.topics() {
            for at in self.broker.partitions(&topic) {
                if self.broker.last_stable_offset(&at) != self.broker.end_offset(&at) {
                    wrong.push(format!("the last stable offset of {at} is before its end"));
                }
            }
        }
        self.check_stores(&mut wrong);
        if !(self.is_noted(Note::Compacted) && self.is_spoilt()) {
            self.check_commits();
            wrong.append(&mut self.facts.borrow_mut().wrong);
        }
        if !self.zombies.borrow().is_empty() {
            wrong.push("a process whose name another one has taken is still alive".to_owned());
        }
        wrong
    }

    /// What must hold also where a process has stopped and named a mistake or a torn transaction, and may stop again.
    pub(super) fn check_stopped(&self) -> Vec<String> {
        let back = self.broker.offsets_gone_back(APPLICATION).into_iter().filter(|_| !self.is_noted(Note::Moved));
        let mut wrong: Vec<String> = back.map(|what| format!("a committed offset went back: {what}")).collect();
        let wipes: u64 = self.facts.borrow().wipes + self.running_wipes();
        // Of a changelog that was made again, or has lost records, what is on disk may be set aside.
        if wipes > 0 && !self.is_noted(Note::OldState) && !self.is_noted(Note::Cut) {
            wrong.push(format!("state was wiped {wipes} times although nothing was damaged or old"));
        }
        wrong
    }

    fn running_wipes(&self) -> u64 {
        let wipes = |slot: &std::cell::RefCell<super::world::Slot>| {
            slot.borrow().thread.as_ref().map_or(0, |thread| thread.counters().state_wipes)
        };
        self.slots.iter().map(wipes).sum()
    }

    /// The rows of a store by partition, from the owners of its tasks.
    pub(super) fn rows(&self, store: &str) -> BTreeMap<Partition, BTreeMap<Bytes, Bytes>> {
        let mut rows = BTreeMap::new();
        self.each_store(|task, spec, contents| {
            if spec.name == store {
                rows.insert(task.partition, contents);
            }
        });
        rows
    }

    fn each_store(&self, mut see: impl FnMut(TaskId, &crate::state::StoreSpec, BTreeMap<Bytes, Bytes>)) {
        let machines = self.machines.borrow();
        for slot in &self.slots {
            let slot = slot.borrow();
            let (Some(thread), Some(machine)) = (&slot.thread, machines.get(slot.machine)) else { continue };
            for task in thread.tasks() {
                let Some(stores) = task.stores() else { continue };
                for spec in stores.specs() {
                    see(task.id(), spec, machine.directory.contents(task.id(), &spec.name));
                }
            }
        }
    }

    /// Each store holds what its changelog adds up to; when that was cut, at least.
    fn check_stores(&self, wrong: &mut Vec<String>) {
        self.each_store(|task, spec, contents| {
            let Some(changelog) = &spec.changelog else { return };
            let at = TopicPartition::new(changelog.clone(), task.partition);
            let fold = self.fold(&at);
            let whole = contents == fold;
            let at_least = fold.iter().all(|(key, value)| contents.get(key) == Some(value));
            if !(whole || at_least && self.is_noted(Note::Cut)) {
                wrong.push(format!("store {} of task {task} has {contents:?}, its changelog {fold:?}", spec.name));
            }
        });
    }

    fn fold(&self, changelog: &TopicPartition) -> BTreeMap<Bytes, Bytes> {
        let mut rows = BTreeMap::new();
        for record in self.committed(changelog) {
            let Some(key) = record.key.filter(|key| classify(key) == ChangelogKey::Row) else { continue };
            match record.value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        rows
    }

    pub(super) fn committed(&self, at: &TopicPartition) -> Vec<ConsumedRecord> {
        let start = self.broker.log_start(at).unwrap_or_default();
        self.broker.records_from(at, start, Isolation::ReadCommitted)
    }

    /// Logs may have torn transactions, or may not be what was written.
    pub(super) fn is_spoilt(&self) -> bool {
        self.is_noted(Note::Tearing) || self.is_noted(Note::Mistaken)
    }

    /// What has come since the last look: begin and commit records of each task take turns, without a gap in their numbers;
    /// never with offsets going back. Before a log is compacted it is to be looked at: of these records the last ones stay.
    pub(super) fn check_commits(&self) {
        let facts = &mut *self.facts.borrow_mut();
        for topic in self.compacted_topics() {
            for at in self.broker.partitions(&topic) {
                let seen = facts.commits.entry(at.clone()).or_default();
                for record in self.broker.records_from(&at, seen.next, Isolation::ReadCommitted) {
                    facts.wrong.extend(seen.take(&at, record));
                }
                // Below it nothing more can appear, nor can anything that has been read be taken back.
                seen.next = self.broker.last_stable_offset(&at).unwrap_or(seen.next);
            }
        }
    }
}

/// How far the commits of a log were looked at.
#[derive(Debug, Default)]
pub(super) struct Commits {
    next: Offset,
    /// Of each task the last number, whether a commit record is to come, and the last one there was.
    last: BTreeMap<TaskId, (u64, bool, CommitRecord)>,
}

impl Commits {
    /// The next record of the log `at`: what is wrong with it.
    fn take(&mut self, at: &TopicPartition, record: ConsumedRecord) -> Option<String> {
        let (key, value, offset) = (record.key?, record.value?, record.offset);
        match classify(&key) {
            ChangelogKey::Begin(task) => {
                let begin = BeginRecord::decode(&value).ok()?;
                let (sequence, open, _) = self.last.entry(task).or_default();
                let right = !std::mem::replace(open, true) && begin.sequence == *sequence + 1;
                (!right).then(|| format!("{at} {offset}: task {task} begins {} after {sequence}", begin.sequence))
            }
            ChangelogKey::Commit(task) => {
                let commit = CommitRecord::decode(&value).ok()?;
                let (sequence, open, before) = self.last.entry(task).or_default();
                let back = before.input.iter().any(|(input, offset)| commit.input.get(input) < Some(offset));
                let right = *open && commit.sequence == *sequence + 1 && !back;
                let told = format!("{at} {offset}: task {task} commits {} after {sequence}", commit.sequence);
                (*sequence, *open, *before) = (commit.sequence, false, commit);
                (!right).then_some(told)
            }
            _ => None,
        }
    }
}
