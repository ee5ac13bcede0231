//! From a loader's status to the board that metrics and the page read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::broker::{Broker, BrokerError, ChangelogReader};
use millpond::error::Recovery;
use millpond::record::{Offset, TaskId, TopicPartition};
use millpond::runtime::TaskState;
use millpond::runtime::stats::{
    CommitCounts, InputSnapshot, RecentErrors, TaskSnapshot, ThreadBoard, ThreadSnapshot, ThreadState,
};
use millpond::time::Timestamp;

use crate::status::{LoaderStatus, PartitionState, SharedStatus};

/// Shows one loader thread. It asks the broker for the ends of the logs itself, so that the loader need not.
#[derive(Debug)]
pub struct Publisher<B: Broker> {
    reader: B::Reader,
    status: SharedStatus,
    board: ThreadBoard,
    /// How often the loader had come round.
    rounds: u64,
    last_error: Option<String>,
    errors: RecentErrors,
}

/// What the loader survived last, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Survived(String);

impl<B: Broker> Publisher<B> {
    /// A publisher of `status` on `board`.
    ///
    /// # Errors
    /// [`BrokerError`] when the client cannot be made.
    pub fn new(broker: &B, status: SharedStatus, board: ThreadBoard) -> Result<Self, BrokerError> {
        let errors = RecentErrors::default();
        Ok(Self { reader: broker.reader()?, status, board, rounds: 0, last_error: None, errors })
    }

    /// Shows the status as it is now. The heartbeat is the loader's, not the caller's: it stands still with the loader.
    pub fn publish(&mut self) {
        let status = self.status.get();
        let partitions: Vec<TopicPartition> = status.partitions.keys().cloned().collect();
        // Without an answer there is no lag to show, which is better than an old one.
        let ends = self.reader.log_ranges(&partitions, Duration::from_secs(1)).unwrap_or_default();
        let ends = ends.into_iter().map(|(partition, range)| (partition, range.end)).collect();
        let now = wall_clock();
        if status.last_error != self.last_error
            && let Some(error) = &status.last_error
        {
            self.errors.push(now, None, &Survived(error.clone()), Recovery::Retry);
        }
        self.last_error.clone_from(&status.last_error);
        let before = self.board.last();
        let came_round = std::mem::replace(&mut self.rounds, status.rounds) != status.rounds;
        let heartbeat = if came_round { now } else { before.heartbeat };
        self.board.publish(&ThreadSnapshot {
            thread: before.thread,
            state: if status.ready { ThreadState::Running } else { ThreadState::Starting },
            heartbeat,
            tasks: tasks(&status, &ends, now),
            committed_at: status.committed_at,
            process: status.write.clone(),
            end_to_end: status.end_to_end.clone(),
            records_out: rows(&status),
            commits: CommitCounts {
                ok: status.batches,
                aborted: status.postgres_errors,
                fenced: 0,
                unknown: status.unknown_committed + status.unknown_rolled_back,
            },
            records_in: status.records,
            dead_letters: status.dead_letters,
            errors: self.errors.clone(),
            ..ThreadSnapshot::default()
        });
    }
}

/// Rows by table, where other applications have records by topic.
fn rows(status: &LoaderStatus) -> BTreeMap<millpond::record::TopicName, u64> {
    status.tables.iter().map(|(table, status)| (table.as_str().into(), status.rows)).collect()
}

/// A task for each topic and partition; the topic's place in the alphabet is its sub-topology.
fn tasks(status: &LoaderStatus, ends: &BTreeMap<TopicPartition, Offset>, now: Timestamp) -> Vec<TaskSnapshot> {
    let mut topics: Vec<&str> = status.partitions.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    let task = |(at, partition): (&TopicPartition, &crate::status::PartitionStatus)| {
        let place = topics.iter().position(|topic| *topic == &*at.topic).unwrap_or_default();
        let end = ends.get(at).copied();
        let lag = end.zip(partition.next).map_or(0, |(end, next)| end.0.saturating_sub(next.0));
        let progress = status.progress.get(at).copied().unwrap_or_default();
        // What waits is not older than what was loaded last, as far as one can tell without reading it.
        let behind = if lag > 0 && progress.last.is_some() { now.since(progress.last) } else { Duration::ZERO };
        TaskSnapshot {
            id: TaskId { subtopology: u32::try_from(place).unwrap_or_default(), partition: at.partition },
            state: match partition.state {
                PartitionState::Running => TaskState::Running,
                PartitionState::Claiming => TaskState::Restoring,
                PartitionState::Fenced => TaskState::Suspended,
            },
            processed: progress.records,
            stream_time: progress.last,
            inputs: vec![InputSnapshot {
                topic: at.topic.clone(),
                partition: at.partition,
                committed: partition.next,
                position: partition.next,
                end,
                lag_records: u64::try_from(lag).unwrap_or(0),
                lag: behind,
            }],
            stores: Vec::new(),
            database: None,
            restore: None,
            start: None,
        }
    };
    status.partitions.iter().map(task).collect()
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
