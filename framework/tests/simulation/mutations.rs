//! Each breakage of the protocol is found: a check that finds none would not find a mistake either.
#![allow(clippy::disallowed_methods, reason = "a search is to be short for whoever waits for it")]

use std::time::{Duration, Instant};

use millpond::runtime::Breakage;

use crate::topologies::broken;

/// Seeds that are tried; `./dev simulate --mutations` tells how many each takes.
const SEEDS: u64 = 3_000;
/// How long a breakage may stay unfound.
const SEARCH_MAX: Duration = Duration::from_mins(1);

#[test]
fn every_breakage_of_the_protocol_is_found() {
    let mut missed = Vec::new();
    for breakage in Breakage::ALL {
        let (simulation, began) = (broken(breakage), Instant::now());
        let mut tried = (0..SEEDS).take_while(|_| began.elapsed() < SEARCH_MAX);
        let found = tried.find(|&seed| simulation.run(seed).failed());
        let took = began.elapsed();
        match found {
            Some(seed) => println!("{breakage:?} seed={seed} seconds={:.2}", took.as_secs_f64()),
            None => println!("{breakage:?} not found, seconds={:.2}", took.as_secs_f64()),
        }
        if found.is_none() || took > SEARCH_MAX {
            missed.push(breakage);
        }
    }
    assert_eq!(missed, [], "not found in {SEARCH_MAX:?}");
}
