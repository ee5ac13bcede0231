//! What a stream thread tells about itself: plain counters and states, published as a whole about once a second or per
//! commit. Metrics and the status page are made from these at the moment somebody asks; the thread knows neither.
//!
//! Nothing here holds a key, a value or a header of a record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Recovery;
use crate::record::{Offset, Partition, TaskId, TopicName};
use crate::time::Timestamp;

/// Where a stream thread is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ThreadState {
    /// Not a member of the group yet.
    #[default]
    Starting,
    /// Between two assignments.
    Rebalancing,
    /// Assigned (perhaps to nothing); tasks may still be restoring.
    Running,
    /// Asked to stop, committing what is done.
    Stopping,
    /// Stopped as asked.
    Stopped,
    /// Stopped by an error that a person must look at.
    Failed,
}

impl ThreadState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Rebalancing, Self::Running, Self::Stopping, Self::Stopped, Self::Failed];

    /// The name in metrics and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Rebalancing => "rebalancing",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

pub use super::histogram::{Histogram, LATENCY_BOUNDS_MICROS, OPERATION_BOUNDS_NANOS};
pub use crate::state::{DatabaseStats, HitsAndMisses, StoreOperation, TableStats};
pub use crate::task::{DeadLetter, LastDeadLetters, StartKind, TaskStart, TaskState};

/// Why producers are replaced, in the words of metrics: `taint` after a clean commit, the others after one that failed.
pub const REINIT_REASONS: [&str; 6] = ["aborted", "fenced", "rejected", "rejoin", "taint", "unknown"];

/// What becomes of a query at a stream thread, in the words of metrics.
pub const QUERY_RESULTS: [&str; 5] = ["answered", "failed", "late", "stale", "unavailable"];

/// Everything one stream thread tells. Counters only grow for as long as the process lives.
#[derive(Debug, Clone, Default)]
pub struct ThreadSnapshot {
    /// The thread's name, unique in the process: `0`.
    pub thread: String,
    /// Its state.
    pub state: ThreadState,
    /// When the loop last came round, by the wall clock.
    pub heartbeat: Timestamp,
    /// Its tasks.
    pub tasks: Vec<TaskSnapshot>,
    /// What it has been waiting for, for so long that it is not ready, in sentences.
    pub waiting_for: Vec<String>,
    /// Records taken in, by topic.
    pub records_in: BTreeMap<TopicName, u64>,
    /// Records sent by tasks, by topic, also in transactions that failed; changelogs and commit records not counted.
    pub records_out: BTreeMap<TopicName, u64>,
    /// Records whose event time was behind the stream time of their task.
    pub late: u64,
    /// Records that a node dropped, by reason: `late`.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Records sent to the dead-letter topic, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// The last of them.
    pub last_dead_letters: LastDeadLetters,
    /// Commits by outcome.
    pub commits: CommitCounts,
    /// When a commit last ended well, by the wall clock; [`Timestamp::NONE`] before the first.
    pub committed_at: Timestamp,
    /// Producers given up for a new one, by one of [`REINIT_REASONS`].
    pub reinits: BTreeMap<&'static str, u64>,
    /// Rebalances seen.
    pub rebalances: u64,
    /// Queries by result, one of [`QUERY_RESULTS`].
    pub queries: BTreeMap<&'static str, u64>,
    /// Changelog records replayed.
    pub restored_records: u64,
    /// Tasks whose stores had to be dropped or set aside, and rebuilt from the start of their changelogs.
    pub state_wipes: u64,
    /// Tasks whose state was found damaged on disk.
    pub corruptions: u64,
    /// Bytes of uncommitted writes and outputs.
    pub uncommitted_bytes: u64,
    /// Bytes of input waiting.
    pub input_buffer_bytes: u64,
    /// Time of one poll.
    pub poll: Histogram,
    /// Time of one round of processing.
    pub process: Histogram,
    /// Time of the punctuators that were due together.
    pub punctuate: Histogram,
    /// Time of the phases of a commit.
    pub commit: CommitPhases,
    /// From a record's timestamp to the commit of the transaction that it was processed in.
    pub end_to_end: Histogram,
    /// Time that a round has spent on queries; of rounds in which there were any.
    pub query: Histogram,
    /// Time of operations on stores, by store; of a sample of them.
    pub operations: BTreeMap<String, OperationTimes>,
    /// The last errors.
    pub errors: RecentErrors,
}

