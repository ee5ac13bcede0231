//! Transactions of records.

use bytes::Bytes;

use crate::broker::{Broker, BrokerErrorKind, ChangelogReader, Consumer, LogRange, MemberConfig, Producer};
use crate::error::Recovery;
use crate::record::{Headers, Offset, ProducerRecord};
use crate::time::Timestamp;

use super::{
    CALL, Fixture, POLL, application, await_end, commit, log_range, open_transaction, partition, producer, record,
    retry, topic, values, wait_until,
};

/// Null and empty keys and values, timestamps and headers survive the way.
pub fn a_record_comes_back_as_it_was_sent<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let mut headers = Headers::new();
    headers.push("a", Some(Bytes::from_static(b"1")));
    headers.push("null", None);
    headers.push("a", Some(Bytes::new()));
    let sent: Vec<ProducerRecord> = [(None, None), (Some(""), Some("")), (Some("k"), None), (None, Some("v"))]
        .into_iter()
        .zip(1_600_000_000_001..)
        .map(|((key, value), ms)| ProducerRecord {
            target: partition(&name, 0),
            timestamp: Timestamp::from_millis(ms),
            key: key.map(Bytes::from),
            value: value.map(Bytes::from),
            headers: headers.clone(),
        })
        .collect();
    commit(fixture, &broker, &id, &sent);
    wait_until(fixture, "the records are there", |fixture| fixture.read_committed(&name).len() == sent.len());
    for (offset, (sent, read)) in (0..).zip(sent.into_iter().zip(fixture.read_committed(&name))) {
        assert_eq!((read.source, read.offset), (sent.target, Offset(offset)));
        assert_eq!((read.timestamp, read.key, read.value), (sent.timestamp, sent.key, sent.value));
        assert_eq!(read.headers, sent.headers);
    }
}

/// Records on two partitions are invisible until the commit, then both are there, in order.
pub fn a_transaction_appears_as_a_whole<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 2);
    let (left, right) = (partition(&name, 0), partition(&name, 1));
    let records = [record(&left, "a"), record(&right, "b"), record(&left, "c")];
    let mut producer = open_transaction(fixture, &broker, &id, &records);
    await_end(fixture, &broker, &left, 2);
    await_end(fixture, &broker, &right, 1);
    assert_eq!(fixture.read_committed(&name), []);
    producer.commit(CALL).unwrap();
    wait_until(fixture, "the records are visible", |fixture| fixture.read_committed(&name).len() == 3);
    assert_eq!(values(&fixture.read_committed(&name)), ["a", "c", "b"]);
}

/// A transaction of nothing commits, and the producer goes on.
pub fn an_empty_transaction_commits<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let mut producer = producer(fixture, &broker, &id);
    producer.begin().unwrap();
    assert_eq!(producer.commit(CALL).unwrap().last_offsets, [].into());
    producer.begin().unwrap();
    retry(fixture, "the record is queued", || producer.send(record(&partition(&name, 0), "a")));
    producer.commit(CALL).unwrap();
    wait_until(fixture, "the record is there", |fixture| values(&fixture.read_committed(&name)) == ["a"]);
}

/// The receipt holds where the last record of each partition went; the marker takes the offset after it.
pub fn a_commit_tells_the_last_offset_of_each_partition<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 2);
    let (left, right) = (partition(&name, 0), partition(&name, 1));
    let records = [record(&left, "a"), record(&left, "b"), record(&right, "c")];
    let mut producer = open_transaction(fixture, &broker, &id, &records);
    let receipt = producer.commit(CALL).unwrap();
    assert_eq!(receipt.last_offsets, [(left.clone(), Offset(1)), (right, Offset(0))].into());
    producer.begin().unwrap();
    retry(fixture, "the record is queued", || producer.send(record(&left, "d")));
    assert_eq!(producer.commit(CALL).unwrap().last_offsets, [(left, Offset(3))].into());
}

