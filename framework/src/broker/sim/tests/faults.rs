//! Faults of the transaction, one by one.

use super::*;
use crate::broker::sim::{Fault, SimProducer};
use crate::broker::{BrokerErrorKind, ChangelogReader, CommitReceipt, Membership, NewTopic, Producer};

/// A producer with one record sent to `out-0` and one offset in its transaction.
fn open(broker: &SimBroker, consumer: &SimConsumer, value: &str) -> SimProducer {
    let mut producer = broker.producer("a").unwrap();
    step(&mut producer, consumer, value);
    producer
}

fn step(producer: &mut SimProducer, consumer: &SimConsumer, value: &str) {
    producer.begin().unwrap();
    producer.send(record(&at("out", 0), value)).unwrap();
    producer.send_offsets(&[(at("in", 0), next(1))].into(), &consumer.membership()).unwrap();
}

fn commit_kind(producer: &mut SimProducer) -> Result<CommitReceipt, BrokerErrorKind> {
    producer.commit(NO_WAIT).map_err(|error| error.kind)
}

#[test]
fn an_unknown_outcome_is_told_by_a_successor_and_a_stable_fetch() {
    for (fault, happened) in [(Fault::EndTxnResponseLost, true), (Fault::EndTxnRequestLost, false)] {
        let (broker, mut consumer) = with_member();
        let mut producer = open(&broker, &consumer, "x");
        broker.fail_next(fault);
        assert_eq!(commit_kind(&mut producer), Err(BrokerErrorKind::OutcomeUnknown));
        assert_eq!(commit_kind(&mut producer), Err(BrokerErrorKind::OutcomeUnknown), "it stays dead");
        broker.producer("a").unwrap();
        let found = consumer.committed(&[at("in", 0)], NO_WAIT).unwrap();
        assert_eq!(found[&at("in", 0)].is_some(), happened);
        assert_eq!(committed(&broker, "out").len(), usize::from(happened));
    }
}

#[test]
fn a_delayed_commit_counts_only_until_a_successor_is_there() {
    let (broker, consumer) = with_member();
    for (successor_first, expected) in [(true, vec![]), (false, vec!["late"])] {
        let mut producer = open(&broker, &consumer, "late");
        broker.fail_next(Fault::EndTxnDelayed);
        assert_eq!(commit_kind(&mut producer), Err(BrokerErrorKind::OutcomeUnknown));
        assert_eq!(committed(&broker, "out"), Vec::<String>::new());
        if successor_first {
            broker.producer("a").unwrap();
        }
        assert_eq!(broker.release(), 1);
        assert_eq!(committed(&broker, "out"), expected);
    }
}

// out-0: 1 COMMIT 2a COMMIT(duplicate of the first) | 2b is refused: the first half is committed, without offsets
#[test]
fn a_duplicate_of_the_last_commit_tears_the_next_transaction() {
    for (fault, tainted) in [(Fault::EndTxnDuplicated, true), (Fault::EndTxnDuplicatedUnnoticed, false)] {
        let (broker, consumer) = with_member();
        let mut producer = open(&broker, &consumer, "1");
        broker.fail_next(fault);
        producer.commit(NO_WAIT).unwrap();
        assert_eq!(producer.taint().is_some(), tainted);
        producer.begin().unwrap();
        producer.send(record(&at("out", 0), "2a")).unwrap();
        assert_eq!(broker.release(), 1);
        producer.send(record(&at("out", 0), "2b")).unwrap();
        let error = producer.commit(NO_WAIT).unwrap_err();
        assert_eq!((error.kind, &*error.reason), (BrokerErrorKind::Abortable, "INVALID_TXN_STATE"));
        assert_eq!(committed(&broker, "out"), ["1", "2a"]);
        assert_eq!(broker.committed_offsets("app")[&at("in", 0)], next(1));
    }
}

