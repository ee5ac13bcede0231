//! A running application: its stream threads, started together and stopped together.
#![allow(clippy::disallowed_methods, reason = "an edge: this is where threads are made and the clock is read")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::{OnError, StreamsConfig};
use super::meter::{Meter, wall_clock};
use super::query::{self, Queries, Questions};
use super::stats::{StatusBoard, ThreadBoard, ThreadSnapshot, ThreadState};
use super::{Application, Error, ErrorPolicy, StreamThread, ThreadConfig, Topics};
use crate::broker::Broker;
use crate::record::TopicName;
use crate::state::StateDirectory;
use crate::topology::Topology;
use crate::trace::Tracing;

/// How often a thread publishes what it does.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);

/// Stream threads that run. Dropping it stops them without waiting.
///
/// ```no_run
/// # #[cfg(all(feature = "kafka", feature = "rocksdb"))]
/// # fn run(topology: millpond::topology::Topology) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
/// use millpond::runtime::config::StreamsConfig;
/// use millpond::runtime::{Instance, Streams};
/// use millpond::state::rocksdb::{Options, RocksDirectory};
///
/// let config = StreamsConfig::new("orders", "localhost:9092", "/var/lib/orders");
/// let instance = Instance::acquire(&config.state_dir, Some("0"), String::new)?;
/// let broker = KafkaBroker::connect(KafkaConfig::of(&config)?)?;
/// let state = RocksDirectory::new(&config.state_dir, &config.application_id, instance.name(), Options::default());
/// let streams = Streams::start(&broker, &config, instance.name(), &Arc::new(topology), &state)?;
/// while streams.is_healthy() {
///     std::thread::sleep(std::time::Duration::from_millis(100));
/// }
/// streams.close(false)?; // the error of the thread that failed
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Streams {
    threads: Vec<JoinHandle<Result<(), Error>>>,
    stop: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    board: StatusBoard,
    queries: Option<Queries>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Streams {
    /// Prepares the topics and starts `num.stream.threads` threads. `instance` is this process's own name, see
    /// [`Instance`](super::Instance).
    ///
    /// # Errors
    /// [`Error`] when topics are missing or do not fit. What goes wrong later is told by [`close`](Self::close).
    pub fn start<B, D>(
        broker: &B,
        config: &StreamsConfig,
        instance: &str,
        topology: &Arc<Topology>,
        directory: &D,
    ) -> Result<Self, Error>
    where
        B: Broker + Clone + Send + 'static,
        D: StateDirectory + Clone + Send + 'static,
    {
        Self::start_traced(broker, config, instance, topology, directory, &Tracing::default())
    }

    /// As [`start`](Self::start), with spans of what the threads do.
    ///
    /// # Errors
    /// As `start`.
    #[expect(clippy::too_many_arguments, reason = "those of start, and what traces them")]
    pub fn start_traced<B, D>(
        broker: &B,
        config: &StreamsConfig,
        instance: &str,
        topology: &Arc<Topology>,
        directory: &D,
        tracing: &Tracing,
    ) -> Result<Self, Error>
    where
        B: Broker + Clone + Send + 'static,
        D: StateDirectory + Clone + Send + 'static,
    {
        let dead_letters = dead_letter_topic(config);
        let topics = Topics::prepare(
            broker,
            topology,
            &config.application_id,
            config.replication_factor,
            dead_letters.as_ref(),
        )?;
        let topics = Arc::new(topics);
        let mut this = Self {
            threads: Vec::new(),
            stop: Arc::default(),
            leave: Arc::default(),
            failed: Arc::default(),
            board: StatusBoard::new(),
            queries: None,
        };
        let mut askers = BTreeMap::new();
        for number in 0..config.stream_threads.max(1) {
            let name = number.to_string();
            let questions = config.queries.then(|| {
                let (asker, questions) = query::queue();
                askers.insert(name.clone(), asker);
                questions
            });
            let worker = Worker {
                broker: broker.clone(),
                config: thread_config(config, instance, number, dead_letters.as_ref(), &topics)?,
                topology: topology.clone(),
                topics: topics.clone(),
                directory: directory.clone(),
                stop: this.stop.clone(),
                leave: this.leave.clone(),
                board: this.board.thread(&name),
                questions,
                tracing: tracing.clone(),
            };
            let (stop, failed) = (this.stop.clone(), this.failed.clone());
            let thread = std::thread::Builder::new().name(format!("stream-{number}")).spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
                let ended = ended.unwrap_or(Err(Error::Panicked { thread: number }));
                if ended.is_err() {
                    // One thread's failure stops the process: it is restarted as a whole, and nothing is lost.
                    failed.store(true, Ordering::Release);
                    stop.store(true, Ordering::Release);
                }
                ended
            });
            this.threads.push(thread.map_err(|_| Error::bug("the system refuses to start a thread"))?);
        }
        if config.queries {
            this.queries = Some(Queries::new(topology, &topics, this.board.clone(), askers)?);
        }
        Ok(this)
    }

    /// The application as it can be asked; `None` unless the configuration says `queries = on`.
    pub const fn queries(&self) -> Option<&Queries> {
        self.queries.as_ref()
    }

    /// What the threads tell about themselves.
    pub const fn board(&self) -> &StatusBoard {
        &self.board
    }

    /// False when a thread has failed: call [`close`](Self::close) for its error.
    pub fn is_healthy(&self) -> bool {
        !self.failed.load(Ordering::Acquire)
    }

    /// Commits and stops all threads. With `leave_group` the others take over at once, as for a scale-in; without it the
    /// partitions wait for this instance, as for a restart.
    ///
    /// # Errors
    /// The first error of a thread.
    pub fn close(mut self, leave_group: bool) -> Result<(), Error> {
        self.leave.store(leave_group, Ordering::Release);
        self.stop.store(true, Ordering::Release);
        self.wait()
    }

    /// Waits until the threads end by themselves, which only a failure makes them do: for a program that runs until it is
    /// killed.
    ///
    /// # Errors
    /// The first error of a thread.
    pub fn join(mut self) -> Result<(), Error> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for (number, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            let ended = thread.join().unwrap_or(Err(Error::Panicked { thread: number }));
            result = result.and(ended);
        }
        result
    }
}

