//! A transaction, tried out; and by it the brokers' clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millpond::broker::kafka::{KafkaProducer, Resource, Right};
use millpond::broker::{Broker, BrokerError, BrokerErrorKind, ChangelogReader, NewTopic, Producer};
use millpond::record::{Headers, Offset, Partition, ProducerRecord, TopicName, TopicPartition};
use millpond::time::Timestamp;

use super::Patient;
use crate::cli::time::now;
use crate::finding::Finding;

/// So long for a commit, and until it can be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A difference that people would notice in latencies and lags.
const SKEW_NOTED: Duration = Duration::from_secs(2);

/// Brokers refuse records that are so far ahead of them, and state is taken for older or younger than it is.
const SKEW_MAX: Duration = Duration::from_hours(1);

/// When the brokers wrote a record that was sent and committed between two looks at our clock.
struct Tried {
    before: Timestamp,
    written: Timestamp,
    after: Timestamp,
}

pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let producer = match patient.broker.producer(&transactional_id(patient)) {
        Ok(producer) => producer,
        Err(error) if error.kind == BrokerErrorKind::Unauthorized => return vec![refused(patient, &error)],
        Err(error) => {
            let fix = format!("{}; --no-probe leaves this out", error.advice);
            return vec![Finding::broken("transactions", format!("no transaction can be begun: {error}"), fix)];
        }
    };
    let topic = TopicName::from(format!("{}-doctor", patient.config.application_id));
    let tried = attempt(patient, producer, &topic);
    let cleared = patient.broker.delete_topics(std::slice::from_ref(&topic));
    let mut findings = match tried {
        Ok(tried) => {
            let fine = Finding::fine("transactions", "a transaction was committed and read back");
            vec![fine, judge(skew(&tried))]
        }
        // What the application itself needs is looked at elsewhere: this topic is only ours.
        Err(error) if error.kind == BrokerErrorKind::Unauthorized => {
            let what = format!("transactions and clocks were not tried: {}", error.reason);
            let rights = [Right::Create, Right::Write, Right::Read, Right::Delete];
            let grant = patient.grant(&rights, &Resource::Topic(topic.to_string()));
            let fix = format!("say --no-probe, or have it tried: {grant}");
            return vec![Finding::warning("probe", what, fix)];
        }
        Err(error) => {
            let fix = format!("{}; --no-probe leaves this out", error.advice);
            vec![Finding::broken("transactions", format!("a transaction on topic {topic} failed: {error}"), fix)]
        }
    };
    if let Err(error) = cleared {
        let what = format!("topic {topic} could not be deleted again: {}", error.reason);
        findings.push(Finding::warning("probe", what, "delete it, or allow Delete on it"));
    }
    findings
}

/// As the application's own begin, so that the same rule is tried: `<application.id>-<instance>-<thread>`.
fn transactional_id(patient: &Patient<'_>) -> String {
    let name = &patient.config.application_id;
    patient.config.instance.as_ref().map_or_else(|| format!("{name}-doctor"), |of| format!("{name}-{of}-doctor"))
}

/// Where the instance has no name yet, its transactional ids may be allowed although ours is not.
fn refused(patient: &Patient<'_>, error: &BrokerError) -> Finding {
    let name = &patient.config.application_id;
    let grant = patient.grant(&[Right::Write, Right::Describe], &Resource::TransactionalIdPrefix(format!("{name}-")));
    let what = format!("transactions and clocks were not tried: {}", error.reason);
    match &patient.config.instance {
        Some(_) => Finding::broken("rights", what, grant),
        None => Finding::warning("probe", what, format!("say the instance, --no-probe, or allow it: {grant}")),
    }
}

fn attempt(patient: &Patient<'_>, mut producer: KafkaProducer, topic: &TopicName) -> Result<Tried, BrokerError> {
    let configs = BTreeMap::from([("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())]);
    let replication_factor = patient.config.replication_factor;
    patient.broker.create_topic(&NewTopic { name: topic.clone(), partitions: 1, replication_factor, configs })?;
    let target = TopicPartition::new(topic.clone(), Partition(0));
    producer.begin()?;
    let before = now();
    let value = Some(bytes::Bytes::from_static(b"doctor"));
    producer.send(ProducerRecord {
        target: target.clone(),
        timestamp: before,
        key: None,
        value,
        headers: Headers::new(),
    })?;
    producer.commit(PATIENCE)?;
    let after = now();
    let mut reader = patient.broker.reader()?;
    reader.assign(&BTreeMap::from([(target, Offset(0))]))?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(record) = reader.poll(Duration::from_millis(100))?.into_iter().next() {
            return Ok(Tried { before, written: record.timestamp, after });
        }
    }
    let reason = "what was committed could not be read back in 10 seconds";
    Err(BrokerError::new("probe", BrokerErrorKind::Retriable, reason))
}

/// How far the brokers' clock is ahead, at least; negative when it is behind.
fn skew(tried: &Tried) -> i64 {
    let (before, written, after) = (tried.before.as_millis(), tried.written.as_millis(), tried.after.as_millis());
    if written < before { written - before } else { (written - after).max(0) }
}

pub(super) fn judge(skew_ms: i64) -> Finding {
    const CODE: &str = "clock";
    let off = Duration::from_millis(skew_ms.unsigned_abs());
    let side = if skew_ms < 0 { "behind" } else { "ahead of" };
    let what = format!("the brokers' clock is {skew_ms} ms {side} this machine's").replace('-', "");
    let fix = "let time be set by NTP or chrony on this machine and on the nodes";
    if off >= SKEW_MAX {
        Finding::broken(CODE, what, fix)
    } else if off >= SKEW_NOTED {
        Finding::warning(CODE, what, fix)
    } else {
        Finding::fine(CODE, "this machine's clock and the brokers' agree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Health;

    #[test]
    fn only_what_lies_outside_of_our_two_looks_is_a_difference() {
        let at = Timestamp::from_millis;
        let skew = |written| skew(&Tried { before: at(1_000), written: at(written), after: at(1_500) });
        assert_eq!([900, 1_000, 1_200, 1_500, 1_700].map(skew), [-100, 0, 0, 0, 200]);
    }

    #[test]
    fn a_difference_is_told_by_what_it_does() {
        for (skew_ms, health) in
            [(0, Health::Fine), (-1_999, Health::Fine), (2_000, Health::Warning), (-3_600_000, Health::Broken)]
        {
            assert_eq!(judge(skew_ms).health, health, "{skew_ms}");
        }
        assert!(judge(-5_000).what.contains("is 5000 ms behind"), "{:?}", judge(-5_000));
    }
}
