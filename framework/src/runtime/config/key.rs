//! The table of keys: name, meaning, type and bounds, and where the value goes.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Problem, nearest};
use super::security::{MASK, SecurityProtocol};
use super::sources::{Entry, Raw};
use super::{Auth, OnError, OnShutdown, Secret, StartFrom, StreamsConfig, refusal};

/// One key of the configuration.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    kind: Kind,
    /// The effective value as it may be shown.
    pub(super) show: fn(&StreamsConfig) -> String,
}

impl Key {
    /// Whether a file says its value in quotes.
    pub(super) fn is_text(&self) -> bool {
        !matches!(self.kind, Kind::Millis(..) | Kind::Bytes(..) | Kind::Count(..))
    }

    /// What may be said, for people.
    pub(super) fn accepts(&self) -> String {
        match &self.kind {
            Kind::Text(_) => "text".to_owned(),
            Kind::Secret(_) => "text that is masked wherever it is shown".to_owned(),
            Kind::Path(_) => "path".to_owned(),
            Kind::Millis(bounds, _) => format!("milliseconds, {} to {}", bounds.start(), bounds.end()),
            Kind::Bytes(bounds, _) => format!("bytes, {} to {}", in_units(*bounds.start()), in_units(*bounds.end())),
            Kind::Count(bounds, _) => format!("{} to {}", bounds.start(), bounds.end()),
            Kind::Choice(words, _) => words.join(", "),
            Kind::Listen(_) => "host:port, port, none".to_owned(),
        }
    }

    /// The value when nobody says one, for people.
    pub(super) fn default(&self) -> String {
        let value = (self.show)(&StreamsConfig::new("", "", ""));
        match (&self.kind, value.parse()) {
            (Kind::Bytes(..), Ok(bytes)) => in_units(bytes),
            _ => value,
        }
    }
}

type Set<T> = fn(&mut StreamsConfig, T);

enum Kind {
    Text(Set<String>),
    Secret(Set<Secret>),
    Path(Set<PathBuf>),
    /// Milliseconds within bounds.
    Millis(RangeInclusive<u64>, Set<Duration>),
    /// Bytes within bounds: a number, or a text such as `64 MiB`.
    Bytes(RangeInclusive<u64>, Set<u64>),
    Count(RangeInclusive<i64>, Set<i64>),
    /// One of these words.
    Choice(&'static [&'static str], fn(&mut StreamsConfig, &str)),
    Listen(Set<Option<SocketAddr>>),
}

const HOUR: u64 = 3_600_000;
const KIB: u64 = 1024;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const POLICIES: &[&str] = &["stop", "dead-letter"];