/// One thread's belongings.
struct Worker<B, D> {
    broker: B,
    config: ThreadConfig,
    topology: Arc<Topology>,
    topics: Arc<Topics>,
    directory: D,
    stop: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
    board: ThreadBoard,
    tracing: Tracing,
    questions: Option<Questions>,
}

impl<B: Broker, D: StateDirectory + 'static> Worker<B, D> {
    fn run(self) -> Result<(), Error> {
        let board = self.board.clone();
        let ended = self.run_loop();
        let mut last = board.last();
        match &ended {
            Ok(()) => last.state = ThreadState::Stopped,
            Err(error) => {
                tracing::error!(%error, "stream thread stopped");
                last.state = ThreadState::Failed;
                last.errors.push(wall_clock(), None, error, error.recovery());
            }
        }
        last.heartbeat = wall_clock();
        board.publish(&last);
        ended
    }

    fn run_loop(self) -> Result<(), Error> {
        let meter = Meter::new();
        let board = self.board;
        let tracer = self.tracing.tracer(&self.config.instance_id);
        let application =
            Application { topology: self.topology, topics: self.topics, directory: Rc::new(self.directory) };
        let mut thread = StreamThread::start(self.broker, self.config, application, wall_clock())?;
        thread.observe(Box::new(meter.clone()));
        thread.trace(tracer);
        if let Some(questions) = self.questions {
            thread.answer(questions);
        }
        let mut published = Instant::now();
        let mut changed = true;
        while !self.stop.load(Ordering::Acquire) {
            let now = wall_clock();
            changed |= thread.run_once(now)?.changed;
            if published.elapsed() >= PUBLISH_INTERVAL || changed {
                let snapshot = thread.snapshot(board.last(), meter.read(), now);
                board.publish(&snapshot);
                published = Instant::now();
                changed = false;
            }
        }
        board.publish(&ThreadSnapshot { state: ThreadState::Stopping, ..board.last() });
        thread.close(self.leave.load(Ordering::Acquire), wall_clock())
    }
}

fn dead_letter_topic(config: &StreamsConfig) -> Option<TopicName> {
    let wanted = [config.on_deserialization_error, config.on_processing_error].contains(&OnError::DeadLetter);
    wanted.then(|| config.dead_letter_topic_name().into())
}

fn thread_config(
    config: &StreamsConfig,
    instance: &str,
    number: usize,
    dead_letters: Option<&TopicName>,
    topics: &Topics,
) -> Result<ThreadConfig, Error> {
    let bytes = |total: u64| usize::try_from(total).unwrap_or(usize::MAX);
    let topic = dead_letters.map(|topic| Ok::<_, Error>((topic.clone(), topics.partitions(topic)?))).transpose()?;
    let instance_id = format!("{}-{instance}-{number}", config.application_id);
    Ok(ThreadConfig {
        poll_timeout: config.poll_timeout,
        commit_interval: config.commit_interval,
        transaction_timeout: config.transaction_timeout,
        fenced_pause: config.fenced_pause(),
        request_timeout: config.transaction_timeout,
        records_per_round: config.records_per_round,
        buffered_records_per_partition: config.buffered_records_per_partition,
        input_buffer_bytes_max: bytes(config.input_buffer_bytes_max),
        uncommitted_bytes_max: bytes(config.uncommitted_bytes_max),
        start_from: config.start_from,
        application_server: config.application_server().map(Arc::from),
        errors: ErrorPolicy {
            topic,
            on_deserialization: config.on_deserialization_error == OnError::DeadLetter,
            on_processing: config.on_processing_error == OnError::DeadLetter,
            payload: config.dead_letter_payload,
        },
        ..ThreadConfig::new(&config.application_id, &instance_id)
    })
}
