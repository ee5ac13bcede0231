//! An application of the test's own process behind the proxy, run as by a supervisor.

use std::sync::Arc;
use std::time::Duration;

use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::{Error, Refusal, Streams, TaskError};
use millpond::serde::Int64;
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::topology::Topology;
use millpond_harness::Received;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::known::{PARTITIONS, fold};

/// Whoever needs more has a fault that comes again and again.
const RESTARTS_MAX: usize = 3;

pub(crate) type Properties = &'static [(&'static str, &'static str)];

/// Threads that run, and what has become of them so far.
pub(crate) struct Application {
    config: StreamsConfig,
    properties: Properties,
    topology: Arc<Topology>,
    streams: Option<Streams>,
    /// Errors after which it was started again.
    pub(crate) restarts: Vec<String>,
    /// Producers that were replaced, each with its reason.
    pub(crate) replaced: Vec<&'static str>,
}

fn topology(id: &str) -> Arc<Topology> {
    let input = Topic::<i64, i64>::new("input", &Int64, &Int64).named(format!("{id}-in"));
    let output = Topic::<i64, i64>::new("output", &Int64, &Int64).named(format!("{id}-out"));
    let builder = StreamsBuilder::new();
    let grouped = builder.stream(&input).group_by_key(Grouped::named("by-key", &Int64, &Int64));
    grouped.reduce(fold, Materialized::persistent("folds", &Int64, &Int64)).updates().to(&output);
    Arc::new(builder.build().unwrap())
}

impl Application {
    /// With properties of librdkafka.
    pub(crate) fn new(mut config: StreamsConfig, properties: Properties) -> Self {
        config.replication_factor = 1;
        config.poll_timeout = Duration::from_millis(20);
        config.check().unwrap();
        let topology = topology(&config.application_id);
        Self { config, properties, topology, streams: None, restarts: Vec::new(), replaced: Vec::new() }
    }

    /// Starts it where it does not run. What it must not be started again for is an error.
    pub(crate) fn tend(&mut self) -> Result<(), Refusal> {
        if self.streams.as_ref().is_some_and(Streams::is_healthy) {
            return Ok(());
        }
        self.stop()?;
        match self.start() {
            Ok(streams) => self.streams = Some(streams),
            Err(error) => self.failed(error)?,
        }
        Ok(())
    }

    /// Stops it in good order, or hears why it has ended.
    pub(crate) fn stop(&mut self) -> Result<(), Refusal> {
        let Some(streams) = self.streams.take() else { return Ok(()) };
        let board = streams.board().clone();
        let ended = streams.close(false);
        for thread in board.snapshots() {
            let reasons = thread.reinits.iter();
            self.replaced.extend(reasons.flat_map(|(reason, times)| (0..*times).map(move |_| *reason)));
        }
        ended.or_else(|error| self.failed(error))
    }

    fn start(&self) -> Result<Streams, Error> {
        let mut config = KafkaConfig::of(&self.config)?;
        config.properties.extend(self.properties.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let broker = KafkaBroker::connect(config)?;
        let state = RocksDirectory::new(&self.config.state_dir, &self.config.application_id, "0", Options::default());
        Streams::start(&broker, &self.config, "0", &self.topology, &state)
    }

    fn failed(&mut self, error: Error) -> Result<(), Refusal> {
        if let Error::Task(TaskError::Refused(refusal)) = error {
            return Err(refusal);
        }
        self.restarts.push(error.to_string());
        assert!(self.restarts.len() <= RESTARTS_MAX, "{}: {:?}", self.config.application_id, self.restarts);
        Ok(())
    }
}

/// Everything in a topic, as it comes.
pub(crate) struct Tail {
    consumer: BaseConsumer,
    records: Vec<Received>,
}

impl Tail {
    pub(crate) fn of(bootstrap_servers: &str, topic: &str, isolation: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers).set("isolation.level", isolation);
        config.set("group.id", "tail").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        Self { consumer, records: Vec::new() }
    }

    /// How many there are so far.
    pub(crate) fn count(&mut self) -> usize {
        while let Some(message) = self.consumer.poll(Duration::ZERO) {
            self.records.push(Received::of(&message.unwrap()));
        }
        self.records.len()
    }
}