/// Commits by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitCounts {
    /// Committed.
    pub ok: u64,
    /// Given up, and known not to be committed.
    pub aborted: u64,
    /// Refused, because another process has taken over.
    pub fenced: u64,
    /// Outcome unknown until the offsets were read again.
    pub unknown: u64,
}

/// Time of the phases of a commit.
#[derive(Debug, Clone, Default)]
pub struct CommitPhases {
    /// Sending changelog deltas, outputs and commit records.
    pub flush: Histogram,
    /// Putting offsets into the transaction.
    pub offsets: Histogram,
    /// Ending the transaction.
    pub end_transaction: Histogram,
    /// Writing the overlay to the stores.
    pub store: Histogram,
}

/// Time of the operations on a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationTimes([Histogram; StoreOperation::ALL.len()]);

impl Default for OperationTimes {
    fn default() -> Self {
        Self(StoreOperation::ALL.map(|_| Histogram::of_operations()))
    }
}

impl OperationTimes {
    /// Counts one operation.
    pub fn observe(&mut self, operation: StoreOperation, took: Duration) {
        for (known, times) in StoreOperation::ALL.iter().zip(&mut self.0) {
            if *known == operation {
                times.observe(took);
            }
        }
    }

    /// The times of each operation.
    pub fn iter(&self) -> impl Iterator<Item = (StoreOperation, &Histogram)> {
        StoreOperation::ALL.into_iter().zip(&self.0)
    }
}

/// What one task tells.
#[derive(Debug, Clone)]
pub struct TaskSnapshot {
    /// Which task.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Records processed since it came to this thread.
    pub processed: u64,
    /// Its stream time.
    pub stream_time: Timestamp,
    /// Its input partitions.
    pub inputs: Vec<InputSnapshot>,
    /// Its stores.
    pub stores: Vec<StoreSnapshot>,
    /// The database of its stores on disk.
    pub database: Option<DatabaseStats>,
    /// How far the restore is, while it restores.
    pub restore: Option<RestoreSnapshot>,
    /// How it came to run the last time; `None` before the first.
    pub start: Option<TaskStart>,
}

impl TaskSnapshot {
    /// A task that has done nothing yet.
    pub const fn created(id: TaskId) -> Self {
        Self {
            id,
            state: TaskState::Created,
            processed: 0,
            stream_time: Timestamp::NONE,
            inputs: Vec::new(),
            stores: Vec::new(),
            database: None,
            restore: None,
            start: None,
        }
    }
}

/// One input partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSnapshot {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The group's committed offset: the next to read after a restart.
    pub committed: Option<Offset>,
    /// The next offset to process.
    pub position: Option<Offset>,
    /// The next offset to be written by producers, transaction markers passed.
    pub end: Option<Offset>,
    /// Offsets between the commit and the end; zero when everything is committed, `None` before the end is known, as while a
    /// task restores.
    pub lag_records: Option<u64>,
    /// Age of the oldest record that is not committed; zero when everything is committed, `None` when that is not known or
    /// nothing is known of the record yet.
    pub lag: Option<Duration>,
}

/// One store of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// Its name.
    pub name: String,
    /// About how many rows.
    pub rows: u64,
    /// About how many bytes, on disk or in memory.
    pub bytes: u64,
    /// Its tables, when it is on disk.
    pub table: Option<TableStats>,
}

/// How far a restore is, over all changelogs of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreSnapshot {
    /// Offsets replayed.
    pub done: u64,
    /// Offsets to replay in all.
    pub total: u64,
}

