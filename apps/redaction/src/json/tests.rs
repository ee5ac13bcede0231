//! JSON by hand: the bytes around an address never change.

use super::*;
use crate::policy::Policy;

fn redact(text: &str) -> Result<String, Malformed> {
    let findings = find(text, Mode::Balanced)?;
    Ok(String::from_utf8(Policy::Mask.apply(text.as_bytes(), &findings).into_owned()).unwrap())
}

#[test]
fn strings_at_any_depth_and_object_keys_are_redacted_and_nothing_else_changes() {
    let text =
        "\n{ \"a\" : [1.0e+5, -0, {\"joe@example.com\":\ttrue}],\"a\":\"x joe\\u0040example.com\\/\" , \"z\":null}\r\n";
    let expected = "\n{ \"a\" : [1.0e+5, -0, {\"[redacted]\":\ttrue}],\"a\":\"x [redacted]\\/\" , \"z\":null}\r\n";
    assert_eq!(redact(text).unwrap(), expected);
}

#[test]
fn escapes_do_not_hide_an_address() {
    for written in
        [r"\u006aoe@example.com", r"joe\u0040example\u002ecom", r"joe\uff20example.com", r"joe@exa\u200bmple.com"]
    {
        let text = format!(r#"["é\n {written} \ud83d\ude00"]"#);
        assert_eq!(redact(&text).unwrap(), r#"["é\n [redacted] \ud83d\ude00"]"#);
        assert_eq!(find(&text, Mode::Balanced).unwrap()[0].class, Class::Encoded);
    }
    assert_eq!(redact(r#""\"john doe\"@example.com""#).unwrap(), r#""[redacted]""#);
}

#[test]
fn half_a_surrogate_pair_passes_and_hides_nothing() {
    assert_eq!(redact(r#""\ud800 joe@example.com \udc00\ud800""#).unwrap(), r#""\ud800 [redacted] \udc00\ud800""#);
}

#[test]
fn json_in_a_string_is_redacted_and_stays_json() {
    let mut text = r#"{"email":"joe@example.com","k":["@b.com",1]}"#.to_owned();
    let mut expected = r#"{"email":"[redacted]","k":["@b.com",1]}"#.to_owned();
    for _ in 0..12 {
        text = serde_json::json!({ "inner": text }).to_string();
        expected = serde_json::json!({ "inner": expected }).to_string();
        assert_eq!(redact(&text).unwrap(), expected);
    }
}

#[test]
fn text_that_is_no_json_is_refused_with_the_place_and_without_its_content() {
    let texts = [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2]",
        "\"\n\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "01",
        "1.",
        "-",
        "1e",
        "tru",
        "nulll",
        "\u{FEFF}{}",
        "{} {}",
        "[}",
        "{\"a\":}",
        "{,}",
        "'a'",
        "NaN",
    ];
    for text in texts {
        let error = redact(text).unwrap_err();
        assert!(matches!(error, Malformed::Unexpected { offset, .. } if offset <= text.len()), "{text}: {error}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
    let secret = redact("{\"joe@example.com\"").unwrap_err().to_string();
    assert_eq!(secret, "the value is not JSON: have the producer send one JSON value, expected=a colon offset=18");
}

#[test]
fn nesting_is_followed_as_deep_as_serde_json_reads_and_refused_beyond() {
    let nested = |depth: usize| format!("{}\"joe@example.com\"{}", "[".repeat(depth), "]".repeat(depth));
    assert!(redact(&nested(DEPTH_MAX)).unwrap().contains("[\"[redacted]\"]"));
    assert!(serde_json::from_str::<serde_json::Value>(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(redact(&nested(DEPTH_MAX + 1)), Err(Malformed::TooDeep { offset: DEPTH_MAX }));
    assert!(serde_json::from_str::<serde_json::Value>(&nested(DEPTH_MAX + 1)).is_err());
    assert_eq!(redact(&nested(10_000)), Err(Malformed::TooDeep { offset: DEPTH_MAX }));
    assert_eq!(redact(&"{\"a\":".repeat(10_000)), Err(Malformed::TooDeep { offset: DEPTH_MAX * 5 }));
}

#[test]
fn deep_json_inside_a_string_is_searched_as_text() {
    let inner = format!("{}\"joe@example.com\"{}", "[".repeat(500), "]".repeat(500));
    let text = serde_json::json!([inner]).to_string();
    assert_eq!(redact(&text).unwrap(), text.replace("joe@example.com", "[redacted]"));
}

#[test]
fn a_value_of_900_kilobytes_is_redacted_to_its_last_byte() {
    let text = format!("{{\"pad\":\"{}\",\"email\":\"joe@example.com\"}}", "x \\\" é@ ".repeat(100_000));
    assert!(text.len() > 900_000);
    assert_eq!(redact(&text).unwrap(), text.replace("joe@example.com", "[redacted]"));
}
