//! For fuzzers: what commands are told in texts and files, which nothing outside this crate reads.

use std::fmt::Write as _;

use super::reset::places;
use super::time;

/// The most that a duration in seconds may have.
const SECONDS_MAX: u64 = 600_000_000_000;

/// Takes a text for a file of places, a time, and a duration.
///
/// # Panics
/// When a promise is broken: that is what a fuzzer looks for.
pub fn read_all(text: &str) {
    read_places(text);
    if let Ok(at) = time::parse_datetime(text)
        && at.is_some()
    {
        let shown = time::shown(at);
        assert_eq!(time::parse_datetime(&shown), Ok(at), "{text}: {shown}");
    }
    match time::parse_duration(text) {
        Ok(duration) if duration.as_secs() <= SECONDS_MAX => {
            let again = format!("PT{}.{:09}S", duration.as_secs(), duration.subsec_nanos());
            assert_eq!(time::parse_duration(&again), Ok(duration), "{text}: {again}");
        }
        Ok(_) => {}
        Err(reason) => assert!(!reason.is_empty(), "{text}"),
    }
}

/// Places are written again and read as the same; whatever else the text is, a line of it is named with what to do.
fn read_places(text: &str) {
    match places::parse(text) {
        Ok(places) => {
            let mut again = String::new();
            for (at, to) in &places {
                assert!(at.partition.0 >= 0 && to.0 >= 0 && !at.topic.is_empty(), "{at} {to}");
                // Writing to a String does not fail.
                let _ = writeln!(again, "\"{}\",{},{}", at.topic, at.partition, to);
            }
            assert_eq!(places::parse(&again), Ok(places), "{again}");
        }
        Err(wrong) => {
            let is_there = wrong.line.is_none_or(|line| (1..=text.lines().count()).contains(&line));
            assert!(is_there && !wrong.reason.is_empty() && !wrong.fix.is_empty(), "{wrong:?}");
        }
    }
}
