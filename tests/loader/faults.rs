//! COMMIT without an answer, and seeds that draw faults of Kafka, kills, pauses and lost connections.

use std::collections::BTreeMap;
use std::time::Instant;

use millpond::broker::sim::{Fault, Faults, Isolation, SimBroker, SplitMix64};

use crate::fixture::{
    APP, ATTRIBUTIONS, DEAD_LETTERS, Driven, EVENTS, LIMIT, append, append_events, attribution, broker, config,
    database, drained, event, loaded_positions, positions, query,
};
use crate::pair::Pair;
use crate::proxy::{Cut, Proxy};

#[test]
fn an_unknown_commit_is_resolved_by_reading_the_offsets_again() {
    for (cut, committed, rolled_back) in [(Cut::Request, 0, 1), (Cut::Response, 1, 0)] {
        let (url, broker) = (database(), broker(1));
        let proxy = Proxy::start(&url);
        let mut driven = Driven::new(config(&proxy.url, "a"), &broker);
        append_events(&broker, 0..10);
        driven.drain(&broker);
        append_events(&broker, 10..400);
        proxy.cut(cut, 0);
        driven.drain(&broker);
        assert!(proxy.has_cut());
        assert_eq!(loaded_positions(&url), positions(&broker, EVENTS), "{cut:?}");
        let status = driven.status();
        assert_eq!((status.unknown_committed, status.unknown_rolled_back), (committed, rolled_back), "{cut:?}");
        assert_eq!(status.tables["events"].present, 0, "nothing was even tried twice");
    }
}

struct Expected {
    /// Channel by order.
    orders: BTreeMap<String, String>,
    /// Partition and offset of the events to load.
    good: Vec<Vec<String>>,
    /// The same of those that are no events.
    bad: Vec<Vec<String>>,
}

