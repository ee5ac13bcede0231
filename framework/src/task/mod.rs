//! A task: one sub-topology on one partition. It owns its stores, buffers and graph, and never sees a consumer or a
//! producer: records come in by [`Task::enqueue`], outputs and commits go out as data.
//!
//! ```text
//!             ┌───────────── revive (error path) ◀──────────┐
//!             ▼                                             │
//! new ─▶ Restoring ── offsets and log agree ─▶ Running ─────┤
//!             ▲                                   │ revoked │
//!             └──── assigned again ── Suspended ◀─┘         │
//!                                        │ assigned elsewhere
//!                                        ▼
//!                                      close
//! ```

#[cfg(any(test, feature = "testing"))]
mod broken;
pub(crate) mod commit;
mod dead_letter;
mod metadata;
mod outputs;
pub(crate) mod queue;
pub(crate) mod restore;
mod start;
mod state;
mod traced;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use commit::{CommitLog, TaskCommit};
pub use dead_letter::{DeadLetter, ErrorPolicy, LastDeadLetters};
#[cfg(any(test, feature = "testing"))]
pub(crate) use metadata::CommitMetadata;
pub(crate) use metadata::{RESET, address_of, is_own};
use queue::{BufferLimit, InputQueues};
pub use restore::Refusal;
pub use start::{StartKind, TaskStart};
pub use state::TaskState;

use crate::error::Recovery;
use crate::processor::graph::{Graph, Instantiation};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::{ConsumedRecord, Offset, TaskId, TopicPartition};
use crate::state::{Checkpoint, StoreError, StoreTimer, TaskStores};
use crate::time::{Stopwatch, Timestamp};
use crate::topology::{ResolvedTopics, Topology, TopologyError};
use traced::Traced;

/// Where a task is in its life.
#[derive(Debug)]
enum Phase {
    /// Its rows or its offsets are not yet known to be right; nothing is processed.
    Restoring,
    /// Processing.
    Running { graph: Graph, context: Box<TaskContext> },
    /// Taken away in order; kept open because it often comes back.
    Suspended,
}

/// Counters of a task; they only grow while the task exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounters {
    /// Records processed.
    pub processed: u64,
    /// Records produced, changelogs not counted.
    pub produced: u64,
    /// Rows written to changelogs.
    pub changelog_rows: u64,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// The last of them.
    pub last_dead_letters: LastDeadLetters,
    /// Records that nodes have dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Records whose event time was behind the task's stream time.
    pub late: u64,
    /// Rows replayed.
    pub restored: u64,
    /// Punctuations run.
    pub punctuated: u64,
}

impl TaskCounters {
    /// Adds those of a task that is gone, so that totals never shrink.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.processed += other.processed;
        self.produced += other.produced;
        self.changelog_rows += other.changelog_rows;
        self.restored += other.restored;
        self.punctuated += other.punctuated;
        self.late += other.late;
        add(&mut self.dead_letters, &other.dead_letters);
        add(&mut self.dropped, &other.dropped);
        self.last_dead_letters.absorb(&other.last_dead_letters);
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, others: &BTreeMap<&'static str, u64>) {
    for (reason, count) in others {
        *counts.entry(reason).or_default() += count;
    }
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    id: TaskId,
    inputs: InputQueues,
    stores: Option<Rc<TaskStores>>,
    phase: Phase,
    log: CommitLog,
    /// Checkpoint of the last commit; the base of the next one.
    checkpoint: Checkpoint,
    /// Offset of the last own commit record in the commit log.
    last_log_offset: Option<Offset>,
    in_flight: Option<TaskCommit>,
    held: outputs::Held,
    counters: TaskCounters,
    times: TimeSample,
    /// Those of the records in the commit in flight, or in the last one.
    committed_times: Vec<Timestamp>,
    /// How it came to run the last time.
    start: Option<TaskStart>,
    /// What lay on disk was removed or set aside, and is not restored yet.
    wiped: bool,
    /// Suspended since it last ran: another member may have had it.
    released: bool,
    /// When it last stopped running.
    ran_until: Option<Timestamp>,
    /// Changelogs whose offset in the checkpoint is that of a row of ours: a marker follows it.
    marked: BTreeSet<TopicPartition>,
    traced: Traced,
    /// Where this process answers queries; committed beside the offsets.
    address: Option<Arc<str>>,
    /// It was, since the task runs.
    announced: bool,
}

/// A task that stopped running no longer ago than this has a state without an age.
const JUST_NOW: Duration = Duration::from_hours(1);