#[test]
fn what_is_added_after_the_tear_commits_as_a_transaction_of_its_own() {
    let (broker, consumer) = with_member();
    let mut producer = open(&broker, &consumer, "1");
    broker.fail_next(Fault::EndTxnDuplicatedUnnoticed);
    producer.commit(NO_WAIT).unwrap();
    producer.begin().unwrap();
    producer.send(record(&at("out", 0), "2a")).unwrap();
    broker.release();
    assert_eq!(committed(&broker, "out"), ["1", "2a"]);
    producer.send(record(&at("out", 1), "2b")).unwrap();
    assert_eq!(committed(&broker, "out"), ["1", "2a"]);
    producer.commit(NO_WAIT).unwrap();
    assert_eq!(committed(&broker, "out"), ["1", "2a", "2b"]);
}

// KAFKA-10167: a restore that stops at the last stable offset misses what the offsets already say is done.
#[test]
fn the_offsets_of_a_commit_can_be_seen_before_its_records() {
    let (broker, mut consumer) = with_member();
    broker.hold_markers_of_topic("out");
    let mut producer = open(&broker, &consumer, "x");
    producer.commit(NO_WAIT).unwrap();
    assert!(consumer.committed(&[at("in", 0)], NO_WAIT).unwrap()[&at("in", 0)].is_some());
    assert_eq!(broker.last_stable_offset(&at("out", 0)), Some(Offset(0)));
    let mut reader = broker.reader().unwrap();
    let target = reader.log_ranges(&[at("out", 0)], NO_WAIT).unwrap()[&at("out", 0)].end;
    assert_eq!(target, Offset(1));
    reader.assign(&[(at("out", 0), Offset(0))].into()).unwrap();
    assert_eq!(reader.poll(NO_WAIT).unwrap(), []);
    assert_eq!(reader.position(&at("out", 0)), Some(Offset(0)), "the target is not reached before the marker is");
    let successor = broker.producer("a").map(drop).unwrap_err();
    assert_eq!(successor.kind, BrokerErrorKind::Retriable);
    assert_eq!(broker.release(), 1);
    assert_eq!(reader.poll(NO_WAIT).unwrap().len(), 1);
    broker.producer("a").unwrap();
}

#[test]
fn records_wait_in_the_client_for_the_markers_of_the_last_transaction() {
    let (broker, consumer) = with_member();
    broker.hold_markers_of_group("app");
    let mut producer = open(&broker, &consumer, "1");
    producer.commit(NO_WAIT).unwrap();
    producer.begin().unwrap();
    producer.send(record(&at("out", 0), "2")).unwrap();
    assert_eq!(values(&broker, "out", Isolation::ReadUncommitted), ["1"]);
    broker.release();
    producer.commit(NO_WAIT).unwrap();
    assert_eq!(committed(&broker, "out"), ["1", "2"]);
}

#[test]
fn a_crash_silences_the_process_until_it_is_dropped() {
    let faults = [(Fault::CrashBeforeEndTxn, 0), (Fault::CrashAfterEndTxn, 1)];
    for (fault, written) in faults {
        let (broker, mut consumer) = with_member();
        let mut producer = open(&broker, &consumer, "x");
        broker.fail_next(fault);
        assert_eq!(commit_kind(&mut producer), Err(BrokerErrorKind::Configuration));
        assert!(consumer.poll(NO_WAIT).is_err() && broker.producer("a").is_err(), "the dead do nothing");
        assert_eq!(broker.take_crash(), Some(fault));
        assert_eq!(broker.take_crash(), None);
        drop((producer, consumer));
        broker.producer("a").unwrap();
        assert_eq!(committed(&broker, "out").len(), written);
        let mut restarted = subscribe(&broker, "a", "in");
        assert_eq!(confirmed(&mut restarted), Rebalance::Assign(vec![at("in", 0), at("in", 1)]));
        assert_eq!(broker.group("app").generation, 1);
    }
}

#[test]
fn a_full_queue_leaves_the_producer_usable() {
    let (broker, consumer) = with_member();
    let mut producer = open(&broker, &consumer, "1");
    broker.fail_next(Fault::ProducerQueueFull);
    assert_eq!(producer.send(record(&at("out", 0), "2")).unwrap_err().kind, BrokerErrorKind::Retriable);
    producer.send(record(&at("out", 0), "2")).unwrap();
    producer.commit(NO_WAIT).unwrap();
    assert_eq!(committed(&broker, "out"), ["1", "2"]);
}

