//! One picture of the application, for the page and for `/api/status`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::StatusSource;
use super::history::{History, Lines, Traffic};
use super::story::Section;
use crate::runtime::config::Origin;
use crate::runtime::health;
use crate::runtime::process::Budget;
use crate::runtime::stats::{DeadLetter, Histogram, InputSnapshot, StoreSnapshot, TaskSnapshot, ThreadSnapshot};
use crate::time::Timestamp;

/// Lags are `None` where nothing is known of them; sums and ages are of what is known.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) application_id: String,
    pub(super) version: String,
    pub(super) instance: Option<String>,
    pub(super) now_ms: i64,
    pub(super) uptime_seconds: u64,
    pub(super) live: bool,
    pub(super) ready: bool,
    pub(super) reasons: Vec<String>,
    pub(super) lag_records: Option<u64>,
    pub(super) lag_seconds: Option<f64>,
    pub(super) commits_per_second: f64,
    pub(super) topics: Vec<Topic>,
    pub(super) threads: Vec<Thread>,
    pub(super) tasks: Vec<Task>,
    /// Blocks of all stores on disk; absent without any.
    pub(super) block_cache: Option<Used>,
    /// Memtables of all stores on disk; absent without any.
    pub(super) memtables: Option<Used>,
    pub(super) errors: Vec<Error>,
    /// Dead letters by reason.
    pub(super) dead_letters: BTreeMap<&'static str, u64>,
    /// The last of them, the newest first.
    pub(super) last_dead_letters: Vec<Letter>,
    pub(super) config: Vec<Setting>,
    /// The application's own.
    pub(super) story: Option<Section>,
    /// For the page only: a program keeps lines of its own.
    #[serde(skip)]
    pub(super) lines: Lines,
}

/// What flows through a topic, or into a table, in records per second.
#[derive(Debug, Default, Serialize)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) read: f64,
    pub(super) written: f64,
    pub(super) lag_records: Option<u64>,
    pub(super) lag_seconds: Option<f64>,
}

/// Memory that the stores of the process share.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Used {
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
}

/// Where a record came from that was set aside, and why.
#[derive(Debug, Serialize)]
pub(super) struct Letter {
    pub(super) at_ms: i64,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) reason: &'static str,
    pub(super) node: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Thread {
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) silent_ms: Option<u128>,
    pub(super) records_in: u64,
    pub(super) records_out: u64,
    pub(super) dropped: u64,
    pub(super) dead_letters: u64,
    pub(super) commits_ok: u64,
    pub(super) commits_aborted: u64,
    pub(super) commits_fenced: u64,
    pub(super) commits_unknown: u64,
    pub(super) rebalances: u64,
    pub(super) state_wipes: u64,
    pub(super) uncommitted_bytes: u64,
    pub(super) input_buffer_bytes: u64,
    pub(super) commit_p50_ms: Option<f64>,
    pub(super) commit_p99_ms: Option<f64>,
    pub(super) store_p99_ms: Option<f64>,
    pub(super) end_to_end_p50_ms: Option<f64>,
    pub(super) end_to_end_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) thread: String,
    pub(super) state: &'static str,
    pub(super) processed: u64,
    pub(super) stream_time_ms: Option<i64>,
    pub(super) inputs: Vec<Input>,
    pub(super) stores: Vec<Store>,
    pub(super) restore: Option<Restore>,
    pub(super) start: Option<Start>,
}

#[derive(Debug, Serialize)]
pub(super) struct Input {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) committed: Option<i64>,
    pub(super) position: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) lag_records: Option<u64>,
    pub(super) lag_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Store {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Where these bytes are; absent for a store in memory.
    pub(super) table: Option<Table>,
}

