//! Decisions of a restore. All facts are arguments; nothing here does IO. The order of the IO stands in
//! `runtime::restore`; the table of findings is `exactly-once` 3.4.

use std::collections::BTreeMap;
use std::time::Duration;

use super::metadata::{CommitMetadata, is_reset};
use crate::broker::{CommittedOffset, LogRange, TopicId};
use crate::record::{Offset, TaskId, TopicName, TopicPartition};
use crate::state::changelog::{BeginRecord, CommitRecord};
use crate::state::{Age, Checkpoint};
use crate::time::Timestamp;

/// The group's committed offsets of a task's inputs; `None` where there is none.
pub(crate) type Committed = BTreeMap<TopicPartition, Option<CommittedOffset>>;

/// What is known before the replay.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) committed: &'a Committed,
    /// First and end offset of the partitions to replay.
    pub(crate) ranges: &'a BTreeMap<TopicPartition, LogRange>,
    pub(crate) topic_ids: &'a BTreeMap<TopicName, TopicId>,
    /// The topic of the task's commit records.
    pub(crate) log: &'a TopicName,
    pub(crate) partitions: i32,
    pub(crate) topology_hash: u64,
    /// The task has stores: then everything that is not on disk must be replayed.
    pub(crate) stateful: bool,
    /// How long the changelogs keep tombstones.
    pub(crate) tombstones: Duration,
    /// The directory may have been away, or others may have had the task.
    pub(crate) check_age: bool,
    /// The clock that wrote the directory's time may be another: not so for a task that this process has started before.
    pub(crate) check_clock: bool,
    pub(crate) now: Timestamp,
}

