//! What stands in the place of an address.

use std::borrow::Cow;

use crate::address::Finding;

/// What [`Policy::Mask`] writes.
///
/// It is no address and no part of one, in either mode, so redacting twice is redacting once; and it has no character that
/// JSON or an escape of it treats specially, so it may stand in a string at any depth of encoding.
pub const MARKER: &str = "[redacted]";

/// What is done with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// It is replaced by [`MARKER`].
    #[default]
    Mask,
}

impl Policy {
    /// The text in the place of one address. Every policy must keep what [`MARKER`] promises.
    const fn replacement(self) -> &'static str {
        match self {
            Self::Mask => MARKER,
        }
    }

    /// `original` with every finding replaced. Findings are in order and do not overlap.
    pub fn apply<'a>(self, original: &'a [u8], findings: &[Finding]) -> Cow<'a, [u8]> {
        if findings.is_empty() {
            return Cow::Borrowed(original);
        }
        let mut redacted = Vec::with_capacity(original.len());
        let mut copied = 0;
        for Finding { range, .. } in findings {
            redacted.extend_from_slice(original.get(copied..range.start).unwrap_or_default());
            redacted.extend_from_slice(self.replacement().as_bytes());
            copied = range.end;
        }
        redacted.extend_from_slice(original.get(copied..).unwrap_or_default());
        Cow::Owned(redacted)
    }
}
