//! One group member with its connection: reads, writes, claims and answers rebalances.

mod claiming;
mod fencing;
mod spans;
mod writing;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millpond::broker::{
    Broker, BrokerError, BrokerErrorKind, CommittedOffset, Consumer, Membership, NewTopic, Polled, Rebalance,
};
use millpond::error::Recovery;
use millpond::record::{ConsumedRecord, Offset, TopicPartition};
use millpond::time::Timestamp;
use millpond::trace::Outcome;

use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::config::LoaderConfig;
use crate::dead_letter::{DeadLetterTopic, Ledger, committed_offset};
use crate::error::Error;
use crate::partitions::Partitions;
use crate::postgres::{Advance, Claimant, Database};
use crate::status::SharedStatus;
use fencing::Fencing;
use spans::Traced;

/// A loader on one thread. [`run`](crate::run()) drives it; a test may do so itself, step by step.
///
/// Dropped without [`close`](Self::close) it is as if killed: PostgreSQL knows where to go on.
pub struct Loader<B: Broker> {
    config: LoaderConfig,
    broker: B,
    status: SharedStatus,
    claimant: Claimant,
    database: Database,
    ledger: Ledger<B::Producer>,
    letters: DeadLetterTopic,
    consumer: Option<B::Consumer>,
    /// Who we were at the last assignment: offsets are committed only as that member.
    membership: Membership,
    partitions: Partitions,
    batch: Batch,
    /// Behind the last record of each partition in the batch.
    ends: BTreeMap<TopicPartition, Offset>,
    batch_since: Option<Instant>,
    backoff: Backoff,
    fencing: Fencing,
    displayed_at: Option<Instant>,
    /// How often in a row the group had no offset for a partition that was loaded before.
    missing_offsets: u32,
    traced: Traced,
}

impl<B: Broker> std::fmt::Debug for Loader<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("claimant", &self.claimant)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl<B: Broker> Loader<B> {
    /// A loader that is connected to nothing yet.
    ///
    /// # Errors
    /// [`Error`] when the database URL cannot be read.
    pub fn new(config: LoaderConfig, broker: B, status: SharedStatus) -> Result<Self, Error> {
        let member = config.member();
        let owner = format!("{}/{}", member.group_instance_id, run_id());
        Ok(Self {
            claimant: Claimant { application_id: config.application_id.clone(), owner },
            database: config.database()?,
            ledger: Ledger::new(member.group_instance_id, config.kafka_timeout),
            letters: DeadLetterTopic { name: config.dead_letter_topic.clone(), partitions: 1 },
            consumer: None,
            membership: Membership { generation: -1, member_id: String::new() },
            partitions: Partitions::default(),
            batch: Batch::new(&config.routes),
            ends: BTreeMap::new(),
            batch_since: None,
            backoff: Backoff::new(config.retry_backoff, config.give_up_after),
            fencing: Fencing::new(config.fenced_pause),
            displayed_at: None,
            missing_offsets: 0,
            traced: Traced::by(config.tracing.tracer(&config.member().group_instance_id)),
            config,
            broker,
            status,
        })
    }

    /// Migrates the database, checks the routes and topics, and joins the group.
    ///
    /// # Errors
    /// [`Error`]; may be called again when its recovery is `Retry`.
    pub fn join(&mut self) -> Result<(), Error> {
        self.database.migrate()?;
        for route in &self.config.routes {
            self.database.check_route(route)?;
        }
        let topics = self.config.routes.topics();
        let described = self.broker.describe_topics(&topics)?;
        if let Some(topic) = topics.iter().find(|topic| !described.contains_key(*topic)) {
            return Err(Error::MissingTopic { topic: topic.clone() });
        }
        let letters = self.config.dead_letter_topic.clone();
        // One that is there already is left as it is.
        self.broker.create_topic(&NewTopic {
            name: letters.clone(),
            partitions: 1,
            replication_factor: -1,
            configs: BTreeMap::new(),
        })?;
        let named = self.broker.describe_topics(std::slice::from_ref(&letters))?;
        self.letters.partitions = named.get(&letters).map_or(1, |topic| topic.partitions);
        millpond::failpoint!("loader.before_join");
        // Before the group is joined: a predecessor's open transaction ends here, not while offsets are read.
        self.ledger.ready(&self.broker)?;
        let mut consumer = self.broker.consumer(&self.config.member())?;
        consumer.subscribe(&topics)?;
        self.consumer = Some(consumer);
        let tables: Vec<String> = self.config.routes.iter().map(|route| route.table().plain()).collect();
        self.status.update(|status| {
            status.ready = true;
            // Shown from the beginning: a rate does not see the first value of a series.
            for table in tables {
                status.tables.entry(table).or_default();
            }
        });
        Ok(())
    }