/// What to do before and during the replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Replay each partition from its offset.
    Replay(BTreeMap<TopicPartition, Offset>),
    /// The rows on disk cannot be brought up to date: remove them, then plan again.
    Wipe(&'static str),
    /// The rows belong to a topic that is gone: set them aside, then plan again.
    Quarantine(&'static str),
}

/// Decides from where to replay, or why the rows on disk cannot be used.
pub(crate) fn plan(task: TaskId, facts: &Facts<'_>) -> Result<Plan, Refusal> {
    let checkpoint = facts.checkpoint;
    let is_input = |topic: &TopicName| facts.committed.keys().any(|input| input.topic == *topic);
    let gone = recreated(&checkpoint.topic_ids, facts.topic_ids).find(|topic| !is_input(topic));
    // Another program may have other changelogs: of the old ones a reset leaves nothing.
    let mut changelogs = checkpoint.topic_ids.keys().filter(|topic| !is_input(topic));
    let left = gone.is_some() || changelogs.any(|topic| !facts.topic_ids.contains_key(topic));
    // Before all comparisons: whatever the rows are, they are from before the reset.
    if left && (was_reset(facts.committed) || has_begun_anew(facts) || all_is_new(facts)) {
        return Ok(Plan::Quarantine("the application was reset"));
    }
    if checkpoint.partitions != 0 && checkpoint.partitions != facts.partitions {
        let (before, now) = (checkpoint.partitions, facts.partitions);
        return Err(Refusal::PartitionsChanged { task, before, now });
    }
    if checkpoint.partitions != 0 && checkpoint.topology_hash != facts.topology_hash {
        return Err(Refusal::TopologyChanged { task });
    }
    if let Some(topic) = gone {
        if facts.committed.values().any(Option::is_some) {
            return Err(Refusal::ChangelogRecreated { task, topic: topic.clone() });
        }
        return Ok(Plan::Quarantine("the changelog was deleted and created again"));
    }
    // After the changelogs: with those gone, and nothing committed, the application was reset.
    recreated_input(task, (&checkpoint.topic_ids, &checkpoint.input), facts.topic_ids, facts.committed)?;
    // Not what has more than its changelog: it may be the one place that has it, however old it is.
    if let Some(reason) = outdated(facts).filter(|_| !is_past_an_end(facts)) {
        return instead(task, facts, Plan::Wipe(reason));
    }
    let mut from = BTreeMap::new();
    for (partition, range) in facts.ranges {
        let start = match checkpoint.changelog.get(partition) {
            Some(&stored) if stored > range.end => {
                // Not removed: it may be the one place that has them.
                let lost = Plan::Quarantine("the changelog ends before it: records were lost there");
                return instead(task, facts, lost);
            }
            Some(&stored) if stored >= range.start => {
                from_record(facts, partition, range.start).map_or(stored, |at| at.min(stored))
            }
            // A checkpoint that is the last commit misses nothing, wherever the changelog begins by now.
            Some(_) if facts.stateful && is_last_commit(facts) => range.start,
            _ if facts.stateful && range.start > Offset::default() => return Err(cut(task, partition, range)),
            _ if facts.stateful => range.start,
            _ => log_hint(facts.committed).map_or(range.start, |hint| hint.max(range.start).min(range.end)),
        };
        from.insert(partition.clone(), start);
    }
    Ok(Plan::Replay(from))
}

/// True when the rows on disk are of offsets that a changelog does not have any more.
fn is_past_an_end(facts: &Facts<'_>) -> bool {
    let stored = |partition: &TopicPartition| facts.checkpoint.changelog.get(partition);
    facts.ranges.iter().any(|(partition, range)| stored(partition).is_some_and(|stored| *stored > range.end))
}

/// The place of the last commit record, which must come again: by its offsets alone a log that has lost its end, and was
/// filled past it since, has everything.
fn from_record(facts: &Facts<'_>, partition: &TopicPartition, start: Offset) -> Option<Offset> {
    facts.checkpoint.record.filter(|at| partition.topic == *facts.log && *at >= start)
}

/// Gives the rows up, if the changelogs have all of them: compaction leaves a log's start where it is, so one that begins
/// later was cut, and nobody knows what it held.
fn instead(task: TaskId, facts: &Facts<'_>, plan: Plan) -> Result<Plan, Refusal> {
    let mut ranges = facts.ranges.iter().filter(|(_, range)| facts.stateful && range.start > Offset::default());
    ranges.next().map_or(Ok(plan), |(partition, range)| Err(cut(task, partition, range)))
}

fn cut(task: TaskId, partition: &TopicPartition, range: &LogRange) -> Refusal {
    Refusal::ChangelogCut { task, partition: partition.clone(), start: range.start }
}

/// True when the group's offsets are of the commit that the checkpoint holds.
fn is_last_commit(facts: &Facts<'_>) -> bool {
    let sequences = facts.committed.values().flatten().map(|offset| Some(CommitMetadata::decode(offset)?.sequence));
    sequences.max() == Some(Some(facts.checkpoint.sequence))
}

/// Topics that are others now than when they were recorded.
fn recreated<'a>(
    recorded: &'a BTreeMap<TopicName, TopicId>,
    now: &'a BTreeMap<TopicName, TopicId>,
) -> impl Iterator<Item = &'a TopicName> {
    recorded.iter().filter(|(topic, id)| now.get(*topic).is_some_and(|now| now != *id)).map(|(topic, _)| topic)
}

/// Refuses an input that is another topic than the one of which `recorded` holds the offsets: they would be taken for
/// places in the new one, also when Kafka has deleted the group's with the old. Offsets set by hand are about the new one.
fn recreated_input(
    task: TaskId,
    (recorded, input): (&BTreeMap<TopicName, TopicId>, &BTreeMap<TopicPartition, Offset>),
    now: &BTreeMap<TopicName, TopicId>,
    committed: &Committed,
) -> Result<(), Refusal> {
    let by_hand = |offset: &Option<CommittedOffset>| offset.as_ref().is_some_and(|at| is_foreign(at) || is_reset(at));
    let mut left = committed.iter().filter(|(partition, offset)| input.contains_key(*partition) && !by_hand(offset));
    let gone = left.find(|(partition, _)| recreated(recorded, now).any(|topic| *topic == partition.topic));
    gone.map_or(Ok(()), |(partition, _)| Err(Refusal::InputRecreated { task, topic: partition.topic.clone() }))
}