/// The bytes of a store on disk. Its blocks in the cache are not known: the cache is shared.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(clippy::struct_field_names, reason = "the unit belongs to a name in JSON")]
pub(super) struct Table {
    /// Table files of the present rows.
    pub(super) disk_bytes: u64,
    pub(super) memtable_bytes: u64,
    pub(super) row_cache_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Restore {
    pub(super) done: u64,
    pub(super) total: u64,
    /// At the pace of the last seconds; `None` while that is not known.
    pub(super) remaining_seconds: Option<f64>,
}

/// How a task came to run.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    pub(super) kind: &'static str,
    pub(super) rows: u64,
    pub(super) offset: i64,
    pub(super) replayed: u64,
    pub(super) verified: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Error {
    pub(super) at_ms: i64,
    pub(super) thread: String,
    pub(super) task: Option<String>,
    pub(super) message: String,
    pub(super) recovery: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: String,
    #[serde(skip)]
    pub(super) is_default: bool,
}

/// The wall clock, read at this edge once per request.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Status {
    pub(super) fn read(source: &StatusSource, history: &History, now: Timestamp) -> Self {
        let threads = source.board.snapshots();
        let tasks = tasks(&threads, history);
        let traffic = history.traffic();
        let settings = source.settings.iter().map(|setting| Setting {
            key: setting.key.clone(),
            value: setting.value.clone(),
            origin: setting.origin.to_string(),
            is_default: setting.origin == Origin::Default,
        });
        let config: Vec<Setting> = settings.collect();
        let instance = config.iter().find(|setting| setting.key == "instance").map(|setting| setting.value.clone());
        let reasons = health::unready(&threads, now, source.silence_max);
        let process = source.probe.read();
        let used = |budget: Option<Budget>| budget.map(|Budget { bytes, bytes_max }| Used { bytes, bytes_max });
        let inputs = || tasks.iter().flat_map(|task| &task.inputs);
        Self {
            application_id: source.application_id.clone(),
            version: source.version.clone(),
            instance: instance.filter(|instance| !instance.is_empty()),
            now_ms: now.as_millis(),
            uptime_seconds: now.since(source.started).as_secs(),
            live: health::dead(&threads, now, source.silence_max).is_empty(),
            ready: reasons.is_empty(),
            reasons,
            lag_records: inputs().filter_map(|input| input.lag_records).reduce(|all, one| all + one),
            lag_seconds: inputs().filter_map(|input| input.lag_seconds).reduce(f64::max),
            commits_per_second: traffic.commits,
            topics: topics(&traffic, &tasks),
            block_cache: used(process.block_cache),
            memtables: used(process.write_buffers),
            threads: threads.iter().map(|thread| Thread::read(thread, now)).collect(),
            errors: newest(threads.iter().flat_map(errors), |error| error.at_ms),
            dead_letters: by_reason(&threads),
            last_dead_letters: newest(threads.iter().flat_map(letters), |letter| letter.at_ms),
            story: source.story.as_ref().map(|story| story.tell(now, &traffic)),
            lines: history.lines(),
            tasks,
            config,
        }
    }
}

/// In the order of their numbers, which is not that of their texts.
fn tasks(threads: &[ThreadSnapshot], history: &History) -> Vec<Task> {
    let all = threads.iter().flat_map(|thread| thread.tasks.iter().map(move |task| (thread, task)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, task)| task.id);
    all.into_iter().map(|(thread, task)| Task::read(&thread.thread, task, history)).collect()
}

/// The newest first: that is what one looks for.
fn newest<T>(all: impl Iterator<Item = T>, at_ms: impl Fn(&T) -> i64) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(|one| std::cmp::Reverse(at_ms(one)));
    all
}

fn topics(traffic: &Traffic, tasks: &[Task]) -> Vec<Topic> {
    let mut topics: BTreeMap<&str, Topic> = BTreeMap::new();
    for (topic, rate) in &traffic.read {
        topics.entry(topic).or_default().read = *rate;
    }
    for (topic, rate) in &traffic.written {
        topics.entry(topic).or_default().written = *rate;
    }
    for input in tasks.iter().flat_map(|task| &task.inputs) {
        let topic = topics.entry(&input.topic).or_default();
        topic.lag_records = [topic.lag_records, input.lag_records].into_iter().flatten().reduce(|all, one| all + one);
        topic.lag_seconds = [topic.lag_seconds, input.lag_seconds].into_iter().flatten().reduce(f64::max);
    }
    topics.into_iter().map(|(name, topic)| Topic { name: name.to_owned(), ..topic }).collect()
}

