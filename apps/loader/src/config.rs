//! What a loader needs to know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millpond::broker::MemberConfig;
use millpond::record::TopicName;
use millpond::trace::Tracing;

use crate::postgres::{Database, Limits, PasswordSource};
use crate::route::Routes;

/// Where a partition starts that was never loaded into this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartPolicy {
    /// At the first record that is still there.
    #[default]
    Earliest,
    /// Behind the last record that is there.
    Latest,
}

/// When a batch is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// With that many records, or as many more as one poll brings.
    pub records_max: usize,
    /// With that many bytes of keys, values and headers.
    pub bytes_max: usize,
    /// That long after its first record; at once when nothing more is there to read.
    pub linger: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { records_max: 20_000, bytes_max: 16 << 20, linger: Duration::from_millis(200) }
    }
}

/// One loader: one group member on one thread with one connection to PostgreSQL.
#[derive(Clone)]
pub struct LoaderConfig {
    /// The consumer group, and the `app` of `sink_offset`.
    pub application_id: String,
    /// The process among those of the application; stable over restarts.
    pub instance: String,
    /// The thread in the process.
    pub thread: u32,
    /// `postgres://user:password@host:5432/database`; never shown.
    pub database_url: String,
    /// Passwords for each connection, where the URL has none that lasts.
    pub passwords: Option<Arc<dyn PasswordSource>>,
    /// Topics to tables.
    pub routes: Routes,
    /// Where records go that cannot be loaded; made when it is missing.
    pub dead_letter_topic: TopicName,
    /// Where a partition starts that was never loaded into this database.
    pub start: StartPolicy,
    /// When a batch is written.
    pub batch: BatchLimits,
    /// Time limits towards PostgreSQL.
    pub limits: Limits,
    /// How long one poll waits for records.
    pub poll_timeout: Duration,
    /// Time limit of one request to Kafka. Shorter than `limits.idle_in_transaction`.
    pub kafka_timeout: Duration,
    /// How often the group's offsets are brought up to those in the database, for lag displays.
    pub display_interval: Duration,
    /// How long to wait after a failure before claims are renewed; doubles up to 3 s.
    pub retry_backoff: Duration,
    /// How long no producer is made after another process with our name has fenced ours: the group decides meanwhile which of
    /// the two stays. Longer than a heartbeat's interval.
    pub fenced_pause: Duration,
    /// How long PostgreSQL (or Kafka) may be away, or a claim be held by another, before the loader ends with an error.
    pub give_up_after: Duration,
    /// Who is told of batches; nobody by default.
    pub tracing: Tracing,
}

impl LoaderConfig {
    /// The usual settings; dead letters go to `<application_id>-dead-letters`.
    pub fn new(application_id: &str, instance: &str, database_url: &str, routes: Routes) -> Self {
        Self {
            application_id: application_id.to_owned(),
            instance: instance.to_owned(),
            thread: 0,
            database_url: database_url.to_owned(),
            passwords: None,
            routes,
            dead_letter_topic: format!("{application_id}-dead-letters").into(),
            start: StartPolicy::default(),
            batch: BatchLimits::default(),
            limits: Limits::default(),
            poll_timeout: Duration::from_millis(100),
            kafka_timeout: Duration::from_secs(20),
            display_interval: Duration::from_secs(1),
            retry_backoff: Duration::from_millis(50),
            fenced_pause: Duration::from_millis(2_500),
            give_up_after: Duration::from_mins(5),
            tracing: Tracing::default(),
        }
    }

    /// Its database; not connected to yet.
    ///
    /// # Errors
    /// [`Error`](crate::postgres::Error): correct the URL.
    pub fn database(&self) -> Result<Database, crate::postgres::Error> {
        let database = Database::new(&self.database_url, self.limits.clone())?;
        match &self.passwords {
            Some(passwords) => database.with_passwords(Arc::clone(passwords)),
            None => Ok(database),
        }
    }

    /// The group member; its instance id is the transactional id of the dead letters as well.
    pub fn member(&self) -> MemberConfig {
        MemberConfig {
            group_id: self.application_id.clone(),
            group_instance_id: format!("{}-{}-{}", self.application_id, self.instance, self.thread),
        }
    }
}

impl fmt::Debug for LoaderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL, which holds the password.
        f.debug_struct("LoaderConfig")
            .field("application_id", &self.application_id)
            .field("instance", &self.instance)
            .field("thread", &self.thread)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
