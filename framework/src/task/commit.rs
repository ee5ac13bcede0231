//! A task's part of a commit: what goes into the transaction, and what is applied after it.
//!
//! ```text
//! commit log   p: begin(7) | row row row commit(7) C | begin(8) | row …
//!                            └──── one transaction ────┘
//! ```
//! The begin record goes out with the first record of a transaction, the commit record with the last. A transaction that
//! was ended early by a delayed request leaves a begin record without its commit record, also in a task without stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::metadata::CommitMetadata;
use super::{Phase, Refusal, Task, TaskError};
use crate::broker::{CommitReceipt, CommittedOffset, TopicId};
use crate::record::{Headers, Offset, ProducerRecord, TopicName, TopicPartition};
use crate::state::changelog::{BeginRecord, CommitRecord, begin_key, commit_key};
use crate::time::Timestamp;

/// Where a task writes its commit records, and what its changelogs are.
#[derive(Debug, Clone)]
pub(crate) struct CommitLog {
    /// The partition of the begin and commit records: the first changelog, or the commits topic.
    pub(crate) partition: TopicPartition,
    /// The changelog of each store, by index; `None` for a store without one.
    pub(crate) changelogs: Vec<Option<TopicPartition>>,
    /// Ids of the changelog and input topics.
    pub(crate) topic_ids: BTreeMap<TopicName, TopicId>,
    /// Partitions of the sub-topology's sources.
    pub(crate) partitions: i32,
    /// Hash of the sub-topology's stores.
    pub(crate) topology_hash: u64,
    /// The shortest time that one of the changelogs keeps tombstones: `delete.retention.ms`.
    pub(crate) tombstones: Duration,
}

/// What a task puts into a transaction when it is committed.
#[derive(Debug, Clone)]
pub(crate) struct TaskCommit {
    pub(crate) sequence: u64,
    pub(crate) stream_time: Timestamp,
    /// Next offset of every input that has one.
    pub(crate) input: BTreeMap<TopicPartition, Offset>,
    log_hint: Option<Offset>,
    /// Of the commit log, where the task has stores.
    log_id: Option<TopicId>,
    /// Where each of the task's changelogs ends at the least once its records are there.
    ends: BTreeMap<TopicPartition, Offset>,
    /// Where this process answers queries.
    address: Option<Arc<str>>,
}

/// The rows of a commit on their way to the changelogs.
#[derive(Default)]
struct Rows {
    records: Vec<ProducerRecord>,
    /// Rows in the commit log that are not deletions.
    values: u64,
    /// Where the changelogs end at the least once these are there.
    ends: BTreeMap<TopicPartition, Offset>,
}

impl TaskCommit {
    /// The offsets with their metadata, as the group stores them.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (TopicPartition, CommittedOffset)> {
        let (sequence, stream_time) = (self.sequence, self.stream_time);
        let metadata = CommitMetadata { sequence, stream_time, log: self.log_hint, topic: self.log_id };
        let metadata = metadata.encode_at(self.address.as_deref());
        let entry = move |(p, &next): (&TopicPartition, &Offset)| {
            (p.clone(), CommittedOffset { next, metadata: metadata.clone() })
        };
        self.input.iter().map(entry)
    }
}

impl Task {
    /// The record that goes before the task's first other record in a transaction.
    pub(crate) fn begin_record(&self, now: Timestamp) -> Result<ProducerRecord, TaskError> {
        let record = BeginRecord { sequence: self.checkpoint.sequence + 1 };
        let value = record.encode().map_err(|source| TaskError::CommitLog { task: self.id, source })?;
        Ok(self.log_record(begin_key(self.id), value, now))
    }

    /// True when there is something to commit. `position` is the consumer's: it passes transaction markers, so that the
    /// committed offset of an idle input becomes its end.
    pub(crate) fn is_dirty(&self, position: impl Fn(&TopicPartition) -> Option<Offset>) -> bool {
        matches!(self.phase, Phase::Running { .. })
            && (self.uncommitted_bytes() > 0
                || self.address.is_some() && !self.announced
                || self.next_offsets(position) != self.checkpoint.input)
    }

