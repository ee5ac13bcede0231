//! Goal: `read_committed` is right under any interleaving of two producers. Method: a naive list of all records with the
//! fate of their transactions, compared after every step.

use proptest::prelude::*;

use super::*;
use crate::broker::Producer;
use crate::broker::sim::SimProducer;

#[derive(Debug, Clone, Copy)]
enum Op {
    Send(usize, i32),
    Commit(usize),
    /// A new producer of the same id.
    Restart(usize),
    /// A foreign record without a transaction.
    Append(i32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..2_usize, 0..2_i32).prop_map(|(who, partition)| Op::Send(who, partition)),
        2 => (0..2_usize).prop_map(Op::Commit),
        1 => (0..2_usize).prop_map(Op::Restart),
        1 => (0..2_i32).prop_map(Op::Append),
    ];
    proptest::collection::vec(op, 0..40)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Open(usize),
    Committed,
    Aborted,
}

/// What a reader must see: everything before the first open record of the partition, but for the aborted.
fn expected(records: &[(i32, String, Fate)]) -> Vec<String> {
    let of = |partition| {
        let all = records.iter().filter(move |record| record.0 == partition);
        let stable = all.take_while(|record| !matches!(record.2, Fate::Open(_)));
        stable.filter(|record| record.2 == Fate::Committed).map(|record| record.1.clone())
    };
    of(0).chain(of(1)).collect()
}

fn end(records: &mut [(i32, String, Fate)], who: usize, fate: Fate) {
    for record in records.iter_mut().filter(|record| record.2 == Fate::Open(who)) {
        record.2 = fate;
    }
}

fn of_own_key(partition: i32, value: &str) -> ProducerRecord {
    ProducerRecord { key: Some(Bytes::copy_from_slice(value.as_bytes())), ..record(&at("out", partition), value) }
}

proptest! {
    #[test]
    fn readers_see_what_a_naive_list_says(ops in ops()) {
        let broker = SimBroker::new();
        broker.add_topic("out", 2);
        let ids = ["left", "right"];
        let make = |who: usize| {
            let mut producer = broker.producer(ids[who]).unwrap();
            producer.begin().unwrap();
            producer
        };
        let mut producers: Vec<SimProducer> = (0..2).map(make).collect();
        let mut records = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            let value = number.to_string();
            match op {
                Op::Send(who, partition) => {
                    producers[who].send(of_own_key(partition, &value)).unwrap();
                    records.push((partition, value, Fate::Open(who)));
                }
                Op::Commit(who) => {
                    producers[who].commit(NO_WAIT).unwrap();
                    producers[who].begin().unwrap();
                    end(&mut records, who, Fate::Committed);
                }
                Op::Restart(who) => {
                    producers[who] = make(who);
                    end(&mut records, who, Fate::Aborted);
                }
                Op::Append(partition) => {
                    broker.append(of_own_key(partition, &value)).unwrap();
                    records.push((partition, value, Fate::Committed));
                }
            }
            prop_assert_eq!(committed(&broker, "out"), expected(&records));
        }
        // Where each key is there once, compaction takes the aborted and nothing else.
        broker.compact("out", true);
        prop_assert_eq!(committed(&broker, "out"), expected(&records));
    }
}
