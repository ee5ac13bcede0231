//! The program behind `./dev`.

fn main() {}