    fn next_offsets(&self, position: impl Fn(&TopicPartition) -> Option<Offset>) -> BTreeMap<TopicPartition, Offset> {
        let next = |partition: &TopicPartition| {
            let next = self.inputs.head(partition).or_else(|| position(partition));
            let last = self.checkpoint.input.get(partition).copied();
            // Offsets never go back, whatever the client says.
            next.max(last)
        };
        self.inputs.partitions().filter_map(|partition| Some((partition.clone(), next(partition)?))).collect()
    }

    /// Freezes the overlay and says what goes into the transaction: rows of all changelogs, in key order, and the commit record.
    /// The rows must be sent after all outputs of the task, and the commit record when all of it is in its log.
    pub(crate) fn prepare_commit(
        &mut self,
        position: impl Fn(&TopicPartition) -> Option<Offset>,
        now: Timestamp,
    ) -> Result<(TaskCommit, Vec<ProducerRecord>, ProducerRecord), TaskError> {
        let Rows { records, values, ends } = self.changelog_records(now)?;
        let commit = TaskCommit {
            sequence: self.checkpoint.sequence + 1,
            stream_time: self.stream_time(),
            input: self.next_offsets(position),
            log_hint: self.last_log_offset,
            log_id: self.log.topic_ids.get(&self.log.partition.topic).copied(),
            ends: ends.clone(),
            address: self.address.clone(),
        };
        let rows = records.len() as u64;
        self.counters.changelog_rows += rows;
        let record = CommitRecord {
            sequence: commit.sequence,
            input: commit.input.clone(),
            stream_time: commit.stream_time,
            records: rows,
            topic_ids: self.log.topic_ids.clone(),
            values: Some(values).filter(|_| self.stores.is_some()),
            ends,
        };
        let value = record.encode().map_err(|source| TaskError::CommitLog { task: self.id, source })?;
        let last = self.log_record(commit_key(self.id), value, now);
        self.in_flight = Some(commit.clone());
        self.committed_times = self.times.take();
        self.traced.freeze();
        Ok((commit, records, last))
    }

    fn changelog_records(&self, now: Timestamp) -> Result<Rows, TaskError> {
        let mut all = Rows { ends: self.ends(), ..Rows::default() };
        let Some(stores) = &self.stores else { return Ok(all) };
        stores.freeze()?;
        for (index, rows) in stores.frozen_rows() {
            let Some(Some(changelog)) = self.log.changelogs.get(usize::from(index.0)) else { continue };
            if let Some(end) = all.ends.get_mut(changelog) {
                // Each takes an offset, behind what was there.
                *end = Offset(end.0.saturating_add(i64::try_from(rows.len()).unwrap_or(0)));
            }
            if *changelog == self.log.partition {
                all.values += rows.iter().filter(|(_, value)| value.is_some()).count() as u64;
            }
            all.records.extend(rows.into_iter().map(|(key, value)| ProducerRecord {
                target: changelog.clone(),
                timestamp: now,
                key: Some(key),
                value,
                headers: Headers::new(),
            }));
        }
        Ok(all)
    }