/// The naive reference: what the tables and letters must hold for what is in the topics.
fn expected(broker: &SimBroker) -> Expected {
    let mut orders = BTreeMap::new();
    for record in broker.records(ATTRIBUTIONS, Isolation::ReadCommitted) {
        let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        let text = |field: &str| value[field].as_str().unwrap().to_owned();
        orders.insert(text("order_id"), text("marketing_channel"));
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for record in broker.records(EVENTS, Isolation::ReadCommitted) {
        let position = vec![record.source.partition.to_string(), record.offset.to_string()];
        if record.value.as_deref() == Some(b"bad") { bad.push(position) } else { good.push(position) }
    }
    Expected { orders, good, bad }
}

fn letters(broker: &SimBroker) -> Vec<Vec<String>> {
    let mut letters: Vec<(i32, i64)> = broker
        .records(DEAD_LETTERS, Isolation::ReadCommitted)
        .iter()
        .map(|letter| {
            let header = |name: &str| {
                let value = letter.headers.last(&format!("__streams.errors.{name}")).unwrap().unwrap();
                String::from_utf8(value.to_vec()).unwrap()
            };
            (header("partition").parse().unwrap(), header("offset").parse().unwrap())
        })
        .collect();
    letters.sort_unstable();
    letters.into_iter().map(|(partition, offset)| vec![partition.to_string(), offset.to_string()]).collect()
}

/// Everything that Kafka does wrong to a loader. What ends a process or an assignment is rarer than a loader's way from its
/// start to its next commit, or nothing else would ever happen.
fn faults(seed: u64) -> Faults {
    let rate = |fault: Fault| match fault {
        Fault::FetchShort | Fault::FetchEmpty => 4,
        Fault::GroupRebalance | Fault::GroupSessionExpired | Fault::CrashBeforeAcknowledge => 300,
        Fault::CrashInOffsetFetch | Fault::CrashAfterInit | Fault::OffsetFetchTimeout | Fault::AdminTimeout => 60,
        // Each lets the other one go on for a while.
        Fault::Paused => 80,
        // Of restores: a loader has none.
        Fault::CrashInRestore => 0,
        _ => 10,
    };
    Fault::ALL.into_iter().fold(Faults::seeded(seed), |faults, fault| faults.with(fault, rate(fault)))
}

fn feed(broker: &SimBroker, rng: &mut SplitMix64, step: u64) {
    for _ in 0..rng.below(40) {
        let partition = i32::try_from(rng.below(2)).unwrap();
        if rng.one_in(15) {
            append(broker, EVENTS, partition, "bad");
        } else {
            append(broker, EVENTS, partition, event(&format!("u{step}")));
        }
    }
    // An order's records are in one partition.
    let order = rng.below(6);
    let channel = format!("c{step}");
    append(broker, ATTRIBUTIONS, i32::try_from(order % 2).unwrap(), attribution(&format!("o{order}"), &channel));
}

/// Two loaders, one seed: kills, faults of Kafka at every step, COMMITs cut before and after; one that stands still in the
/// middle of a call, or between rounds, until the other one has its partitions, and then goes on. Then everything is let run
/// out and compared with the reference.
#[test]
fn every_seed_loads_what_the_reference_says() {
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    let (mut cuts, mut successions, mut slept) = (0, 0, 0);
    for seed in 0..5 {
        let (url, broker) = (database(), broker(2));
        let proxy = Proxy::start(&url);
        let mut rng = SplitMix64::new(seed);
        let pair = Pair::new(&broker, (&url, &proxy.url), seed);
        broker.set_faults(faults(seed));
        let begin = Instant::now();
        for step in 0..120 {
            feed(&broker, &mut rng, step);
            if proxy.has_cut() && rng.one_in(6) {
                let cut = if rng.one_in(2) { Cut::Request } else { Cut::Response };
                proxy.cut(cut, u8::try_from(rng.below(4)).unwrap());
                cuts += 1;
            }
            for number in 0..2 {
                (0..4).for_each(|_| pair.round(number));
                if rng.one_in(60) {
                    pair.kill(number);
                }
                if rng.one_in(40) {
                    pair.fall_asleep(number);
                }
            }
        }
        broker.set_faults(Faults::none());
        broker.release();
        pair.heal();
        while !drained(&broker) {
            (0..2).for_each(|number| pair.round(number));
            assert!(begin.elapsed() < LIMIT, "seed {seed}: lag {:?}", broker.lag(APP));
        }
        let Expected { orders, good, bad } = expected(&broker);
        assert!(good.len() > 500 && bad.len() > 20, "seed {seed} is empty");
        assert_eq!(loaded_positions(&url), good, "seed {seed}");
        assert_eq!(letters(&broker), bad, "seed {seed}");
        let table = query(&url, "SELECT order_id, marketing_channel FROM purchase_marketing_attributions");
        let table: BTreeMap<_, _> = table.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        assert_eq!(table, orders, "seed {seed}");
        for (fault, hits) in broker.faults_hit() {
            *struck.entry(fault).or_default() += hits;
        }
        let seen = pair.seen();
        println!("seed {seed}: {seen:?}");
        successions += seen.successions;
        slept += seen.between_rounds;
    }
    // Seeds that hit nothing would prove nothing.
    for fault in [
        Fault::AfterSend,
        Fault::SendOffsetsResponseLost,
        Fault::EndTxnRequestLost,
        Fault::EndTxnResponseLost,
        Fault::EndTxnDelayed,
        Fault::EndTxnDuplicatedUnnoticed,
        Fault::CrashAfterEndTxn,
        Fault::CrashBeforeEndTxn,
        Fault::GroupRebalance,
        Fault::CommittedOffsetTransientlyMissing,
        Fault::Paused,
    ] {
        assert!(struck.get(&fault).is_some_and(|hits| *hits >= 2), "{fault:?} in {struck:?}");
    }
    assert!(cuts > 20, "{cuts} cuts");
    assert!(successions > 20 && slept > 10, "{successions} successions, {slept} sleeps between rounds");
}
