//! One stream thread: a group member, a transactional producer, a changelog reader, and the tasks assigned to it.
//!
//! [`StreamThread::run_once`] is the whole loop. It runs unchanged in the test driver, in the simulation and on real
//! brokers: only `now` and the broker differ.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::breakage::broken;
use super::fencing::{self, Fencing};
use super::pace::Pace;
use super::rebalance::Ownership;
use super::restore::Restoration;
use super::topics::Topics;
use super::transaction::Transaction;
use super::waits::Waits;
use crate::broker::{Broker, BrokerErrorKind, Consumer, MemberConfig, Polled};
use crate::error::Recovery;
use crate::record::{ConsumedRecord, Offset, ProducerRecord, TaskId, TopicName, TopicPartition};
use crate::runtime::config::StartFrom;
use crate::state::StateDirectory;
use crate::task::queue::BufferLimit;
use crate::task::{ErrorPolicy, Task, TaskCounters, TaskState};
use crate::time::Timestamp;
use crate::topology::Topology;

/// What a stream thread must know.
#[derive(Debug, Clone)]
pub struct ThreadConfig {
    /// `application.id`: the group, and the prefix of internal topics.
    pub application_id: String,
    /// `{application.id}-{instance}-{thread}`: both `group.instance.id` and `transactional.id`.
    pub instance_id: String,
    /// How long a poll waits when there is nothing to do.
    pub poll_timeout: Duration,
    /// `commit.interval.ms`.
    pub commit_interval: Duration,
    /// How long whoever is fenced waits for the group's word on which process of its name stays, before it makes another
    /// producer: longer than `heartbeat.interval.ms`.
    pub fenced_pause: Duration,
    /// How long a commit, an offset fetch or the like may take.
    pub request_timeout: Duration,
    /// `transaction.timeout.ms`: a transaction is committed long before.
    pub transaction_timeout: Duration,
    /// How many records all tasks together process between two polls.
    pub records_per_round: usize,
    /// Records that may wait per partition.
    pub buffered_records_per_partition: usize,
    /// Bytes that may wait in all buffers together.
    pub input_buffer_bytes_max: usize,
    /// Bytes of uncommitted writes and outputs at which a commit comes early.
    pub uncommitted_bytes_max: usize,
    /// Bytes of replayed rows that all tasks together hold before those of one are written.
    pub restored_bytes_max: usize,
    /// Where to begin with inputs that were never committed.
    pub start_from: StartFrom,
    /// What to do with bad records.
    pub errors: ErrorPolicy,
    /// `application.server`: where this process answers queries; committed with the offsets of tasks that have stores.
    pub application_server: Option<Arc<str>>,
    /// What is broken on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub breakage: Option<super::Breakage>,
}

impl ThreadConfig {
    /// A thread of that application and instance name with the default settings.
    pub fn new(application_id: &str, instance_id: &str) -> Self {
        Self {
            application_id: application_id.to_owned(),
            instance_id: instance_id.to_owned(),
            poll_timeout: Duration::from_millis(20),
            commit_interval: Duration::from_millis(100),
            fenced_pause: fencing::pause(Duration::from_millis(500)),
            request_timeout: Duration::from_secs(5),
            transaction_timeout: Duration::from_secs(10),
            records_per_round: 1_000,
            buffered_records_per_partition: 10_000,
            input_buffer_bytes_max: 64 << 20,
            uncommitted_bytes_max: 64 << 20,
            // Fewer and larger tables than with less: compaction has half the work, and the memory is given back.
            restored_bytes_max: 32 << 20,
            start_from: StartFrom::Earliest,
            errors: ErrorPolicy::default(),
            application_server: None,
            #[cfg(any(test, feature = "testing"))]
            breakage: None,
        }
    }
}

/// How long a commit that is due waits for begin records before the thread polls again.
const BEGIN_WAIT: Duration = Duration::from_millis(20);

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that were polled.
    pub polled: usize,
    /// Records that were processed.
    pub processed: usize,
    /// A transaction was committed.
    pub committed: bool,
    /// Tasks were assigned, restored, suspended or the producer replaced.
    pub changed: bool,
    /// A commit is in flight.
    pub in_flight: bool,
}

impl Progress {
    /// True when nothing happened.
    pub fn is_idle(self) -> bool {
        self == Self::default()
    }
}