fn by_reason(threads: &[ThreadSnapshot]) -> BTreeMap<&'static str, u64> {
    let mut reasons = BTreeMap::new();
    for (reason, count) in threads.iter().flat_map(|thread| &thread.dead_letters) {
        *reasons.entry(*reason).or_default() += count;
    }
    reasons
}

impl Thread {
    fn read(thread: &ThreadSnapshot, now: Timestamp) -> Self {
        let silent = (thread.heartbeat > Timestamp::EPOCH).then(|| now.since(thread.heartbeat).as_millis());
        Self {
            name: thread.thread.clone(),
            state: thread.state.as_str(),
            silent_ms: silent,
            records_in: thread.records_in.values().sum(),
            records_out: thread.records_out.values().sum(),
            dropped: thread.dropped.values().sum(),
            dead_letters: thread.dead_letters.values().sum(),
            commits_ok: thread.commits.ok,
            commits_aborted: thread.commits.aborted,
            commits_fenced: thread.commits.fenced,
            commits_unknown: thread.commits.unknown,
            rebalances: thread.rebalances,
            state_wipes: thread.state_wipes,
            uncommitted_bytes: thread.uncommitted_bytes,
            input_buffer_bytes: thread.input_buffer_bytes,
            commit_p50_ms: millis(&thread.commit.end_transaction, 0.5),
            commit_p99_ms: millis(&thread.commit.end_transaction, 0.99),
            store_p99_ms: millis(&thread.commit.store, 0.99),
            end_to_end_p50_ms: millis(&thread.end_to_end, 0.5),
            end_to_end_p99_ms: millis(&thread.end_to_end, 0.99),
        }
    }
}

impl Task {
    fn read(thread: &str, task: &TaskSnapshot, history: &History) -> Self {
        Self {
            id: task.id.to_string(),
            thread: thread.to_owned(),
            state: task.state.as_str(),
            processed: task.processed,
            stream_time_ms: task.stream_time.is_some().then(|| task.stream_time.as_millis()),
            inputs: task.inputs.iter().map(Input::read).collect(),
            stores: task.stores.iter().map(Store::read).collect(),
            restore: task.restore.map(|restore| Restore {
                done: restore.done,
                total: restore.total,
                remaining_seconds: history.remaining(task.id, restore.remaining()).map(|left| left.as_secs_f64()),
            }),
            start: task.start.map(|start| Start {
                kind: start.kind.as_str(),
                rows: start.rows,
                offset: start.offset.0,
                replayed: start.replayed,
                verified: start.verified,
            }),
        }
    }
}

impl Store {
    fn read(store: &StoreSnapshot) -> Self {
        let table = store.table.map(|table| Table {
            disk_bytes: table.live_bytes,
            memtable_bytes: table.memtable_bytes,
            row_cache_bytes: table.row_cache_bytes,
        });
        Self { name: store.name.clone(), rows: store.rows, bytes: store.bytes, table }
    }
}

impl Input {
    fn read(input: &InputSnapshot) -> Self {
        Self {
            topic: input.topic.to_string(),
            partition: input.partition.0,
            committed: input.committed.map(|offset| offset.0),
            position: input.position.map(|offset| offset.0),
            end: input.end.map(|offset| offset.0),
            lag_records: input.lag_records,
            lag_seconds: input.lag.map(|lag| lag.as_secs_f64()),
        }
    }
}

fn errors(thread: &ThreadSnapshot) -> impl Iterator<Item = Error> + '_ {
    thread.errors.iter().map(|error| Error {
        at_ms: error.at.as_millis(),
        thread: thread.thread.clone(),
        task: error.task.map(|task| task.to_string()),
        message: error.message.clone(),
        recovery: error.recovery.to_string(),
    })
}

fn letters(thread: &ThreadSnapshot) -> impl Iterator<Item = Letter> + '_ {
    thread.last_dead_letters.iter().map(|letter: &DeadLetter| Letter {
        at_ms: letter.at.as_millis(),
        topic: letter.source.topic.to_string(),
        partition: letter.source.partition.0,
        offset: letter.offset.0,
        reason: letter.reason,
        node: letter.node.to_string(),
    })
}

fn millis(histogram: &Histogram, quantile: f64) -> Option<f64> {
    histogram.quantile(quantile).map(|latency| latency.as_secs_f64() * 1000.0)
}
