//! The topology on three instances while everything goes wrong: each burst has one alert all the same.
#![allow(clippy::unwrap_used, reason = "tests panic: that gives a backtrace")]

use std::time::Duration;

use fraud::reference::{CartAdd, leave_out, verify};
use fraud::{ALERTS, Alert, Rule, Topics, topology};
use millpond::record::Record;
use millpond::testing::Simulation;
use millpond::testing::simulation::Finished;
use millpond::time::Timestamp;
use millpond_support::{EVENTS, Event, EventName};

const RECORDS: usize = 80;
/// Users whose events let stream time go on in every partition.
const LAST: usize = 20;
/// Never: the simulated clock jumps by days, and an alert that leaves early may be one too many by promise.
const NEVER: Duration = Duration::from_hours(24 * 365);

fn rule() -> Rule {
    Rule { window: Duration::from_millis(700), idle: NEVER, ..Rule::default() }
}

fn alerts_are_right(run: &Finished<'_>) -> Result<(), String> {
    let read = |record: &&millpond::record::ProducerRecord| {
        CartAdd::read(record.timestamp.as_millis(), record.value.as_deref())
    };
    let adds: Vec<CartAdd> = run.input_records("events").iter().filter_map(read).collect();
    let late: Vec<CartAdd> = run.records("dead-letters").iter().filter_map(CartAdd::read_late).collect();
    let alerts: Vec<Alert> = run.committed(&ALERTS).into_iter().map(|(_, alert)| alert).collect();
    let wrong = verify(&rule(), &leave_out(adds, &late), &alerts);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
}

#[test]
fn every_seed_alerts_once_for_each_burst() {
    let summary = Simulation::of(topology(&Topics::default(), rule()).unwrap())
        .records(RECORDS)
        .closing(LAST)
        .dead_letters(true)
        .input(&EVENTS, |draw, number| {
            let (user, at_ms) = match usize::try_from(number) {
                Ok(number) if number >= RECORDS => (format!("last-{number}"), 100_000),
                _ => (format!("u{}", draw.below(2)), i64::try_from(draw.below(9_000)).unwrap()),
            };
            let item_url = Some(format!("/i/{}", draw.below(7)).into());
            let event = Event { item_url, ..Event::new(user, EventName::AddToCart) };
            Record::new((), event, Timestamp::from_millis(at_ms))
        })
        .against(alerts_are_right)
        .seeds(0..300);
    assert_eq!(summary.exact, 300, "{summary}");
}