/// All keys, in the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "application.id",
        meaning: "the consumer group, and the prefix of internal topics and transactional ids",
        kind: Kind::Text(|config, value| config.application_id = value),
        show: |config| config.application_id.clone(),
    },
    Key {
        name: "instance",
        meaning: "this process among those of the application; made once and kept in state.dir when absent",
        kind: Kind::Text(|config, value| config.instance = Some(value)),
        show: |config| shown(config.instance.as_ref()),
    },
    Key {
        name: "bootstrap.servers",
        meaning: "brokers to begin with: host:port, separated by commas",
        kind: Kind::Text(|config, value| config.bootstrap_servers = value),
        show: |config| config.bootstrap_servers.clone(),
    },
    Key {
        name: "state.dir",
        meaning: "where stores live; the default is millpond/ in the user's data directory (XDG_DATA_HOME)",
        kind: Kind::Path(|config, value| config.state_dir = value),
        show: |config| config.state_dir.display().to_string(),
    },
    Key {
        name: "num.stream.threads",
        meaning: "stream threads in this process",
        kind: Kind::Count(1..=512, |config, value| config.stream_threads = size(value)),
        show: |config| config.stream_threads.to_string(),
    },
    Key {
        name: "commit.interval.ms",
        meaning: "time between two commits; less than half of transaction.timeout.ms",
        kind: Kind::Millis(1..=HOUR, |config, value| config.commit_interval = value),
        show: |config| millis(config.commit_interval),
    },
    Key {
        name: "poll.ms",
        meaning: "how long a poll waits when there is nothing to do, and nothing to commit",
        kind: Kind::Millis(0..=60_000, |config, value| config.poll_timeout = value),
        show: |config| millis(config.poll_timeout),
    },
    Key {
        name: "max.poll.interval.ms",
        meaning: "longest time between two polls before the group takes the partitions away",
        kind: Kind::Millis(1_000..=24 * HOUR, |config, value| config.max_poll_interval = value),
        show: |config| millis(config.max_poll_interval),
    },
    Key {
        name: "session.timeout.ms",
        meaning: "silence after which the group takes this member for dead; brokers refuse less than 6000 by default",
        kind: Kind::Millis(1_000..=HOUR, |config, value| config.session_timeout = value),
        show: |config| millis(config.session_timeout),
    },
    Key {
        name: "heartbeat.interval.ms",
        meaning: "time between two heartbeats; less than session.timeout.ms",
        kind: Kind::Millis(100..=HOUR, |config, value| config.heartbeat_interval = value),
        show: |config| millis(config.heartbeat_interval),
    },
    Key {
        name: "transaction.timeout.ms",
        meaning: "age at which the broker aborts an open transaction",
        kind: Kind::Millis(1_000..=HOUR, |config, value| config.transaction_timeout = value),
        show: |config| millis(config.transaction_timeout),
    },
    Key {
        name: "max.records.per.round",
        meaning: "records processed between two polls",
        kind: Kind::Count(1..=1_000_000, |config, value| config.records_per_round = size(value)),
        show: |config| config.records_per_round.to_string(),
    },
    Key {
        name: "buffered.records.per.partition",
        meaning: "records waiting in memory per input partition",
        kind: Kind::Count(1..=10_000_000, |config, value| config.buffered_records_per_partition = size(value)),
        show: |config| config.buffered_records_per_partition.to_string(),
    },
    Key {
        name: "input.buffer.max.bytes",
        meaning: "bytes of input waiting in memory per stream thread",
        kind: Kind::Bytes(64 * KIB..=64 * GIB, |config, value| config.input_buffer_bytes_max = value),
        show: |config| config.input_buffer_bytes_max.to_string(),
    },
    Key {
        name: "uncommitted.max.bytes",
        meaning: "bytes of uncommitted writes and outputs per stream thread; at the limit it commits early",
        kind: Kind::Bytes(64 * KIB..=64 * GIB, |config, value| config.uncommitted_bytes_max = value),
        show: |config| config.uncommitted_bytes_max.to_string(),
    },
    Key {
        name: "statestore.cache.max.bytes",
        meaning: "caches of rows read lately and of RocksDB's blocks, half each; one for the process",
        kind: Kind::Bytes(64 * KIB..=TIB, |config, value| config.statestore_cache_bytes_max = value),
        show: |config| config.statestore_cache_bytes_max.to_string(),
    },
    Key {
        name: "statestore.write.buffer.max.bytes",
        meaning: "RocksDB's memtables, one budget for the process",
        kind: Kind::Bytes(64 * KIB..=TIB, |config, value| config.statestore_write_buffer_bytes_max = value),
        show: |config| config.statestore_write_buffer_bytes_max.to_string(),
    },
    Key {
        name: "on.shutdown",
        meaning: "stay: the partitions wait for this instance until its session ends; leave: the others take over at once",
        kind: Kind::Choice(&["stay", "leave"], |config, word| {
            config.on_shutdown = if word == "leave" { OnShutdown::Leave } else { OnShutdown::Stay };
        }),
        show: |config| match config.on_shutdown {
            OnShutdown::Stay => "stay".to_owned(),
            OnShutdown::Leave => "leave".to_owned(),
        },
    },
    Key {
        name: "replication.factor",
        meaning: "replicas of internal topics; -1 is the broker's default",
        kind: Kind::Count(-1..=32_767, |config, value| {
            config.replication_factor = i32::try_from(value).unwrap_or(-1);
        }),
        show: |config| config.replication_factor.to_string(),
    },
    Key {
        name: "start.from",
        meaning: "where to begin in an input partition without a committed offset",
        kind: Kind::Choice(&["earliest", "latest"], |config, value| {
            config.start_from = if value == "latest" { StartFrom::Latest } else { StartFrom::Earliest };
        }),
        show: |config| match config.start_from {
            StartFrom::Earliest => "earliest".to_owned(),
            StartFrom::Latest => "latest".to_owned(),
        },
    },
    Key {
        name: "errors.deserialization",
        meaning: "what to do with a record that cannot be decoded",
        kind: Kind::Choice(POLICIES, |config, value| config.on_deserialization_error = policy(value)),
        show: |config| policy_name(config.on_deserialization_error),
    },
    Key {
        name: "errors.processing",
        meaning: "what to do with a record that a processor refuses",
        kind: Kind::Choice(POLICIES, |config, value| config.on_processing_error = policy(value)),
        show: |config| policy_name(config.on_processing_error),
    },
    Key {
        name: "errors.dead.letter.queue.topic.name",
        meaning: "the dead-letter topic",
        kind: Kind::Text(|config, value| config.dead_letter_topic = Some(value)),
        show: |config| shown(config.dead_letter_topic.as_ref()),
    },
    Key {
        name: "errors.dead.letter.queue.payload",
        meaning: "whether dead letters carry key, value and headers, or only point to their source",
        kind: Kind::Choice(&["keep", "omit"], |config, value| config.dead_letter_payload = value == "keep"),
        show: |config| if config.dead_letter_payload { "keep" } else { "omit" }.to_owned(),
    },
    Key {
        name: "http.listen",
        meaning: "address of metrics and the status page: host:port, a port alone for 127.0.0.1, or none",
        kind: Kind::Listen(|config, value| config.http_listen = value),
        show: |config| config.http_listen.map_or_else(|| "none".to_owned(), |address| address.to_string()),
    },
    Key {
        name: "http.hosts",
        meaning: "names under which the page may be asked for, beside addresses and names without a dot; *.name for all below",
        kind: Kind::Text(|config, value| {
            config.http_hosts = value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        }),
        show: |config| config.http_hosts.join(","),
    },
    Key {
        name: "otlp.endpoint",
        meaning: "the collector of OpenTelemetry that spans go to, such as http://localhost:4318; without it there are none",
        kind: Kind::Text(|config, value| config.otlp_endpoint = Some(value)),
        show: |config| shown(config.otlp_endpoint.as_ref()),
    },
    Key {
        name: "otlp.sampling.percent",
        meaning: "of a hundred batches, how many have a span",
        kind: Kind::Count(1..=100, |config, value| config.otlp_sampling_percent = u8::try_from(value).unwrap_or(100)),
        show: |config| config.otlp_sampling_percent.to_string(),
    },
    Key {
        name: "http.admin.token",
        meaning: "secret for what may be changed over HTTP (/admin/log-level), 16 characters or more; without it there is no such path",
        kind: Kind::Secret(|config, value| config.http_admin_token = Some(value)),
        show: |config| shown(config.http_admin_token.as_ref()),
    },
    Key {
        name: "queries",
        meaning: "whether committed rows of stores can be asked for over HTTP, at /stores",
        kind: Kind::Choice(&["off", "on"], |config, word| config.queries = word == "on"),
        show: |config| if config.queries { "on" } else { "off" }.to_owned(),
    },
    Key {
        name: "queries.unmasked.stores",
        meaning: "stores, separated by commas, whose rows queries show although they may tell something about a person",
        kind: Kind::Text(|config, value| {
            config.queries_unmasked_stores = value.split(',').map(|name| name.trim().to_owned()).collect();
        }),
        show: |config| config.queries_unmasked_stores.join(","),
    },
    Key {
        name: "application.server",
        meaning: "host:port at which the application's other processes reach this one for queries; http.listen when absent",
        kind: Kind::Text(|config, value| config.application_server = Some(value)),
        show: |config| shown(config.application_server.as_ref()),
    },
    Key {
        name: "security.protocol",
        meaning: "how to talk to the brokers",
        kind: Kind::Choice(SecurityProtocol::NAMES, |config, value| {
            config.security.protocol = SecurityProtocol::parse(value);
        }),
        show: |config| config.security.protocol.as_str().to_owned(),
    },
    Key {
        name: "ssl.ca.location",
        meaning: "PEM file of the authorities that sign the brokers' certificates",
        kind: Kind::Path(|config, value| config.security.ssl_ca_location = Some(value)),
        show: |config| shown(config.security.ssl_ca_location.as_ref().map(|path| path.display())),
    },
    Key {
        name: "ssl.certificate.location",
        meaning: "PEM file of this client's certificate",
        kind: Kind::Path(|config, value| config.security.ssl_certificate_location = Some(value)),
        show: |config| shown(config.security.ssl_certificate_location.as_ref().map(|path| path.display())),
    },
    Key {
        name: "ssl.key.location",
        meaning: "PEM file of this client's private key",
        kind: Kind::Path(|config, value| config.security.ssl_key_location = Some(value)),
        show: |config| shown(config.security.ssl_key_location.as_ref().map(|path| path.display())),
    },
    Key {
        name: "ssl.key.password",
        meaning: "password of the private key",
        kind: Kind::Secret(|config, value| config.security.ssl_key_password = Some(value)),
        show: |config| shown(config.security.ssl_key_password.as_ref()),
    },
    Key {
        name: "sasl.mechanism",
        meaning: "how to authenticate",
        kind: Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"], |config, value| {
            config.security.sasl_mechanism = Some(value.to_owned());
        }),
        show: |config| shown(config.security.sasl_mechanism.as_ref()),
    },
    Key {
        name: "sasl.username",
        meaning: "user for PLAIN and SCRAM",
        kind: Kind::Text(|config, value| config.security.sasl_username = Some(value)),
        show: |config| shown(config.security.sasl_username.as_ref()),
    },
    Key {
        name: "sasl.password",
        meaning: "password for PLAIN and SCRAM",
        kind: Kind::Secret(|config, value| config.security.sasl_password = Some(value)),
        show: |config| shown(config.security.sasl_password.as_ref()),
    },
    Key {
        name: "sasl.oauthbearer.token.file",
        meaning: "file with the token for OAUTHBEARER, read anew for each: as Kubernetes projects one into a pod",
        kind: Kind::Path(|config, value| config.security.sasl_oauthbearer_token_file = Some(value)),
        show: |config| shown(config.security.sasl_oauthbearer_token_file.as_ref().map(|path| path.display())),
    },
    Key {
        name: "auth",
        meaning: "shorthand for authentication: msk-iam, with aws.region",
        kind: Kind::Choice(&["msk-iam"], |config, _| config.security.auth = Some(Auth::MskIam)),
        show: |config| shown(config.security.auth.map(|Auth::MskIam| "msk-iam")),
    },
    Key {
        name: "aws.region",
        meaning: "the AWS region of the MSK cluster, or of the database on RDS",
        kind: Kind::Text(|config, value| config.security.aws_region = Some(value)),
        show: |config| shown(config.security.aws_region.as_ref()),
    },
    Key {
        name: "aws.role.arn",
        meaning: "the role to take on with the machine's own AWS credentials; without it, they are used as they are",
        kind: Kind::Text(|config, value| config.security.aws_role_arn = Some(value)),
        show: |config| shown(config.security.aws_role_arn.as_ref()),
    },
];