    /// One round: claims what is not claimed, polls once, writes what is due.
    ///
    /// # Errors
    /// [`Error`] that repetition does not cure; drop the loader then.
    pub fn run_once(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.status.update(|status| status.rounds = status.rounds.wrapping_add(1));
        // A claim needs a producer first.
        if self.backoff.is_over(now) && !self.fencing.is_held(now) {
            self.claim_waiting()?;
        }
        self.check_fenced(now)?;
        let timeout = self.config.poll_timeout;
        let polled = match self.member()?.poll(timeout) {
            Ok(polled) => polled,
            Err(error) if error.recovery() == Recovery::Retry => {
                self.survived(&error.into());
                Polled::Idle
            }
            Err(error) => return Err(error.into()),
        };
        let idle = matches!(polled, Polled::Idle);
        match polled {
            Polled::Records(records) => self.take(records, now),
            Polled::Rebalance(change) => self.rebalance(change)?,
            Polled::Idle => {}
        }
        if idle || self.batch_is_due() {
            self.flush()?;
        }
        self.display(false)
    }

    /// Writes what was read, brings the group's offsets up, and leaves without a rebalance.
    ///
    /// # Errors
    /// [`Error`]; the loader is gone all the same, and nothing is lost: what was not written is read again.
    pub fn close(mut self) -> Result<(), Error> {
        millpond::failpoint!("loader.before_close_flush");
        if self.consumer.is_some() {
            self.flush()?;
            millpond::failpoint!("loader.after_close_flush");
            self.display(true)?;
        }
        self.database.disconnect();
        self.status.update(|status| {
            status.ready = false;
            status.connected = false;
            status.partitions.clear();
        });
        match self.consumer.take() {
            Some(consumer) => Ok(consumer.close(false)?),
            None => Ok(()),
        }
    }

    fn member(&mut self) -> Result<&mut B::Consumer, Error> {
        let absent = || BrokerError::new("poll", BrokerErrorKind::Configuration, "the loader has not joined");
        Ok(self.consumer.as_mut().ok_or_else(absent)?)
    }

    fn take(&mut self, records: Vec<ConsumedRecord>, now: Instant) {
        self.traced.see(&records, wall_clock);
        for record in records {
            self.ends.insert(record.source.clone(), record.offset.next());
            self.batch.push(&self.config.routes, record);
        }
        if !self.batch.is_empty() {
            self.batch_since.get_or_insert(now);
        }
    }

    fn batch_is_due(&self) -> bool {
        let limits = &self.config.batch;
        self.batch.records() >= limits.records_max
            || self.batch.bytes() >= limits.bytes_max
            || self.batch_since.is_some_and(|since| since.elapsed() >= limits.linger)
    }

    fn drop_batch(&mut self) {
        self.batch = Batch::new(&self.config.routes);
        self.ends.clear();
        self.batch_since = None;
    }

