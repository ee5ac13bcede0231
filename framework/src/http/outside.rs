//! For fuzzers: decoders that nothing outside this crate calls.

use super::guard;

pub use super::query::outside::{read_answer, read_question};

/// Whether a request with that `Host` is answered; `hosts` are those of `http.hosts`.
pub fn is_ours(host: &str, hosts: &[String]) -> bool {
    guard::is_ours(host, hosts)
}