/// Puts one entry into its field.
pub(super) fn apply(config: &mut StreamsConfig, entry: &Entry) -> Result<(), Problem> {
    if let Some(property) = entry.key.strip_prefix("kafka.") {
        return pass_through(config, property, &entry.raw);
    }
    let Some(key) = KEYS.iter().find(|key| key.name == entry.key) else {
        return Err(unknown(&entry.key));
    };
    match &key.kind {
        Kind::Text(set) => set(config, text(key.name, &entry.raw)?),
        Kind::Path(set) => set(config, PathBuf::from(text(key.name, &entry.raw)?)),
        Kind::Secret(set) => {
            let (Raw::Said(secret) | Raw::Text(secret)) = &entry.raw else {
                return Err(wrong(key.name, "a text", MASK));
            };
            set(config, Secret::new(secret));
        }
        Kind::Millis(bounds, set) => {
            let value = integer(key.name, &entry.raw, "a whole number of milliseconds")?;
            set(config, Duration::from_millis(within(key.name, value, bounds)?));
        }
        Kind::Bytes(bounds, set) => {
            let value = bytes(key.name, &entry.raw)?;
            set(config, within(key.name, value, bounds)?);
        }
        Kind::Count(bounds, set) => {
            let value = integer(key.name, &entry.raw, "a whole number")?;
            set(config, within(key.name, value, bounds)?);
        }
        Kind::Choice(words, set) => set(config, choice(key.name, &entry.raw, words)?),
        Kind::Listen(set) => set(config, listen(key.name, &entry.raw)?),
    }
    Ok(())
}

