//! Topics: creation, ids, deletion of records.

use std::collections::BTreeMap;

use crate::broker::{Broker, BrokerErrorKind, ChangelogReader, LogRange, NewTopic, TopicDescription};
use crate::error::Recovery;
use crate::record::{Offset, TopicName};

use super::{CALL, Fixture, POLL, application, log_range, partition, record, retry, topic, wait_until};

/// A topic is created once; a second creation changes nothing; what does not exist is not described.
pub fn a_topic_is_created_once_and_described<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name: TopicName = fixture.unique("created").into();
    let missing: TopicName = fixture.unique("missing").into();
    let new = |partitions| NewTopic {
        name: name.clone(),
        partitions,
        replication_factor: -1,
        configs: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
    };
    retry(fixture, "the topic is created", || broker.create_topic(&new(3)));
    let first = describe(fixture, &broker, &[name.clone(), missing.clone()]);
    assert_eq!(first.keys().collect::<Vec<_>>(), [&name], "only what exists is described");
    assert_eq!(first[&name].partitions, 3);
    retry(fixture, "a second creation is no error", || broker.create_topic(&new(5)));
    assert_eq!(describe(fixture, &broker, &[name]), first);
}

/// Deleted and created again, a topic has another id.
pub fn a_recreated_topic_has_another_id<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = topic(fixture, 1);
    let one = std::slice::from_ref(&name);
    let first = describe(fixture, &broker, one);
    fixture.delete_topic(&name);
    wait_until(fixture, "the topic is gone", |_| broker.describe_topics(one).is_ok_and(|found| found.is_empty()));
    fixture.create_topic(&name, 1);
    let second = describe(fixture, &broker, one);
    assert_ne!(first[&name].id, second[&name].id);
    assert_eq!(describe(fixture, &broker, one), second, "the id stays as long as the topic");
}

/// Deleting records moves the start of the log and nothing else.
pub fn deleted_records_move_the_start_of_the_log<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(["a", "b", "c"].map(|value| record(&at, value)).to_vec());
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(log_range(fixture, &mut reader, &at), LogRange { start: Offset(0), end: Offset(3) });
    let before = BTreeMap::from([(at.clone(), Offset(2))]);
    retry(fixture, "records are deleted", || broker.delete_records(&before));
    let moved = LogRange { start: Offset(2), end: Offset(3) };
    wait_until(fixture, "the start has moved", |fixture| log_range(fixture, &mut reader, &at) == moved);
    assert_eq!(super::values(&fixture.read_committed(&name)), ["c"]);
}

/// No position is corrected silently: reading what was deleted is an error.
pub fn reading_before_the_start_of_the_log_is_an_error<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(["a", "b"].map(|value| record(&at, value)).to_vec());
    let before = BTreeMap::from([(at.clone(), Offset(1))]);
    retry(fixture, "records are deleted", || broker.delete_records(&before));
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    wait_until(fixture, "the start has moved", |fixture| log_range(fixture, &mut reader, &at).start == Offset(1));
    reader.assign(&BTreeMap::from([(at, Offset(0))])).unwrap();
    let mut failed = None;
    wait_until(fixture, "the read fails", |_| match reader.poll(POLL) {
        Ok(records) => {
            assert!(records.is_empty(), "records were skipped silently");
            false
        }
        Err(error) if error.recovery() == Recovery::Retry => false,
        Err(error) => {
            failed = Some(error.kind);
            true
        }
    });
    assert_eq!(failed, Some(BrokerErrorKind::OffsetOutOfRange));
    drop(reader);
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert!(retry(fixture, "offsets are listed", || reader.log_ranges(&[], CALL)).is_empty());
}

/// Descriptions, once all topics that exist are seen by the broker that answers.
fn describe<F: Fixture>(
    fixture: &mut F,
    broker: &F::Broker,
    names: &[TopicName],
) -> BTreeMap<TopicName, TopicDescription> {
    let mut found = BTreeMap::new();
    wait_until(fixture, "the topic is described", |fixture| {
        found = retry(fixture, "topics are described", || broker.describe_topics(names));
        !found.is_empty()
    });
    found
}
