//! What commands are told.

/// Where a reset begins: a file, a time, a duration.
pub(crate) fn said(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    millpond_support::cli::outside::read_all(text);
}
