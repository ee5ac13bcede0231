//! Each breakage of the protocol is found: a check that finds none would not find a mistake either.

use millpond::runtime::Breakage;

use crate::topologies::broken;

/// Seeds that are tried; `./dev simulate --mutations` tells how many each takes.
const SEEDS: u64 = 3_000;

#[test]
fn every_breakage_of_the_protocol_is_found() {
    let found = |breakage: Breakage| {
        let simulation = broken(breakage);
        (0..SEEDS).any(|seed| simulation.run(seed).failed())
    };
    let missed: Vec<Breakage> = Breakage::ALL.into_iter().filter(|&breakage| !found(breakage)).collect();
    assert_eq!(missed, []);
}