#[test]
fn a_held_record_is_delivered_by_the_commit_and_a_report_may_lack_its_offset() {
    let (broker, consumer) = with_member();
    let mut producer = open(&broker, &consumer, "1");
    broker.fail_next(Fault::DeliveryHeld);
    producer.send(record(&at("out", 1), "held")).unwrap();
    assert_eq!(values(&broker, "out", Isolation::ReadUncommitted), ["1"]);
    broker.fail_next(Fault::DeliveryOffsetUnknown);
    assert_eq!(producer.commit(NO_WAIT).unwrap().last_offsets, [(at("out", 0), Offset(0))].into());
    assert_eq!(committed(&broker, "out"), ["1", "held"]);
}

#[test]
fn a_record_that_is_too_large_fails_the_commit_and_an_unknown_partition_the_send() {
    let (broker, _consumer) = with_member();
    let configs = [("max.message.bytes".to_owned(), "4".to_owned())].into();
    let small = NewTopic { name: "small".into(), partitions: 1, replication_factor: 1, configs };
    broker.create_topic(&small).unwrap();
    let mut producer = broker.producer("b").unwrap();
    producer.begin().unwrap();
    producer.send(record(&at("small", 0), "12345")).unwrap();
    assert_eq!(commit_kind(&mut producer), Err(BrokerErrorKind::RecordRejected));
    let mut producer = broker.producer("b").unwrap();
    producer.begin().unwrap();
    let error = producer.send(record(&at("small", 1), "x")).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::RecordRejected);
}

#[test]
fn the_broker_lets_offsets_without_membership_pass() {
    let (broker, _consumer) = with_member();
    let nobody = Membership { generation: -1, member_id: String::new() };
    let mut producer = broker.producer("z").unwrap();
    producer.begin().unwrap();
    producer.send_offsets_unchecked(&[(at("in", 0), next(9))].into(), &nobody).unwrap();
    producer.commit(NO_WAIT).unwrap();
    assert_eq!(broker.committed_offsets("app")[&at("in", 0)], next(9));
    producer.begin().unwrap();
    let error = producer.send_offsets(&[(at("in", 0), next(10))].into(), &nobody).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::NotAMember);
}

#[test]
fn a_moved_coordinator_answers_none_once() {
    let (broker, mut consumer) = with_member();
    broker.set_committed_offset("app", &at("in", 0), next(3));
    broker.fail_next(Fault::CommittedOffsetTransientlyMissing);
    let ask = |consumer: &mut SimConsumer| consumer.committed(&[at("in", 0)], NO_WAIT).unwrap()[&at("in", 0)].clone();
    assert_eq!(ask(&mut consumer), None);
    assert_eq!(ask(&mut consumer), Some(next(3)));
    broker.delete_group_offsets("app");
    assert_eq!(ask(&mut consumer), None);
}

#[test]
fn lag_is_zero_behind_the_last_marker_only() {
    let (broker, consumer) = with_member();
    broker.append(record(&at("in", 0), "x")).unwrap();
    let mut other = broker.producer("other").unwrap();
    other.begin().unwrap();
    other.send(record(&at("in", 0), "y")).unwrap();
    other.commit(NO_WAIT).unwrap();
    // in-0: x y COMMIT
    assert_eq!(broker.lag("app"), [(at("in", 0), 3), (at("in", 1), 0)].into());
    let mut producer = open(&broker, &consumer, "1");
    producer.send_offsets(&[(at("in", 0), next(2))].into(), &consumer.membership()).unwrap();
    producer.commit(NO_WAIT).unwrap();
    assert_eq!(broker.lag("app")[&at("in", 0)], 1);
    broker.set_committed_offset("app", &at("in", 0), next(3));
    assert_eq!(broker.lag("app")[&at("in", 0)], 0);
}
