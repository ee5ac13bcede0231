//! What the contract suite cannot reach on a real broker: faults, delays, crashes, the clock.