/// `init_transactions` of the same id aborts what a dead predecessor left open.
pub fn a_successor_aborts_what_its_predecessor_left_open<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let dead = open_transaction(fixture, &broker, &id, &[record(&at, "left open")]);
    await_end(fixture, &broker, &at, 1);
    drop(dead);
    commit(fixture, &broker, &id, &[record(&at, "successor")]);
    wait_until(fixture, "the successor's record is visible", |fixture| !fixture.read_committed(&name).is_empty());
    assert_eq!(values(&fixture.read_committed(&name)), ["successor"]);
}

/// A predecessor that still runs is fenced: nothing of it is committed, and its life is over.
pub fn a_fenced_predecessor_commits_nothing<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut zombie = open_transaction(fixture, &broker, &id, &[record(&at, "zombie")]);
    await_end(fixture, &broker, &at, 1);
    commit(fixture, &broker, &id, &[record(&at, "successor")]);
    let error = zombie.commit(CALL).unwrap_err();
    assert_eq!((error.kind, error.recovery()), (BrokerErrorKind::ProducerFenced, Recovery::AbortTransaction));
    assert_eq!(zombie.begin().unwrap_err().recovery(), Recovery::AbortTransaction);
    wait_until(fixture, "the successor's record is visible", |fixture| !fixture.read_committed(&name).is_empty());
    assert_eq!(values(&fixture.read_committed(&name)), ["successor"]);
}

/// While a transaction is open, the group's consumer sees the log end before it, a restore sees all of it.
pub fn an_open_transaction_holds_the_last_stable_offset<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(vec![record(&at, "before")]);
    let mut producer = open_transaction(fixture, &broker, &id, &[record(&at, "open")]);
    await_end(fixture, &broker, &at, 2);
    let config = MemberConfig { group_id: id.clone(), group_instance_id: format!("{id}-a-0") };
    let mut consumer = broker.consumer(&config).unwrap();
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    let stable = retry(fixture, "offsets are listed", || consumer.log_range(&at, CALL));
    assert_eq!(stable, LogRange { start: Offset(0), end: Offset(1) });
    assert_eq!(log_range(fixture, &mut reader, &at), LogRange { start: Offset(0), end: Offset(2) });
    producer.commit(CALL).unwrap();
    wait_until(fixture, "the last stable offset passes the marker", |fixture| {
        retry(fixture, "offsets are listed", || consumer.log_range(&at, CALL)).end == Offset(3)
    });
}

/// The coordinator aborts a transaction at its time limit, so that readers go on, and fences its producer.
pub fn a_transaction_open_for_too_long_is_aborted<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut slow = open_transaction(fixture, &broker, &id, &[record(&at, "slow")]);
    await_end(fixture, &broker, &at, 1);
    fixture.pass(fixture.limits().transaction);
    // p-0: slow ABORT
    await_end(fixture, &broker, &at, 2);
    let error = slow.commit(CALL).unwrap_err();
    assert_eq!(error.recovery(), Recovery::AbortTransaction, "{error}");
    assert_eq!(fixture.read_committed(&name), []);
}

/// Positions go over commit markers, aborted records and abort markers, so that the end of a log can be reached.
pub fn positions_pass_markers_and_aborted_records<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    commit(fixture, &broker, &id, &[record(&at, "a")]);
    drop(open_transaction(fixture, &broker, &id, &[record(&at, "aborted")]));
    await_end(fixture, &broker, &at, 3);
    drop(producer(fixture, &broker, &id));
    // p-0: a COMMIT aborted ABORT
    await_end(fixture, &broker, &at, 4);

    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    reader.assign(&[(at.clone(), Offset(0))].into()).unwrap();
    let mut records = Vec::new();
    wait_until(fixture, "the reader's position is at the end", |_| {
        records.extend(reader.poll(POLL).unwrap());
        reader.position(&at) == Some(Offset(4))
    });
    assert_eq!(values(&records), ["a"]);

    let mut member = super::member::Member::alone(fixture, &broker, &id, &name);
    member.start_at(&at, 0);
    wait_until(fixture, "the member's position is at the end", |_| {
        member.turn();
        member.consumer.position(&at) == Some(Offset(4))
    });
    assert_eq!(values(&member.records), ["a"]);
}
