//! librdkafka properties: the ones we set, why we set them, and the ones that nobody else may set.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::config::{KafkaConfig, Sasl, Security};
use crate::runtime::config::refusal;

/// A property that may not be passed through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the property {name} cannot be set: {reason}")]
pub struct PropertyRefused {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}

/// Whether a librdkafka property may be passed through in [`KafkaConfig::properties`]: the same table as for an
/// application's configuration, [`REFUSED`](crate::runtime::config::REFUSED).
///
/// # Errors
/// [`PropertyRefused`] with the reason, for those that exactly-once depends on and those that have a field of their own:
/// remove it.
pub fn check_property(name: &str) -> Result<(), PropertyRefused> {
    refusal(name).map_or(Ok(()), |reason| Err(PropertyRefused { name: name.to_owned(), reason }))
}

/// Whether a property's value must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    ["password", "secret", "key.pem", "oauthbearer.config", "token", "assertion"].iter().any(|part| name.contains(part))
}

/// Which client the properties are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role<'a> {
    /// A group member.
    Member { group_id: &'a str, group_instance_id: &'a str },
    /// A reader of changelogs.
    Reader,
    /// A transactional producer.
    Producer { transactional_id: &'a str },
    /// Topics and offsets.
    Admin,
}

/// All properties of a client: the user's first, then ours, so that ours hold.
pub(super) fn client_config(config: &KafkaConfig, role: Role<'_>) -> ClientConfig {
    let mut client = ClientConfig::new();
    // A closed connection is told at level info, and the taint of a transaction is read from it.
    let level = if config.properties.contains_key("debug") { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info };
    client.set_log_level(level);
    tuning(&mut client, role, config);
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client.set("bootstrap.servers", &config.bootstrap_servers).set("client.id", &config.client_id);
    client.set("log.connection.close", "true");
    security(&mut client, &config.security);
    match role {
        Role::Member { group_id, group_instance_id } => {
            reading(&mut client);
            client
                .set("group.id", group_id)
                .set("group.instance.id", group_instance_id)
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "range")
                .set("session.timeout.ms", millis(config.session_timeout))
                .set("heartbeat.interval.ms", millis(config.heartbeat_interval))
                .set("max.poll.interval.ms", millis(config.max_poll_interval));
        }
        Role::Reader => reading(&mut client),
        Role::Producer { transactional_id } => {
            client
                .set("transactional.id", transactional_id)
                .set("enable.idempotence", "true")
                .set("acks", "all")
                .set("max.in.flight", "5")
                .set("delivery.report.only.error", "false")
                .set("transaction.timeout.ms", millis(config.transaction_timeout));
        }
        Role::Admin => {}
    }
    client
}

/// What may be overridden: measured values, with the reason where it is not speed.
fn tuning(client: &mut ClientConfig, role: Role<'_>, config: &KafkaConfig) {
    client.set("socket.keepalive.enable", "true");
    // A broker that comes back is found within a second, not ten.
    client.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
    match role {
        Role::Member { .. } | Role::Reader => {
            client
                // The default of 1000 stalls a consumer that is slower than the fetcher for a second per full queue.
                .set("fetch.queue.backoff.ms", "10")
                .set("fetch.error.backoff.ms", "100")
                .set("queued.max.messages.kbytes", queue_kib(config.partitions_per_consumer).to_string())
                .set("fetch.max.bytes", "16777216")
                // An answer becomes records at once, each 300 bytes beside its own, which no limit in bytes sees: a compressed
                // mebibyte of short rows is a hundred thousand of them. A batch that is longer is fetched whole all the same.
                .set("max.partition.fetch.bytes", "262144")
                // With the processor's instruction for it that is less than a hundredth of what a record costs.
                .set("check.crcs", "true")
                // For metrics alone.
                .set("statistics.interval.ms", "5000");
            if matches!(role, Role::Reader) {
                client.set("queued.min.messages", "8000");
                // A restore ends at an answer that finds nothing new: the broker must not hold that one back.
                client.set("fetch.wait.max.ms", "10");
            } else {
                // The stream thread has records of its own waiting; these are the next ones, not a store of them.
                client.set("queued.min.messages", "2000");
                // One request to a broker is under way at a time, for partitions whose queues are short. Where those are the
                // ones that have been read to their ends, such as repartition topics, the broker holds it so long, and the
                // queues of the others run dry meanwhile: at 100 ms the stream thread stood still half of its time.
                client.set("fetch.wait.max.ms", "20");
            }
        }
        Role::Producer { .. } => {
            let transaction = config.transaction_timeout;
            client
                .set("linger.ms", "5")
                .set("batch.size", "524288")
                .set("batch.num.messages", "100000")
                .set("queue.buffering.max.kbytes", "65536")
                .set("queue.buffering.max.messages", "500000")
                .set("compression.type", "lz4")
                // Back to back, AddOffsets waits for the last transaction's markers: 100 ms at the default, p50.
                .set("retry.backoff.ms", "10")
                // Both must end before the broker aborts the transaction.
                .set("message.timeout.ms", millis(transaction * 9 / 10))
                .set("socket.timeout.ms", millis(transaction * 9 / 10))
                .set("statistics.interval.ms", "5000");
        }
        Role::Admin => {}
    }
}