/// How many event times are kept between two commits.
const TIMES_MAX: usize = 512;

/// Every n-th event time; n doubles when the sample is full, and every second one of it is dropped.
#[derive(Debug)]
struct TimeSample {
    times: Vec<Timestamp>,
    stride: u64,
    seen: u64,
}

impl Default for TimeSample {
    fn default() -> Self {
        Self { times: Vec::new(), stride: 1, seen: 0 }
    }
}

impl TimeSample {
    fn see(&mut self, time: Timestamp) {
        if self.seen.is_multiple_of(self.stride) {
            if self.times.len() >= TIMES_MAX {
                let mut keep = false;
                self.times.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride *= 2;
            }
            self.times.push(time);
        }
        self.seen += 1;
    }

    fn take(&mut self) -> Vec<Timestamp> {
        std::mem::take(self).times
    }
}

/// What a task could not do.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A node failed.
    #[error("task {task}: {source}{}", at(source_record.as_ref()))]
    Processor {
        /// The task.
        task: TaskId,
        /// Where the record in hand was read.
        source_record: Option<crate::record::RecordMetadata>,
        /// What the node said.
        source: ProcessorError,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The graph could not be made.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A record of the commit log could not be written or read.
    #[error("task {task}: its commit record is unreadable: {source}; was the topic written by another program?")]
    CommitLog {
        /// The task.
        task: TaskId,
        /// What was wrong with it.
        source: crate::serde::SerdeError,
    },
    /// A restore found something that a person must decide.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl TaskError {
    /// What the thread must do.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Processor { source, .. } => match source.recovery() {
                // The policy was asked already.
                Recovery::SkipRecord => Recovery::Shutdown,
                other => other,
            },
            Self::Store(error) => error.recovery(),
            Self::Topology(_) | Self::Refused(_) | Self::CommitLog { .. } => Recovery::Shutdown,
        }
    }
}

fn at(record: Option<&crate::record::RecordMetadata>) -> String {
    record.map_or_else(String::new, |record| format!(" (record {} offset={})", record.source, record.offset))
}

impl Task {
    pub(crate) fn new(
        id: TaskId,
        inputs: impl IntoIterator<Item = TopicPartition>,
        stores: Option<Rc<TaskStores>>,
        log: CommitLog,
    ) -> Self {
        Self {
            id,
            inputs: InputQueues::new(inputs),
            stores,
            phase: Phase::Restoring,
            log,
            checkpoint: Checkpoint::default(),
            last_log_offset: None,
            in_flight: None,
            held: outputs::Held::default(),
            counters: TaskCounters::default(),
            times: TimeSample::default(),
            committed_times: Vec::new(),
            start: None,
            wiped: false,
            released: false,
            ran_until: None,
            marked: BTreeSet::new(),
            traced: Traced::default(),
            address: None,
            announced: false,
        }
    }

    /// The same in a process that answers queries at this address: the task commits once after each start, so that the group
    /// knows it also while there is no input.
    pub(crate) fn answering_at(mut self, address: Option<Arc<str>>) -> Self {
        self.address = address;
        self
    }

