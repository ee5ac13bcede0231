//! Reading as a member: starts, pauses, positions.

use crate::broker::{Broker, Consumer, MemberConfig, Polled, Rebalance};
use crate::record::Offset;

use super::member::Member;
use super::{Fixture, POLL, application, partition, record, topic, values, wait_until};

/// Before the assignment is confirmed, and then before a start is chosen, no record comes.
pub fn records_come_only_after_confirmation_and_start<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(vec![record(&at, "a")]);
    let config = MemberConfig { group_instance_id: format!("{group_id}-a-0"), group_id };
    let mut consumer = broker.consumer(&config).unwrap();
    assert!(!consumer.membership().is_fencing());
    consumer.subscribe(&[name]).unwrap();
    wait_until(fixture, "the assignment comes", |_| match consumer.poll(POLL).unwrap() {
        Polled::Idle => false,
        Polled::Rebalance(Rebalance::Assign(partitions)) => {
            assert_eq!(partitions, std::slice::from_ref(&at));
            true
        }
        other => panic!("neither nothing nor an assignment: {other:?}"),
    });
    let mut nothing_comes = |consumer: &mut <F::Broker as Broker>::Consumer| {
        for _ in 0..5 {
            let polled = consumer.poll(POLL).unwrap();
            assert!(matches!(polled, Polled::Idle), "{polled:?}");
            fixture.pass(super::STEP);
        }
    };
    nothing_comes(&mut consumer);
    consumer.acknowledge().unwrap();
    assert!(consumer.membership().is_fencing());
    assert!(consumer.acknowledge().is_err(), "there is nothing more to confirm");
    nothing_comes(&mut consumer);
    assert_eq!(consumer.position(&at), None);
    assert!(consumer.start_at(&partition("another", 0), Offset(0)).is_err());
    consumer.start_at(&at, Offset(0)).unwrap();
    assert_eq!(consumer.position(&at), Some(Offset(0)));
    let mut read = Vec::new();
    wait_until(fixture, "the record comes", |_| {
        if let Polled::Records(records) = consumer.poll(POLL).unwrap() {
            read.extend(records);
        }
        !read.is_empty()
    });
    assert_eq!(values(&read), ["a"]);
    assert_eq!(consumer.position(&at), Some(Offset(1)));
}

/// A start may be moved back and forth; what was fetched before is dropped.
pub fn a_start_rewinds_and_skips<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(["a", "b", "c", "d"].map(|value| record(&at, value)).to_vec());
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    member.start_at(&at, 2);
    member.read(fixture, 2);
    member.start_at(&at, 1);
    member.read(fixture, 5);
    assert_eq!(values(&member.records), ["c", "d", "b", "c", "d"]);
    member.start_at(&at, 0);
    member.start_at(&at, 4);
    member.idle(fixture);
    fixture.append(vec![record(&at, "e")]);
    member.read(fixture, 6);
    assert_eq!(values(&member.records)[5..], ["e"]);
}

/// Without a request a member knows where the log ends, once it has read: also behind an open transaction.
pub fn the_end_of_a_log_is_known_after_a_read<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 1);
    let at = partition(&name, 0);
    fixture.append(["a", "b"].map(|value| record(&at, value)).to_vec());
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    assert_eq!(member.consumer.known_end(&partition("another", 0)), None);
    member.start_at(&at, 0);
    member.read(fixture, 2);
    let known = |fixture: &mut F, member: &mut Member<F::Broker>, end| {
        wait_until(fixture, "the end is known", |_| {
            member.turn();
            member.consumer.known_end(&at) == Some(Offset(end))
        });
    };
    known(fixture, &mut member, 2);
    let open = super::open_transaction(fixture, &broker, &group_id, &[record(&at, "open")]);
    super::await_end(fixture, &broker, &at, 3);
    known(fixture, &mut member, 3);
    assert_eq!(member.consumer.position(&at), Some(Offset(2)));
    drop(open);
}

/// A pause stops one partition where it stands; the other goes on.
pub fn a_paused_partition_keeps_its_position<F: Fixture>(fixture: &mut F) {
    let (broker, group_id) = application(fixture);
    let name = topic(fixture, 2);
    let (still, moving) = (partition(&name, 0), partition(&name, 1));
    fixture.append(vec![record(&still, "a"), record(&moving, "b")]);
    let mut member = Member::alone(fixture, &broker, &group_id, &name);
    member.start_at(&still, 0);
    member.start_at(&moving, 0);
    member.read(fixture, 2);
    member.consumer.pause(std::slice::from_ref(&still)).unwrap();
    fixture.append(vec![record(&still, "c"), record(&moving, "d")]);
    member.read(fixture, 3);
    member.idle(fixture);
    assert_eq!(values(&member.records)[2..], ["d"]);
    assert_eq!(member.consumer.position(&still), Some(Offset(1)));
    member.consumer.resume(&[still]).unwrap();
    member.read(fixture, 4);
    assert_eq!(values(&member.records)[3..], ["c"]);
    assert!(member.consumer.pause(&[partition("another", 0)]).is_err());
}
