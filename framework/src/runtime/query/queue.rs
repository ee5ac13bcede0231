//! From whoever asks to the stream thread of the task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::question::{Question, Refusal};
use crate::record::{TaskId, TopicPartition};
use crate::runtime::stats::StatusBoard;
use crate::runtime::{Error, Topics};
use crate::topology::Topology;

/// Questions that may wait for one thread.
const WAITING_MAX: usize = 1_024;

/// A queue of questions to one stream thread. The asker may be cloned; the other end is the thread's, see
/// [`StreamThread::answer`](crate::runtime::StreamThread::answer).
pub fn queue() -> (Asker, Questions) {
    let (asker, questions) = sync_channel(WAITING_MAX);
    (Asker(asker), Questions(questions))
}

/// Asks one stream thread.
#[derive(Debug, Clone)]
pub struct Asker(SyncSender<Question>);

impl Asker {
    /// Leaves a question; never waits.
    ///
    /// # Errors
    /// `Busy` when too many wait, `Stopped` when the thread has ended; the question is dropped with its reply unused.
    pub fn ask(&self, question: Question) -> Result<(), Refusal> {
        self.0.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Stopped,
        })
    }
}

/// The questions to one stream thread.
#[derive(Debug)]
pub struct Questions(Receiver<Question>);

impl Questions {
    pub(super) fn next(&self) -> Option<Question> {
        self.0.try_recv().ok()
    }
}

/// Which stores and tasks an application has, wherever they run.
#[derive(Debug)]
struct Catalog {
    /// The sub-topology of each store.
    stores: BTreeMap<String, u32>,
    /// The inputs of each task.
    tasks: BTreeMap<TaskId, Vec<TopicPartition>>,
}

/// The running application as it can be asked: which tasks there are, and those of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    catalog: Arc<Catalog>,
    board: StatusBoard,
    askers: Arc<BTreeMap<String, Asker>>,
}

impl Queries {
    /// An application on these topics, whose threads publish on `board`, each with its asker by the name that it has there.
    ///
    /// # Errors
    /// [`Error`] when a topic is not among those that were prepared.
    pub fn new(
        topology: &Topology,
        topics: &Topics,
        board: StatusBoard,
        askers: BTreeMap<String, Asker>,
    ) -> Result<Self, Error> {
        let mut stores = BTreeMap::new();
        for (_, part) in topology.subtopologies().iter().zip(0..) {
            let specs = topology.store_specs(part, topics.resolved());
            stores.extend(specs.into_iter().map(|spec| (spec.name, part)));
        }
        let catalog = Catalog { stores, tasks: topics.tasks(topology)? };
        Ok(Self { catalog: Arc::new(catalog), board, askers: Arc::new(askers) })
    }

    /// The stores of all tasks, by name.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.catalog.stores.keys().map(String::as_str)
    }

    /// The tasks that have that store, one for each partition, in order; empty when there is none.
    pub fn tasks(&self, store: &str) -> Vec<TaskId> {
        let Some(&part) = self.catalog.stores.get(store) else { return Vec::new() };
        self.catalog.tasks.keys().filter(|task| task.subtopology == part).copied().collect()
    }

    /// The input partitions of a task: whoever owns them answers for it.
    pub fn inputs(&self, task: TaskId) -> &[TopicPartition] {
        self.catalog.tasks.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Leaves a question with the thread of this process that has the task.
    ///
    /// # Errors
    /// `NotHere` when none has; otherwise as [`Asker::ask`].
    pub fn ask(&self, question: Question) -> Result<(), Refusal> {
        let thread = self.board.thread_of(question.task).ok_or(Refusal::NotHere)?;
        self.askers.get(&thread).ok_or(Refusal::NotHere)?.ask(question)
    }
}
