//! Stream threads under everything that goes wrong, from seeds: the protocol holds, and each of its breakages is found.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test: helpers fail it where they stand")]

mod mutations;
mod seeds;
#[allow(dead_code, reason = "names are for the program")]
mod topologies;
