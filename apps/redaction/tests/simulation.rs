//! The topology on three instances while everything goes wrong: each record is redacted once, and refused ones are set
//! aside once, without their bytes.
#![allow(clippy::unwrap_used, reason = "tests panic: that gives a backtrace")]

use std::sync::Arc;

use bytes::Bytes;
use millpond::record::Record;
use millpond::testing::Simulation;
use millpond::testing::simulation::{Finished, same};
use millpond::time::Timestamp;
use redaction::address::Mode;
use redaction::{EVENTS, PROCESSED_EVENTS, Policy, Redactor, Totals, reference, topology};

fn text(value: Option<&Bytes>) -> String {
    String::from_utf8(value.map_or_else(Vec::new, |bytes| bytes.to_vec())).unwrap()
}

fn redacted_once(run: &Finished<'_>) -> Result<(), String> {
    let values: Vec<String> = run.input(&EVENTS).iter().map(|(_, value)| text(value.as_ref())).collect();
    let expected: Vec<String> = values.iter().filter_map(|value| reference::redact(value)).collect();
    let written: Vec<String> = run.committed(&PROCESSED_EVENTS).iter().map(|(_, value)| text(value.as_ref())).collect();
    same("redacted", &written, &expected)?;
    let letters = run.records("dead-letters");
    same("dead letters", &letters.len(), &(values.len() - expected.len()))?;
    same("bytes in dead letters", &letters.iter().filter_map(|letter| letter.value.as_ref()).count(), &0)
}

#[test]
fn every_seed_redacts_each_record_once() {
    let redactor = Redactor::new(Mode::Balanced, Policy::Mask);
    let summary =
        Simulation::of(topology(&EVENTS, &PROCESSED_EVENTS, redactor, &Arc::default() as &Arc<Totals>).unwrap())
            .dead_letters(false)
            .input_raw("events", |draw, number| {
                let value = match draw.below(5) {
                    0 => format!("{{\"n\":{number}"),
                    1 => format!("{{\"n\":{number},\"mail\":\"joe@example.com\"}}"),
                    _ => format!("{{\"n\":{number}}}"),
                };
                let key = Bytes::from(format!("k{}", draw.below(9)));
                Record::new(Some(key), Some(Bytes::from(value)), Timestamp::from_millis(number))
            })
            .against(redacted_once)
            .seeds(0..300);
    assert_eq!(summary.exact, 300, "{summary}");
}