/// True when the group's offsets are all from a reset, and there is one.
fn was_reset(committed: &Committed) -> bool {
    let mut offsets = committed.values().flatten().peekable();
    offsets.peek().is_some() && offsets.all(is_reset)
}

/// True when nothing is committed, and every topic that the rows are about is gone or another one: so a reset leaves a task
/// behind a repartition, of which the group has no offset that could say so.
fn all_is_new(facts: &Facts<'_>) -> bool {
    let mut recorded = facts.checkpoint.topic_ids.iter().peekable();
    facts.committed.values().all(Option::is_none)
        && recorded.peek().is_some()
        && recorded.all(|(topic, id)| facts.topic_ids.get(topic) != Some(id))
}

/// True when the group's last commit is in the changelog that is there now, and the rows are of the one before: others have
/// begun anew since. A changelog that somebody has deleted under them is not the one that their last commit names.
fn has_begun_anew(facts: &Facts<'_>) -> bool {
    let now = facts.topic_ids.get(facts.log);
    let mut offsets = facts.committed.values().flatten().peekable();
    now.is_some()
        && now != facts.checkpoint.topic_ids.get(facts.log)
        && offsets.peek().is_some()
        && offsets.all(|offset| CommitMetadata::decode(offset).is_some_and(|metadata| metadata.topic.as_ref() == now))
}

/// Committed neither by a task nor by a reset, which leaves no log: what stands in one since then a task has written.
fn is_foreign(offset: &CommittedOffset) -> bool {
    CommitMetadata::decode(offset).is_none() && !is_reset(offset)
}

/// Why the rows are too old, or of unknown age.
fn outdated(facts: &Facts<'_>) -> Option<&'static str> {
    if !facts.stateful || !facts.check_age {
        return None;
    }
    match facts.checkpoint.age(facts.now, facts.tombstones) {
        Age::NeverOwned | Age::Usable { .. } => None,
        Age::TooOld => Some("it is older than the changelog keeps deletions: deleted keys would come back"),
        Age::Ahead => {
            facts.check_clock.then_some("its time lies in the future: the clock was wrong, so its age is unknown")
        }
    }
}

/// Where the commit log of a task without stores may be read from.
fn log_hint(committed: &Committed) -> Option<Offset> {
    let metadata = committed.values().flatten().filter_map(CommitMetadata::decode);
    metadata.filter_map(|metadata| metadata.log).min()
}

/// The last begin and commit record of a task that the replay saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogTail {
    pub(crate) begin: Option<BeginRecord>,
    pub(crate) commit: Option<CommitRecord>,
    /// Rows that are no deletions between the two, where both are of one transaction.
    pub(crate) values: Option<u64>,
}

/// From where a task goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The next offset of each input; `None`: never committed, the configured start applies.
    pub(crate) input: BTreeMap<TopicPartition, Option<Offset>>,
    pub(crate) sequence: u64,
    pub(crate) stream_time: Timestamp,
    /// True when the last commit record and the group's offsets were compared and agree.
    pub(crate) verified: bool,
    /// The group has no offsets: they are committed again.
    pub(crate) missing: bool,
}

/// What the comparison of the commit record with the group's offsets says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Resume(Resume),
    /// The group has no offsets although a commit is recorded. A coordinator that has just moved can say so
    /// (KAFKA-20416): ask again for a while; after that the commit record's offsets hold.
    OffsetsMissing(Resume),
}

