//! The inputs that are known, and some made of them: quick enough for every run of the tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test panics where it fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use millpond_fuzz::TARGETS;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// So many inputs are made for each target.
const MADE: u64 = 2_000;
/// A request over a socket takes its time.
const MADE_REQUESTS: u64 = 50;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = directory().join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_target_has_a_corpus_and_no_corpus_is_left_over() {
    let named: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), named);
    for name in named {
        assert!(!corpus(&name).is_empty(), "{name}");
    }
}

#[test]
fn every_known_input_and_some_made_of_them_keep_the_promises() {
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        for seed in &seeds {
            target(seed);
        }
        let made = if ["http_request", "query"].contains(name) { MADE_REQUESTS } else { MADE };
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..made {
            target(&changed(seeds.choose(&mut rng).unwrap(), &mut rng));
        }
    }
}

/// A few bytes flipped, taken out, repeated or cut off.
fn changed(seed: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, rng.random()),
            3 => {
                let piece = bytes[at..(at + 8).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}
