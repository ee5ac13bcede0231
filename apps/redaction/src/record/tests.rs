//! Whole records: nulls, keys and headers of any form, refusals.

use super::*;
use crate::address::Class;

#[expect(clippy::unnecessary_wraps, reason = "keys and values of records may be null")]
fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn key_value_header_names_and_header_values_are_redacted_and_counted() {
    let headers: Headers =
        [("trace", bytes("abc")), ("joe@example.com", bytes("{\"to\":\"joe\\u0040example.com\"}")), ("none", None)]
            .into_iter()
            .collect();
    let redacted = Redactor::default()
        .redact_record(
            bytes("user:joe@example.com"),
            bytes("{\"e\":\"joe@example.com\",\"f\":\"müller@example.de\"}"),
            &headers,
        )
        .unwrap();
    assert_eq!(redacted.key, bytes("user:[redacted]"));
    assert_eq!(redacted.value, bytes("{\"e\":\"[redacted]\",\"f\":\"[redacted]\"}"));
    let expected: Headers = [("trace", bytes("abc")), ("[redacted]", bytes("{\"to\":\"[redacted]\"}")), ("none", None)]
        .into_iter()
        .collect();
    assert_eq!(redacted.headers, expected);
    let counts: Vec<_> = redacted.counts.iter().collect();
    assert_eq!(
        counts,
        [
            (Place::Key, Class::Plain, 1),
            (Place::Value, Class::Plain, 1),
            (Place::Value, Class::International, 1),
            (Place::Header, Class::Plain, 1),
            (Place::Header, Class::Encoded, 1)
        ]
    );
    let mut sum = redacted.counts;
    sum.add(&redacted.counts);
    assert_eq!(sum.total(), 10);
}

#[test]
fn nulls_stay_null() {
    let redacted = Redactor::default().redact_record(None, None, &Headers::new()).unwrap();
    assert_eq!(redacted, Redacted { key: None, value: None, headers: Headers::new(), counts: Counts::default() });
}

#[test]
fn a_record_without_an_address_is_passed_on_without_a_copy() {
    let value = bytes("{\"page\":\"/a&b\",\"price\": 1.50}").unwrap();
    let key = Bytes::from_static(b"\xFF\x00@\x01");
    let redacted = Redactor::default().redact_record(Some(key.clone()), Some(value.clone()), &Headers::new()).unwrap();
    let (kept_key, kept_value) = (redacted.key.unwrap(), redacted.value.unwrap());
    assert_eq!((kept_key.as_ptr(), kept_key.len()), (key.as_ptr(), key.len()));
    assert_eq!((kept_value.as_ptr(), kept_value.len()), (value.as_ptr(), value.len()));
}

#[test]
fn keys_of_any_form_are_redacted() {
    let key = |key: &[u8]| {
        Redactor::default()
            .redact_record(Some(Bytes::copy_from_slice(key)), None, &Headers::new())
            .unwrap()
            .key
            .unwrap()
    };
    assert_eq!(key(b"\"joe@example.com\""), "\"[redacted]\"");
    assert_eq!(key(b"{broken joe@example.com"), "{broken [redacted]");
    assert_eq!(key(b"\x00joe@example.com\xFF"), b"\x00[redacted]\xFF".as_slice());
    assert_eq!(key("[".repeat(10_000).as_bytes()), "[".repeat(10_000));
}

#[test]
fn a_refused_value_names_its_reason_and_quotes_nothing() {
    let refusal = |value: &[u8]| {
        let value = Some(Bytes::copy_from_slice(value));
        Redactor::default().redact_record(None, value, &Headers::new()).unwrap_err()
    };
    for (value, reason) in [
        (&b"{\"a\":\"joe@example.com\xFF\"}"[..], "not_utf8"),
        (b"joe@example.com", "not_json"),
        ("[".repeat(10_000).as_bytes(), "too_deep"),
    ] {
        let refusal = refusal(value);
        assert_eq!(refusal.reason(), reason);
        assert_eq!(refusal.recovery(), Recovery::SkipRecord);
        assert!(!format!("{refusal} {refusal:?}").contains("joe"));
    }
}

#[test]
fn text_is_redacted_in_the_chosen_mode() {
    assert_eq!(Redactor::new(Mode::Strict, Policy::Mask).redact_text("ask root@db1 now"), "ask [redacted] now");
    assert_eq!(Redactor::new(Mode::Balanced, Policy::Mask).redact_text("ask root@db1 now"), "ask root@db1 now");
}