    /// Where the changelogs end at the least, as far as delivery reports and the restore have told; the begin and the commit
    /// record of this transaction are in it.
    fn ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let end = |log| {
            let known = self.checkpoint.changelog.get(log).copied().unwrap_or_default();
            // The marker of that transaction is there, too, before another one begins.
            let known = if self.marked.contains(log) { known.next() } else { known };
            if *log == self.log.partition { known.next().next() } else { known }
        };
        self.log.changelogs.iter().flatten().map(|log| (log.clone(), end(log))).collect()
    }

    fn log_record(&self, key: bytes::Bytes, value: bytes::Bytes, now: Timestamp) -> ProducerRecord {
        ProducerRecord {
            target: self.log.partition.clone(),
            timestamp: now,
            key: Some(key),
            value: Some(value),
            headers: Headers::new(),
        }
    }

    /// After the transaction has committed, and only then: rows and checkpoint go down in one batch.
    ///
    /// # Errors
    /// [`Refusal::ChangelogShortened`] when a delivery report says that a changelog has lost its end under us: rows of earlier
    /// commits are on disk only, and nothing may be added as if they were in the log.
    pub(crate) fn apply_commit(&mut self, receipt: &CommitReceipt, now: Timestamp) -> Result<(), TaskError> {
        let Some(commit) = self.in_flight.take() else { return Ok(()) };
        self.no_log_went_back(&commit, receipt)?;
        let mut checkpoint = self.checkpoint.clone();
        checkpoint.input.clone_from(&commit.input);
        checkpoint.sequence = commit.sequence;
        checkpoint.stream_time = commit.stream_time;
        self.stamp(&mut checkpoint, now);
        // What a delivery report says; where it says nothing, where the records lie at the least: a restart replays them, and
        // one that finds the log shorter knows that it has lost them.
        let before = self.ends();
        for changelog in self.log.changelogs.iter().flatten() {
            let reported = receipt.last_offsets.get(changelog).map(|last| last.next());
            let sent = *changelog == self.log.partition || commit.ends.get(changelog) > before.get(changelog);
            let at_least = commit.ends.get(changelog).copied().filter(|_| sent);
            if let Some(end) = reported.or(at_least) {
                checkpoint.changelog.insert(changelog.clone(), end);
                self.marked.insert(changelog.clone());
            }
        }
        checkpoint.record = receipt.last_offsets.get(&self.log.partition).copied().or(checkpoint.record);
        self.last_log_offset = receipt.last_offsets.get(&self.log.partition).copied().or(self.last_log_offset);
        if let Some(stores) = &self.stores {
            stores.apply_frozen(checkpoint.clone())?;
        }
        self.checkpoint = checkpoint;
        self.announced = true;
        Ok(())
    }

    /// Each record takes an offset behind what was there, so a report that is lower tells of records that are gone.
    fn no_log_went_back(&self, commit: &TaskCommit, receipt: &CommitReceipt) -> Result<(), Refusal> {
        for (partition, &recorded) in &commit.ends {
            let end = receipt.last_offsets.get(partition).map(|last| last.next());
            if let Some(end) = end.filter(|end| *end < recorded) {
                let partition = partition.clone();
                return Err(Refusal::ChangelogShortened { task: self.id, partition, recorded, end });
            }
        }
        Ok(())
    }

    /// The offset of the last commit record that a restore saw.
    pub(crate) fn set_log_offset(&mut self, offset: Option<Offset>) {
        self.last_log_offset = offset.or(self.last_log_offset);
        // Positions pass markers.
        self.marked.clear();
    }

    /// Fills in what does not change from commit to commit.
    pub(crate) fn stamp(&self, checkpoint: &mut crate::state::Checkpoint, now: Timestamp) {
        checkpoint.topic_ids.clone_from(&self.log.topic_ids);
        checkpoint.partitions = self.log.partitions;
        checkpoint.topology_hash = self.log.topology_hash;
        checkpoint.owned_until = now;
    }

    /// Says on disk that the directory is still owned, so that a long idle time is not taken for a long absence.
    pub(crate) fn touch(&mut self, now: Timestamp, every: std::time::Duration) -> Result<(), TaskError> {
        let running = matches!(self.phase, Phase::Running { .. });
        let (Some(stores), true) = (&self.stores, running && self.in_flight.is_none()) else { return Ok(()) };
        // Long before it would look like a long absence.
        let every = every.min(self.log.tombstones / 4);
        // A time in the future is of a clock that was set back since.
        let owned_until = self.checkpoint.owned_until;
        if (owned_until <= now && now.since(owned_until) < every) || stores.uncommitted_bytes() > 0 {
            return Ok(());
        }
        let mut checkpoint = self.checkpoint.clone();
        self.stamp(&mut checkpoint, now);
        stores.apply_restored(&crate::state::CommitBatch { rows: BTreeMap::new(), checkpoint: checkpoint.clone() })?;
        self.checkpoint = checkpoint;
        Ok(())
    }
}