fn pass_through(config: &mut StreamsConfig, property: &str, raw: &Raw) -> Result<(), Problem> {
    if let Some(reason) = refusal(property) {
        return Err(Problem::Refused { property: property.to_owned(), reason });
    }
    let value = match raw {
        Raw::Said(value) | Raw::Text(value) | Raw::Float(value) => value.clone(),
        Raw::Integer(value) => value.to_string(),
        Raw::Boolean(value) => value.to_string(),
        Raw::Other(kind) => return Err(wrong(&format!("kafka.{property}"), "a text, a number or true or false", kind)),
    };
    config.kafka.insert(property.to_owned(), value);
    Ok(())
}

pub(super) fn unknown(key: &str) -> Problem {
    let suggestion = nearest(key, KEYS.iter().map(|key| key.name));
    Problem::UnknownKey { key: key.to_owned(), suggestion }
}

fn wrong(key: &str, expected: &str, found: &str) -> Problem {
    Problem::WrongType { key: key.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}

fn text(key: &str, raw: &Raw) -> Result<String, Problem> {
    match raw {
        Raw::Said(value) | Raw::Text(value) if value.trim().is_empty() => {
            Err(Problem::Impossible { key: key.to_owned(), reason: "it is empty".to_owned() })
        }
        Raw::Said(value) | Raw::Text(value) => Ok(value.clone()),
        other => Err(wrong(key, "a text in quotes", &other.describe())),
    }
}

fn integer(key: &str, raw: &Raw, expected: &str) -> Result<i64, Problem> {
    match raw {
        Raw::Integer(value) => Ok(*value),
        // Flags and variables have no types; a file has, and a number in quotes there is a mistake.
        Raw::Said(value) => value.trim().parse().map_err(|_| wrong(key, expected, &raw.describe())),
        other => Err(wrong(key, expected, &other.describe())),
    }
}

fn bytes(key: &str, raw: &Raw) -> Result<i64, Problem> {
    let expected = "a number of bytes, such as 67108864 or \"64 MiB\"";
    let (Raw::Said(value) | Raw::Text(value)) = raw else {
        return integer(key, raw, expected);
    };
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let unit: i64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong(key, expected, &raw.describe())),
    };
    let number: i64 = number.parse().map_err(|_| wrong(key, expected, &raw.describe()))?;
    Ok(number.saturating_mul(unit))
}

