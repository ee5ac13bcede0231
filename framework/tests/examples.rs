//! The examples on the simulated broker: they print what they promise.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test: helpers fail it where they stand")]
#![allow(dead_code, reason = "an example's main is called by its reader")]
#![allow(clippy::duplicate_mod, reason = "each example brings what the examples share")]

#[path = "../examples/2_processor.rs"]
mod processor;
#[path = "../examples/3_table.rs"]
mod table;
#[path = "../examples/1_word_count.rs"]
mod word_count;

#[test]
fn word_count_counts_every_word_once_in_spite_of_the_crash() {
    let mut lines = word_count::simulate(word_count::topology().unwrap());
    assert_eq!(lines.remove(0), "before the commit: []");
    lines.sort_unstable();
    assert_eq!(lines, ["and 1", "end 1", "mill 1", "pond 1", "the 1", "the 2", "the 3"]);
}

#[test]
fn the_processor_reports_the_highest_reading_when_event_time_has_passed() {
    let lines = processor::simulate(processor::topology().unwrap());
    assert_eq!(lines, ["before ten seconds have passed: []", "sluice 9", "wheel 40"]);
}

#[test]
fn the_table_writes_every_change_and_survives_the_loss_of_its_disk() {
    let lines = table::simulate(table::topology().unwrap());
    assert_eq!(lines, ["flour costs 1.20", "flour costs 1.35", "flour no longer sold"]);
}
