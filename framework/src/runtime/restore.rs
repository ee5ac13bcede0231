//! The restore protocol: the only way into RUNNING. Done in small steps on the stream thread, so that polling, and tasks
//! that are ready, go on meanwhile.
//!
//! The order of the IO is the protocol (KAFKA-10167): first the group's *stable* offsets, then the *read-uncommitted* ends
//! of the changelogs. A transaction whose offsets are visible has all its records before such an end, though its markers
//! may still be on their way; the reader reads committed records until its position has passed that end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Error;
use super::breakage::broken;
use super::config::StartFrom;
use super::replay::Replay;
use super::thread::StreamThread;
use super::waits::Wait;
use crate::broker::{Broker, BrokerError, ChangelogReader, Consumer, LogRange};
use crate::error::Recovery;
use crate::record::{Offset, TaskId, TopicPartition};
use crate::state::Checkpoint;
use crate::task::restore::{Committed, Evidence, Facts, Plan, Resume, Verdict, plan, reconcile};
use crate::task::{Task, TaskState};
use crate::time::Timestamp;
use crate::topology::TopologyError;

/// How long missing group offsets are asked for again before the commit record's are taken.
const OFFSETS_MISSING_MAX: Duration = Duration::from_mins(1);
/// How long until they are asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long a topic may be missing: a broker may hear of a new one a moment late.
const TOPIC_MISSING_MAX: Duration = Duration::from_secs(30);
/// How long one request of a restore may keep the tasks that run.
const REQUEST_MAX: Duration = Duration::from_secs(1);

/// Inputs with the offset where each begins.
type Starts = Vec<(TopicPartition, Offset)>;

/// A restore under way: the tasks that are replaying.
#[derive(Debug, Default)]
pub(crate) struct Restoration {
    tasks: BTreeMap<TaskId, Replay>,
    /// How often rows were handed to a store.
    handed_over: u64,
}

/// How far the restore of one task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The task.
    pub task: TaskId,
    /// Offsets still to pass, over all its changelogs.
    pub remaining: u64,
    /// Rows replayed so far.
    pub restored: u64,
}

impl<B: Broker> StreamThread<B> {
    /// One step; true when something moved.
    pub(super) fn restore(&mut self, now: Timestamp) -> Result<bool, Error> {
        self.replay_moved = false;
        if self.restoration.is_none() {
            self.reader.idle();
        }
        if self.ownership.is_none() {
            self.waits.restored();
        }
        if self.ownership.is_none() || !self.topics_hold(now)? {
            return Ok(false);
        }
        let waiting = self.tasks.values().any(|task| task.state() == TaskState::Restoring);
        if !waiting {
            self.waits.restored();
        }
        if !waiting || self.transaction.is_none() {
            return Ok(false);
        }
        if self.restoration.is_none() {
            if self.restore_waits(now) {
                return Ok(false);
            }
            let Some(started) = self.begin_restoration(now)? else { return Ok(false) };
            self.restoration = Some(started);
        }
        self.replay(now)?;
        self.tell_when_stuck(now);
        self.finish_restored(now)
    }

    /// A clock that was set back must not stop the restore.
    fn restore_waits(&self, now: Timestamp) -> bool {
        let wait = self.restore_not_before;
        now < wait && wait.since(now) <= RETRY_INTERVAL
    }

