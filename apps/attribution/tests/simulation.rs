//! The topology on three instances while everything goes wrong: the last record of each order is the reference's.
#![allow(clippy::unwrap_used, reason = "tests panic: that gives a backtrace")]

use attribution::reference::{Fact, verify};
use attribution::{ATTRIBUTIONS, Rule, Topics, topology};
use millpond::record::Record;
use millpond::testing::Simulation;
use millpond::testing::simulation::Finished;
use millpond::time::Timestamp;
use millpond_support::{EVENTS, Event, EventName};

fn attributions_are_right(run: &Finished<'_>) -> Result<(), String> {
    let read =
        |record: &&millpond::record::ProducerRecord| Fact::read(record.timestamp.as_millis(), record.value.as_deref());
    let facts: Vec<Fact> = run.input_records("events").iter().filter_map(read).collect();
    let written = run.committed(&ATTRIBUTIONS);
    let wrong = verify(&facts, written.iter().map(|(key, attribution)| (key.as_str(), attribution)));
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
}

#[test]
fn every_seed_attributes_each_order_as_the_reference_does() {
    let summary = Simulation::of(topology(&Topics::default(), Rule::default()).unwrap())
        .dead_letters(true)
        .input(&EVENTS, |draw, _| {
            let user = draw.below(3);
            let which = draw.below(3);
            let event = if draw.one_in(2) {
                let order_id = Some(format!("o{user}{which}").into());
                Event { order_id, ..Event::new(format!("u{user}"), EventName::OrderConfirmed) }
            } else {
                Event { channel: Some(format!("c{which}").into()), ..Event::new(format!("u{user}"), EventName::Visit) }
            };
            Record::new((), event, Timestamp::from_millis(i64::try_from(draw.below(20)).unwrap()))
        })
        .against(attributions_are_right)
        .seeds(0..300);
    assert_eq!(summary.exact, 300, "{summary}");
}
