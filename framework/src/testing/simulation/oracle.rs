//! What must hold of every run when it has come to rest.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::world::{APPLICATION, Note, World};
use crate::broker::sim::Isolation;
use crate::record::{ConsumedRecord, Partition, TaskId, TopicPartition};
use crate::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, classify};

impl World {
    /// Everything but the output.
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let back = self.broker.offsets_gone_back(APPLICATION).into_iter().filter(|_| !self.is_noted(Note::Moved));
        wrong.extend(back.map(|what| format!("a committed offset went back: {what}")));
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
        if !self.is_noted(Note::Compacted) {
            for topic in self.compacted_topics() {
                self.broker.partitions(&topic).iter().for_each(|at| self.check_commits(at, &mut wrong));
            }
        }
        let wipes: u64 = self.facts.borrow().wipes + self.running_wipes();
        if wipes > 0 && !self.is_noted(Note::OldState) && !self.is_noted(Note::Mistaken) {
            wrong.push(format!("state was wiped {wipes} times although nothing was damaged or old"));
        }
        if !self.zombies.borrow().is_empty() {
            wrong.push("a process whose name another one has taken is still alive".to_owned());
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

    /// Begin and commit records of each task take turns, without a gap in their numbers; never with offsets going back.
    fn check_commits(&self, at: &TopicPartition, wrong: &mut Vec<String>) {
        let mut last: BTreeMap<TaskId, (u64, bool, CommitRecord)> = BTreeMap::new();
        for record in self.committed(at) {
            let (Some(key), Some(value)) = (record.key, record.value) else { continue };
            let offset = record.offset;
            match classify(&key) {
                ChangelogKey::Begin(task) => {
                    let Ok(begin) = BeginRecord::decode(&value) else { continue };
                    let (sequence, open, _) = last.entry(task).or_default();
                    if *open || begin.sequence != *sequence + 1 {
                        wrong.push(format!("{at} {offset}: task {task} begins {} after {sequence}", begin.sequence));
                    }
                    *open = true;
                }
                ChangelogKey::Commit(task) => {
                    let Ok(commit) = CommitRecord::decode(&value) else { continue };
                    let (sequence, open, before) = last.entry(task).or_default();
                    let back = before.input.iter().any(|(input, offset)| commit.input.get(input) < Some(offset));
                    if !*open || commit.sequence != *sequence + 1 || back {
                        wrong.push(format!("{at} {offset}: task {task} commits {} after {sequence}", commit.sequence));
                    }
                    (*sequence, *open, *before) = (commit.sequence, false, commit);
                }
                _ => {}
            }
        }
    }
}