/// How commits ended; these only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadCounters {
    /// Clean commits.
    pub commits: u64,
    /// Transactions dropped, by the recovery's cause.
    pub aborts: BTreeMap<&'static str, u64>,
    /// Producers made.
    pub producers: u64,
    /// Rebalances seen.
    pub rebalances: u64,
    /// Stores wiped because their changelog could not bring them up to date, or set aside as damaged.
    pub state_wipes: u64,
    /// Stores found damaged on disk, each set aside.
    pub corruptions: u64,
    /// Records polled, by topic.
    pub polled: BTreeMap<TopicName, u64>,
    /// Records sent by tasks, by topic; changelogs and commit records not counted.
    pub sent: BTreeMap<TopicName, u64>,
    /// Queries by result: `answered`, or why not.
    pub queries: BTreeMap<&'static str, u64>,
    /// What tasks did that are gone by now.
    pub retired: TaskCounters,
}

impl ThreadCounters {
    pub(super) fn count_sent(&mut self, outputs: &[ProducerRecord]) {
        for run in outputs.chunk_by(|a, b| Arc::ptr_eq(&a.target.topic, &b.target.topic)) {
            if let Some(first) = run.first() {
                *self.sent.entry(first.target.topic.clone()).or_default() += run.len() as u64;
            }
        }
    }
}

/// What a thread works on; all threads of a process share it.
#[derive(Clone)]
pub struct Application {
    /// The program.
    pub topology: Arc<Topology>,
    /// Its topics, prepared.
    pub topics: Arc<Topics>,
    /// Where its stores live.
    pub directory: Rc<dyn StateDirectory>,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// A stream thread, to be called in a loop by its owner.
pub struct StreamThread<B: Broker> {
    pub(super) broker: B,
    pub(super) config: ThreadConfig,
    pub(super) topology: Arc<Topology>,
    pub(super) topics: Arc<Topics>,
    pub(super) directory: Rc<dyn StateDirectory>,
    pub(super) consumer: Option<B::Consumer>,
    pub(super) transaction: Option<Transaction<B::Producer>>,
    pub(super) reader: B::Reader,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) routes: BTreeMap<TopicPartition, TaskId>,
    pub(super) ownership: Option<Ownership>,
    pub(super) restoration: Option<Restoration>,
    pub(super) offsets_missing_since: Option<Timestamp>,
    pub(super) restore_not_before: Timestamp,
    /// Tasks that were about to be refused, and are looked at once more.
    pub(super) doubted: BTreeSet<TaskId>,
    /// The last step of the restore has brought something.
    pub(super) replay_moved: bool,
    /// Where the replay stood still when everything was to be read anew.
    pub(super) stuck_at: Option<(TopicPartition, Offset)>,
    pub(super) waits: Waits,
    /// Assigned tasks whose state another thread of this process still holds.
    pub(super) waiting: BTreeMap<TaskId, Vec<TopicPartition>>,
    pub(super) waiting_since: Timestamp,
    /// Since when the topics may not be those that were prepared: nothing is restored before they were asked for.
    pub(super) topics_doubted_since: Option<Timestamp>,
    pub(super) last_commit: Timestamp,
    /// A commit has ended since the last round: the interval begins with the next one.
    pub(super) commit_ended: bool,
    pub(super) fencing: Fencing,
    pub(super) pace: Pace,
    /// The task with which the next round begins to process, where there are more tasks than records for it.
    next_task: Option<TaskId>,
    pub(super) rejected_at: Vec<Timestamp>,
    pub(super) last_purge: Timestamp,
    /// The last purge was refused, which was told.
    pub(super) purge_refused: bool,
    /// The last error that was mended, for reports.
    pub(super) last_error: Option<(Timestamp, Error)>,
    pub(super) counters: ThreadCounters,
    pub(super) observer: Box<dyn super::observer::Observer>,
    pub(super) tracer: Option<Box<dyn crate::trace::Tracer>>,
    /// Where queries wait, if anybody may ask.
    pub(super) desk: Option<Box<super::query::Desk>>,
}

impl<B: Broker> std::fmt::Debug for StreamThread<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamThread").field("instance", &self.config.instance_id).finish_non_exhaustive()
    }
}