/// What is known after the replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) committed: &'a Committed,
    pub(crate) tail: &'a LogTail,
    pub(crate) stateful: bool,
    /// Where the changelogs end at the least: as they did when the replay began, or further where it has read on.
    pub(crate) ends: &'a BTreeMap<TopicPartition, Offset>,
    /// The replay must have met the record of this commit, or of a later one.
    pub(crate) recorded: Option<u64>,
    /// Ids of the changelog and input topics now.
    pub(crate) topic_ids: &'a BTreeMap<TopicName, TopicId>,
}

/// Compares the last commit record with the group's offsets (invariant I9).
pub(crate) fn reconcile(task: TaskId, evidence: Evidence<'_>) -> Result<Verdict, Refusal> {
    let Evidence { checkpoint, committed, tail, stateful, ends, recorded, topic_ids } = evidence;
    // Written by whoever owned the task while the topic was recreated under it: the rows before are gone.
    if let Some(commit) = &tail.commit {
        recreated_input(task, (&commit.topic_ids, &commit.input), topic_ids, committed)?;
        let is_input = |topic: &TopicName| committed.keys().any(|input| input.topic == *topic);
        if let Some(topic) = recreated(&commit.topic_ids, topic_ids).find(|topic| !is_input(topic)) {
            return Err(Refusal::ChangelogRecreated { task, topic: topic.clone() });
        }
        all_rows_are_there(task, commit, tail.values, ends)?;
    }
    let found = tail.commit.as_ref().map_or(0, |commit| commit.sequence);
    if let Some(sequence) = recorded.filter(|sequence| found < *sequence) {
        return Err(Refusal::CommitRecordLost { task, sequence });
    }
    let foreign = committed.values().flatten().any(is_foreign);
    let last = last_commit(checkpoint, tail);
    let mut sequence = last.as_ref().map_or(0, |commit| commit.sequence);
    if let Some(begin) = tail.begin.filter(|begin| begin.sequence > sequence) {
        if stateful || !foreign {
            return Err(Refusal::TornTransaction { task, sequence: begin.sequence });
        }
        // A person has looked at the outputs and said where to go on.
        sequence = begin.sequence;
    }
    let known: BTreeMap<&TopicPartition, Offset> =
        committed.iter().filter_map(|(partition, offset)| Some((partition, offset.as_ref()?.next))).collect();
    let Some(last) = last else { return without_record(task, committed, stateful) };
    let stream_time = last.stream_time;
    let resume = |input, verified| Resume { input, sequence, stream_time, verified, missing: false };
    // An input that the program no longer reads is nobody's business.
    let mut recorded = last.input.iter().filter(|(partition, _)| committed.contains_key(*partition)).peekable();
    if known.is_empty() && recorded.peek().is_some() {
        let input = committed.keys().map(|p| (p.clone(), last.input.get(p).copied())).collect();
        return Ok(Verdict::OffsetsMissing(Resume { missing: true, ..resume(input, false) }));
    }
    let input = committed.keys().map(|p| (p.clone(), known.get(p).copied())).collect();
    // With other inputs altogether there is nothing to compare.
    let verified = recorded.peek().is_some() || last.input.is_empty();
    let differs = recorded.find(|(partition, offset)| known.get(partition) != Some(*offset));
    let Some((partition, &recorded)) = differs else { return Ok(Verdict::Resume(resume(input, verified))) };
    let group = known.get(partition).copied();
    // A reset whose log was not deleted; of the first commit since then it may be a torn half.
    let by_hand = foreign || (committed.values().flatten().any(is_reset) && last.sequence > 1);
    if !stateful && by_hand {
        // A person moved the offsets of a task without state, which is their right.
        return Ok(Verdict::Resume(resume(input, false)));
    }
    Err(Refusal::OffsetsDiffer { task, partition: partition.clone(), recorded, group, moved_by_hand: by_hand })
}

