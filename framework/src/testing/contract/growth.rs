//! Topics that change under whoever reads them: they grow, are deleted, and lose their oldest records.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::{Broker, BrokerErrorKind, ChangelogReader, Consumer, LogRange, NewTopic, Rebalance};
use crate::error::Recovery;
use crate::record::{Offset, ProducerRecord, TopicName, TopicPartition};

use super::member::Member;
use super::{CALL, Fixture, POLL, application, commit, log_range, partition, record, retry, topic, values, wait_until};

const HOUR: Duration = Duration::from_hours(1);

/// A running member is asked for its partitions, and gets the new ones with those that it had, in a new generation: nothing
/// is committed for the new ones, and they are read from where it says. The topic is the same one.
pub fn a_member_gets_the_partitions_that_its_topic_grows_by<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let one = std::slice::from_ref(&name);
    let (old, new) = (partition(&name, 0), partition(&name, 2));
    fixture.append(vec![record(&old, "a")]);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    member.start_at(&old, 0);
    member.read(fixture, 1);
    let before = member.consumer.membership();
    let id = retry(fixture, "topics are described", || broker.describe_topics(one))[&name].id;
    fixture.grow_topic(&name, 3);
    wait_until(fixture, "the member has the new partitions", |_| {
        member.turn();
        member.owned.len() == 3
    });
    let all: Vec<TopicPartition> = (0..3).map(|number| partition(&name, number)).collect();
    assert_eq!(member.owned, all);
    assert_eq!(member.rebalances[1..2], [Rebalance::Revoke(vec![old.clone()])], "it is asked, and has not lost them");
    let after = member.consumer.membership();
    assert_eq!((after.member_id, after.generation > before.generation), (before.member_id, true));
    let committed = retry(fixture, "offsets are fetched", || member.consumer.committed(&all, CALL));
    assert!(committed.values().all(Option::is_none));
    assert_eq!(member.consumer.position(&old), None, "where to read is to be said anew");
    commit(fixture, &broker, &group_id, &[record(&new, "b")]);
    member.start_at(&old, 1);
    member.start_at(&new, 0);
    member.read(fixture, 2);
    assert_eq!(values(&member.records), ["a", "b"]);
    let grown = retry(fixture, "topics are described", || broker.describe_topics(one));
    assert_eq!((grown[&name].partitions, grown[&name].id), (3, id));
}

/// The partitions of a deleted topic are taken back; the member stays, and gets them when the topic is there again.
pub fn a_member_gives_the_partitions_of_a_deleted_topic_back<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 2);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    fixture.delete_topic(&name);
    wait_until(fixture, "its partitions are taken back", |_| {
        member.turn();
        member.owned.is_empty()
    });
    fixture.create_topic(&name, 1);
    wait_until(fixture, "the member has the new topic", |_| {
        member.turn();
        member.owned == [partition(&name, 0)]
    });
}

/// Retention moves the start of the log to the first record that is young enough. What is older is not skipped in silence:
/// reading it is an error, of a reader and of a member.
pub fn retention_moves_the_start_of_the_log_and_skips_nothing<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name: TopicName = fixture.unique("retained").into();
    let settings = [("retention.ms", HOUR.as_millis()), ("segment.ms", HOUR.as_millis() / 60)];
    let configs = settings.map(|(setting, ms)| (setting.to_owned(), ms.to_string())).into();
    let new = NewTopic { name: name.clone(), partitions: 1, replication_factor: -1, configs };
    retry(fixture, "the topic is created", || broker.create_topic(&new));
    let (at, now) = (partition(&name, 0), fixture.now());
    let aged = |value, age| ProducerRecord { timestamp: now.minus(age), ..record(&at, value) };
    fixture.append(vec![aged("old", HOUR * 2), aged("as old", HOUR * 2)]);
    fixture.append(vec![aged("young", Duration::ZERO)]);
    fixture.expire(&name, now.minus(HOUR));
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    let moved = LogRange { start: Offset(2), end: Offset(3) };
    wait_until(fixture, "the start has moved", |fixture| log_range(fixture, &mut reader, &at) == moved);
    assert_eq!(values(&fixture.read_committed(&name)), ["young"]);
    assert_eq!(read_fails::<F>(fixture, &mut reader, &at, 0), BrokerErrorKind::OffsetOutOfRange);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    member.start_at(&at, 1);
    let mut failed = None;
    wait_until(fixture, "the member's read fails", |_| {
        failed = member.consumer.poll(POLL).err().filter(|error| error.recovery() != Recovery::Retry);
        failed.is_some()
    });
    assert_eq!(failed.map(|error| error.kind), Some(BrokerErrorKind::OffsetOutOfRange));
    assert_eq!(retry(fixture, "offsets are listed", || member.consumer.log_range(&at, CALL)), moved);
}

/// Nor is a position corrected that lies past the end: the log has lost what was there.
pub fn reading_past_the_end_of_the_log_is_an_error<F: Fixture>(fixture: &mut F) {
    let (broker, _) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(vec![record(&at, "a")]);
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(read_fails::<F>(fixture, &mut reader, &at, 2), BrokerErrorKind::OffsetOutOfRange);
}

/// Reads from there until it fails, and says how.
fn read_fails<F: Fixture>(
    fixture: &mut F,
    reader: &mut <F::Broker as Broker>::Reader,
    at: &TopicPartition,
    from: i64,
) -> BrokerErrorKind {
    reader.assign(&BTreeMap::from([(at.clone(), Offset(from))])).unwrap();
    let mut failed = None;
    wait_until(fixture, "the read fails", |_| match reader.poll(POLL) {
        Ok(records) => {
            assert!(records.is_empty(), "records were skipped silently");
            false
        }
        Err(error) => {
            failed = Some(error.kind).filter(|_| error.recovery() != Recovery::Retry);
            failed.is_some()
        }
    });
    failed.unwrap()
}