impl<B: Broker> StreamThread<B> {
    /// Fences the predecessor, then joins the group.
    ///
    /// # Errors
    /// [`Error`] when the broker cannot be used.
    pub fn start(broker: B, config: ThreadConfig, application: Application, now: Timestamp) -> Result<Self, Error> {
        let Application { topology, topics, directory } = application;
        let reader = broker.reader()?;
        let pace = Pace::new(config.records_per_round);
        let mut this = Self {
            broker,
            config,
            topology,
            topics,
            directory,
            consumer: None,
            transaction: None,
            reader,
            tasks: BTreeMap::new(),
            routes: BTreeMap::new(),
            ownership: None,
            restoration: None,
            offsets_missing_since: None,
            restore_not_before: now,
            doubted: BTreeSet::new(),
            replay_moved: false,
            stuck_at: None,
            waits: Waits::default(),
            waiting: BTreeMap::new(),
            waiting_since: now,
            topics_doubted_since: None,
            last_commit: now,
            commit_ended: false,
            fencing: Fencing::default(),
            pace,
            next_task: None,
            rejected_at: Vec::new(),
            last_purge: now,
            purge_refused: false,
            last_error: None,
            counters: ThreadCounters::default(),
            observer: Box::new(super::observer::Silent),
            tracer: None,
            desk: None,
        };
        // The order is the protocol: init_transactions resolves the predecessor's open transaction before any offset is
        // read, and the group must not hand us partitions before that.
        this.renew_producer(now)?;
        this.join()?;
        Ok(this)
    }

    /// Reports measurements to `observer` instead of to nobody.
    pub fn observe(&mut self, observer: Box<dyn super::observer::Observer>) {
        self.observer = observer;
    }

    pub(super) fn join(&mut self) -> Result<(), Error> {
        let member = MemberConfig {
            group_id: self.config.application_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
        };
        let mut consumer = self.broker.consumer(&member)?;
        consumer.subscribe(&self.topics.sources(&self.topology)?)?;
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Consume, process, produce, commit: one round.
    ///
    /// # Errors
    /// [`Error`] when the thread cannot go on; transient failures are mended here.
    pub fn run_once(&mut self, now: Timestamp) -> Result<Progress, Error> {
        match self.round(now) {
            Ok(progress) => Ok(progress),
            Err(error) => {
                self.recover(error, now)?;
                Ok(Progress { changed: true, ..Progress::default() })
            }
        }
    }

    fn round(&mut self, now: Timestamp) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        self.pace.round(now, self.config.transaction_timeout);
        self.tell_fencing_from_timeout(now)?;
        // With as much in memory as may be there is nothing to do but to wait for the commit.
        let wait = if self.is_full() { self.config.poll_timeout } else { Duration::ZERO };
        progress.committed = self.poll_commit(wait, now)?;
        if std::mem::take(&mut self.commit_ended) {
            // The interval counts from the end of a commit, as in Kafka Streams: brokers that are slow are not asked for one
            // commit after the other.
            self.last_commit = now;
            self.pace.committed();
        }
        self.drop_tainted();
        progress.changed |= self.open_waiting(now)?;
        let timeout = self.patience(now);
        let started = self.observer.start();
        let polled = match self.consumer()?.poll(timeout) {
            // Nothing was handed out, so nothing can be lost by going on. Everywhere else a failure may have come
            // between two halves of one step: then only the error path is safe.
            Err(error) if error.recovery() == Recovery::Retry => {
                tracing::debug!(%error, "the poll is tried again");
                Polled::Idle
            }
            // The committed offset is not in the log any more. No reset policy chooses another one (I8).
            Err(source) if source.kind == BrokerErrorKind::OffsetOutOfRange => return Err(Error::InputGone { source }),
            polled => polled?,
        };
        match polled {
            Polled::Records(batch) => {
                progress.polled = batch.len();
                self.enqueue(batch);
                crate::failpoint!("round.after_poll");
            }
            Polled::Rebalance(change) => {
                self.rebalance(change, now)?;
                progress.changed = true;
            }
            Polled::Idle => {}
        }
        self.observer.polled(started, progress.polled);
        // After the poll: a thread that gets no producer polls on, and a process that was replaced hears of it before it
        // would fence its successor.
        if self.transaction.is_none() && !self.producer_is_held(now) {
            progress.changed |= self.renew_producer(now)?;
        }
        progress.changed |= self.restore(now)?;
        // A round that processes may last: what is open for long is committed before it.
        let age = self.transaction.as_ref().and_then(Transaction::open_since).map(|since| now.since(since));
        let is_old = age.is_some_and(|age| age > self.config.transaction_timeout / 4);
        if is_old && !self.commit_in_flight() && self.commit_due(now) {
            self.start_commit(BEGIN_WAIT, now)?;
        }
        // After the poll: whoever has lost its tasks hears of it there first.
        self.answer_questions(now);
        progress.processed = self.process(now)?;
        self.pace.processed(progress.processed);
        self.apply_backpressure()?;
        // Without a producer nobody is asked: a processor's request would be forgotten.
        let may_commit = self.transaction.is_some() && !self.commit_in_flight();
        if may_commit && self.commit_due(now) && self.start_commit(BEGIN_WAIT, now)? {
            progress.committed |= self.poll_commit(Duration::ZERO, now)?;
        }
        progress.in_flight = self.commit_in_flight();
        Ok(progress)
    }