fn within<T>(key: &str, value: i64, bounds: &RangeInclusive<T>) -> Result<T, Problem>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    match T::try_from(value) {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => Err(Problem::Impossible {
            key: key.to_owned(),
            reason: format!("{value} is not between {} and {}", bounds.start(), bounds.end()),
        }),
    }
}

fn choice(key: &str, raw: &Raw, words: &'static [&'static str]) -> Result<&'static str, Problem> {
    let said = match raw {
        Raw::Said(value) | Raw::Text(value) => words.iter().find(|word| word.eq_ignore_ascii_case(value)),
        _ => None,
    };
    said.copied().ok_or_else(|| wrong(key, &format!("one of {}", words.join(", ")), &raw.describe()))
}

fn listen(key: &str, raw: &Raw) -> Result<Option<SocketAddr>, Problem> {
    let loopback = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let expected = "host:port with a numeric host, a port alone for 127.0.0.1, or \"none\"";
    match raw {
        Raw::Said(value) | Raw::Text(value) if value == "none" => Ok(None),
        Raw::Said(value) | Raw::Text(value) => match value.strip_prefix("localhost:").unwrap_or(value).parse() {
            Ok(port) => Ok(loopback(port)),
            Err(_) => value.parse().map(Some).map_err(|_| wrong(key, expected, &raw.describe())),
        },
        Raw::Integer(port) => u16::try_from(*port).map(loopback).map_err(|_| wrong(key, expected, &raw.describe())),
        other => Err(wrong(key, expected, &other.describe())),
    }
}

fn policy(word: &str) -> OnError {
    if word == "dead-letter" { OnError::DeadLetter } else { OnError::Stop }
}

fn policy_name(policy: OnError) -> String {
    match policy {
        OnError::Stop => "stop".to_owned(),
        OnError::DeadLetter => "dead-letter".to_owned(),
    }
}

fn size(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn millis(value: Duration) -> String {
    value.as_millis().to_string()
}

/// As a file may say it: `64 MiB`.
fn in_units(bytes: u64) -> String {
    let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let unit = units.into_iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| bytes.to_string(), |(size, name)| format!("{} {name}", bytes / size))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