/// Compares what the last commit record says of rows with what is there. Nothing of its transaction is compacted away: no
/// later one has committed, and deletions, which go by their age, are not counted.
fn all_rows_are_there(
    task: TaskId,
    commit: &CommitRecord,
    values: Option<u64>,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), Refusal> {
    if let (Some(recorded), Some(found)) = (commit.values, values)
        && found < recorded
    {
        return Err(Refusal::RowsMissing { task, sequence: commit.sequence, recorded, found });
    }
    let shorter = |(partition, recorded): (&TopicPartition, &Offset)| {
        let end = ends.get(partition).copied().filter(|end| end < recorded)?;
        Some(Refusal::ChangelogShortened { task, partition: partition.clone(), recorded: *recorded, end })
    };
    commit.ends.iter().find_map(shorter).map_or(Ok(()), Err)
}

/// The newer one of the replayed commit record and the checkpoint, which may be past it.
fn last_commit(checkpoint: &Checkpoint, tail: &LogTail) -> Option<CommitRecord> {
    let stored = (checkpoint.sequence > 0).then(|| CommitRecord {
        sequence: checkpoint.sequence,
        input: checkpoint.input.clone(),
        stream_time: checkpoint.stream_time,
        ..CommitRecord::default()
    });
    match (stored, tail.commit.clone()) {
        (Some(stored), Some(replayed)) => Some(if stored.sequence > replayed.sequence { stored } else { replayed }),
        (stored, replayed) => replayed.or(stored),
    }
}

/// No commit was ever recorded: a first start, or somebody else's group.
fn without_record(task: TaskId, committed: &Committed, stateful: bool) -> Result<Verdict, Refusal> {
    let mut ours = committed.values().flatten().filter_map(CommitMetadata::decode).peekable();
    if ours.peek().is_some() {
        // Only with stores the text names a changelog.
        let had_stores = ours.any(|metadata| metadata.topic.is_some());
        let same = had_stores == stateful;
        return Err(if same { Refusal::CommitRecordMissing { task } } else { Refusal::TopologyChanged { task } });
    }
    if stateful && committed.values().flatten().any(|offset| !is_reset(offset)) {
        return Err(Refusal::ForeignOffsets { task });
    }
    let input = committed.iter().map(|(p, offset)| (p.clone(), offset.as_ref().map(|offset| offset.next))).collect();
    Ok(Verdict::Resume(Resume { input, sequence: 0, stream_time: Timestamp::NONE, verified: false, missing: false }))
}

