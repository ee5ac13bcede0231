//! From a stream thread to the board that metrics and pages read.

use std::time::Duration;

use super::meter::Measurements;
use super::stats::{
    CommitCounts, DatabaseStats, InputSnapshot, RestoreSnapshot, StoreSnapshot, TableStats, TaskSnapshot,
    ThreadSnapshot, ThreadState,
};
use super::thread::StreamThread;
use super::{RestoreProgress, TaskCounters, TaskView};
use crate::broker::Broker;
use crate::record::TopicPartition;
use crate::state::{StoreIndex, StoreKind};
use crate::time::Timestamp;

impl<B: Broker> StreamThread<B> {
    /// Everything the thread tells about itself. `before` is what was published last: errors are added to it.
    pub(super) fn snapshot(
        &mut self,
        before: ThreadSnapshot,
        measured: Measurements,
        now: Timestamp,
    ) -> ThreadSnapshot {
        let restoring = self.restoring();
        let mut totals = self.counters().retired.clone();
        for task in self.tasks() {
            totals.absorb(task.counters());
        }
        let mut tasks: Vec<TaskSnapshot> =
            self.tasks().map(|task| self.task_snapshot(&task, &restoring, now)).collect();
        // Assigned, and the state is still held by another thread.
        tasks.extend(self.waiting.keys().map(|&id| TaskSnapshot::created(id)));
        let mut errors = before.errors;
        if let Some((at, error)) = self.take_last_error() {
            errors.push(at, None, &error, error.recovery());
        }
        let counters = self.counters();
        let TaskCounters { dead_letters, last_dead_letters, dropped, late, restored, .. } = totals;
        let aborts = |cause: &str| counters.aborts.get(cause).copied().unwrap_or(0);
        ThreadSnapshot {
            thread: before.thread,
            state: self.state(),
            heartbeat: now,
            records_in: counters.polled.clone(),
            records_out: counters.sent.clone(),
            late,
            dropped,
            dead_letters,
            last_dead_letters,
            committed_at: if counters.commits == before.commits.ok { before.committed_at } else { now },
            reinits: counters.aborts.clone(),
            commits: CommitCounts {
                ok: counters.commits,
                aborted: aborts("aborted") + aborts("rejected") + aborts("rejoin"),
                fenced: aborts("fenced"),
                unknown: aborts("unknown"),
            },
            rebalances: counters.rebalances,
            queries: counters.queries.clone(),
            restored_records: restored,
            state_wipes: counters.state_wipes,
            corruptions: counters.corruptions,
            uncommitted_bytes: self.uncommitted_bytes() as u64,
            input_buffer_bytes: self.tasks().map(|task| task.buffered_bytes() as u64).sum(),
            poll: measured.poll,
            process: measured.process,
            punctuate: measured.punctuate,
            commit: measured.commit,
            end_to_end: measured.end_to_end,
            query: measured.query,
            operations: measured.operations,
            tasks,
            waiting_for: self.waiting_for(now),
            errors,
        }
    }

    fn state(&self) -> ThreadState {
        if self.is_assigned() {
            ThreadState::Running
        } else if self.counters().rebalances > 0 {
            ThreadState::Rebalancing
        } else {
            ThreadState::Starting
        }
    }

    fn task_snapshot(&self, task: &TaskView<'_>, restoring: &[RestoreProgress], now: Timestamp) -> TaskSnapshot {
        let restore = restoring.iter().find(|progress| progress.task == task.id());
        let database = task.stores().and_then(|stores| stores.database_stats().ok().flatten());
        TaskSnapshot {
            id: task.id(),
            state: task.state(),
            processed: task.counters().processed,
            stream_time: task.stream_time(),
            inputs: task.inputs().map(|(partition, _)| self.input_snapshot(task, partition, now)).collect(),
            stores: store_snapshots(task, database.as_ref()),
            database,
            restore: restore.map(|progress| RestoreSnapshot {
                done: progress.restored,
                total: progress.restored + progress.remaining,
            }),
            start: task.last_start(),
        }
    }

    pub(super) fn input_snapshot(
        &self,
        task: &TaskView<'_>,
        partition: &TopicPartition,
        now: Timestamp,
    ) -> InputSnapshot {
        let committed = task.inputs().find(|(input, _)| *input == partition).and_then(|(_, committed)| committed);
        let position = self.position(partition);
        // A position alone is no end: before the first answer to a fetch nobody knows how much waits.
        let end = self.known_end(partition).map(|end| position.map_or(end, |position| position.max(end)));
        let from = committed.or(position);
        let lag_records = from.zip(end).map(|(from, end)| u64::try_from(end.0.saturating_sub(from.0)).unwrap_or(0));
        // The oldest record at hand; when all of them are still at the broker, the newest one that was processed is as old.
        let since = task.waiting_since(partition).unwrap_or_else(|| task.stream_time());
        let lag = match lag_records {
            Some(0) => Some(Duration::ZERO),
            Some(_) if since.is_some() => Some(now.since(since)),
            _ => None,
        };
        InputSnapshot {
            topic: partition.topic.clone(),
            partition: partition.partition,
            committed,
            position,
            end,
            lag_records,
            lag,
        }
    }
}

fn store_snapshots(task: &TaskView<'_>, database: Option<&DatabaseStats>) -> Vec<StoreSnapshot> {
    let Some(stores) = task.stores() else { return Vec::new() };
    let table = |index| database.and_then(|database| database.stores.get(&index)).copied();
    let on_disk: u64 = database.iter().flat_map(|database| database.stores.values()).map(TableStats::bytes).sum();
    let all = stores.stats().map_or(0, |stats| stats.disk_bytes + stats.memory_bytes);
    let in_memory = stores.specs().iter().filter(|spec| spec.kind == StoreKind::InMemory).count().max(1) as u64;
    let specs = stores.specs().iter().zip((0..).map(StoreIndex));
    specs
        .map(|(spec, index)| StoreSnapshot {
            name: spec.name.clone(),
            rows: stores.approximate_count(index).unwrap_or(0),
            // Stores in memory are told together: their bytes in equal parts.
            bytes: table(index).map_or_else(|| all.saturating_sub(on_disk) / in_memory, |table| table.bytes()),
            table: table(index),
        })
        .collect()
}
