//! Offsets of the group: inside transactions, stable, and refused to those who are no members.

use crate::broker::{BrokerError, Consumer, Membership, Producer};
use crate::error::Recovery;
use crate::record::TopicPartition;

use super::member::{Member, settle};
use super::{
    CALL, Fixture, application, await_end, next, open_transaction, partition, producer, record, retry, topic,
    wait_until,
};

/// A group that has committed nothing: `None`, not zero and not an error.
pub fn nothing_is_committed_at_first<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 2);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    let owned = member.owned.clone();
    let committed = retry(fixture, "offsets are fetched", || member.consumer.committed(&owned, CALL));
    assert_eq!(committed, owned.into_iter().map(|at| (at, None)).collect());
}

/// Offsets and metadata appear with the records of their transaction.
pub fn offsets_are_committed_with_their_transaction<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let (input, output) = (topic(fixture, 1), topic(fixture, 1));
    let at = partition(&input, 0);
    let mut member = Member::alone(fixture, &broker, &group_id, &input);
    let mut producer = open_transaction(fixture, &broker, &group_id, &[record(&partition(&output, 0), "a")]);
    producer.send_offsets(&[(at.clone(), next(5))].into(), &member.consumer.membership()).unwrap();
    producer.commit(CALL).unwrap();
    wait_until(fixture, "the record is visible", |fixture| fixture.read_committed(&output).len() == 1);
    let one = std::slice::from_ref(&at);
    let found = retry(fixture, "offsets are fetched", || member.consumer.committed(one, CALL));
    assert_eq!(found, [(at.clone(), Some(next(5)))].into());
    // And again by the same producer: the next transaction overwrites.
    producer.begin().unwrap();
    producer.send_offsets(&[(at.clone(), next(6))].into(), &member.consumer.membership()).unwrap();
    producer.commit(CALL).unwrap();
    assert_eq!(committed(fixture, &mut member, &at), Some(6));
}

/// The offsets of an aborted transaction are as if they had never been sent.
pub fn offsets_are_dropped_with_their_transaction<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    assert_eq!(try_offsets(fixture, &broker, (&at, &member.consumer.membership(), 5)), Ok(()));
    let mut dead = producer(fixture, &broker, &group_id);
    dead.begin().unwrap();
    dead.send_offsets(&[(at.clone(), next(9))].into(), &member.consumer.membership()).unwrap();
    drop(dead);
    drop(producer(fixture, &broker, &group_id));
    assert_eq!(committed(fixture, &mut member, &at), Some(5));
}

/// The hand-over barrier: while a transaction with offsets is open, the group's offsets are not told.
pub fn the_offset_fetch_waits_for_an_open_transaction<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    let mut producer = open_transaction(fixture, &broker, &group_id, &[record(&at, "a")]);
    await_end(fixture, &broker, &at, 1);
    producer.send_offsets(&[(at.clone(), next(5))].into(), &member.consumer.membership()).unwrap();
    let short = std::time::Duration::from_millis(500);
    let pending = member.consumer.committed(std::slice::from_ref(&at), short).unwrap_err();
    assert_eq!(pending.recovery(), Recovery::Retry, "{pending}");
    producer.commit(CALL).unwrap();
    assert_eq!(committed(fixture, &mut member, &at), Some(5));
}

/// The hole that a stream thread must close itself: a member may commit for partitions that are not its own.
pub fn the_broker_knows_members_but_not_owners<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 2)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[1, 1]);
    let (own, others) = (a.owned[0].clone(), b.owned[0].clone());
    assert_eq!(try_offsets(fixture, &broker, (&own, &a.consumer.membership(), 3)), Ok(()));
    assert_eq!(try_offsets(fixture, &broker, (&others, &a.consumer.membership(), 4)), Ok(()));
    assert_eq!((committed(fixture, &mut b, &own), committed(fixture, &mut b, &others)), (Some(3), Some(4)));
}

/// Who is no member, or claims a generation that has not begun, commits nothing.
pub fn a_stranger_s_offsets_are_refused<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    let own = member.consumer.membership();
    refused(fixture, &broker, (&at, &Membership { generation: own.generation + 1, ..own.clone() }));
    refused(fixture, &broker, (&at, &Membership { member_id: format!("{}x", own.member_id), ..own }));
    assert_eq!(committed(fixture, &mut member, &at), None);
}

/// After a rebalance the old generation's offsets are refused, for a partition that has moved; the new one's are not.
pub fn a_former_generation_s_offsets_are_refused<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 2)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    settle(fixture, &mut [&mut a], &[2]);
    let former = a.consumer.membership();
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[1, 1]);
    let moved = b.owned[0].clone();
    refused(fixture, &broker, (&moved, &former));
    assert_eq!(try_offsets(fixture, &broker, (&a.owned[0].clone(), &a.consumer.membership(), 2)), Ok(()));
    // A member that has left is a stranger.
    let gone = b.consumer.membership();
    b.consumer.close(true).unwrap();
    settle(fixture, &mut [&mut a], &[2]);
    refused(fixture, &broker, (&moved, &gone));
    assert_eq!(committed(fixture, &mut a, &moved), None);
}

/// What a client shows before it has joined passes the broker unchecked, so it must not be sent.
pub fn offsets_without_membership_are_refused_unsent<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    let own = member.consumer.membership();
    for (generation, member_id) in [(-1, ""), (0, &*own.member_id), (own.generation, ""), (-1, &*own.member_id)] {
        refused(fixture, &broker, (&at, &Membership { generation, member_id: member_id.to_owned() }));
    }
    assert_eq!(committed(fixture, &mut member, &at), None);
}

/// Offsets of this membership are refused, and the producer is used up by it.
pub(super) fn refused<F: Fixture>(
    fixture: &mut F,
    broker: &F::Broker,
    (at, membership): (&TopicPartition, &Membership),
) {
    let error = try_offsets(fixture, broker, (at, membership, 99)).unwrap_err();
    assert_eq!(error.recovery(), Recovery::AbortTransaction, "{error}");
}

/// A transaction of one offset by a new producer.
fn try_offsets<F: Fixture>(
    fixture: &mut F,
    broker: &F::Broker,
    (at, membership, offset): (&TopicPartition, &Membership, i64),
) -> Result<(), BrokerError> {
    let id = format!("{}-offsets", at.topic);
    let mut producer = producer(fixture, broker, &id);
    producer.begin()?;
    producer.send_offsets(&[(at.clone(), next(offset))].into(), membership)?;
    producer.commit(CALL).map(drop)
}

/// The committed offset of one partition, once it is stable.
fn committed<F: Fixture>(fixture: &mut F, member: &mut Member<F::Broker>, at: &TopicPartition) -> Option<i64> {
    let one = std::slice::from_ref(at);
    let found = retry(fixture, "offsets are fetched", || member.consumer.committed(one, CALL));
    found[at].as_ref().map(|offset| offset.next.0)
}
