//! A JSON string without its escapes, and the way back to the raw bytes.

use std::ops::Range;

/// An unescaped string.
#[derive(Debug)]
pub(super) struct Unescaped {
    pub(super) text: String,
    /// For every byte of `text` the raw offset of the character or escape it came from, then the raw length.
    raw_starts: Vec<usize>,
}

impl Unescaped {
    /// The raw bytes behind `range`, whose ends are character boundaries.
    pub(super) fn raw_range(&self, range: &Range<usize>) -> Option<Range<usize>> {
        Some(*self.raw_starts.get(range.start)?..*self.raw_starts.get(range.end)?)
    }

    fn push(&mut self, ch: char, raw_start: usize) {
        self.text.push(ch);
        self.raw_starts.extend(std::iter::repeat_n(raw_start, ch.len_utf8()));
    }
}

/// Unescapes what stands between the quotation marks of a valid JSON string. Half a surrogate pair becomes U+FFFD.
pub(super) fn unescape(raw: &str) -> Unescaped {
    let mut out = Unescaped { text: String::with_capacity(raw.len()), raw_starts: Vec::with_capacity(raw.len() + 1) };
    let mut at = 0;
    while let Some(ch) = raw.get(at..).and_then(|rest| rest.chars().next()) {
        let (ch, length) = if ch == '\\' { escape(raw, at) } else { (ch, ch.len_utf8()) };
        out.push(ch, at);
        at += length;
    }
    out.raw_starts.push(raw.len());
    out
}

/// The character and the raw length of the escape at `at`.
fn escape(raw: &str, at: usize) -> (char, usize) {
    let simple = match raw.as_bytes().get(at + 1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{0008}',
        Some(b'f') => '\u{000C}',
        Some(b'u') => return unicode(raw, at),
        Some(other) if other.is_ascii() => char::from(*other),
        _ => return ('\\', 1),
    };
    (simple, 2)
}

fn unicode(raw: &str, at: usize) -> (char, usize) {
    let code = |at: usize| {
        let digits = raw.get(at..).filter(|rest| rest.starts_with("\\u"))?.get(2..6)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = code(at) else { return ('\\', 1) };
    let second = code(at + 6).filter(|_| (0xD800..0xDC00).contains(&first));
    let mut pair = char::decode_utf16(std::iter::once(first).chain(second));
    match (pair.next(), second) {
        (Some(Ok(ch)), Some(_)) => (ch, 12),
        (Some(Ok(ch)), None) => (ch, 6),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}
