//! What a test does and sees from outside: retention, pauses, drawings, offsets that go back.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::broker::Producer;
use crate::broker::sim::Fault;

fn dated(value: &str, ms: i64) -> ProducerRecord {
    ProducerRecord { timestamp: Timestamp::from_millis(ms), ..record(&at("out", 0), value) }
}

#[test]
fn retention_ends_at_the_first_record_that_is_young_or_not_stable() {
    let broker = SimBroker::new();
    broker.add_topic("out", 1);
    broker.append(dated("old", 10)).unwrap();
    broker.append(dated("young", 30)).unwrap();
    broker.append(dated("old again", 10)).unwrap();
    broker.expire_records("out", Timestamp::from_millis(20));
    assert_eq!(committed(&broker, "out"), ["young", "old again"]);
    let mut producer = broker.producer("a").unwrap();
    producer.begin().unwrap();
    producer.send(dated("open", 10)).unwrap();
    broker.expire_records("out", Timestamp::from_millis(40));
    assert_eq!(values(&broker, "out", Isolation::ReadUncommitted), ["open"]);
}

#[test]
fn while_a_process_stands_still_others_go_on_and_its_request_comes_after_theirs() {
    let (broker, consumer) = with_member();
    let mut producer = broker.producer("a").unwrap();
    producer.begin().unwrap();
    producer.send(record(&at("out", 0), "mine")).unwrap();
    producer.send_offsets(&[(at("in", 0), next(1))].into(), &consumer.membership()).unwrap();
    let meanwhile = broker.clone();
    let successor = Rc::new(RefCell::new(None));
    let made = Rc::clone(&successor);
    broker.on_pause(Some(Box::new(move || *made.borrow_mut() = meanwhile.producer("a").ok())));
    broker.fail_next(Fault::Paused);
    let late = producer.commit(NO_WAIT);
    assert!(late.is_err(), "fenced while it stood still: {late:?}");
    assert!(successor.borrow().is_some());
    assert_eq!(committed(&broker, "out"), Vec::<String>::new());
    broker.on_pause(None);
}

#[test]
fn a_log_is_drawn_with_its_producers_markers_and_fates() {
    let broker = SimBroker::new();
    broker.add_topic("out", 1);
    broker.append(record(&at("out", 0), "plain")).unwrap();
    for _ in 0..2 {
        let mut producer = broker.producer("a").unwrap();
        producer.begin().unwrap();
        producer.send(record(&at("out", 0), "x")).unwrap();
    }
    assert_eq!(broker.drawn(&at("out", 0)), "0:plain | 1:(x) P1.0 | 2:A P1.1 | 3:x? P1.2");
    assert_eq!(broker.drawn(&at("out", 1)), "no such partition");
}

#[test]
fn a_commit_that_moves_an_offset_back_is_told() {
    let (broker, consumer) = with_member();
    let mut producer = broker.producer("a").unwrap();
    for offset in [5, 7, 6] {
        assert_eq!(broker.offsets_gone_back("app"), Vec::<String>::new());
        producer.begin().unwrap();
        producer.send_offsets(&[(at("in", 0), next(offset))].into(), &consumer.membership()).unwrap();
        producer.commit(NO_WAIT).unwrap();
    }
    assert_eq!(broker.offsets_gone_back("app"), ["in-0 from 7 to 6"]);
}
