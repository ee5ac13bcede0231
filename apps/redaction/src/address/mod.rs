//! Finds e-mail addresses in text, in linear time, and says where they stand in the original bytes.
//!
//! The text is first turned into units: characters after undoing percent-, HTML- and backslash-encoding, compatibility
//! forms (fullwidth) and invisible characters, each knowing the original bytes it came from. Around every `@` the local
//! part and the domain are then expanded greedily by RFC 5321, 5322 and 6531: dot-atoms, quoted local parts, comments,
//! address literals, international local parts and domains.
//!
//! What is kept although it looks alike:
//! - in both modes: an `@` with nothing before it (npm scopes `@scope/pkg`, handles `@alice`, Matrix ids `@alice:host.org`)
//!   or nothing after it;
//! - in [`Mode::Balanced`] only: a domain without a dot (`user@host`), one whose last label is no top-level domain
//!   (`react@18.2.0`, `icon@2x.png`), and `git@host:path` or `git@host/path`, the user name of a git remote.
//!
//! What is redacted although it may be something else: `@user@mastodon.social` and `user:password@host.org` have the shape
//! of an address, so they go. In a URL or a query string the local part starts after the last of `/ ? & = ; #`; elsewhere
//! all characters that RFC 5322 allows in a local part belong to it, also `=` and `/`.
//!
//! Not found: addresses spelt out (`joe at example dot com`) or in base64.

mod domain;
mod local;
mod scan;
pub(crate) mod units;

use std::ops::Range;

use memchr::{memchr2, memchr3};

pub use scan::Mode;

/// How an address was written: the label of the metrics, and the unit in which recall is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// ASCII dot-atom at an ASCII domain.
    Plain,
    /// With a quoted local part or a comment.
    Quoted,
    /// At an IP address, in brackets or bare.
    Literal,
    /// A label of the domain starts with `xn--`.
    Punycode,
    /// With characters beyond ASCII.
    International,
    /// With fullwidth or other compatibility forms, or with invisible characters inside.
    Disguised,
    /// Percent-encoded, as an HTML entity or with backslash escapes.
    Encoded,
}

impl Class {
    /// All classes, in the order of their index.
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Quoted, Self::Literal, Self::Punycode, Self::International, Self::Disguised, Self::Encoded];

    /// The name as a metrics label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Quoted => "quoted",
            Self::Literal => "literal",
            Self::Punycode => "punycode",
            Self::International => "international",
            Self::Disguised => "disguised",
            Self::Encoded => "encoded",
        }
    }
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its bytes in the original text.
    pub range: Range<usize>,
    /// How it was written.
    pub class: Class,
}

/// False only if `bytes` cannot hold an address in any form that this module finds: a few SIMD searches.
pub fn may_hold_address(bytes: &[u8]) -> bool {
    // 0xEF starts the UTF-8 of the fullwidth and the small commercial at.
    memchr3(b'@', b'%', b'&', bytes).is_some() || memchr2(b'\\', 0xEF, bytes).is_some()
}

/// The addresses in `text`: in order, not overlapping, on character boundaries.
pub fn find(text: &str, mode: Mode) -> Vec<Finding> {
    if may_hold_address(text.as_bytes()) { scan::scan(&units::of_text(text), mode) } else { Vec::new() }
}

/// The same for bytes that are not all UTF-8: what is not, counts as a letter, so that an ASCII address beside it is found
/// and a Latin-1 one is too.
pub fn find_in_bytes(bytes: &[u8], mode: Mode) -> Vec<Finding> {
    if may_hold_address(bytes) { scan::scan(&units::of_bytes(bytes), mode) } else { Vec::new() }
}

#[cfg(test)]
mod tests;