/// Why a task does not start. Nothing was deleted; a person must decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The inputs have another number of partitions than the state was made with.
    #[error(
        "task {task}: its input had partitions={before} and now has {now}, so keys have moved; reset the application, or go back to {before} partitions with a new topic"
    )]
    PartitionsChanged {
        /// The task.
        task: TaskId,
        /// Partitions when the state was written.
        before: i32,
        /// Partitions now.
        now: i32,
    },
    /// The state was written by a topology with other stores.
    #[error(
        "task {task}: its last commit was of a topology with other stores, or with none; use the program that wrote it, a new application.id, or reset the application"
    )]
    TopologyChanged {
        /// The task.
        task: TaskId,
    },
    /// The changelog is another topic than the one the state came from, and input was processed already.
    #[error(
        "task {task}: changelog {topic} was deleted and created again although input is committed; its content is lost: reset the application to build it again from the input"
    )]
    ChangelogRecreated {
        /// The task.
        task: TaskId,
        /// The topic.
        topic: TopicName,
    },
    /// Records were deleted from the beginning of the changelog, and the disk does not have all of them.
    #[error(
        "task {task}: changelog {partition} begins at offset={start}: records were deleted from it, and what is on disk does not make up for them; reset the application to build its state again from the input, with the changelog deleted as a whole"
    )]
    ChangelogCut {
        /// The task.
        task: TaskId,
        /// The changelog.
        partition: TopicPartition,
        /// Where it begins.
        start: Offset,
    },
    /// The last commit wrote more rows than its changelog has.
    #[error(
        "task {task}: commit {sequence} wrote rows={recorded} to its changelog, and rows={found} are there: records were lost; reset the application to build its state again from the input"
    )]
    RowsMissing {
        /// The task.
        task: TaskId,
        /// Number of the commit.
        sequence: u64,
        /// Rows that the commit record tells of.
        recorded: u64,
        /// Rows that were found.
        found: u64,
    },
    /// A changelog ends before the last commit's rows.
    #[error(
        "task {task}: changelog {partition} ends at offset={end}, and the last commit has rows up to offset={recorded}: its end was lost; reset the application to build its state again from the input"
    )]
    ChangelogShortened {
        /// The task.
        task: TaskId,
        /// The changelog.
        partition: TopicPartition,
        /// Where it must end at the least.
        recorded: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// The changelog does not have the record of the commit that the rows on disk are of.
    #[error(
        "task {task}: what is on disk is of commit {sequence}, and its changelog has neither its record nor a later one: the end was lost, and it was written on since; reset the application to build its state again from the input"
    )]
    CommitRecordLost {
        /// The task.
        task: TaskId,
        /// Number of the commit on disk.
        sequence: u64,
    },
    /// An input is another topic than the one that the last commit was about.
    #[error(
        "task {task}: input topic {topic} was deleted and created again; the offsets are about the old one: reset the application, or, without stores, commit the group's offsets for it by hand"
    )]
    InputRecreated {
        /// The task.
        task: TaskId,
        /// The topic.
        topic: TopicName,
    },
    /// A transaction's beginning is committed without its end.
    #[error(
        "task {task}: transaction {sequence} was committed only in part (a delayed request ended it early); outputs of it may appear twice: check them, then reset the application; a task without stores also goes on from offsets that are committed by hand"
    )]
    TornTransaction {
        /// The task.
        task: TaskId,
        /// Number of the torn commit.
        sequence: u64,
    },
    /// The group's offsets are not those of the last commit.
    #[error("task {task}: the last commit recorded {partition} at offset={recorded}, the group says {}; {}", show(*.group), advice(*.moved_by_hand))]
    OffsetsDiffer {
        /// The task.
        task: TaskId,
        /// The input partition.
        partition: TopicPartition,
        /// Offset in the commit record.
        recorded: Offset,
        /// Offset of the group.
        group: Option<Offset>,
        /// The group's offset was not committed by a task.
        moved_by_hand: bool,
    },
    /// The group has offsets of ours, but the commit log has no record of them.
    #[error(
        "task {task}: the group has offsets of this application, but its commit log is empty: the topic was deleted or cut; reset the application"
    )]
    CommitRecordMissing {
        /// The task.
        task: TaskId,
    },
    /// The group has offsets, but there is no state that belongs to them.
    #[error(
        "task {task}: the group has committed offsets that this application did not write, and no state belongs to them; use a new application.id, or delete the group's offsets to start from the beginning"
    )]
    ForeignOffsets {
        /// The task.
        task: TaskId,
    },
}

impl Refusal {
    /// True when it compares what was read at different times: somebody else may have committed in between.
    pub(crate) const fn may_be_outdated(&self) -> bool {
        matches!(
            self,
            Self::TornTransaction { .. }
                | Self::OffsetsDiffer { .. }
                | Self::ChangelogShortened { .. }
                | Self::CommitRecordLost { .. }
        )
    }
}

fn show(offset: Option<Offset>) -> String {
    offset.map_or_else(|| "nothing".to_owned(), |offset| format!("offset={offset}"))
}

const fn advice(moved_by_hand: bool) -> &'static str {
    if moved_by_hand {
        "the offsets were moved by hand: state and input no longer fit; put them back, or reset the application"
    } else {
        "state and input do not fit together: if offsets of the group were deleted or have expired, or topics were restored from a copy, reset the application; else please report it with the log of this start"
    }
}

#[cfg(test)]
mod tests;
