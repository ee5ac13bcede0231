//! The replay of one task's changelogs: rows into its stores, the last begin and commit records beside them.

use std::collections::BTreeMap;

use super::Error;
use crate::record::{ConsumedRecord, Offset, TopicPartition};
use crate::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, classify};
use crate::state::{Checkpoint, CommitBatch, RestoredBatch, RestoredRows, StoreIndex};
use crate::task::restore::{Committed, LogTail, Resume};
use crate::task::{StartKind, Task, TaskError, TaskStart};
use crate::time::Timestamp;

/// One task's replay.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) committed: Committed,
    pub(super) targets: BTreeMap<TopicPartition, Offset>,
    pub(super) positions: BTreeMap<TopicPartition, Offset>,
    pub(super) tail: LogTail,
    /// The record of this commit, or of a later one, must come: the replay begins at its place, or before it.
    pub(super) recorded: Option<u64>,
    /// Offset of the newest begin record.
    begin_offset: Option<Offset>,
    commit_offset: Option<Offset>,
    /// Where a start must begin to read to find what this one finds, and to refuse what it refuses: at the newest begin record
    /// without its commit record, else at the one of the last commit, whose rows are counted.
    again: Option<Offset>,
    /// Rows since the newest begin record, in its partition, that are no deletions.
    values: u64,
    /// Replayed, and not written yet.
    rows: BTreeMap<StoreIndex, RestoredRows>,
    pub(super) checkpoint: Checkpoint,
    /// When it was planned.
    begun: Timestamp,
    /// Nothing was on disk.
    from_nothing: bool,
    pub(super) restored: u64,
    /// Bytes of the rows that were last handed to the store, which may still be writing them.
    pub(super) loading: usize,
    /// Which hand-over that was, of all.
    pub(super) handed_over: u64,
    /// How many of them the task's counters have.
    counted: u64,
}

impl Replay {
    pub(super) fn new(
        committed: Committed,
        targets: BTreeMap<TopicPartition, Offset>,
        positions: BTreeMap<TopicPartition, Offset>,
        (checkpoint, log): (Checkpoint, &TopicPartition),
        now: Timestamp,
    ) -> Self {
        let begins = positions.get(log).copied().filter(|_| targets.contains_key(log));
        let recorded = begins.is_some() && begins <= checkpoint.record;
        Self {
            committed,
            targets,
            positions,
            tail: LogTail::default(),
            recorded: Some(checkpoint.sequence).filter(|_| recorded),
            begin_offset: None,
            commit_offset: None,
            again: None,
            values: 0,
            rows: BTreeMap::new(),
            from_nothing: checkpoint.changelog.is_empty(),
            checkpoint,
            begun: now,
            restored: 0,
            loading: 0,
            handed_over: 0,
            counted: 0,
        }
    }

    /// Partitions that are not there yet, with position and target.
    pub(super) fn behind(&self) -> impl Iterator<Item = (&TopicPartition, Offset, Offset)> {
        let positions = self.targets.iter().map(|(partition, &target)| {
            (partition, self.positions.get(partition).copied().unwrap_or_default(), target)
        });
        positions.filter(|(_, position, target)| position < target)
    }

    pub(super) fn is_done(&self) -> bool {
        self.remaining() == 0
    }

    pub(super) fn remaining(&self) -> u64 {
        let left = self.targets.iter().map(|(partition, target)| {
            let position = self.positions.get(partition).copied().unwrap_or_default();
            u64::try_from(target.0.saturating_sub(position.0)).unwrap_or(0)
        });
        left.sum()
    }

