//! Configuration with Kafka's names at the edge and types inside.
//!
//! Flags override the environment, which overrides a TOML file, which overrides the application's defaults, which
//! override the library's. Each value remembers who said it. Unknown keys, wrong types and impossible values are errors
//! that show the line of the file, or name the flag or variable; all of them are reported at once.
//!
//! In the file, keys are written as in Kafka's documentation; TOML's dotted keys allow that without quotes:
//!
//! ```toml
//! application.id = "orders"
//! bootstrap.servers = "localhost:9092"
//! commit.interval.ms = 100
//! uncommitted.max.bytes = "64 MiB"
//!
//! [kafka]            # any property of librdkafka, except those that exactly-once depends on
//! linger.ms = 5
//!
//! [app]              # the application's own, see AppConfig
//! input = "events"
//! ```
//!
//! In the environment the first is `MILLPOND_APPLICATION_ID`, a property `MILLPOND_KAFKA_LINGER_MS`, and the
//! application's `MILLPOND_APP_INPUT` (two underscores for a table in a table).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod app;
mod check;
mod error;
mod kafka;
mod key;
mod security;
mod sources;
#[cfg(test)]
mod tests;

pub use app::AppConfig;
pub use error::{ConfigError, ConfigErrors, Excerpt, Origin, Problem};
pub use kafka::{Properties, REFUSED, Refused, refusal};
pub use security::{Auth, Secret, SecurityConfig, SecurityProtocol};
pub use sources::{File, Flag, Sources};

use sources::Place;

/// A key of the library's configuration, as [`StreamsConfig::keys`] tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReference {
    /// Kafka's name, or ours in its manner.
    pub name: &'static str,
    /// What it is for.
    pub meaning: &'static str,
    /// What may be said: the type with its bounds, or the words.
    pub accepts: String,
    /// The library's own value; empty where there is none.
    pub default: String,
}

/// Where to begin in an input partition for which the group has no committed offset: `start.from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// The first record that is still there.
    #[default]
    Earliest,
    /// The end, as it is when the partition is first assigned.
    Latest,
}

/// What to do with a record that cannot be decoded or processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Stop the application, so that a person looks at it.
    #[default]
    Stop,
    /// Send the record to the dead-letter topic in the same transaction, and go on.
    DeadLetter,
}

/// What stopping means for the group: `on.shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnShutdown {
    /// The partitions wait for this instance until its session ends, as for a restart or an upgrade.
    #[default]
    Stay,
    /// The others take over at once, as for a scale-in.
    Leave,
}

/// Everything an application can be told. Made by [`load`](Self::load), or by [`new`](Self::new) in a program.
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    /// `application.id`: the consumer group's id, and the first part of the names of internal topics and transactional ids.
    pub application_id: String,
    /// `instance`: this process among those of the application, such as a pod's ordinal. `None`: made once and kept in
    /// the state directory.
    pub instance: Option<String>,
    /// `bootstrap.servers`: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// `state.dir`: where stores live, each application in a directory of its own name below.
    pub state_dir: PathBuf,
    /// `num.stream.threads`.
    pub stream_threads: usize,
    /// `commit.interval.ms`.
    pub commit_interval: Duration,
    /// `poll.ms`: how long a poll waits when there is nothing to do.
    pub poll_timeout: Duration,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: members learn of a rebalance by their next one, so a hand-over takes this long.
    pub heartbeat_interval: Duration,
    /// `transaction.timeout.ms`: after this the broker aborts an open transaction. Deliveries are given up at 4/5 of it.
    pub transaction_timeout: Duration,
    /// `max.records.per.round`: how many records are processed between two polls.
    pub records_per_round: usize,
    /// `buffered.records.per.partition`: above it no more is taken from the partition's fetch queue.
    pub buffered_records_per_partition: usize,
    /// `input.buffer.max.bytes`: bytes of input in memory, over all partitions of a thread.
    pub input_buffer_bytes_max: u64,
    /// `uncommitted.max.bytes`: bytes of uncommitted writes and outputs of a thread; at the limit it commits early.
    pub uncommitted_bytes_max: u64,
    /// `statestore.cache.max.bytes`: half for rows read lately, half for RocksDB's blocks; for the process.
    pub statestore_cache_bytes_max: u64,
    /// `statestore.write.buffer.max.bytes`: RocksDB's memtables, one budget for the process.
    pub statestore_write_buffer_bytes_max: u64,
    /// `on.shutdown`: whether a process that is asked to stop leaves its group.
    pub on_shutdown: OnShutdown,
    /// `replication.factor` of internal topics; -1 is the broker's default.
    pub replication_factor: i32,
    /// `start.from`.
    pub start_from: StartFrom,
    /// `errors.deserialization`: for records that cannot be decoded.
    pub on_deserialization_error: OnError,
    /// `errors.processing`: for records that a processor refuses.
    pub on_processing_error: OnError,
    /// `errors.dead.letter.queue.topic.name`; `<application.id>-dead-letters` when a policy needs one and none is said.
    pub dead_letter_topic: Option<String>,
    /// `errors.dead.letter.queue.payload`: whether dead letters carry the record, or only point to it.
    pub dead_letter_payload: bool,
    /// `http.listen`: where metrics and the status page are served; `None` for nowhere. Port 0 takes a free one.
    pub http_listen: Option<SocketAddr>,
    /// `http.hosts`: names under which the page may be asked for, beside addresses, `localhost` and names without a dot.
    pub http_hosts: Vec<String>,
    /// `otlp.endpoint`: the collector of OpenTelemetry that spans go to, `http://host:4318`; `None` for no spans.
    pub otlp_endpoint: Option<String>,
    /// `otlp.sampling.percent`: of a hundred batches, how many have a span.
    pub otlp_sampling_percent: u8,
    /// `http.admin.token`: opens what may be changed over HTTP; without it nothing may.
    pub http_admin_token: Option<Secret>,
    /// `queries`: whether committed state is shown over HTTP, and the group told where.
    pub queries: bool,
    /// `queries.unmasked.stores`: stores whose rows are shown although they may tell something about a person.
    pub queries_unmasked_stores: Vec<String>,
    /// `application.server`: where the other processes of the application reach this one; see
    /// [`application_server`](Self::application_server).
    pub application_server: Option<String>,
    /// Encryption and authentication.
    pub security: SecurityConfig,
    /// The `[kafka]` section.
    pub kafka: Properties,
    /// The `[app]` section.
    pub app: AppConfig,
    /// Who said what, by key; a key that is missing has its default.
    places: BTreeMap<String, Place>,
}

