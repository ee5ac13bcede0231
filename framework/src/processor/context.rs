//! What a node knows and may do while it handles a record.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::ProcessorError;
use super::graph::Outlet;
use super::punctuation::{Punctuation, Schedule, ScheduleId};
use crate::arena::Arena;
use crate::record::{ProducerRecord, Record, RecordMetadata, TaskId};
use crate::time::{Stopwatch, Timestamp};

/// State of one task while it processes; passed down the graph with every record.
#[derive(Debug)]
pub(crate) struct TaskContext {
    pub(crate) task: TaskId,
    /// Wall clock of this round; read once per loop at the edge.
    pub(crate) now: Timestamp,
    /// Largest event time seen so far.
    pub(crate) stream_time: Timestamp,
    /// Source of the record in hand; `None` in punctuators.
    pub(crate) metadata: Option<RecordMetadata>,
    /// Produced since the task was last drained, in order.
    pub(crate) outputs: Vec<ProducerRecord>,
    /// Somebody asked for an early commit.
    pub(crate) commit_requested: bool,
    pub(crate) schedules: Vec<Schedule>,
    next_schedule: u32,
    /// Reused by sinks for encoding.
    pub(crate) buffer: Vec<u8>,
    /// What they have encoded, until it is sent.
    pub(crate) arena: Arena,
    /// Records that nodes have dropped since the task last looked, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// Measures punctuators, when somebody wants to know.
    pub(crate) stopwatch: Option<Rc<dyn Stopwatch>>,
    /// How long punctuations took since somebody last asked.
    pub(crate) punctuations: Vec<Duration>,
}

impl TaskContext {
    pub(crate) fn new(task: TaskId, stream_time: Timestamp, now: Timestamp) -> Self {
        Self {
            task,
            now,
            stream_time,
            metadata: None,
            outputs: Vec::new(),
            commit_requested: false,
            schedules: Vec::new(),
            next_schedule: 0,
            buffer: Vec::new(),
            arena: Arena::default(),
            dropped: BTreeMap::new(),
            stopwatch: None,
            punctuations: Vec::new(),
        }
    }
}

/// The context of a [`Processor`](super::Processor): time, metadata, forwarding, scheduling.
#[derive(Debug)]
pub struct Context<'a, K, V> {
    pub(crate) task: &'a mut TaskContext,
    pub(crate) outlet: &'a Outlet<K, V>,
    pub(crate) node: usize,
}

impl<K: Clone + 'static, V: Clone + 'static> Context<'_, K, V> {
    /// Sends the record to all children. Headers and timestamp go along as they stand in the record.
    ///
    /// # Errors
    /// What a child could not process; pass it on with `?`.
    pub fn forward(&mut self, record: Record<K, V>) -> Result<(), ProcessorError> {
        self.outlet.forward(record, self.task)
    }

    /// Sends the record to the child of that name only.
    ///
    /// # Errors
    /// What the child could not process, or that there is no such child.
    pub fn forward_to(&mut self, child: &str, record: Record<K, V>) -> Result<(), ProcessorError> {
        self.outlet.forward_to(child, record, self.task)
    }
}

impl<K, V> Context<'_, K, V> {
    /// Topic, partition and offset of the record in hand; `None` in a punctuator.
    pub fn metadata(&self) -> Option<&RecordMetadata> {
        self.task.metadata.as_ref()
    }

    /// This task.
    pub fn task_id(&self) -> TaskId {
        self.task.task
    }

    /// The largest event time of this task, [`Timestamp::NONE`] before the first record. Survives restarts.
    pub fn stream_time(&self) -> Timestamp {
        self.task.stream_time
    }

    /// The wall clock of this round. In tests it is moved by hand.
    pub fn wall_clock(&self) -> Timestamp {
        self.task.now
    }

    /// Asks for a commit after this record instead of at the next interval.
    pub fn commit(&mut self) {
        self.task.commit_requested = true;
    }

    /// Counts a record that this node passes over on purpose, such as one that is too late to matter: in the metric
    /// `millpond_records_dropped_total`. The reason is a label there, so take few, and never a part of a record.
    pub fn count_dropped(&mut self, reason: &'static str) {
        *self.task.dropped.entry(reason).or_default() += 1;
    }

    /// Calls [`punctuate`](super::Processor::punctuate) every `interval` of that clock.
    pub fn schedule(&mut self, interval: Duration, kind: Punctuation) -> ScheduleId {
        let id = ScheduleId(self.task.next_schedule);
        self.task.next_schedule = self.task.next_schedule.wrapping_add(1);
        let now = match kind {
            Punctuation::StreamTime => self.task.stream_time,
            Punctuation::WallClock => self.task.now,
        };
        self.task.schedules.push(Schedule::new(id, self.node, kind, interval, now));
        id
    }

    /// Ends a schedule of this processor.
    pub fn cancel(&mut self, schedule: ScheduleId) {
        let node = self.node;
        self.task.schedules.retain(|have| have.node != node || have.id != schedule);
    }
}
