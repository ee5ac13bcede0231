//! Membership: assignment, revocation, restart, loss.

use crate::broker::{Broker, BrokerErrorKind, Consumer, Polled, Producer, Rebalance};
use crate::record::{TopicName, TopicPartition};

use super::member::{Member, settle};
use super::{CALL, Fixture, POLL, STEP, application, next, partition, producer, topic, wait_until};

/// Two topics of equal partition counts: every member has the same partitions of both, whoever comes.
pub fn range_keeps_equal_partitions_together<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 4), topic(fixture, 4)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    settle(fixture, &mut [&mut a], &[8]);
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[4, 4]);
    together(&[&a, &b], &topics);
    let mut c = Member::subscribe(&broker, &group_id, "c", &topics);
    settle(fixture, &mut [&mut a, &mut b, &mut c], &[4, 2, 2]);
    together(&[&a, &b, &c], &topics);
    let numbers: Vec<i32> = a.owned.iter().map(|at| at.partition.0).collect();
    assert_eq!(numbers, [0, 1, 0, 1], "the first member by instance id has the first partitions, and the remainder");
}

fn together<B: Broker>(members: &[&Member<B>], topics: &[TopicName; 2]) {
    for member in members {
        let of = |topic: &TopicName| -> Vec<i32> {
            member.owned.iter().filter(|at| at.topic == *topic).map(|at| at.partition.0).collect()
        };
        assert_eq!(of(&topics[0]), of(&topics[1]));
    }
}

/// Until the revocation is confirmed, the old owner may commit and nobody else gets anything.
pub fn a_revocation_waits_for_its_confirmation<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 2);
    let topics = std::slice::from_ref(&name);
    let mut a = Member::subscribe(&broker, &group_id, "a", topics);
    settle(fixture, &mut [&mut a], &[2]);
    let mut producer = producer(fixture, &broker, &group_id);
    let mut b = Member::subscribe(&broker, &group_id, "b", topics);
    let mut revoked = Vec::new();
    wait_until(fixture, "the partitions are taken back", |_| {
        b.turn();
        match a.consumer.poll(POLL).unwrap() {
            Polled::Rebalance(Rebalance::Revoke(partitions)) => {
                revoked = partitions;
                true
            }
            Polled::Rebalance(other) => panic!("not a revocation: {other:?}"),
            Polled::Records(_) | Polled::Idle => false,
        }
    });
    revoked.sort();
    assert_eq!(revoked, a.owned, "eager: everything is taken back");
    producer.begin().unwrap();
    producer.send_offsets(&[(partition(&name, 1), next(7))].into(), &a.consumer.membership()).unwrap();
    producer.commit(CALL).unwrap();
    b.idle(fixture);
    assert_eq!(b.rebalances, [], "the other one must wait");
    a.consumer.acknowledge().unwrap();
    a.owned.clear();
    settle(fixture, &mut [&mut a, &mut b], &[1, 1]);
    let committed = super::retry(fixture, "offsets are fetched", || b.consumer.committed(&[partition(&name, 1)], CALL));
    assert_eq!(committed, [(partition(&name, 1), Some(next(7)))].into());
}

/// Scale-in: a member that leaves hands its partitions over.
pub fn a_member_that_leaves_hands_over<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 2)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[1, 1]);
    let before = a.consumer.membership();
    b.consumer.close(true).unwrap();
    settle(fixture, &mut [&mut a], &[2]);
    let after = a.consumer.membership();
    assert!(after.generation > before.generation);
    assert_eq!(after.member_id, before.member_id);
}

/// A member that has died keeps its partitions until its session ends; then the others get them.
pub fn the_partitions_of_a_dead_member_wait_for_the_end_of_its_session<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 2)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[1, 1]);
    let before = b.consumer.membership();
    drop(a);
    b.idle(fixture);
    assert_eq!((b.owned.len(), b.consumer.membership()), (1, before.clone()), "nobody knows yet");
    settle(fixture, &mut [&mut b], &[2]);
    assert!(b.consumer.membership().generation > before.generation);
}

/// A static member that comes back finds its partitions; the others notice nothing.
pub fn a_static_member_restarts_without_a_rebalance<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let topics = [topic(fixture, 4)];
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    let mut b = Member::subscribe(&broker, &group_id, "b", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[2, 2]);
    let (owned, before, seen) = (a.owned.clone(), a.consumer.membership(), b.rebalances.len());
    a.consumer.close(false).unwrap();
    let mut a = Member::subscribe(&broker, &group_id, "a", &topics);
    settle(fixture, &mut [&mut a, &mut b], &[2, 2]);
    b.idle(fixture);
    assert_eq!(a.owned, owned);
    assert_eq!(b.rebalances.len(), seen, "the other member saw a rebalance");
    let after = a.consumer.membership();
    assert_eq!(after.generation, before.generation);
    assert_ne!(after.member_id, before.member_id);
}

/// A member that does not poll for `max.poll.interval.ms` is told that its partitions are lost, not asked for them; then
/// it joins again.
pub fn a_member_that_does_not_poll_loses_its_partitions<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 2);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    let owned: Vec<TopicPartition> = member.owned.clone();
    fixture.pass(fixture.limits().max_poll_interval + STEP * 20);
    wait_until(fixture, "it has lost its partitions and joined again", |_| {
        member.turn();
        member.rebalances.len() >= 3
    });
    let mut lost = member.rebalances.clone();
    if let Some(Rebalance::Lost(partitions)) = lost.get_mut(1) {
        partitions.sort();
    }
    assert_eq!(lost[1], Rebalance::Lost(owned.clone()));
    wait_until(fixture, "it has its assignment", |_| {
        member.turn();
        member.owned == owned
    });
}

/// Two clients with one `group.instance.id`: the second has the partitions, the first is told that it is fenced.
pub fn a_second_client_of_an_instance_fences_the_first<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let mut first = Member::alone(fixture, &broker, &group_id, &name);
    let instance = format!("{group_id}-a-0");
    let zombie = first.consumer.membership();
    let mut second = Member::subscribe(&broker, &group_id, &instance, std::slice::from_ref(&name));
    let mut fenced = None;
    wait_until(fixture, "the first is fenced", |_| {
        second.turn();
        fenced = first.consumer.poll(POLL).err().map(|error| error.kind);
        fenced.is_some_and(|kind| kind != BrokerErrorKind::Retriable)
    });
    assert_eq!(fenced, Some(BrokerErrorKind::InstanceFenced));
    settle(fixture, &mut [&mut second], &[1]);
    // The generation has not changed; it is the member id that fences.
    assert_eq!(second.consumer.membership().generation, zombie.generation);
    super::fencing::refused(fixture, &broker, (&partition(&name, 0), &zombie));
}
