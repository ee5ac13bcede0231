//! The group: sessions, freezes, growth, and members that do not answer.

use super::*;
use crate::broker::sim::Fault;
use crate::broker::{BrokerErrorKind, Producer};

const SESSION: Duration = Duration::from_secs(10);

fn assigned(broker: &SimBroker, instance: &str) -> usize {
    broker.group("app").assignments.get(instance).map_or(0, Vec::len)
}

#[test]
fn a_frozen_member_is_replaced_and_commits_nothing_when_it_wakes() {
    let (broker, mut a) = with_member();
    let zombie = a.membership();
    let mut b = subscribe(&broker, "b", "in");
    assert!(matches!(b.poll(NO_WAIT).unwrap(), Polled::Idle));
    broker.freeze("app", "a");
    broker.advance(Duration::from_millis(9_999));
    assert!(matches!(b.poll(NO_WAIT).unwrap(), Polled::Idle), "the session has not ended yet");
    broker.advance(Duration::from_millis(1));
    assert_eq!(confirmed(&mut b), Rebalance::Assign(vec![at("in", 0), at("in", 1)]));
    broker.thaw("app", "a");
    let mut producer = broker.producer("a").unwrap();
    producer.begin().unwrap();
    let error = producer.send_offsets(&[(at("in", 0), next(1))].into(), &zombie).unwrap_err();
    assert_eq!((error.kind, &*error.reason), (BrokerErrorKind::NotAMember, "UNKNOWN_MEMBER_ID"));
    assert_eq!(confirmed(&mut a), Rebalance::Lost(vec![at("in", 0), at("in", 1)]));
    assert!(!a.membership().is_fencing());
    assert!(matches!(a.poll(NO_WAIT).unwrap(), Polled::Idle), "it has joined again, and waits");
    assert!(matches!(confirmed(&mut b), Rebalance::Revoke(_)));
    assert_eq!(confirmed(&mut a), Rebalance::Assign(vec![at("in", 0)]));
}

#[test]
fn the_dead_keep_their_partitions_until_the_session_ends() {
    let (broker, a) = with_member();
    drop(a);
    let mut b = subscribe(&broker, "b", "in");
    assert!(matches!(b.poll(NO_WAIT).unwrap(), Polled::Idle));
    broker.advance(SESSION);
    assert_eq!(confirmed(&mut b), Rebalance::Assign(vec![at("in", 0), at("in", 1)]));
}

#[test]
fn a_session_that_ends_by_fault_is_reported_as_lost() {
    let (broker, mut a) = with_member();
    broker.fail_next(Fault::GroupSessionExpired);
    assert_eq!(confirmed(&mut a), Rebalance::Lost(vec![at("in", 0), at("in", 1)]));
    assert!(matches!(confirmed(&mut a), Rebalance::Assign(_)));
    broker.fail_next(Fault::GroupRebalance);
    assert!(matches!(confirmed(&mut a), Rebalance::Revoke(_)));
    assert!(matches!(confirmed(&mut a), Rebalance::Assign(_)));
    broker.expire_session("app", "a");
    assert!(matches!(confirmed(&mut a), Rebalance::Lost(_)));
}

#[test]
fn a_topic_that_grows_is_assigned_again() {
    let (broker, mut a) = with_member();
    broker.add_partitions("in", 1);
    assert!(matches!(confirmed(&mut a), Rebalance::Revoke(_)));
    assert_eq!(confirmed(&mut a), Rebalance::Assign(vec![at("in", 0), at("in", 1), at("in", 2)]));
}

#[test]
fn a_rebalance_does_not_wait_for_ever_and_keeps_static_members() {
    let (broker, mut a) = with_member();
    let mut b = subscribe(&broker, "b", "in");
    b.poll(NO_WAIT).unwrap();
    // A is told, keeps its heartbeats, and never confirms.
    assert!(matches!(a.poll(NO_WAIT).unwrap(), Polled::Rebalance(Rebalance::Revoke(_))));
    let zombie = a.membership();
    for _ in 0..300 {
        broker.advance(Duration::from_secs(1));
        if broker.group("app").rebalancing {
            assert!(matches!(b.poll(NO_WAIT).unwrap(), Polled::Idle));
        }
    }
    assert_eq!((assigned(&broker, "a"), assigned(&broker, "b")), (1, 1));
    let mut producer = broker.producer("a").unwrap();
    producer.begin().unwrap();
    let error = producer.send_offsets(&[(at("in", 1), next(1))].into(), &zombie).unwrap_err();
    assert_eq!(&*error.reason, "ILLEGAL_GENERATION");
}

#[test]
fn a_dynamic_member_always_leaves() {
    let (broker, mut a) = with_member();
    let mut dynamic = subscribe(&broker, "", "in");
    dynamic.poll(NO_WAIT).unwrap();
    confirmed(&mut a);
    assert_eq!(confirmed(&mut a), Rebalance::Assign(vec![at("in", 0)]), "static members come first");
    dynamic.close(false).unwrap();
    assert!(matches!(confirmed(&mut a), Rebalance::Revoke(_)));
    assert_eq!(confirmed(&mut a), Rebalance::Assign(vec![at("in", 0), at("in", 1)]));
}

#[test]
fn metadata_beside_an_offset_has_kafka_s_limit() {
    let (broker, a) = with_member();
    let mut producer = broker.producer("a").unwrap();
    producer.begin().unwrap();
    let mut send = |bytes: usize| {
        let offset = CommittedOffset { metadata: "m".repeat(bytes), ..next(1) };
        producer.send_offsets(&[(at("in", 0), offset)].into(), &a.membership()).map_err(|error| error.reason)
    };
    assert_eq!(send(4096), Ok(()));
    assert_eq!(send(4097), Err("OFFSET_METADATA_TOO_LARGE".to_owned()));
}