    /// Where the changelogs end at the least.
    pub(super) fn ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let end = |(partition, &target): (&TopicPartition, &Offset)| {
            (partition.clone(), self.positions.get(partition).map_or(target, |&position| position.max(target)))
        };
        self.targets.iter().map(end).collect()
    }

    /// Bytes of rows that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.rows.values().map(RestoredRows::bytes).sum()
    }

    /// Takes records of one partition, if it is one of this task's.
    pub(super) fn take(&mut self, task: &Task, run: &[ConsumedRecord]) -> Result<(), Error> {
        let Some(source) = run.first().map(|record| &record.source).filter(|source| self.targets.contains_key(source))
        else {
            return Ok(());
        };
        let changelogs = task.log().changelogs.iter().zip(0..);
        let store =
            changelogs.filter(|(log, _)| log.as_ref() == Some(source)).map(|(_, index)| StoreIndex(index)).next();
        // Records at or past the target are another owner's business only after a rebalance; they are committed rows of
        // this partition all the same, and taking them is harmless.
        let mut rows = store.map(|store| std::mem::take(self.rows.entry(store).or_default()));
        let taken = run.iter().try_for_each(|record| self.take_one(task, rows.as_mut(), record));
        if let (Some(store), Some(rows)) = (store, rows) {
            self.rows.insert(store, rows);
        }
        taken
    }

    fn take_one(&mut self, task: &Task, rows: Option<&mut RestoredRows>, record: &ConsumedRecord) -> Result<(), Error> {
        let Some(key) = &record.key else { return Ok(()) };
        let log_error = |source| Error::Task(TaskError::CommitLog { task: task.id(), source });
        match (classify(key), &record.value) {
            (ChangelogKey::Begin(id), Some(value)) if id == task.id() => {
                self.tail.begin = Some(BeginRecord::decode(value).map_err(log_error)?);
                self.begin_offset = Some(record.offset);
                self.again = self.again.min(self.begin_offset).or(self.begin_offset);
                self.values = 0;
            }
            (ChangelogKey::Commit(id), Some(value)) if id == task.id() => {
                let commit = CommitRecord::decode(value).map_err(log_error)?;
                let begun = self.tail.begin.is_some_and(|begin| begin.sequence == commit.sequence);
                self.tail.values = Some(self.values).filter(|_| begun);
                self.tail.commit = Some(commit);
                self.commit_offset = Some(record.offset);
                self.again = self.begin_offset.filter(|_| begun).or(self.commit_offset);
            }
            (ChangelogKey::Row, value) => {
                let Some(rows) = rows else { return Ok(()) };
                self.restored += 1;
                if value.is_some() && record.source == task.log().partition {
                    self.values += 1;
                }
                if !rows.push(key, value.as_deref()) {
                    return Err(Error::bug("a row of a changelog is longer than any record"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes the rows so far together with the positions reached; the store may go on with it by itself.
    pub(super) fn flush(&mut self, task: &mut Task, now: Timestamp) -> Result<(), Error> {
        task.counters_mut().restored += self.restored - std::mem::replace(&mut self.counted, self.restored);
        let Some(stores) = task.stores() else { return Ok(()) };
        self.loading = self.bytes();
        let rows = std::mem::take(&mut self.rows);
        let mut checkpoint = self.checkpoint.clone();
        // The commit that the disk is of was not met yet: the next start must look for it as this one does.
        let found = self.tail.commit.as_ref().map_or(0, |commit| commit.sequence);
        let sought = checkpoint.record.filter(|_| self.recorded.is_some_and(|sequence| found < sequence));
        for (partition, &position) in &self.positions {
            // A later start must meet these records again: as long as rows are missing this is no whole state.
            let again = [self.again, sought].into_iter().flatten().min().filter(|_| partition == &task.log().partition);
            let position = again.map_or(position, |again| again.min(position));
            checkpoint.changelog.insert(partition.clone(), position);
        }
        checkpoint.record = sought.or(self.commit_offset);
        // Half a restore belongs to a topic, too, and has an age. What lay here before it is as old as it was: the tombstones
        // that it needs may still be ahead.
        let owned_until = checkpoint.owned_until;
        task.stamp(&mut checkpoint, if owned_until.is_some() { owned_until } else { now });
        crate::failpoint!("restore.before_batch");
        stores.load(RestoredBatch { rows, checkpoint: checkpoint.clone() })?;
        crate::failpoint!("restore.after_batch");
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// The checkpoint with which the task starts.
    pub(super) fn finish(&self, task: &mut Task, resume: &Resume, now: Timestamp) -> Result<Checkpoint, Error> {
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.sequence = resume.sequence;
        checkpoint.record = self.commit_offset.or(checkpoint.record);
        checkpoint.stream_time = resume.stream_time;
        checkpoint.input = resume.input.iter().filter_map(|(p, offset)| Some((p.clone(), (*offset)?))).collect();
        for (partition, &position) in &self.positions {
            checkpoint.changelog.insert(partition.clone(), position);
        }
        task.stamp(&mut checkpoint, now);
        task.set_log_offset(self.commit_offset);
        if let Some(stores) = task.stores() {
            stores.apply_restored(&CommitBatch { rows: BTreeMap::new(), checkpoint: checkpoint.clone() })?;
        }
        Ok(checkpoint)
    }

    /// How the task comes to run.
    pub(super) fn start(&self, task: &Task, resume: &Resume, now: Timestamp) -> TaskStart {
        let kind = match () {
            () if task.is_wiped() => StartKind::Wiped,
            () if resume.sequence == 0 => StartKind::First,
            () if task.stores().is_some() && self.from_nothing => StartKind::Restored,
            () if self.restored > 0 => StartKind::Replayed,
            () => StartKind::Resumed,
        };
        let rows = task.stores().map_or(0, |stores| {
            let counts = (0..).take(stores.specs().len()).map(StoreIndex);
            counts.map(|store| stores.approximate_count(store).unwrap_or(0)).sum()
        });
        let offset = self.positions.get(&task.log().partition).copied().unwrap_or_default();
        let took = now.since(self.begun);
        TaskStart { kind, rows, offset, replayed: self.restored, verified: resume.verified, took }
    }
}
