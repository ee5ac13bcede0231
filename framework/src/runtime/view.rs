//! A task as seen from outside: for reports, pages and tests.

use std::rc::Rc;

use crate::record::{Offset, TaskId, TopicPartition};
use crate::state::TaskStores;
use crate::task::{Task, TaskCounters, TaskStart, TaskState};
use crate::time::Timestamp;

/// A look at a task.
#[derive(Debug)]
pub struct TaskView<'a>(&'a Task);

impl<'a> TaskView<'a> {
    pub(super) const fn new(task: &'a Task) -> Self {
        Self(task)
    }

    /// Which task.
    pub const fn id(&self) -> TaskId {
        self.0.id()
    }

    /// Where it is in its life.
    pub const fn state(&self) -> TaskState {
        self.0.state()
    }

    /// How it came to run the last time; `None` before the first.
    pub const fn last_start(&self) -> Option<TaskStart> {
        self.0.last_start()
    }

    /// Its counters.
    pub const fn counters(&self) -> &'a TaskCounters {
        self.0.counters()
    }

    /// Its inputs with the next offset last committed.
    pub fn inputs(&self) -> impl Iterator<Item = (&'a TopicPartition, Option<Offset>)> {
        let committed = &self.0.checkpoint().input;
        self.0.inputs().map(|partition| (partition, committed.get(partition).copied()))
    }

    /// Records that wait in its buffers.
    pub fn buffered(&self) -> usize {
        self.0.buffered()
    }

    /// Bytes that wait in its buffers.
    pub fn buffered_bytes(&self) -> usize {
        self.0.buffered_bytes()
    }

    /// Event time of the oldest record that waits in an input's buffer.
    pub fn waiting_since(&self, partition: &TopicPartition) -> Option<Timestamp> {
        self.0.waiting_since(partition)
    }

    /// Bytes of uncommitted writes.
    pub fn uncommitted_bytes(&self) -> usize {
        self.0.uncommitted_bytes()
    }

    /// Number of its last commit.
    pub const fn sequence(&self) -> u64 {
        self.0.checkpoint().sequence
    }

    /// What it has committed last.
    pub(super) const fn checkpoint(&self) -> &'a crate::state::Checkpoint {
        self.0.checkpoint()
    }

    /// Its stream time.
    pub fn stream_time(&self) -> Timestamp {
        self.0.stream_time()
    }

    /// Its stores; `None` for a task without.
    pub const fn stores(&self) -> Option<&'a Rc<TaskStores>> {
        self.0.stores()
    }
}
