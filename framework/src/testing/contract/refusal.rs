//! What a broker does not take, by name: records, offsets, topics, deletions.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broker::sim::SplitMix64;
use crate::broker::{
    Broker, BrokerError, BrokerErrorKind, ChangelogReader, CommittedOffset, Consumer, NewTopic, Producer,
};
use crate::error::Recovery;
use crate::record::{Offset, ProducerRecord, TopicName};

use super::member::Member;
use super::{CALL, Fixture, application, partition, producer, record, retry, topic};

/// A record over its topic's `max.message.bytes` fails its transaction, and is told apart from what passes.
pub fn a_record_that_is_too_large_is_rejected<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = created(fixture, &broker, &[("max.message.bytes", "1000")]);
    // Brokers measure what was compressed: text that cannot be.
    let mut random = SplitMix64::new(1);
    let large = (0..200).map(|_| format!("{:016x}", random.next_u64())).collect::<Vec<_>>().concat();
    let error = try_record(fixture, &broker, (&id, record(&partition(&name, 0), &large))).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::RecordRejected, "{error}");
    assert_eq!(try_record(fixture, &broker, (&id, record(&partition(&name, 0), "small"))), Ok(()));
}

/// So does a record for a partition that there is not.
pub fn a_record_for_a_missing_partition_is_rejected<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let error = try_record(fixture, &broker, (&id, record(&partition(&name, 1), "a"))).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::RecordRejected, "{error}");
}

/// A compacted topic takes no record without a key: nothing could tell which one to keep.
pub fn a_record_without_a_key_is_rejected_by_a_compacted_topic<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = created(fixture, &broker, &[("cleanup.policy", "compact")]);
    let keyless = record(&partition(&name, 0), "a");
    let error = try_record(fixture, &broker, (&id, keyless.clone())).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::RecordRejected, "{error}");
    let keyed = ProducerRecord { key: Some(Bytes::from_static(b"k")), ..keyless };
    assert_eq!(try_record(fixture, &broker, (&id, keyed)), Ok(()));
}

/// Over 4,096 bytes beside an offset are refused, and the transaction with them.
pub fn metadata_that_is_too_long_is_refused_with_its_transaction<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut member = Member::alone(fixture, &broker, &id, &name);
    let mut with = |length| {
        let offset = CommittedOffset { next: Offset(1), metadata: "x".repeat(length) };
        let mut producer = producer(fixture, &broker, &id);
        producer.begin()?;
        producer.send_offsets(&[(at.clone(), offset)].into(), &member.consumer.membership())?;
        producer.commit(CALL)
    };
    let error = with(4_097).unwrap_err();
    assert_eq!(error.recovery(), Recovery::AbortTransaction, "{error}");
    with(4_096).unwrap();
    let committed =
        retry(fixture, "offsets are fetched", || member.consumer.committed(std::slice::from_ref(&at), CALL));
    assert_eq!(committed[&at].as_ref().map(|offset| offset.metadata.len()), Some(4_096));
}

/// Records are deleted up to the end of a log at most, and of a compacted topic not at all.
pub fn records_that_may_not_be_deleted_stay<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let plain = topic(fixture, 1);
    let compacted = created(fixture, &broker, &[("cleanup.policy", "compact")]);
    let cases = [(&plain, 2, BrokerErrorKind::OffsetOutOfRange), (&compacted, 1, BrokerErrorKind::Configuration)];
    for (name, before, kind) in cases {
        let at = partition(name, 0);
        fixture.append(vec![ProducerRecord { key: Some(Bytes::from_static(b"k")), ..record(&at, "a") }]);
        let mut refused = None;
        retry(fixture, "the deletion is refused", || {
            refused = broker.delete_records(&[(at.clone(), Offset(before))].into()).err();
            refused.clone().filter(|error| error.recovery() == Recovery::Retry).map_or(Ok(()), Err)
        });
        assert_eq!(refused.map(|error| error.kind), Some(kind), "{name}");
        let mut reader = retry(fixture, "a reader is made", || broker.reader());
        let ranges = retry(fixture, "offsets are listed", || reader.log_ranges(std::slice::from_ref(&at), CALL));
        assert_eq!(ranges[&at].start, Offset(0), "{name}");
    }
}

/// A topic tells the settings that it was created with; one that is missing tells none, and one cannot be without
/// partitions.
pub fn a_topic_tells_its_settings<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = created(fixture, &broker, &[("cleanup.policy", "compact"), ("delete.retention.ms", "4711")]);
    let settings = retry(fixture, "settings are told", || broker.topic_settings(&name));
    let told = |setting: &str| settings.get(setting).map(String::as_str);
    assert_eq!((told("cleanup.policy"), told("delete.retention.ms")), (Some("compact"), Some("4711")));
    let missing: TopicName = fixture.unique("missing").into();
    assert!(broker.topic_settings(&missing).is_err());
    let empty = NewTopic { name: missing, partitions: 0, replication_factor: -1, configs: BTreeMap::new() };
    let mut refused = None;
    retry(fixture, "the topic is refused", || {
        refused = broker.create_topic(&empty).err();
        refused.clone().filter(|error| error.recovery() == Recovery::Retry).map_or(Ok(()), Err)
    });
    assert_eq!(refused.map(|error| error.kind), Some(BrokerErrorKind::Configuration));
}

/// A new topic of one partition with settings.
fn created<F: Fixture>(fixture: &mut F, broker: &F::Broker, settings: &[(&str, &str)]) -> TopicName {
    let name: TopicName = fixture.unique("set").into();
    let configs = settings.iter().map(|&(setting, value)| (setting.to_owned(), value.to_owned())).collect();
    let new = NewTopic { name: name.clone(), partitions: 1, replication_factor: -1, configs };
    retry(fixture, "the topic is created", || broker.create_topic(&new));
    name
}

/// A transaction of one record by a new producer.
fn try_record<F: Fixture>(
    fixture: &mut F,
    broker: &F::Broker,
    (id, record): (&str, ProducerRecord),
) -> Result<(), BrokerError> {
    let mut producer = producer(fixture, broker, id);
    producer.begin()?;
    let mut sent = Ok(());
    retry(fixture, "the record is queued", || {
        sent = producer.send(record.clone());
        sent.clone().or_else(|error| if error.recovery() == Recovery::Retry { Err(error) } else { Ok(()) })
    });
    sent?;
    producer.commit(CALL).map(drop)
}
