//! The fraud binary.

fn main() {}
