//! The grammar of RFC 8259, checked in one pass without recursion and without building anything.

use std::ops::Range;

/// Objects and arrays may be nested this deep: what `serde_json` reads too, so that whatever passes here can be read by the
/// applications behind. Deeper values are refused, not followed.
pub const DEPTH_MAX: usize = 127;

/// Why a text is not JSON. Offsets are in bytes; nothing of the text itself is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The grammar asks for something else.
    #[error("the value is not JSON: have the producer send one JSON value, expected={expected} offset={offset}")]
    Unexpected {
        /// What should have stood there.
        expected: &'static str,
        /// Where.
        offset: usize,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("the JSON is nested too deep: flatten it at the producer, offset={offset} depth_max={DEPTH_MAX}")]
    TooDeep {
        /// Where the limit was passed.
        offset: usize,
    },
}

/// Checks that `text` is one JSON value and shows each string, object keys included, in order, as the range between its
/// quotation marks.
///
/// # Errors
/// [`Malformed`], after the strings before the error were shown: drop what was collected.
pub fn strings(text: &str, show: &mut impl FnMut(Range<usize>)) -> Result<(), Malformed> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let mut open: Vec<Container> = Vec::new();
    loop {
        cursor.space();
        let opened = cursor.value_or_open(show)?;
        if let Some(container) = opened {
            if open.len() == DEPTH_MAX {
                return Err(Malformed::TooDeep { offset: cursor.at.saturating_sub(1) });
            }
            cursor.space();
            if !cursor.take(container.end()) {
                open.push(container);
                if container == Container::Object {
                    cursor.name(show)?;
                }
                continue;
            }
        }
        // A value has ended: close what ends with it, up to the next value or the end of the text.
        loop {
            cursor.space();
            let Some(container) = open.last().copied() else {
                return if cursor.peek().is_none() { Ok(()) } else { Err(cursor.unexpected("the end")) };
            };
            if cursor.take(b',') {
                if container == Container::Object {
                    cursor.name(show)?;
                }
                break;
            }
            if !cursor.take(container.end()) {
                return Err(cursor.unexpected("a comma or the closing bracket"));
            }
            open.pop();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

impl Container {
    const fn end(self) -> u8 {
        match self {
            Self::Object => b'}',
            Self::Array => b']',
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    const fn unexpected(&self, expected: &'static str) -> Malformed {
        Malformed::Unexpected { expected, offset: self.at }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a scalar to its end, or only the opening bracket of a container, which it returns.
    fn value_or_open(&mut self, show: &mut impl FnMut(Range<usize>)) -> Result<Option<Container>, Malformed> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                return Ok(Some(Container::Object));
            }
            Some(b'[') => {
                self.at += 1;
                return Ok(Some(Container::Array));
            }
            Some(b'"') => self.string(show)?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.unexpected("a value")),
        }
        Ok(None)
    }

    /// A member's name and its colon.
    fn name(&mut self, show: &mut impl FnMut(Range<usize>)) -> Result<(), Malformed> {
        self.space();
        self.string(show)?;
        self.space();
        if self.take(b':') { Ok(()) } else { Err(self.unexpected("a colon")) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self, show: &mut impl FnMut(Range<usize>)) -> Result<(), Malformed> {
        if !self.take(b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += special.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    show(start..self.at);
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.unexpected("the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.unexpected("four hexadecimal digits"));
                }
                self.at += 5;
            }
            _ => return Err(self.unexpected("an escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }
}
