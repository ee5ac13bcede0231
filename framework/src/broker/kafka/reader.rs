//! The reader of changelogs: partitions by hand, no group, no coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::admin::Admin;
use super::error;
use super::fetch::Fetch;
use super::ffi::{Failure, Handle, Queue, Topic};
use super::link::{Link, Listener};
use super::wakeup::Wakeup;
use crate::broker::{BrokerError, BrokerErrorKind, ChangelogReader, LogRange};
use crate::record::{ConsumedRecord, Offset, TopicName, TopicPartition};

/// The longest single wait: a wake-up that is lost costs no more than this.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Reads committed records of changelog partitions, each into a queue of its own.
///
/// It uses librdkafka's simple consumer, which needs no `group.id`: nothing is looked up at a coordinator, no right on a
/// group is asked for, and nothing can be committed by mistake.
pub struct KafkaReader {
    fetch: Fetch,
    topics: BTreeMap<TopicName, Topic>,
    events: Queue,
    client: Handle,
    consumer: Arc<BaseConsumer<Listener>>,
    wakeup: Arc<Wakeup>,
    admin: Arc<Admin>,
}

impl std::fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaReader")
            .field("reading", &self.fetch.started().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl KafkaReader {
    pub(super) fn new(config: &ClientConfig, link: Link, admin: Arc<Admin>) -> Result<Self, BrokerError> {
        const OPERATION: &str = "reader";
        let principal = link.principal().clone();
        let consumer: BaseConsumer<Listener> = config
            .create_with_context(Listener(Arc::new(link)))
            .map_err(|error| error::of_creation(OPERATION, &error))?;
        let consumer = Arc::new(consumer);
        let client = Handle::of_consumer(&consumer);
        let wakeup = Arc::new(Wakeup::default());
        let events = client.event_queue(&wakeup).ok_or_else(|| {
            BrokerError::new(OPERATION, BrokerErrorKind::Configuration, "the client has no event queue")
        })?;
        Ok(Self {
            fetch: Fetch::new(client.clone(), principal),
            topics: BTreeMap::new(),
            events,
            client,
            consumer,
            wakeup,
            admin,
        })
    }

    fn topic(&mut self, name: &TopicName) -> Result<&Topic, Failure> {
        if !self.topics.contains_key(name) {
            self.topics.insert(TopicName::clone(name), self.client.topic(name)?);
        }
        self.topics.get(name).ok_or_else(|| Failure::of(rdkafka::error::RDKafkaErrorCode::UnknownTopic))
    }

    /// Stops what is read, so that it can be started elsewhere.
    fn stop(&mut self) -> Result<(), Failure> {
        let started: Vec<TopicPartition> = self.fetch.started().cloned().collect();
        // Queues too: a failure of the old position must not be taken for one of the new.
        self.fetch.forget();
        started.iter().try_for_each(|at| self.topic(&at.topic)?.stop(at.partition))
    }

    fn start(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), Failure> {
        self.topic(&at.topic)?;
        let Some(topic) = self.topics.get(&at.topic) else { return Ok(()) };
        let wakeup = &self.wakeup;
        let queue = self.fetch.queue(at, |client| Ok(client.new_queue()?.waking(wakeup)))?;
        topic.start(at.partition, offset, queue)?;
        self.fetch.start(at, offset);
        Ok(())
    }

    /// Log lines, errors, statistics, refreshes of tokens. True when there were any.
    fn serve_events(&self) -> bool {
        // A bound, so that a flood of log lines cannot keep records waiting.
        for served in 0..256 {
            if self.events.is_empty() {
                return served > 0;
            }
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "changelog reader");
            }
        }
        true
    }

    fn check_refusal(&self) -> Result<(), BrokerError> {
        match self.consumer.context().0.refusal() {
            Some(refusal) => Err(error::of_client("poll", &refusal)),
            None => Ok(()),
        }
    }
}

impl ChangelogReader for KafkaReader {
    fn log_ranges(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        self.admin.log_ranges(partitions, false, timeout)
    }

    fn assign(&mut self, positions: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        // Stop before start: a partition has one fetcher, and stopping drops what it had fetched.
        let assigned = self.stop().and_then(|()| positions.iter().try_for_each(|(at, &offset)| self.start(at, offset)));
        assigned.map_err(|failure| error::of_client("assign", &failure))
    }

    fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, BrokerError> {
        let deadline = Instant::now() + timeout;
        loop {
            // The flag goes down before the queues are looked at: what comes later puts it up again.
            self.wakeup.clear();
            self.serve_events();
            self.check_refusal()?;
            let drained = self.fetch.drain()?;
            if !drained.is_empty() {
                self.consumer.context().0.accepted();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !drained.is_empty() || left.is_zero() {
                return Ok(drained.records);
            }
            self.wakeup.wait(left.min(WAIT_MAX));
        }
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.fetch.position(partition)
    }

    fn idle(&mut self) {
        if self.serve_events() {
            // Whoever reads next connects again, and hears then whether it is still refused.
            self.consumer.context().0.forget_refusal();
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            tracing::debug!(reason = failure.reason, "changelog reader stopped");
        }
    }
}
