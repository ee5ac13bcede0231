//! The loader binary.

fn main() {}