    fn rebalance(&mut self, change: Rebalance) -> Result<(), Error> {
        match change {
            Rebalance::Revoke(_) => {
                // Before the acknowledgement: after it another loader may claim. What cannot be written now, it reads.
                self.flush()?;
                self.display(true)?;
                self.forget();
                millpond::failpoint!("loader.before_revoke_ack");
                self.member()?.acknowledge()?;
                millpond::failpoint!("loader.after_revoke_ack");
            }
            Rebalance::Lost(_) => {
                self.forget();
                self.member()?.acknowledge()?;
            }
            Rebalance::Assign(partitions) => {
                let consumer = self.member()?;
                consumer.acknowledge()?;
                self.membership = consumer.membership();
                self.partitions.assign(partitions);
                self.backoff.succeeded();
                self.fencing.confirmed();
            }
        }
        self.tell_partitions();
        Ok(())
    }

    fn forget(&mut self) {
        self.drop_batch();
        self.traced.end(Outcome::Dropped("revoked"));
        self.partitions.clear();
    }

    /// The one way out of everything that may pass: forget what was read, and claim again after a while.
    /// `commit`: the steps of a COMMIT without an answer.
    fn stand_down(&mut self, error: Error, commit: &[Advance]) -> Result<(), Error> {
        if matches!(error.recovery(), Recovery::Shutdown | Recovery::RejoinGroup) {
            return Err(error);
        }
        self.fencing.note(&error, Instant::now())?;
        self.survived(&error);
        self.drop_batch();
        self.traced.end(Outcome::Dropped(if commit.is_empty() { "aborted" } else { "unknown" }));
        let doubted = self.partitions.doubt(commit);
        self.tell_partitions();
        self.member()?.pause(&doubted)?;
        self.backoff.failed(Instant::now(), error)
    }

    fn survived(&self, error: &Error) {
        tracing::warn!(%error, "tried again");
        let connected = self.database.is_connected();
        self.status.update(|status| {
            match error {
                Error::Postgres(_) => status.postgres_errors = status.postgres_errors.saturating_add(1),
                _ => status.kafka_errors = status.kafka_errors.saturating_add(1),
            }
            status.connected = connected;
            status.last_error = Some(error.to_string());
        });
    }

    fn tell_partitions(&self) {
        let partitions = self.partitions.status();
        let connected = self.database.is_connected();
        self.status.update(|status| {
            status.partitions = partitions;
            status.connected = connected;
        });
    }

    /// Brings the group's offsets up to the database's, when it is time for it. Only a display: a failure is no harm.
    fn display(&mut self, now: bool) -> Result<(), Error> {
        let interval = self.config.display_interval;
        if !now && self.displayed_at.is_some_and(|at| at.elapsed() < interval) {
            return Ok(());
        }
        let behind = self.partitions.running().filter(|(_, running)| running.displayed != Some(running.claim.next));
        let offsets: BTreeMap<TopicPartition, CommittedOffset> = behind
            .map(|(at, running)| (at.clone(), committed_offset(running.claim.next, running.letters_before)))
            .collect();
        if offsets.is_empty() || self.member()?.membership() != self.membership {
            return Ok(());
        }
        self.displayed_at = Some(Instant::now());
        millpond::failpoint!("loader.before_display");
        match self.ledger.commit(&self.broker, Vec::new(), &offsets, &self.membership) {
            Ok(()) => {
                millpond::failpoint!("loader.after_display");
                for (partition, offset) in offsets {
                    if let Some(running) = self.partitions.running_mut(&partition) {
                        running.displayed = Some(offset.next);
                    }
                }
                Ok(())
            }
            // Another process has our name. Nothing is read until the group has told which of the two stays.
            Err(error) if error.kind == BrokerErrorKind::ProducerFenced => self.stand_down(error.into(), &[]),
            Err(error) if matches!(error.recovery(), Recovery::Shutdown) => Err(error.into()),
            Err(error) => {
                self.survived(&error.into());
                Ok(())
            }
        }
    }
}

/// Different for each run of each process on each machine that could share an instance name by mistake.
fn run_id() -> String {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{run:x}", since.as_nanos(), std::process::id())
}

/// The wall clock, for the time of dead letters.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
