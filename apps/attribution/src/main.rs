//! The attribution binary.

fn main() {}
