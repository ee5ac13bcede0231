//! The `[kafka]` section: any property of librdkafka, except those that exactly-once depends on.

use std::collections::BTreeMap;
use std::fmt;

use super::security::masked;

/// Properties of librdkafka as the user gave them. `Debug` masks what may be a secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Sets a property that [`refusal`] does not refuse; the loader has checked it.
    pub(super) fn insert(&mut self, property: String, value: String) {
        self.0.insert(property, value);
    }

    /// A property's value.
    pub fn get(&self, property: &str) -> Option<&str> {
        self.0.get(property).map(String::as_str)
    }

    /// Name and value pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// True without properties.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, masked(name, value)))).finish()
    }
}

/// A property that cannot be passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its name in librdkafka.
    pub property: &'static str,
    /// Why, and what to do instead.
    pub reason: &'static str,
}

const fn refused(property: &'static str, reason: &'static str) -> Refused {
    Refused { property, reason }
}

const TOP: &str = "it has a place of its own; say it outside [kafka], by Kafka's name";
const OFFSETS: &str =
    "offsets are committed in the transaction, with the state; a second way would lose or repeat records";
const IDENTITY: &str =
    "it is made of application.id, instance and thread; another value would not fence a dead predecessor";
const IDEMPOTENCE: &str =
    "a transactional producer needs it as it is; otherwise records are lost, repeated or reordered";
const RANGE: &str = "only range on the classic protocol keeps co-partitioned topics and static members together";
const TRUST: &str =
    "who is not checked may be anybody: give ssl.ca.location, and brokers certificates with their names";
const TIMEOUT: &str =
    "it is derived from transaction.timeout.ms: no delivery may be under way when the transaction ends";

/// Every refused property with its reason.
pub static REFUSED: &[Refused] = &[
    refused("bootstrap.servers", TOP),
    refused("metadata.broker.list", "say bootstrap.servers outside [kafka]"),
    refused("security.protocol", TOP),
    refused("ssl.ca.location", TOP),
    refused("ssl.certificate.location", TOP),
    refused("ssl.key.location", TOP),
    refused("ssl.key.password", TOP),
    refused("enable.ssl.certificate.verification", TRUST),
    refused("ssl.endpoint.identification.algorithm", TRUST),
    refused("sasl.mechanism", TOP),
    refused("sasl.mechanisms", "say sasl.mechanism outside [kafka]"),
    refused("sasl.username", TOP),
    refused("sasl.password", TOP),
    refused("sasl.oauthbearer.token.file", TOP),
    refused("session.timeout.ms", TOP),
    refused("heartbeat.interval.ms", TOP),
    refused("max.poll.interval.ms", TOP),
    refused("transaction.timeout.ms", TOP),
    refused("client.id", "it is application.id"),
    refused("group.id", "it is application.id"),
    refused("group.instance.id", IDENTITY),
    refused("transactional.id", IDENTITY),
    refused("enable.auto.commit", OFFSETS),
    refused("auto.commit.enable", OFFSETS),
    refused("auto.commit.interval.ms", OFFSETS),
    refused("enable.auto.offset.store", OFFSETS),
    refused("offset.store.method", OFFSETS),
    refused(
        "auto.offset.reset",
        "no offset is chosen by a reset policy: say start.from for inputs that were never read",
    ),
    refused("isolation.level", "reading uncommitted records would process what may be aborted"),
    refused(
        "enable.partition.eof",
        "positions behind transaction markers are learnt from it, and it is read with care (librdkafka#4844)",
    ),
    refused("enable.idempotence", IDEMPOTENCE),
    refused("enable.gapless.guarantee", IDEMPOTENCE),
    refused("acks", IDEMPOTENCE),
    refused("request.required.acks", IDEMPOTENCE),
    refused("max.in.flight", IDEMPOTENCE),
    refused("max.in.flight.requests.per.connection", IDEMPOTENCE),
    refused("retries", IDEMPOTENCE),
    refused("message.send.max.retries", IDEMPOTENCE),
    refused("queuing.strategy", IDEMPOTENCE),
    refused("message.timeout.ms", TIMEOUT),
    refused("delivery.timeout.ms", TIMEOUT),
    refused("delivery.report.only.error", "changelog offsets come from the delivery reports"),
    refused("partitioner", "the partition is chosen here, by Kafka's murmur2, and never by the client"),
    refused("partition.assignment.strategy", RANGE),
    refused("group.protocol", RANGE),
    refused("group.protocol.type", RANGE),
    refused("group.remote.assignor", RANGE),
    refused("allow.auto.create.topics", "a topic made by accident has the wrong number of partitions; create it first"),
    refused("log.connection.close", "a connection that closes during a commit must be seen"),
    refused("api.version.request", "transactions need it"),
    refused("broker.version.fallback", "transactions need the broker's own versions"),
    refused("test.mock.num.brokers", "the mock broker keeps no promise; use millpond's simulated broker"),
    refused("plugin.library.paths", "an interceptor may change what is sent after it was counted"),
];

/// Why a property cannot be passed through; `None` when it can.
pub fn refusal(property: &str) -> Option<&'static str> {
    let property = property.strip_prefix("topic.").unwrap_or(property);
    REFUSED.iter().find(|refused| refused.property == property).map(|refused| refused.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exactly_once_rests_on_is_refused_with_a_reason() {
        for property in [
            "enable.auto.commit",
            "isolation.level",
            "acks",
            "transactional.id",
            "auto.offset.reset",
            "enable.ssl.certificate.verification",
            "ssl.endpoint.identification.algorithm",
        ] {
            let reason = refusal(property).unwrap_or_default();
            assert!(reason.len() > 15, "{property}: {reason}");
        }
        assert_eq!(refusal("linger.ms"), None);
        assert_eq!(refusal("fetch.queue.backoff.ms"), None);
    }

    #[test]
    fn no_property_is_refused_twice() {
        let names: std::collections::BTreeSet<_> = REFUSED.iter().map(|refused| refused.property).collect();
        assert_eq!(names.len(), REFUSED.len());
    }

    #[test]
    fn secrets_passed_through_are_not_shown() {
        let mut properties = Properties::default();
        properties.insert("ssl.keystore.password".into(), "hunter2".into());
        properties.insert("linger.ms".into(), "5".into());
        let shown = format!("{properties:?}");
        assert!(!shown.contains("hunter2") && shown.contains("\"linger.ms\": \"5\""), "{shown}");
    }
}