    /// Hands records to their tasks. Those of a partition come in runs: the way is looked up once for each.
    fn enqueue(&mut self, batch: Vec<ConsumedRecord>) {
        let runs: Vec<usize> = batch.chunk_by(|a, b| a.source == b.source).map(<[_]>::len).collect();
        let mut records = batch.into_iter();
        for length in runs {
            let Some(source) = records.as_slice().first().map(|record| record.source.clone()) else { return };
            *self.counters.polled.entry(source.topic.clone()).or_default() += length as u64;
            let run = records.by_ref().take(length);
            match self.routes.get(&source).and_then(|id| self.tasks.get_mut(id)) {
                Some(task) => task.enqueue(&source, run),
                // A record of a task that does not run is dropped: its position is set when it starts.
                None => run.for_each(drop),
            }
        }
    }

    /// True when the open transaction should have been committed, and its begin records are still on their way.
    pub(super) fn waits_for_begins(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::waits_for_begins)
    }

    /// True when a commit is in flight, or waits for its begin records, and no more may be processed ahead of it.
    fn is_full(&self) -> bool {
        (self.commit_in_flight() || self.waits_for_begins())
            && self.uncommitted_bytes() > self.config.uncommitted_bytes_max
    }

    /// Processes a round's worth of records, shared fairly among the tasks, and produces their outputs; while a commit is in
    /// flight the outputs stay with the tasks. Where there are fewer records for a round than tasks, those take turns.
    fn process(&mut self, now: Timestamp) -> Result<usize, Error> {
        if self.is_full() {
            return Ok(0);
        }
        let Some(transaction) = &mut self.transaction else { return Ok(0) };
        let started = self.observer.start();
        let share = (self.pace.records() / self.tasks.len().max(1)).max(1);
        let turns = self.next_task.filter(|_| self.pace.records() < self.tasks.len());
        let order: Vec<TaskId> = match turns {
            Some(next) => self.tasks.range(next..).chain(self.tasks.range(..next)).map(|(id, _)| *id).collect(),
            None => self.tasks.keys().copied().collect(),
        };
        let mut processed = 0;
        for id in order {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if let Some(tracer) = &mut self.tracer {
                task.begin_batch(|| tracer.context());
            }
            let left = self.pace.records().saturating_sub(processed);
            let took = task.process(now, share.min(left), &self.config.errors)?;
            processed += took;
            if took > 0 {
                self.next_task = Some(TaskId { partition: crate::record::Partition(id.partition.0 + 1), ..id });
            }
            task.take_punctuations().into_iter().for_each(|took| self.observer.punctuated(took));
            if transaction.is_in_flight() {
                task.hold_outputs();
                if broken!(self, ForgetAhead) {
                    drop(task.take_outputs());
                }
                crate::failpoint!("process.ahead", if processed > 0);
                continue;
            }
            if !task.has_outputs() && (took == 0 || !task.writes_elsewhere()) {
                continue;
            }
            transaction.enlist(task, now)?;
            if !broken!(self, OutputsBeforeBegin) && !transaction.has_begun(id, Duration::ZERO)? {
                // Not before the begin record is in its log: see `enlist`.
                task.hold_outputs();
                continue;
            }
            let outputs = task.take_outputs();
            self.counters.count_sent(&outputs);
            crate::failpoint!("process.before_send", if !outputs.is_empty());
            transaction.send(outputs)?;
            crate::failpoint!("process.after_send", if transaction.contains(task.id()));
        }
        self.observer.processed(started, processed);
        Ok(processed)
    }

    fn apply_backpressure(&mut self) -> Result<(), Error> {
        let (bytes, most) =
            (self.tasks.values().map(Task::buffered_bytes).sum::<usize>(), self.config.input_buffer_bytes_max);
        let limit = BufferLimit {
            records: self.config.buffered_records_per_partition,
            full: bytes > most,
            drained: bytes <= most / 2,
        };
        // Partitions of the others stand still: their start resumes them.
        for task in self.tasks.values_mut().filter(|task| task.state() == TaskState::Running) {
            let (pause, resume) = task.backpressure(limit);
            let Some(consumer) = &mut self.consumer else { return Ok(()) };
            if !pause.is_empty() {
                consumer.pause(&pause)?;
            }
            if !resume.is_empty() {
                consumer.resume(&resume)?;
            }
        }
        Ok(())
    }

    pub(super) fn consumer(&mut self) -> Result<&mut B::Consumer, Error> {
        self.consumer.as_mut().ok_or(Error::bug("a thread without a consumer"))
    }

    /// Commits what is processed and leaves. With `leave_group` the others take over at once; without it the partitions
    /// wait for this instance to come back.
    ///
    /// # Errors
    /// [`Error`]: what was not committed is processed again by the next owner.
    pub fn close(mut self, leave_group: bool, now: Timestamp) -> Result<(), Error> {
        crate::failpoint!("close.before_commit");
        let committed = self.commit(now);
        crate::failpoint!("close.after_commit");
        self.drop_batches("stopped");
        let mut result = committed.map(|_| ());
        for (_, task) in std::mem::take(&mut self.tasks) {
            result = result.and(task.close().map_err(Error::from));
        }
        crate::failpoint!("close.after_stores");
        // The consumer goes first: no rebalance can ask for a commit of closed tasks.
        if let Some(consumer) = self.consumer.take() {
            result = result.and(consumer.close(leave_group).map_err(Error::from));
        }
        crate::failpoint!("close.after_leave");
        result
    }

    /// The one error path: drop the producer, forget what is uncommitted, restore every task from what is committed. Only
    /// what a person must decide leaves this function as an error.
    fn recover(&mut self, error: Error, now: Timestamp) -> Result<(), Error> {
        let recovery = error.recovery();
        let cause = self.cause_of(&error);
        self.drop_batches(cause);
        match recovery {
            Recovery::Retry | Recovery::AbortTransaction | Recovery::SkipRecord => self.revive(error, now),
            Recovery::ReviveTask(task) => {
                tracing::error!(%error, %task, "the state of a task is damaged, it is set aside and restored");
                self.counters.corruptions += 1;
                let error = self.note_damage(task, error, now)?;
                self.quarantine(task, now)?;
                self.revive(error, now)
            }
            Recovery::RejoinGroup => {
                if let Error::Broker(source) = &error {
                    self.note_broken_client(source, now)?;
                }
                tracing::warn!(%error, "the membership is lost, joining again");
                self.last_error = Some((now, error));
                self.lose_all(now);
                self.consumer = None;
                self.transaction = None;
                *self.counters.aborts.entry("rejoin").or_default() += 1;
                match self.renew_producer(now) {
                    Err(error) if error.recovery() == Recovery::Shutdown => return Err(error),
                    // It is made in a later round; nothing is restored before.
                    Err(error) => tracing::warn!(%error, "no producer yet"),
                    Ok(_) => {}
                }
                self.join()
            }
            Recovery::Shutdown => Err(error),
        }
    }

    /// Everything anyone may want to know about this thread's tasks.
    pub fn tasks(&self) -> impl Iterator<Item = super::TaskView<'_>> {
        self.tasks.values().map(super::TaskView::new)
    }

    /// The last error that was mended here, once.
    pub fn take_last_error(&mut self) -> Option<(Timestamp, Error)> {
        self.last_error.take()
    }

    /// True when partitions are assigned.
    pub const fn is_assigned(&self) -> bool {
        self.ownership.is_some()
    }

    /// The end of an assigned input, as last heard.
    pub fn known_end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.as_ref()?.known_end(partition)
    }

    /// How commits ended so far.
    pub const fn counters(&self) -> &ThreadCounters {
        &self.counters
    }

    /// The consumer's next offset of an input partition, past markers.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.as_ref()?.position(partition)
    }
}
