//! The redaction binary.

fn main() {}
