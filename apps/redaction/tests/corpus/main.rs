//! Recall per way of writing an address, and precision on what only looks like one.
//!
//! The corpus is generated from a fixed seed: 400 addresses in each of 19 classes and 21,000 look-alikes. Every expected
//! output is known exactly, because the generator puts the text around the address.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests panic: that gives a backtrace")]

mod look_alikes;
mod positives;

use bytes::Bytes;
use millpond::record::Headers;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use redaction::address::Mode;
use redaction::{MARKER, Policy, Redactor};

const SEED: u64 = 0x5eed;
const PER_CLASS: usize = 400;
const LOOK_ALIKES: usize = 21_000;

fn redact(mode: Mode, value: &str) -> String {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    let redacted = Redactor::new(mode, Policy::Mask).redact_record(None, value, &Headers::new()).unwrap();
    String::from_utf8(redacted.value.unwrap().to_vec()).unwrap()
}

/// How many of a class went, and how many of them without a byte too much or too few.
struct Score {
    class: &'static str,
    gone: usize,
    exact: usize,
}

fn scores(mode: Mode) -> Vec<Score> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let classes = positives::classes();
    classes
        .iter()
        .map(|class| {
            let mut score = Score { class: class.name, gone: 0, exact: 0 };
            for _ in 0..PER_CLASS {
                let sample = (class.sample)(&mut rng);
                let expected = sample.value.replace(&sample.written, MARKER);
                assert_eq!(sample.value.matches(&sample.written).count(), 1, "{}", sample.value);
                let redacted = redact(mode, &sample.value);
                score.exact += usize::from(redacted == expected);
                let gone = redacted.contains(MARKER) && !redacted.contains(&sample.secret);
                score.gone += usize::from(gone);
                if redacted != expected {
                    println!("{mode:?} {}: {} became {redacted}", class.name, sample.value);
                }
            }
            score
        })
        .collect()
}

#[test]
fn every_address_of_every_class_goes_in_both_modes_and_nothing_around_it() {
    for mode in [Mode::Balanced, Mode::Strict] {
        let scores = scores(mode);
        assert!(scores.len() >= 12);
        for Score { class, gone, exact } in scores {
            println!("{mode:?} {class}: recall {gone}/{PER_CLASS}, exact {exact}/{PER_CLASS}");
            assert_eq!((gone, exact), (PER_CLASS, PER_CLASS), "{mode:?} {class}");
        }
    }
}

#[test]
fn look_alikes_stay_in_balanced_mode() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let wrong = (0..LOOK_ALIKES)
        .map(|_| serde_json::Value::from(look_alikes::sample(&mut rng)).to_string())
        .filter(|value| redact(Mode::Balanced, value) != *value)
        .inspect(|value| println!("redacted without need: {value}"))
        .count();
    let right: usize = scores(Mode::Balanced).iter().map(|score| score.gone).sum();
    let (right, wrong) = (f64::from(u32::try_from(right).unwrap()), f64::from(u32::try_from(wrong).unwrap()));
    let precision = right / (right + wrong);
    println!("precision {precision:.4}: {wrong} of {LOOK_ALIKES} look-alikes redacted");
    assert!(precision >= 0.99, "precision={precision}");
}