fn reading(client: &mut ClientConfig) {
    client
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true");
}

fn security(client: &mut ClientConfig, security: &Security) {
    let protocol = match security {
        Security::Plaintext => "plaintext",
        Security::Tls(_) => "ssl",
        Security::SaslPlaintext(_) => "sasl_plaintext",
        Security::SaslTls(..) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(tls) = security.tls() {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                client.set(name, file.to_string_lossy());
            }
        }
        if let Some(password) = &tls.key_password {
            client.set("ssl.key.password", password.expose());
        }
    }
    let (mechanism, login) = match security.sasl() {
        None => return,
        Some(Sasl::Plain { username, password }) => ("PLAIN", Some((username, password))),
        Some(Sasl::ScramSha256 { username, password }) => ("SCRAM-SHA-256", Some((username, password))),
        Some(Sasl::ScramSha512 { username, password }) => ("SCRAM-SHA-512", Some((username, password))),
        Some(Sasl::OAuthBearer(_)) => ("OAUTHBEARER", None),
    };
    client.set("sasl.mechanism", mechanism);
    if let Some((username, password)) = login {
        client.set("sasl.username", username).set("sasl.password", password.expose());
    }
}

/// The share of 32 MiB that one partition's queue gets, in KiB: with split queues the limit is per partition.
fn queue_kib(partitions: usize) -> usize {
    (32 * 1024 / partitions.max(1)).clamp(1024, 8 * 1024)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const ROLES: [Role<'_>; 4] = [
        Role::Member { group_id: "app", group_instance_id: "app-0-0" },
        Role::Reader,
        Role::Producer { transactional_id: "app-0-0" },
        Role::Admin,
    ];

    #[test]
    fn what_exactly_once_depends_on_is_refused_with_a_reason() {
        for name in [
            "isolation.level",
            "enable.auto.commit",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "partition.assignment.strategy",
            "group.protocol",
            "enable.idempotence",
            "acks",
            "transactional.id",
            "group.instance.id",
            "group.id",
            "max.in.flight",
            "log.connection.close",
            "client.id",
        ] {
            let refused = check_property(name).unwrap_err();
            assert!(refused.to_string().contains(name) && refused.reason.len() > 10, "{refused}");
        }
        for name in ["linger.ms", "compression.type", "fetch.min.bytes", "ssl.cipher.suites", "debug"] {
            check_property(name).unwrap();
        }
    }

    #[test]
    fn librdkafka_accepts_the_properties_of_every_role() {
        let mut config = KafkaConfig::new("localhost:1");
        config.security = Security::SaslPlaintext(Sasl::ScramSha512 { username: "u".into(), password: "p".into() });
        for role in ROLES {
            client_config(&config, role).create_native_config().unwrap_or_else(|error| panic!("{role:?}: {error}"));
        }
    }

    #[test]
    fn a_passed_property_wins_over_tuning_and_never_over_exactly_once() {
        let mut config = KafkaConfig::new("localhost:1");
        config.properties.insert("linger.ms".into(), "50".into());
        config.properties.insert("acks".into(), "0".into());
        let client = client_config(&config, Role::Producer { transactional_id: "app-0-0" });
        assert_eq!((client.get("linger.ms"), client.get("acks")), (Some("50"), Some("all")));
    }

    #[test]
    fn every_client_that_carries_records_tells_its_statistics() {
        let config = KafkaConfig::new("localhost:1");
        let interval = |role| client_config(&config, role).get("statistics.interval.ms").map(str::to_owned);
        let [member, reader, producer, admin] = ROLES.map(interval);
        let five = Some("5000".to_owned());
        assert_eq!([member, reader, producer], [five.clone(), five.clone(), five]);
        assert_eq!(admin, None, "nobody would collect them");
    }

    #[test]
    fn no_secret_shows_in_the_configuration() {
        let mut config = KafkaConfig::new("localhost:1");
        let login = Sasl::Plain { username: "u".into(), password: "canary-1".into() };
        config.security = Security::SaslTls(
            login,
            super::super::config::Tls { key_password: Some(Secret::new("canary-2")), ..Default::default() },
        );
        config.properties.insert("ssl.key.pem".into(), "canary-3".into());
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(config.scrubber().scrub("canary-1 canary-2 canary-3"), "*** *** ***");
    }

    #[test]
    fn the_fetch_budget_is_shared_and_bounded() {
        assert_eq!([1, 4, 16, 64, 1000].map(queue_kib), [8192, 8192, 2048, 1024, 1024]);
    }
}