    /// True when the topics are known to be those that the process began with. A topic of the same name is not the same:
    /// offsets and rows are about the old one. One that is gone for good must be told: its tasks would just not be there.
    fn topics_hold(&mut self, now: Timestamp) -> Result<bool, Error> {
        let Some(since) = self.topics_doubted_since.map(|since| since.min(now)) else { return Ok(true) };
        self.topics_doubted_since = Some(since);
        if self.restore_waits(now) {
            return Ok(false);
        }
        let topics = self.topics.read(&self.topology)?;
        let found = match self.broker.describe_topics(&topics) {
            Ok(found) => found,
            Err(error) if error.recovery() == Recovery::Retry => {
                self.waits_for(Wait::Topics, &error, now);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.waits.over(Wait::Topics);
        match topics.iter().find_map(|topic| self.topics.fault(topic, found.get(topic))) {
            None => {
                self.topics_doubted_since = None;
                Ok(true)
            }
            Some(fault @ TopologyError::Recreated { .. }) => Err(fault.into()),
            Some(fault) if now.since(since) >= TOPIC_MISSING_MAX => Err(fault.into()),
            Some(fault) => {
                tracing::warn!(%fault, "asking again");
                self.restore_not_before = now.plus(RETRY_INTERVAL);
                Ok(false)
            }
        }
    }

    /// A replay stands still while another producer's transaction is open on its changelog. It ends with that producer's
    /// time-out; one that does not is hanging, and a person must end it.
    fn tell_when_stuck(&mut self, now: Timestamp) {
        if self.replay_moved {
            // What is read anew, up to where it stood still, is no progress.
            let stuck = self.stuck_at.as_ref();
            let again = |(at, reached): &(TopicPartition, Offset)| {
                self.behind().any(|(partition, position, _)| partition == at && position <= *reached)
            };
            if !stuck.is_some_and(again) {
                self.waits.over(Wait::Transaction);
            }
            return;
        }
        let first = self.behind().next().map(|(at, position, target)| (at.clone(), position, target));
        let Some((at, position, target)) = first else {
            self.waits.over(Wait::Transaction);
            return;
        };
        let place = format!("{at} offset={position} of {target}");
        self.stuck_at = Some((at, position));
        if self.waits_for(Wait::Transaction, &place, now) {
            // A log that has lost its end meanwhile never reaches where it ended.
            self.restoration = None;
        }
    }

    /// What is still to be replayed: partitions with position and target.
    fn behind(&self) -> impl Iterator<Item = (&TopicPartition, Offset, Offset)> {
        let replays = self.restoration.iter().flat_map(|restoration| restoration.tasks.values());
        replays.flat_map(Replay::behind)
    }

    /// Reads offsets, then ends, and decides from where each task replays. `None`: the broker asks to wait.
    fn begin_restoration(&mut self, now: Timestamp) -> Result<Option<Restoration>, Error> {
        let restoring = self.tasks.values().filter(|task| task.state() == TaskState::Restoring);
        let ids: Vec<TaskId> = restoring.map(Task::id).collect();
        let inputs: Vec<TopicPartition> =
            ids.iter().filter_map(|id| self.tasks.get(id)).flat_map(|task| task.inputs().cloned()).collect();
        let timeout = self.config.request_timeout.min(REQUEST_MAX);
        crate::failpoint!("restore.before_offsets");
        let early = if broken!(self, EndsBeforeOffsets) { Some(self.changelog_ends(&ids, timeout)?) } else { None };
        // First the offsets: this waits for pending transactions. Then the ends; see the head of this file.
        let committed = match self.consumer()?.committed(&inputs, timeout) {
            Ok(committed) => committed,
            Err(error) if error.recovery() == Recovery::Retry => {
                self.waits_for(Wait::Offsets, &error, now);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.waits.over(Wait::Offsets);
        crate::failpoint!("restore.after_offsets");
        let ranges = match early.map_or_else(|| self.changelog_ends(&ids, timeout), Ok) {
            Ok(ranges) => ranges,
            Err(error) if error.recovery() == Recovery::Retry => {
                // A deleted topic answers like one whose leader is away.
                self.topics_doubted_since.get_or_insert(now);
                self.waits_for(Wait::ChangelogEnds, &error, now);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.waits.over(Wait::ChangelogEnds);
        crate::failpoint!("restore.after_ends");
        let mut restoration = Restoration::default();
        for id in ids {
            let replay = self.plan_replay(id, &committed, &ranges, now)?;
            restoration.tasks.insert(id, replay);
        }
        let mut positions: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        for replay in restoration.tasks.values().filter(|replay| !replay.is_done()) {
            for (partition, &offset) in &replay.positions {
                let position = positions.entry(partition.clone()).or_insert(offset);
                // Tasks without stores share a partition of the commits topic.
                *position = offset.min(*position);
            }
        }
        self.reader.assign(&positions)?;
        Ok(Some(restoration))
    }

    /// First offsets and read-uncommitted ends of everything that the tasks replay.
    fn changelog_ends(
        &mut self,
        ids: &[TaskId],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        let logs: BTreeSet<TopicPartition> =
            ids.iter().filter_map(|id| self.tasks.get(id)).flat_map(log_partitions).collect();
        let logs: Vec<TopicPartition> = logs.into_iter().collect();
        let ranges = self.reader.log_ranges(&logs, timeout)?;
        if broken!(self, RestoreToLastStable)
            && let Some(consumer) = &mut self.consumer
        {
            return logs.into_iter().map(|log| Ok((log.clone(), consumer.log_range(&log, timeout)?))).collect();
        }
        Ok(ranges)
    }

    fn plan_replay(
        &mut self,
        id: TaskId,
        committed: &Committed,
        ranges: &BTreeMap<TopicPartition, LogRange>,
        now: Timestamp,
    ) -> Result<Replay, Error> {
        // A state that was removed or set aside plans like a new one: the second plan is a replay.
        for _ in 0..3 {
            let task = self.tasks.get(&id).ok_or(Error::bug("a restoring task has vanished"))?;
            let mut checkpoint =
                task.stores().map_or_else(|| Ok(Checkpoint::default()), |stores| stores.checkpoint())?;
            if !checkpoint.changelog.contains_key(&task.log().partition) {
                // The rows come from the log alone, as those of stores in memory do. So what they are is for the log to say.
                checkpoint = Checkpoint { sequence: 0, record: None, input: BTreeMap::new(), ..checkpoint };
            }
            let of_task = |p: &TopicPartition| (p.clone(), committed.get(p).cloned().flatten());
            let committed: Committed = task.inputs().map(of_task).collect();
            let ranges: BTreeMap<TopicPartition, LogRange> =
                log_partitions(task).filter_map(|p| ranges.get(&p).map(|&range| (p, range))).collect();
            let facts = Facts {
                checkpoint: &checkpoint,
                committed: &committed,
                ranges: &ranges,
                topic_ids: &task.log().topic_ids,
                log: &task.log().partition.topic,
                partitions: task.log().partitions,
                topology_hash: task.log().topology_hash,
                stateful: task.stores().is_some(),
                tombstones: task.log().tombstones,
                // What this process has owned without a break has no age, whatever the clock did; nor has what comes from
                // no changelog.
                check_age: task.may_have_been_away(now)
                    && !broken!(self, IgnoreAge)
                    && task.log().changelogs.iter().any(Option::is_some),
                check_clock: !task.was_started(),
                now,
            };
            let as_it_was = broken!(self, ResumeWithoutReplay) && task.has_just_run(now);
            match plan(id, &facts)? {
                Plan::Replay(positions) => {
                    let ranges = ranges.into_iter().filter(|_| !as_it_was);
                    let targets = ranges.map(|(p, range)| (p, range.end)).collect();
                    return Ok(Replay::new(committed, targets, positions, (checkpoint, &task.log().partition), now));
                }
                Plan::Wipe(reason) => {
                    tracing::error!(task = %id, reason, "the state is removed and restored in full");
                    self.wipe(id, now)?;
                }
                Plan::Quarantine(reason) => {
                    tracing::error!(task = %id, reason, "the state is set aside");
                    self.quarantine(id, now)?;
                }
            }
        }
        Err(Error::bug("a new state was removed again"))
    }

    fn replay(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some(restoration) = &self.restoration else { return Ok(()) };
        if restoration.tasks.values().all(Replay::is_done) {
            return Ok(());
        }
        let before: u64 = restoration.tasks.values().map(Replay::remaining).sum();
        let records = match self.reader.poll(Duration::ZERO) {
            // Nothing was handed out: the next round asks again, and running tasks go on.
            Err(error) if error.recovery() == Recovery::Retry => {
                tracing::debug!(%error, "the changelogs are asked again");
                Vec::new()
            }
            records => records?,
        };
        crate::failpoint!("restore.inside_replay", if !records.is_empty());
        let restoration = self.restoration.as_mut().ok_or(Error::bug("a restoration has vanished"))?;
        // Records of a partition come in runs: whose they are is asked once for each.
        for run in records.chunk_by(|a, b| a.source == b.source) {
            for (id, replay) in &mut restoration.tasks {
                let Some(task) = self.tasks.get(id) else { continue };
                replay.take(task, run)?;
            }
        }
        for replay in restoration.tasks.values_mut() {
            for (partition, position) in &mut replay.positions {
                if broken!(self, PositionOfRecords) {
                    let last = records.iter().rev().find(|record| record.source == *partition);
                    *position = last.map_or(*position, |record| record.offset.next());
                } else if let Some(reached) = self.reader.position(partition) {
                    *position = reached.max(*position);
                }
            }
        }
        self.write_restored(now)?;
        let restoration = self.restoration.as_ref().ok_or(Error::bug("a restoration has vanished"))?;
        let after: u64 = restoration.tasks.values().map(Replay::remaining).sum();
        self.replay_moved = !records.is_empty() || after < before;
        Ok(())
    }

    /// Writes the rows of replays that are through, and, when all hold too much, of the one that holds most.
    fn write_restored(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some(restoration) = &mut self.restoration else { return Ok(()) };
        let held: usize = restoration.tasks.values().map(Replay::bytes).sum();
        let most =
            restoration.tasks.values().map(Replay::bytes).max().filter(|_| held > self.config.restored_bytes_max);
        let due = restoration.tasks.iter().filter(|(_, replay)| {
            let bytes = replay.bytes();
            bytes > 0 && (replay.is_done() || most.is_some_and(|most| bytes >= most))
        });
        let due: Vec<TaskId> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.await_loads_beside(id)?;
            let Some(restoration) = &mut self.restoration else { continue };
            if let (Some(replay), Some(task)) = (restoration.tasks.get_mut(&id), self.tasks.get_mut(&id)) {
                restoration.handed_over += 1;
                replay.handed_over = restoration.handed_over;
                replay.flush(task, now)?;
            }
        }
        Ok(())
    }

    /// Rows that stores write behind our back are in memory, too. Before the rows of one more task join them so many of the
    /// others are waited for, the oldest first, that all together are no more than may be held.
    fn await_loads_beside(&self, next: TaskId) -> Result<(), Error> {
        let Some(restoration) = &self.restoration else { return Ok(()) };
        // Its own is waited for by its store in any case, before the new rows come.
        let others = restoration.tasks.iter().filter(|(id, _)| **id != next);
        let loading = others.filter_map(|(id, replay)| {
            let stores = self.tasks.get(id).and_then(Task::stores).filter(|stores| stores.is_loading())?;
            Some((replay.handed_over, replay.loading, stores))
        });
        let mut loading: Vec<_> = loading.collect();
        loading.sort_by_key(|&(handed_over, ..)| handed_over);
        let bytes = restoration.tasks.get(&next).map_or(0, Replay::bytes);
        let mut on_their_way: usize = loading.iter().map(|&(_, bytes, _)| bytes).sum();
        for (_, loaded, stores) in loading {
            if on_their_way.saturating_add(bytes) <= self.config.restored_bytes_max {
                break;
            }
            stores.settle()?;
            on_their_way = on_their_way.saturating_sub(loaded);
        }
        Ok(())
    }

    /// Starts the tasks that have reached their targets and whose commit record agrees with the group's offsets.
    fn finish_restored(&mut self, now: Timestamp) -> Result<bool, Error> {
        let Some(restoration) = &mut self.restoration else { return Ok(false) };
        let enough = broken!(self, RestoreOnePoll);
        // As long as there is something to read, nobody waits for rows that a store is still writing.
        let all_read = restoration.tasks.values().all(Replay::is_done);
        let is_there = |id| all_read || !self.tasks.get(id).and_then(Task::stores).is_some_and(|s| s.is_loading());
        let done = restoration.tasks.iter().filter(|(id, replay)| (replay.is_done() && is_there(*id)) || enough);
        let done: Vec<TaskId> = done.map(|(id, _)| *id).collect();
        if done.is_empty() {
            return Ok(false);
        }
        // A start that is chosen here must be committed before a record is processed. That takes a producer, and the end of the
        // commit in flight may be the end of this one: then the task starts in a later round.
        self.finish_commit(now)?;
        if self.transaction.is_none() {
            return Ok(false);
        }
        let (mut changed, mut chosen) = (false, false);
        for id in done {
            let Some(mut replay) = self.restoration.as_mut().and_then(|r| r.tasks.remove(&id)) else { continue };
            if broken!(self, IgnoreTorn) {
                replay.tail.begin = None;
            }
            // Whoever is not sure stays restoring, and is planned again when the others are through.
            let Some(resume) = self.judge(id, &replay, now)? else { continue };
            let Some(starts) = self.starts(&resume, now)? else {
                // A leader is away. The task is planned again later; the others go on.
                self.restore_not_before = now.plus(RETRY_INTERVAL);
                continue;
            };
            chosen |= resume.missing || resume.input.values().any(Option::is_none);
            self.start_task(id, (&replay, &resume), starts, now)?;
            changed = true;
        }
        if self.restoration.as_ref().is_some_and(|restoration| restoration.tasks.is_empty()) {
            self.restoration = None;
            if !self.tasks.values().any(|task| task.state() == TaskState::Restoring) {
                self.offsets_missing_since = None;
            }
            self.reader.assign(&BTreeMap::new())?;
        }
        if chosen {
            // Before a record is processed: a first transaction that fails must not choose "latest" again, past records
            // that were read already.
            self.commit(now)?;
        }
        Ok(changed)
    }

    /// Compares the commit record with the group's offsets; `None`: both must be read again.
    fn judge(&mut self, id: TaskId, replay: &Replay, now: Timestamp) -> Result<Option<Resume>, Error> {
        let task = self.tasks.get(&id).ok_or(Error::bug("a restored task has vanished"))?;
        let evidence = Evidence {
            checkpoint: &replay.checkpoint,
            committed: &replay.committed,
            tail: &replay.tail,
            stateful: task.stores().is_some(),
            ends: &replay.ends(),
            recorded: replay.recorded,
            topic_ids: &task.log().topic_ids,
        };
        match reconcile(id, evidence) {
            Ok(Verdict::Resume(resume)) => Ok(Some(resume)),
            Ok(Verdict::OffsetsMissing(mut resume)) => {
                // A clock that was set back begins anew.
                let since = self.offsets_missing_since.map_or(now, |since| since.min(now));
                self.offsets_missing_since = Some(since);
                if broken!(self, BelieveMissingOffsets) {
                    resume.input.values_mut().for_each(|offset| *offset = None);
                    return Ok(Some(resume));
                }
                if now.since(since) < OFFSETS_MISSING_MAX {
                    tracing::warn!(task = %id, "the group has no offsets although a commit is recorded; asking again");
                    self.restore_not_before = now.plus(RETRY_INTERVAL);
                    return Ok(None);
                }
                tracing::error!(task = %id, "the group's offsets are gone; going on from the last commit record");
                Ok(Some(resume))
            }
            // Whoever stood still between two reads, and has lost the task without knowing it yet, sees half of its
            // successor's commit. The next poll tells it; whoever still owns the task then sees the same again.
            Err(refusal) if refusal.may_be_outdated() && self.doubted.insert(id) => {
                tracing::warn!(task = %id, %refusal, "reading once more before the task is refused");
                self.restore_not_before = now.plus(RETRY_INTERVAL);
                Ok(None)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Where each input begins; `None`: the broker asks to wait.
    fn starts(&mut self, resume: &Resume, now: Timestamp) -> Result<Option<Starts>, Error> {
        let mut starts = Starts::new();
        for (partition, offset) in &resume.input {
            let offset = match offset {
                Some(offset) => Ok(*offset),
                None => self.first_offset(partition),
            };
            match offset {
                Ok(offset) => starts.push((partition.clone(), offset)),
                Err(error) if error.recovery() == Recovery::Retry => {
                    self.waits_for(Wait::InputRange, &error, now);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        self.waits.over(Wait::InputRange);
        Ok(Some(starts))
    }

    fn start_task(
        &mut self,
        id: TaskId,
        (replay, resume): (&Replay, &Resume),
        starts: Starts,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (topology, topics) = (self.topology.clone(), self.topics.clone());
        let task = self.tasks.get_mut(&id).ok_or(Error::bug("a restored task has vanished"))?;
        let mut checkpoint = replay.finish(task, resume, now)?;
        if resume.missing {
            // As if they were new: whoever looks at the group, or asks it at the next start, finds them there again.
            checkpoint.input.clear();
        }
        let start = replay.start(task, resume, now);
        crate::failpoint!("restore.before_start");
        task.start(&topology, topics.resolved(), (checkpoint, start), now)?;
        task.measure(self.observer.timer().as_ref());
        tracing::info!(task = %id, kind = start.kind.as_str(), rows = start.rows, offset = %start.offset,
            replayed = start.replayed, sequence = resume.sequence, verified = start.verified, inputs = ?starts, "restored");
        self.doubted.remove(&id);
        let consumer = self.consumer()?;
        for (partition, offset) in starts {
            consumer.start_at(&partition, offset)?;
        }
        crate::failpoint!("restore.after_start");
        Ok(())
    }

    /// The configured start of an input that was never committed: a choice of the user's, not of a reset policy. It is about
    /// the user's inputs: what this application has written to a repartition of its own is all of it new.
    fn first_offset(&mut self, partition: &TopicPartition) -> Result<Offset, Error> {
        let timeout = self.config.request_timeout.min(REQUEST_MAX);
        let ours = self.topics.is_repartition(&partition.topic);
        let from = if ours { StartFrom::Earliest } else { self.config.start_from };
        let range = self.consumer()?.log_range(partition, timeout)?;
        Ok(match from {
            StartFrom::Earliest => range.start,
            StartFrom::Latest => range.end,
        })
    }

    /// How far the restores under way are.
    pub fn restoring(&self) -> Vec<RestoreProgress> {
        let replays = self.restoration.iter().flat_map(|restoration| &restoration.tasks);
        replays
            .map(|(&task, replay)| RestoreProgress { task, remaining: replay.remaining(), restored: replay.restored })
            .collect()
    }
}

/// The partitions a task replays: its changelogs, or its commit log alone.
fn log_partitions(task: &Task) -> impl Iterator<Item = TopicPartition> {
    let log = task.log();
    let all: BTreeSet<TopicPartition> =
        log.changelogs.iter().flatten().chain(std::iter::once(&log.partition)).cloned().collect();
    all.into_iter()
}