/// One effective value, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value; secrets are masked.
    pub value: String,
    /// Whether a file says it in quotes.
    pub is_text: bool,
    /// Who said it.
    pub origin: Origin,
}

impl StreamsConfig {
    /// The defaults, with the three values that have none.
    pub fn new(
        application_id: impl Into<String>,
        bootstrap_servers: impl Into<String>,
        state_dir: impl Into<PathBuf>,
    ) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            application_id: application_id.into(),
            instance: None,
            bootstrap_servers: bootstrap_servers.into(),
            state_dir: state_dir.into(),
            stream_threads: 1,
            commit_interval: Duration::from_millis(100),
            poll_timeout: Duration::from_millis(100),
            max_poll_interval: Duration::from_mins(5),
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_millis(500),
            transaction_timeout: Duration::from_secs(10),
            records_per_round: 1000,
            buffered_records_per_partition: 2_000,
            input_buffer_bytes_max: 32 * MIB,
            uncommitted_bytes_max: 64 * MIB,
            statestore_cache_bytes_max: 128 * MIB,
            statestore_write_buffer_bytes_max: 32 * MIB,
            on_shutdown: OnShutdown::default(),
            replication_factor: -1,
            start_from: StartFrom::default(),
            on_deserialization_error: OnError::default(),
            on_processing_error: OnError::default(),
            dead_letter_topic: None,
            dead_letter_payload: true,
            http_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            http_hosts: Vec::new(),
            otlp_endpoint: None,
            otlp_sampling_percent: 100,
            http_admin_token: None,
            queries: false,
            queries_unmasked_stores: Vec::new(),
            application_server: None,
            security: SecurityConfig::default(),
            kafka: Properties::default(),
            app: AppConfig::default(),
            places: BTreeMap::new(),
        }
    }

    /// Reads all sources, applies them in order, and checks the result.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong; show it, and stop.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut config = Self::new("", "", "");
        let mut errors = Vec::new();
        let entries = sources.entries(&mut errors);
        if let Some(dir) = sources.default_state_dir() {
            config.state_dir = dir;
        }
        for entry in entries {
            match key::apply(&mut config, &entry) {
                Ok(()) => {
                    config.places.insert(entry.key.clone(), entry.place);
                }
                Err(problem) => errors.push(entry.place.error(problem)),
            }
        }
        config.app = AppConfig::collect(sources, &mut errors);
        check::check(&config, &mut errors);
        // One root cause often breaks several checks, each at the same place; the first is the most precise.
        errors.dedup_by(|later, earlier| later.problem == earlier.problem && later.origin == earlier.origin);
        ConfigErrors::or_ok(errors)?;
        Ok(config)
    }

    /// Checks a configuration that a program has made or changed.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is impossible.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        check::check(self, &mut errors);
        ConfigErrors::or_ok(errors)
    }

    /// How long the producer tries to deliver a record: librdkafka's `message.timeout.ms`, 4/5 of the transaction's.
    pub fn delivery_timeout(&self) -> Duration {
        self.transaction_timeout * 4 / 5
    }

    /// How long whoever is fenced makes no producer: until its next heartbeat has told whether it is still a member, and a twin
    /// has had two seconds to join.
    pub const fn fenced_pause(&self) -> Duration {
        super::fencing::pause(self.heartbeat_interval)
    }

    /// The topic of dead letters: the one that is said, or `<application.id>-dead-letters`.
    pub fn dead_letter_topic_name(&self) -> String {
        self.dead_letter_topic.clone().unwrap_or_else(|| format!("{}-dead-letters", self.application_id))
    }

    /// Where this process answers queries, `host:port`: what `application.server` says, or else `http.listen`. `None` when it
    /// answers none.
    pub fn application_server(&self) -> Option<String> {
        let listen = self.http_listen.filter(|_| self.queries)?;
        self.application_server.clone().or_else(|| Some(listen.to_string()))
    }

    /// The effective values with their origins: first the keys of the library, then `kafka.…`, then `app.…`.
    pub fn settings(&self) -> Vec<Setting> {
        let known = key::KEYS.iter().map(|key| self.setting(key.name, (key.show)(self), key.is_text()));
        let kafka = self.kafka.iter().map(|(property, value)| {
            let key = format!("kafka.{property}");
            let value = security::masked(property, value);
            self.setting(&key, value, true)
        });
        known.chain(kafka).chain(self.app.settings()).collect()
    }

    /// Every key of the library, for documentation and shells.
    pub fn keys() -> impl Iterator<Item = KeyReference> {
        key::KEYS.iter().map(|key| KeyReference {
            name: key.name,
            meaning: key.meaning,
            accepts: key.accepts(),
            default: key.default(),
        })
    }

    fn setting(&self, key: &str, value: String, is_text: bool) -> Setting {
        let origin = self.places.get(key).map_or(Origin::Default, |place| place.origin.clone());
        Setting { key: key.to_owned(), value, is_text, origin }
    }

    fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or_default()
    }
}