    pub(crate) const fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) const fn log(&self) -> &CommitLog {
        &self.log
    }

    pub(crate) const fn stores(&self) -> Option<&Rc<TaskStores>> {
        self.stores.as_ref()
    }

    pub(crate) const fn counters(&self) -> &TaskCounters {
        &self.counters
    }

    pub(crate) fn counters_mut(&mut self) -> &mut TaskCounters {
        &mut self.counters
    }

    pub(crate) const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub(crate) fn inputs(&self) -> impl Iterator<Item = &TopicPartition> {
        self.inputs.partitions()
    }

    /// True when this value has run before: its clock is ours.
    pub(crate) const fn was_started(&self) -> bool {
        self.start.is_some()
    }

    pub(crate) const fn last_start(&self) -> Option<TaskStart> {
        self.start
    }

    /// Notes that what lay on disk was removed or set aside.
    pub(crate) const fn mark_wiped(&mut self) {
        self.wiped = true;
    }

    pub(crate) const fn is_wiped(&self) -> bool {
        self.wiped
    }

    /// True when this value has run until just now: its state was in our hands all the time, and nothing it has not seen
    /// can have been compacted away. Not so when its process stood still for a day before it could read what became of its
    /// last commit.
    pub(crate) fn has_just_run(&self, now: Timestamp) -> bool {
        // Not longer than half of what the changelogs keep deletions, or what it has not seen may be gone.
        let just_now = JUST_NOW.min(self.log.tombstones / 2);
        self.ran_until.is_some_and(|until| now.since(until) <= just_now && until.since(now) <= just_now)
    }

    /// True unless this value has run until just now and was not given up since.
    pub(crate) fn may_have_been_away(&self, now: Timestamp) -> bool {
        self.released || !self.has_just_run(now)
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.inputs.bytes()
    }

    /// The event time of the oldest record of an input that is not processed, as far as it is known here.
    pub(crate) fn waiting_since(&self, partition: &TopicPartition) -> Option<Timestamp> {
        self.inputs.head_time(partition)
    }

    /// Event times of the records of the last commit: a sample of at most [`TIMES_MAX`], evenly spread.
    pub(crate) fn take_committed_times(&mut self) -> Vec<Timestamp> {
        std::mem::take(&mut self.committed_times)
    }

    pub(crate) fn buffered(&self) -> usize {
        self.inputs.len()
    }

    pub(crate) const fn state(&self) -> TaskState {
        match self.phase {
            Phase::Restoring => TaskState::Restoring,
            Phase::Running { .. } => TaskState::Running,
            Phase::Suspended => TaskState::Suspended,
        }
    }

    pub(crate) fn stream_time(&self) -> Timestamp {
        match &self.phase {
            Phase::Running { context, .. } => context.stream_time,
            _ => self.checkpoint.stream_time,
        }
    }

    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.stores.as_ref().map_or(0, |stores| stores.uncommitted_bytes()) + self.held.bytes
    }

    /// Forgets everything uncommitted and waits for a restore. Processors are dropped without `close`: what they hold may
    /// come from an aborted transaction.
    pub(crate) fn begin_restore(&mut self, now: Timestamp) {
        self.stops_running(now);
        self.drop_uncommitted();
        self.phase = Phase::Restoring;
    }

    /// Revoked in order, after the commit.
    pub(crate) fn suspend(&mut self, now: Timestamp) {
        self.stops_running(now);
        if let Phase::Running { graph, .. } = &self.phase {
            graph.close();
        }
        self.drop_uncommitted();
        self.released = true;
        self.phase = Phase::Suspended;
    }

    const fn stops_running(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Running { .. }) {
            self.ran_until = Some(now);
        }
    }

    fn drop_uncommitted(&mut self) {
        if let Some(stores) = &self.stores {
            stores.discard();
        }
        self.inputs.clear();
        self.in_flight = None;
        self.held = outputs::Held::default();
    }

    /// Closes the stores. What was uncommitted is dropped.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        if let Phase::Running { graph, .. } = &self.phase {
            graph.close();
        }
        self.drop_uncommitted();
        self.phase = Phase::Suspended;
        self.stores.take().map_or(Ok(()), |stores| stores.close())
    }

    /// From restored to running: makes the graph and initialises the processors.
    pub(crate) fn start(
        &mut self,
        topology: &Topology,
        topics: &ResolvedTopics,
        (checkpoint, start): (Checkpoint, TaskStart),
        now: Timestamp,
    ) -> Result<(), TaskError> {
        let graph = Instantiation::graph(topology, self.id.subtopology, topics, self.stores.as_ref())?;
        let mut context = Box::new(TaskContext::new(self.id, checkpoint.stream_time, now));
        graph.init(&mut context).map_err(|source| self.processor_error(None, source))?;
        self.checkpoint = checkpoint;
        self.start = Some(start);
        self.wiped = false;
        self.released = false;
        self.announced = false;
        self.phase = Phase::Running { graph, context };
        Ok(())
    }

    /// Takes records of a partition that were polled. Those of a task that does not run are dropped: it will start at a
    /// concrete offset.
    pub(crate) fn enqueue(&mut self, source: &TopicPartition, run: impl Iterator<Item = ConsumedRecord>) {
        if matches!(self.phase, Phase::Running { .. }) {
            self.inputs.push(source, run);
        } else {
            run.for_each(drop);
        }
    }

    pub(crate) fn backpressure(&mut self, limit: BufferLimit) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        self.inputs.backpressure(limit)
    }

    /// Processes up to `limit` records and runs the punctuators that are due. Says how many records that were.
    pub(crate) fn process(&mut self, now: Timestamp, limit: usize, policy: &ErrorPolicy) -> Result<usize, TaskError> {
        let mut processed = 0;
        while processed < limit {
            let Some(record) = self.inputs.pop() else { break };
            let first = self.process_one(&record, now, policy)?;
            self.trace_record(&record, first, now);
            // After each record, or what a stream-time punctuator sees would depend on how the records were batched.
            self.punctuate(now)?;
            processed += 1;
        }
        self.punctuate(now)?;
        Ok(processed)
    }

    /// Says where in the outputs those of this record begin.
    fn process_one(
        &mut self,
        record: &ConsumedRecord,
        now: Timestamp,
        policy: &ErrorPolicy,
    ) -> Result<usize, TaskError> {
        let Phase::Running { graph, context } = &mut self.phase else { return Ok(0) };
        context.now = now;
        let time_before = context.stream_time;
        self.counters.late += u64::from(record.timestamp < time_before);
        context.stream_time = time_before.max(record.timestamp);
        self.times.see(record.timestamp);
        match &mut context.metadata {
            Some(metadata) if metadata.source == record.source => metadata.offset = record.offset,
            other => {
                let source = record.source.clone();
                *other = Some(crate::record::RecordMetadata { source, offset: record.offset });
            }
        }
        let outputs_before = context.outputs.len();
        let stores = self.stores.as_ref().filter(|_| policy.sets_records_aside());
        if let Some(stores) = stores {
            stores.savepoint();
        }
        let result = graph.process(record, context);
        self.counters.processed += 1;
        let dropped = std::mem::take(&mut context.dropped);
        let error = match result {
            Ok(()) => {
                add(&mut self.counters.dropped, &dropped);
                if let Some(stores) = stores {
                    stores.release();
                }
                return Ok(outputs_before);
            }
            Err(error) if policy.dead_letters(&error) => error,
            Err(error) => {
                let metadata = context.metadata.take();
                return Err(self.processor_error(metadata, error));
            }
        };
        // All or nothing: what this record wrote and sent before it failed is taken back, then it is set aside. So is its
        // time, or all that follows a bad record from the future would be late.
        context.stream_time = time_before;
        if let Some(stores) = stores {
            stores.rollback();
        }
        context.outputs.truncate(outputs_before);
        *self.counters.dead_letters.entry(error.reason()).or_default() += 1;
        self.counters.last_dead_letters.push(DeadLetter {
            at: now,
            source: record.source.clone(),
            offset: record.offset,
            reason: error.reason(),
            node: error.node().into(),
        });
        tracing::debug!(task = %self.id, topic = %record.source.topic, partition = record.source.partition.0,
            offset = record.offset.0, reason = error.reason(), node = error.node(), "dead letter");
        context.outputs.extend(policy.dead_letter(record.clone(), &error, now));
        Ok(outputs_before)
    }

    fn punctuate(&mut self, now: Timestamp) -> Result<(), TaskError> {
        let Phase::Running { graph, context } = &mut self.phase else { return Ok(()) };
        if context.schedules.is_empty() {
            return Ok(());
        }
        context.now = now;
        let outputs_before = context.outputs.len();
        match graph.punctuate(context) {
            Ok(ran) => {
                self.counters.punctuated += u64::from(ran);
                add(&mut self.counters.dropped, &std::mem::take(&mut context.dropped));
                self.traced.mark(context.outputs.get_mut(outputs_before..).unwrap_or_default(), now);
                Ok(())
            }
            Err(source) => Err(self.processor_error(None, source)),
        }
    }

    /// Measures punctuators and stores from now on, until the task stops running.
    pub(crate) fn measure(&mut self, timer: Option<&Rc<dyn StoreTimer>>) {
        if let Phase::Running { context, .. } = &mut self.phase {
            context.stopwatch = timer.map(|timer| Rc::clone(timer) as Rc<dyn Stopwatch>);
        }
        if let (Some(stores), Some(timer)) = (&self.stores, timer) {
            stores.measure(Rc::clone(timer));
        }
    }

    /// How long punctuations took since the last call.
    pub(crate) fn take_punctuations(&mut self) -> Vec<Duration> {
        match &mut self.phase {
            Phase::Running { context, .. } => std::mem::take(&mut context.punctuations),
            _ => Vec::new(),
        }
    }

    /// True once when a processor asked for a commit.
    pub(crate) fn take_commit_request(&mut self) -> bool {
        match &mut self.phase {
            Phase::Running { context, .. } => std::mem::take(&mut context.commit_requested),
            _ => false,
        }
    }

    fn processor_error(
        &self,
        source_record: Option<crate::record::RecordMetadata>,
        source: ProcessorError,
    ) -> TaskError {
        TaskError::Processor { task: self.id, source_record, source }
    }
}
