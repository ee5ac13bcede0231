//! Events as nearly all are written: one flat object whose known members are texts without escapes.
//!
//! Reading one of them needs no tree, no copies and one look at each byte. Whatever else there is (escapes, nesting, null in a
//! known member, a member twice, a mistake) is left to the general reader, so that there is one place which decides what an
//! event is and where its mistakes are.

/// The known members, lent by the text. Absent ones are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Members<'a> {
    pub(super) user_id: Option<&'a str>,
    pub(super) event_name: Option<&'a str>,
    pub(super) page: Option<&'a str>,
    pub(super) item_url: Option<&'a str>,
    pub(super) channel: Option<&'a str>,
    pub(super) order_id: Option<&'a str>,
    pub(super) order_email: Option<&'a str>,
}

impl<'a> Members<'a> {
    fn place(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "user_id" => &mut self.user_id,
            "event_name" => &mut self.event_name,
            "page" => &mut self.page,
            "item_url" => &mut self.item_url,
            "channel" => &mut self.channel,
            "order_id" => &mut self.order_id,
            "order_email" => &mut self.order_email,
            _ => return None,
        })
    }
}

/// The members of an event that is plain; `None` for the general reader.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    let mut reader = Reader { text, at: 0 };
    let mut members = Members::default();
    reader.expect(b'{')?;
    loop {
        reader.skip_blanks();
        let name = reader.string()?;
        reader.expect(b':')?;
        reader.skip_blanks();
        if let Some(place) = members.place(name) {
            if place.replace(reader.string()?).is_some() {
                return None;
            }
        } else {
            reader.skip_value()?;
        }
        reader.skip_blanks();
        match reader.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    reader.skip_blanks();
    (reader.at == text.len()).then_some(members)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.rest().first() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_blanks();
        (self.next()? == byte).then_some(())
    }

    /// A text without escapes, without its quotes.
    fn string(&mut self) -> Option<&'a str> {
        if self.next()? != b'"' {
            return None;
        }
        let length = length_before_quote(self.rest())?;
        let string = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(string)
    }

    /// A member that nobody reads: a plain text, a whole number, true, false or null.
    fn skip_value(&mut self) -> Option<()> {
        let rest = self.rest();
        if rest.first() == Some(&b'"') {
            self.string()?;
            return Some(());
        }
        self.at += match rest.first()? {
            b't' if rest.starts_with(b"true") => 4,
            b'n' if rest.starts_with(b"null") => 4,
            b'f' if rest.starts_with(b"false") => 5,
            b'1'..=b'9' => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => return None,
        };
        Some(())
    }
}

/// How many bytes come before the next quote; `None` when a backslash or a control character comes first, or no quote at all.
///
/// Eight bytes at a time: in each byte of `found` the upper bit is set where the byte is one of those. A borrow may set it in
/// bytes above the first that is, never below.
fn length_before_quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const UPPER: u64 = ONES << 7;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut length = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let escape = zeros(word ^ (ONES * u64::from(b'\\')));
        let found = (control | quote | escape) & UPPER;
        if found != 0 {
            let place = usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
            return (eight.get(place) == Some(&b'"')).then_some(length + place);
        }
        length += 8;
        rest = after;
    }
    let place = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (rest.get(place) == Some(&b'"')).then_some(length + place)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond::serde::Serde;
    use proptest::prelude::*;

    use super::*;
    use crate::EventJson;

    /// What the general reader says, after asserting that the two do not differ.
    fn is_event(text: &str) -> bool {
        let event = EventJson.decode(text.as_bytes());
        assert_eq!(EventJson.decode_bytes(&Bytes::copy_from_slice(text.as_bytes())), event, "{text}");
        event.is_ok()
    }

    #[test]
    fn what_is_plain_is_read_here_and_everything_else_is_left_to_the_general_reader() {
        let plain = [
            r#"{"event_name":"visit"}"#,
            " {\n\t\"event_name\" : \"visit\" , \"user_id\":\"\u{e4}\u{1f600}\" , \"x\" : 70 }\r\n",
            r#"{"x":"a","x":"[[{","y":true,"y":false,"z":null,"event_name":"other","channel":""}"#,
        ];
        for text in plain {
            assert!(members(text).is_some() && is_event(text), "{text}");
        }
        let left = [
            r#"{"event_name":"vi\u0073it"}"#,
            r#"{"event_\u006eame":"visit"}"#,
            r#"{"event_name":"visit","channel":null}"#,
            r#"{"event_name":"visit","x":-1}"#,
            r#"{"event_name":"visit","x":1e3}"#,
            r#"{"event_name":"visit","x":{"user_id":"u2"}}"#,
        ];
        for text in left {
            assert!(members(text).is_none() && is_event(text), "{text}");
        }
        let bad = [
            "",
            "{",
            "{}",
            r#"{"event_name":"visit""#,
            r#"{"event_name":"visit"}}"#,
            r#"{"event_name":"visit",}"#,
            r#"{"event_name":"visit","event_name":"visit"}"#,
            r#"{"event_name":"visit","x":01}"#,
            r#"{"event_name":"visit","x":nul}"#,
            "{\"event_name\":\"vi\nsit\"}",
            "{\"event_name\":\"visit, which is long\nenough for eight bytes at a time\"}",
        ];
        for text in bad {
            assert!(members(text).is_none() && !is_event(text), "{text}");
        }
    }

    #[test]
    fn a_text_ends_at_its_quote_wherever_that_stands() {
        for length in 0..40 {
            let text = "\u{7f}".repeat(length);
            assert_eq!(length_before_quote(format!("{text}\"\u{1}\\\"").as_bytes()), Some(length));
            for first in ["\\", "\n", "\u{1f}", ""] {
                assert_eq!(length_before_quote(format!("{text}{first}").as_bytes()), None, "{length} {first:?}");
                assert_eq!(length_before_quote(format!("{text}\\{first}\"").as_bytes()), None, "{length} {first:?}");
            }
        }
    }

    const PIECES: [&str; 24] = [
        "{",
        "}",
        ":",
        ",",
        " ",
        "\n",
        "\"",
        "\"event_name\"",
        "\"visit\"",
        "\"user_id\":\"u1\"",
        "\"channel\":",
        "null",
        "true",
        "false",
        "17",
        "0",
        "-1",
        "1.5",
        "[",
        "]",
        "\"\\u0041\"",
        "\"\u{e4}\"",
        "\"x\":",
        "\u{0}",
    ];

    proptest! {
        #[test]
        fn pieces_of_events_in_any_order_are_read_alike(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..12)
        ) {
            is_event(&pieces.concat());
            is_event(&format!("{{\"event_name\":\"visit\",{}}}", pieces.concat()));
        }

        #[test]
        fn members_of_any_text_are_read_alike(
            members in prop::collection::vec(("event_name|user_id|page|channel|order_id|.{0,12}", ".{0,30}"), 0..6)
        ) {
            let quoted = |text: &str| serde_json::to_string(text).unwrap();
            let members = members.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
            let members: Vec<String> = members.collect();
            is_event(&format!("{{{}}}", members.join(",")));
            is_event(&format!("{{\"event_name\":\"add_to_cart\",{}}}", members.join(", ")));
        }
    }
}
