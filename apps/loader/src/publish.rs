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
    waits: Waits,
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
        let (reader, waits) = (broker.reader()?, Waits::default());
        Ok(Self { reader, status, board, rounds: 0, last_error: None, errors, waits })
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
            tasks: tasks(&status, &ends, &mut self.waits, now),
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

/// Since when each partition has had records that are not loaded, as far as one can tell without reading them.
#[derive(Debug, Default)]
struct Waits(BTreeMap<TopicPartition, Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Timestamp,
    /// Where the loader stood then.
    from: Offset,
}

impl Waits {
    /// The age of the oldest record that waits. Where loading goes on it is as old as the last one that was loaded; where
    /// nothing was loaded since something waits, as after a start or an idle hour, it has waited since that was seen.
    fn age(&mut self, at: &TopicPartition, (next, end): (Offset, Offset), last: Timestamp, now: Timestamp) -> Duration {
        if end <= next {
            self.0.remove(at);
            return Duration::ZERO;
        }
        let wait = *self.0.entry(at.clone()).or_insert(Wait { since: now, from: next });
        if next > wait.from && last.is_some() { now.since(last) } else { now.since(wait.since) }
    }
}

/// A task for each topic and partition; the topic's place in the alphabet is its sub-topology.
fn tasks(
    status: &LoaderStatus,
    ends: &BTreeMap<TopicPartition, Offset>,
    waits: &mut Waits,
    now: Timestamp,
) -> Vec<TaskSnapshot> {
    let mut topics: Vec<&str> = status.partitions.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    let task = |(at, partition): (&TopicPartition, &crate::status::PartitionStatus)| {
        let place = topics.iter().position(|topic| *topic == &*at.topic).unwrap_or_default();
        let end = ends.get(at).copied();
        let known = end.zip(partition.next);
        let progress = status.progress.get(at).copied().unwrap_or_default();
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
                lag_records: known.map(|(end, next)| u64::try_from(end.0.saturating_sub(next.0)).unwrap_or(0)),
                lag: known.map(|(end, next)| waits.age(at, (next, end), progress.last, now)),
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

#[cfg(test)]
mod tests {
    use millpond::record::Partition;

    use super::*;
    use crate::status::PartitionStatus;

    const MINUTE: i64 = 60_000;

    fn at() -> TopicPartition {
        TopicPartition::new("events", Partition(3))
    }

    fn known(records: u64, minutes: u64) -> (Option<u64>, Option<Duration>) {
        (Some(records), Some(Duration::from_mins(minutes)))
    }

    /// Lags as the publisher tells them, minute by minute: of (where the loader stands, the end of the log, and the minute of
    /// the last record that was loaded).
    fn lags(looks: &[(i64, Option<i64>, Option<i64>)]) -> Vec<(Option<u64>, Option<Duration>)> {
        let (mut waits, mut told) = (Waits::default(), Vec::new());
        for (minute, (next, end, last)) in (100..).zip(looks) {
            let mut status = LoaderStatus::default();
            let partition = PartitionStatus {
                state: PartitionState::Running,
                epoch: 1,
                next: Some(Offset(*next)),
                displayed: None,
            };
            status.partitions.insert(at(), partition);
            let last = last.map_or(Timestamp::NONE, |minute| Timestamp::from_millis(minute * MINUTE));
            status.progress.entry(at()).or_default().last = last;
            let ends = end.map(|end| (at(), Offset(end))).into_iter().collect();
            let tasks = tasks(&status, &ends, &mut waits, Timestamp::from_millis(minute * MINUTE));
            let input = &tasks[0].inputs[0];
            told.push((input.lag_records, input.lag));
        }
        told
    }

    #[test]
    fn a_backlog_of_before_the_start_has_waited_since_it_was_seen_and_is_as_old_as_what_is_loaded_then() {
        let told = lags(&[(5, Some(9), None), (5, Some(9), None), (7, Some(9), Some(40)), (9, Some(9), Some(41))]);
        let expected = [known(4, 0), known(4, 1), known(2, 62), known(0, 0)];
        assert_eq!(told, expected);
    }

    #[test]
    fn one_record_after_an_idle_hour_is_not_an_hour_old() {
        let told = lags(&[
            (9, Some(9), Some(40)),
            (9, Some(10), Some(40)),
            (9, Some(11), Some(40)),
            (11, Some(11), Some(102)),
        ]);
        let expected = [known(0, 0), known(1, 0), known(2, 1), known(0, 0)];
        assert_eq!(told, expected);
    }

    #[test]
    fn without_an_answer_there_is_no_lag_to_show() {
        assert_eq!(lags(&[(9, None, Some(40))]), [(None, None)]);
    }
}
