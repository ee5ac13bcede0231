//! Topics and log ends, on a client of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::acl::Resource;
use super::consumer::list_of;
use super::error;
use super::ffi::{self, Failure, Handle, OffsetRequest, Wait};
use super::link::{Link, Listener};
use super::new_topics::NewTopics;
use super::operate::Right;
use crate::broker::{BrokerError, BrokerErrorKind, LogRange, NewTopic, TopicDescription};
use crate::record::{Offset, TopicName, TopicPartition};

/// How long deleting records may keep the stream thread: it is tried again in the next round of it.
const DELETE_MAX: Duration = Duration::from_secs(1);

/// The client for requests that need neither a group nor a transaction.
pub(super) struct Admin {
    handle: Handle,
    link: Arc<Link>,
    pub(super) timeout: Duration,
    created: NewTopics,
    /// Serves the client's events: logs, errors, token refreshes.
    _server: EventServer,
}

impl Admin {
    pub(super) fn new(config: &ClientConfig, link: Link, timeout: Duration) -> Result<Self, BrokerError> {
        const OPERATION: &str = "connect";
        let link = Arc::new(link);
        let client: BaseProducer<Listener> = config
            .create_with_context(Listener(Arc::clone(&link)))
            .map_err(|error| error::of_creation(OPERATION, &error))?;
        let client = Arc::new(client);
        let handle = Handle::of_producer(&client);
        let server = EventServer::start("kafka-admin", client).map_err(|error| error::no_thread(OPERATION, &error))?;
        Ok(Self { handle, link, timeout, created: NewTopics::default(), _server: server })
    }

    pub(super) fn describe(&self, topics: &[TopicName]) -> Result<BTreeMap<TopicName, TopicDescription>, BrokerError> {
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ask = || self.call("describe_topics", self.timeout, |handle, wait| handle.describe_topics(&names, wait));
        self.created.settled(topics, || {
            Ok(ask()?.into_iter().map(|topic| (TopicName::from(topic.name), topic.description)).collect())
        })
    }

    /// The command that grants these rights.
    pub(super) fn grant(&self, rights: &[Right], on: &Resource) -> String {
        self.link.principal().grant(rights, on)
    }

    /// Asks whether the topic could be created; it is not.
    pub(super) fn may_create(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        self.ask_to_create(topic, true)
    }

    /// One that exists is as good as created. `only_asking`: nothing is done.
    fn ask_to_create(&self, topic: &NewTopic, only_asking: bool) -> Result<(), BrokerError> {
        self.call("create_topic", self.timeout, |handle, wait| match handle.create_topic(topic, only_asking, wait) {
            Err(failure) if failure.code == Code::TopicAlreadyExists => Ok(()),
            other => other,
        })
    }

    /// Creates the topic and waits until it can be used; one that exists is left as it is.
    pub(super) fn create(&self, topic: &NewTopic) -> Result<(), BrokerError> {
        const OPERATION: &str = "create_topic";
        let created = self.ask_to_create(topic, false);
        created.map_err(|error| BrokerError { reason: format!("topic {}: {}", topic.name, error.reason), ..error })?;
        // The controller answers before every broker knows the topic: a describe right after it could miss it, also when
        // it is another process that has just created it.
        self.created.note(&topic.name);
        let deadline = Instant::now() + self.timeout;
        loop {
            let found =
                self.call(OPERATION, self.timeout, |handle, wait| handle.describe_topics(&[&topic.name], wait))?;
            if found.iter().any(|topic| topic.ready) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = format!("topic {} is created, but its partitions have no leader yet", topic.name);
                return Err(BrokerError::new(OPERATION, BrokerErrorKind::Retriable, reason));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn delete_records(&self, before: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        if before.is_empty() {
            return Ok(());
        }
        let list = list_of(before.keys(), |at| before.get(at).map(|offset| rdkafka::Offset::Offset(offset.0)))?;
        self.call("delete_records", self.timeout.min(DELETE_MAX), |handle, wait| handle.delete_records(&list, wait))
    }

    /// First offsets and ends; ends of what is committed, or of the log.
    pub(super) fn log_ranges(
        &self,
        partitions: &[TopicPartition],
        committed: bool,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = |end| {
            let request = OffsetRequest { partitions, end, committed };
            self.call("list_offsets", timeout, |handle, wait| handle.list_offsets(&request, wait))
        };
        // Starts before ends: a start only moves up, so a range read in this order is never negative.
        let starts = list(false)?;
        let ends = list(true)?;
        Ok(ffi::ranges(&starts, &ends))
    }

    /// Runs a request, and gives up early when the broker refuses our credentials: librdkafka would go on trying.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        request: impl FnOnce(&Handle, &mut Wait<'_>) -> Result<T, Failure>,
    ) -> Result<T, BrokerError> {
        let mut stop = || self.link.refusal();
        let answer = request(&self.handle, &mut Wait { timeout, stop: &mut stop });
        if answer.is_ok() {
            self.link.accepted();
        }
        answer.map_err(|failure| {
            let failure = self.link.refusal().unwrap_or(failure);
            let failure = self.link.with_trouble(Failure { reason: self.link.scrub(&failure.reason), ..failure });
            self.link.explain(error::of_client(operation, &failure), &failure)
        })
    }
}

/// A thread that serves the events of a producer's client: delivery reports, logs, errors, statistics, token refreshes.
/// Nothing else may wait for them: a commit waits until its reports are served.
pub(super) struct EventServer {
    stop: Arc<AtomicBool>,
}

impl EventServer {
    /// How long the thread waits for one event, and so how long stopping takes at most. The crate's wait spins for its last
    /// millisecond: with a tenth of this, that is one part in a hundred of a core.
    const WAIT: Duration = Duration::from_secs(1);

    pub(super) fn start<C: ProducerContext + 'static>(
        name: &str,
        client: Arc<BaseProducer<C>>,
    ) -> Result<Self, std::io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            while !stopped.load(Ordering::Acquire) {
                client.poll(Self::WAIT);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self { stop })
    }
}

impl Drop for EventServer {
    /// Ends the thread, which gives its hold on the client back; does not wait for it.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