impl RestoreSnapshot {
    /// Offsets still to replay.
    pub const fn remaining(self) -> u64 {
        self.total.saturating_sub(self.done)
    }
}

/// How many errors are kept.
const ERRORS_KEPT: usize = 32;
/// How long a message may be, in characters.
const MESSAGE_LENGTH: usize = 1000;

/// The last errors, and how many there were in all.
#[derive(Debug, Clone, Default)]
pub struct RecentErrors {
    kept: VecDeque<RecentError>,
    total: u64,
}

/// One error as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentError {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The task it concerns.
    pub task: Option<TaskId>,
    /// The message with its causes; never a payload or a secret.
    pub message: String,
    /// What was done about it.
    pub recovery: Recovery,
}

impl RecentErrors {
    /// Keeps an error; the oldest makes room. Errors display no payloads, so none comes here.
    pub fn push(&mut self, at: Timestamp, task: Option<TaskId>, error: &dyn std::error::Error, recovery: Recovery) {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_LENGTH) {
            message.truncate(end);
            message.push('…');
        }
        if self.kept.len() == ERRORS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(RecentError { at, task, message, recovery });
        self.total = self.total.saturating_add(1);
    }

    /// The kept errors, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &RecentError> {
        self.kept.iter()
    }

    /// How many there were since the start.
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// Where threads publish and readers look. Clones share one board.
#[derive(Debug, Clone, Default)]
pub struct StatusBoard {
    threads: Arc<Mutex<BTreeMap<String, Arc<Mutex<ThreadSnapshot>>>>>,
}

/// One thread's place on the board.
#[derive(Debug, Clone)]
pub struct ThreadBoard {
    snapshot: Arc<Mutex<ThreadSnapshot>>,
}

impl StatusBoard {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// A place for the thread of that name. A thread that is started again takes the same place.
    pub fn thread(&self, name: &str) -> ThreadBoard {
        // A poisoned lock means that a reader or writer panicked; the numbers themselves are still whole.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = threads.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(ThreadSnapshot { thread: name.to_owned(), ..ThreadSnapshot::default() }))
        });
        ThreadBoard { snapshot: Arc::clone(snapshot) }
    }

    /// The thread that has published that it has this task.
    pub(crate) fn thread_of(&self, task: TaskId) -> Option<String> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |thread: &Arc<Mutex<ThreadSnapshot>>| {
            let snapshot = thread.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot.tasks.iter().any(|known| known.id == task)
        };
        threads.iter().find(|(_, thread)| has(thread)).map(|(name, _)| name.clone())
    }

    /// What all threads published last, by name.
    pub fn snapshots(&self) -> Vec<ThreadSnapshot> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.values().map(|thread| thread.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

impl ThreadBoard {
    /// Replaces what readers see. Copies the snapshot: call it about once a second, not per record.
    pub fn publish(&self, snapshot: &ThreadSnapshot) {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone_from(snapshot);
    }

    /// What was published last: where a thread that is started again goes on counting from.
    pub fn last(&self) -> ThreadSnapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn errors_are_kept_with_their_causes_and_bounded() {
        let mut errors = RecentErrors::default();
        for at in 0..100 {
            errors.push(Timestamp::from_millis(at), None, &Outer(std::fmt::Error), Recovery::Retry);
        }
        assert_eq!((errors.iter().count(), errors.total()), (ERRORS_KEPT, 100));
        assert_eq!(errors.iter().next_back().unwrap().at, Timestamp::from_millis(99));
        assert!(errors.iter().all(|error| error.message.starts_with("outer: ")));
    }

    #[test]
    fn a_thread_that_starts_again_goes_on_counting() {
        let board = StatusBoard::new();
        let first = board.thread("0");
        first.publish(&ThreadSnapshot { rebalances: 3, ..first.last() });
        assert_eq!(board.thread("0").last().rebalances, 3);
        assert_eq!(board.snapshots().len(), 1);
        assert_eq!(board.snapshots()[0].thread, "0");
    }
}
