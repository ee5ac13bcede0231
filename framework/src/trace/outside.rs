//! For fuzzers: decoders that nothing outside this crate calls.

use super::context;

/// Whether a header `tracestate` may be passed on.
pub fn is_tracestate(value: &[u8]) -> bool {
    context::is_tracestate(value)
}
