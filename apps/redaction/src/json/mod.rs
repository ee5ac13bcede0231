//! Finds addresses in JSON text without ever writing JSON: what is not an address stays byte for byte.
//!
//! The text is checked by the grammar of RFC 8259 in one pass without recursion ([`tokens`]); every string, values and
//! object keys alike, is unescaped only if it may hold an address, and findings are mapped back to the raw bytes. A string
//! that is itself JSON is looked at as JSON again, up to [`NESTING_MAX`] times, then as plain text.
//!
//! Two object keys that become equal stay two members: nothing is merged.

pub mod tokens;
mod unescape;

use std::ops::Range;

use crate::address::{self, Class, Finding, Mode};
pub use tokens::{DEPTH_MAX, Malformed};

/// JSON in a string in JSON … is followed this often. Each time at least doubles the backslashes, so data never gets there.
pub const NESTING_MAX: u8 = 8;

/// The addresses in the strings of `text`, as ranges of its raw bytes.
///
/// # Errors
/// [`Malformed`] if `text` is not one JSON value or is nested deeper than [`DEPTH_MAX`]: dead-letter the record.
pub fn find(text: &str, mode: Mode) -> Result<Vec<Finding>, Malformed> {
    find_nested(text, mode, NESTING_MAX)
}

fn find_nested(text: &str, mode: Mode, nesting: u8) -> Result<Vec<Finding>, Malformed> {
    let mut findings = Vec::new();
    let look = address::may_hold_address(text.as_bytes());
    tokens::strings(text, &mut |string: Range<usize>| {
        if look && let Some(raw) = text.get(string.clone()) {
            find_in_string(raw, string.start, mode, nesting, &mut findings);
        }
    })?;
    Ok(findings)
}

/// `raw` is what stands between the quotation marks, `offset` where it starts.
fn find_in_string(raw: &str, offset: usize, mode: Mode, nesting: u8, findings: &mut Vec<Finding>) {
    if !address::may_hold_address(raw.as_bytes()) {
        return;
    }
    let shifted = |range: Range<usize>| offset + range.start..offset + range.end;
    if !raw.contains('\\') {
        let found = find_in_text(raw, mode, nesting);
        findings.extend(found.into_iter().map(|found| Finding { range: shifted(found.range), ..found }));
        return;
    }
    let unescaped = unescape::unescape(raw);
    for found in find_in_text(&unescaped.text, mode, nesting) {
        let Some(range) = unescaped.raw_range(&found.range) else { continue };
        let escaped = raw.get(range.clone()).is_some_and(|raw| raw.contains("\\u"));
        let class = if escaped { Class::Encoded } else { found.class };
        findings.push(Finding { range: shifted(range), class });
    }
}

fn find_in_text(text: &str, mode: Mode, nesting: u8) -> Vec<Finding> {
    if nesting > 0
        && text.trim_start().starts_with(['{', '[', '"'])
        && let Ok(findings) = find_nested(text, mode, nesting - 1)
    {
        return findings;
    }
    address::find(text, mode)
}

#[cfg(test)]
mod tests;
