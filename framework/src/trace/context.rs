//! The header `traceparent`, read and written by the rules of W3C Trace Context, level 2.

use std::fmt::Write;

use bytes::Bytes;

use crate::record::Headers;

/// The header of trace and parent.
pub const TRACEPARENT: &str = "traceparent";
/// The header of what vendors add to it.
pub const TRACESTATE: &str = "tracestate";

/// `00-` trace `-` span `-` flags.
const LENGTH: usize = 55;
/// Sampled, and random: the flags that have a meaning.
const FLAGS: u8 = 0b11;
/// Members of a `tracestate`.
const MEMBERS_MAX: usize = 32;

/// A span, as others name it. Never of zeros only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: u128,
    /// The span in it.
    pub span_id: u64,
    /// Flags of W3C: 1 for sampled, 2 for a random trace id.
    pub flags: u8,
}

impl SpanContext {
    /// True when whoever began the trace keeps it.
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// The span that a record's headers name; of several such headers the last counts, as Kafka's `lastHeader`. `None` where
    /// there is none, or it breaks the rules: then it is as if it were not there.
    pub fn of(headers: &Headers) -> Option<Self> {
        headers.last(TRACEPARENT).flatten().and_then(|value| Self::parse(value))
    }

    /// Reads a `traceparent`. A version that is not known yet is read as far as this one goes.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (this, rest) = value.split_at_checked(LENGTH)?;
        let mut parts = this.split(|&byte| byte == b'-');
        let version = hex(parts.next()?, 2)?;
        let (trace_id, span_id) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let longer = version > 0 && rest.first() == Some(&b'-');
        if version == 0xff || (!rest.is_empty() && !longer) || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self { trace_id, span_id: u64::try_from(span_id).ok()?, flags: u8::try_from(flags).ok()? & FLAGS })
    }

    /// The value of a `traceparent`.
    pub fn encode(self) -> Bytes {
        let Self { trace_id, span_id, flags } = self;
        let mut text = String::with_capacity(LENGTH);
        // Writing into a text cannot fail.
        let _ = write!(text, "00-{trace_id:032x}-{span_id:016x}-{:02x}", flags & FLAGS);
        text.into()
    }
}

/// Small letters only: others break the rules.
fn hex(digits: &[u8], length: usize) -> Option<u128> {
    if digits.len() != length {
        return None;
    }
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

/// True for a `tracestate` that may be passed on. One that breaks the rules is dropped as a whole.
pub(super) fn is_tracestate(value: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trimmed = |part: &[u8]| {
        let from = part.iter().position(|byte| !blank(byte)).unwrap_or(part.len());
        let to = part.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
        part.get(from..to).unwrap_or_default().to_vec()
    };
    let members: Vec<Vec<u8>> =
        value.split(|&byte| byte == b',').map(trimmed).filter(|part| !part.is_empty()).collect();
    !members.is_empty() && members.len() <= MEMBERS_MAX && members.iter().all(|member| is_member(member))
}

fn is_member(member: &[u8]) -> bool {
    let mut parts = member.splitn(2, |&byte| byte == b'=');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else { return false };
    let printed = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    is_key(key) && value.len() <= 256 && value.iter().all(printed)
}

fn is_key(key: &[u8]) -> bool {
    let follows =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/');
    let is_part = |part: &[u8], length: usize| {
        let begins = part.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        begins && part.len() <= length && part.iter().all(follows)
    };
    let mut parts = key.splitn(2, |&byte| byte == b'@');
    match (parts.next(), parts.next()) {
        (Some(key), None) => is_part(key, 256),
        (Some(tenant), Some(system)) => is_part(tenant, 241) && is_part(system, 14),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let context = SpanContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context, SpanContext { trace_id: TRACE, span_id: SPAN, flags: 1 });
        assert!(context.is_sampled());
        assert_eq!(context.encode(), EXAMPLE);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for text in [EXAMPLE.replacen("00", "01", 1), EXAMPLE.replacen("00", "cc", 1) + "-what-comes"] {
            assert_eq!(SpanContext::parse(text.as_bytes()).unwrap().encode(), EXAMPLE, "{text}");
        }
        // Flags without a meaning are not passed on.
        let all = EXAMPLE.replace("-01", "-ff");
        assert_eq!(SpanContext::parse(all.as_bytes()).unwrap().encode(), EXAMPLE.replace("-01", "-03"));
    }

    #[test]
    fn what_breaks_the_rules_is_ignored() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for wrong in [
            String::new(),
            EXAMPLE[..54].to_owned(),
            EXAMPLE.to_owned() + "-",
            EXAMPLE.to_owned() + "0",
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00", "ff", 1),
            EXAMPLE.replacen("00", "01", 1) + "x",
            EXAMPLE.replace(trace, &"0".repeat(32)),
            EXAMPLE.replace(span, &"0".repeat(16)),
            EXAMPLE.replace(span, "00f067aa0ba902bg"),
            EXAMPLE.replace('-', "_"),
            format!(" {EXAMPLE}"),
            format!("00-{trace}{span}--01"),
        ] {
            assert_eq!(SpanContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_header_of_the_name_counts() {
        let headers = |values: &[Option<&'static str>]| -> Headers {
            values.iter().map(|value| (TRACEPARENT, value.map(|value| Bytes::from_static(value.as_bytes())))).collect()
        };
        assert!(SpanContext::of(&headers(&[Some("no"), Some(EXAMPLE)])).is_some());
        assert_eq!(SpanContext::of(&headers(&[Some(EXAMPLE), Some("no")])), None);
        assert_eq!(SpanContext::of(&headers(&[None])), None);
        assert_eq!(SpanContext::of(&headers(&[])), None);
    }

    #[test]
    fn a_tracestate_keeps_the_rules_or_is_dropped() {
        for right in ["rojo=00f067aa0ba902b7", "a=1, b=2 ,,\tc=3", "fw529a3039@dt=FfAb: x", "0a=", "a_-*/=~"] {
            assert!(is_tracestate(right.as_bytes()), "{right}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        let long = format!("a={}", "x".repeat(257));
        for wrong in ["", " ", "a", "A=1", "=1", "a=b=c", "a=\u{e9}", "a@B=1", "@a=1", "a@=1", &many.join(","), &long] {
            assert!(!is_tracestate(wrong.as_bytes()), "{wrong}");
        }
        assert!(is_tracestate(many[..32].join(",").as_bytes()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id in 1_u128.., span_id in 1_u64.., flags in 0..4_u8) {
            let context = SpanContext { trace_id, span_id, flags };
            prop_assert_eq!(SpanContext::parse(&context.encode()), Some(context));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = SpanContext::parse(&bytes) {
                prop_assert_eq!(SpanContext::parse(&context.encode()), Some(context));
            }
            is_tracestate(&bytes);
        }
    }
}
