//! What must hold for every input, against oracles that share no code with the application.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests panic: that gives a backtrace")]

use std::sync::LazyLock;

use bytes::Bytes;
use millpond::record::Headers;
use proptest::prelude::*;
use redaction::address::Mode;
use redaction::{Policy, Redacted, Redactor, Refusal, reference};
use regex::{Captures, Regex};
use serde_json::Value;

fn redact(mode: Mode, value: &str) -> Result<String, Refusal> {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    let redacted = Redactor::new(mode, Policy::Mask).redact_record(None, value, &Headers::new())?;
    Ok(String::from_utf8(redacted.value.unwrap().to_vec()).unwrap())
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Balanced), Just(Mode::Strict)]
}

/// Texts made of everything that steers the scan.
fn hostile() -> BoxedStrategy<String> {
    let pieces = vec![
        "@",
        "@",
        "@",
        "a",
        "joe",
        "b.com",
        ".org",
        ".",
        "..",
        "com",
        "\"",
        "(",
        ")",
        "[",
        "]",
        "[1.2.3.4]",
        "1.2.3.4",
        "%40",
        "%2540",
        "%",
        "25",
        "&#64;",
        "&amp;",
        "&commat;",
        "&",
        "#64;",
        "\\",
        "\\u0040",
        "/",
        "//",
        "?",
        "=",
        "q=",
        "'",
        "*",
        "{",
        "}",
        "|",
        "_",
        "-",
        "é",
        "谢谢",
        "。",
        "\u{200B}",
        "\u{FFFD}",
        "＠",
        "．",
        "git@",
        "github.com:",
        ":",
        " ",
        "\n",
        ",",
        "<",
        ">",
        "xn--p1ai",
        "[redacted]",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat()).boxed()
}

/// The words that the reference knows, and look-alikes.
fn words() -> BoxedStrategy<String> {
    let words = vec![
        "",
        "joe@example.com",
        "<joe.doe+x@mail.example.org>,",
        "(a@b.de)",
        "jörg@müller.de",
        "/pay?email=joe@example.com&a=1",
        "x",
        "https://h.test/u/joe%40example.com",
        "joe@example.com.",
        "@scope/pkg",
        "user@host",
        "react@18.2.0",
        "é \\ \"",
        "50%",
        "a&b",
        "\n",
        "@alice",
        "to:o'brien@example.net;",
        "\u{1F600}",
    ];
    proptest::collection::vec(proptest::sample::select(words), 0..5).prop_map(|words| words.join(" ")).boxed()
}

fn json(text: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((text.clone(), inner.clone()), 0..5)
                .prop_map(|members| members.into_iter().collect()),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

fn written(value: &Value, pretty: bool) -> String {
    if pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() }
}

static BALANCED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?<local>[a-z0-9._+-]*[a-z0-9_+-])@(?:[a-z0-9-]+\.)+(?:com|org|de)(?-u:\b)[\w.-]*(?<after>.?)")
        .unwrap()
});
static STRICT: LazyLock<Regex> = LazyLock::new(|| Regex::new("[A-Za-z0-9]@[A-Za-z0-9]").unwrap());

/// Undoes what may hide an address, by plain replacement.
fn bare(text: &str) -> String {
    let hidden = [
        ("%25", "%"),
        ("%40", "@"),
        ("&amp;", "&"),
        ("&#64;", "@"),
        ("&commat;", "@"),
        ("\\u0040", "@"),
        ("\u{200B}", ""),
        ("＠", "@"),
        ("．", "."),
    ];
    (0..4).fold(text.to_owned(), |text, _| hidden.iter().fold(text, |text, (from, to)| text.replace(from, to)))
}

/// What a simple pattern still finds; the user of a git remote is kept on purpose.
fn left_over(mode: Mode, text: &str) -> Option<String> {
    let text = bare(text);
    if mode == Mode::Strict {
        return STRICT.find(&text).map(|found| found.as_str().to_owned());
    }
    let is_git =
        |found: &Captures<'_>| found["local"].trim_start_matches('.') == "git" && [":", "/"].contains(&&found["after"]);
    BALANCED.captures_iter(&text).find(|found| !is_git(found)).map(|found| found[0].to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn redacting_text_twice_is_redacting_it_once(text in hostile(), mode in mode()) {
        let redactor = Redactor::new(mode, Policy::Mask);
        let once = redactor.redact_text(&text).into_owned();
        prop_assert_eq!(redactor.redact_text(&once).into_owned(), once);
    }

    #[test]
    fn redacting_json_twice_is_redacting_it_once(value in json(hostile()), mode in mode(), pretty in any::<bool>()) {
        let once = redact(mode, &written(&value, pretty)).unwrap();
        prop_assert_eq!(redact(mode, &once).unwrap(), once);
    }

    #[test]
    fn a_simple_pattern_finds_no_address_in_redacted_text(text in hostile(), mode in mode()) {
        let redacted = Redactor::new(mode, Policy::Mask).redact_text(&text).into_owned();
        prop_assert_eq!(left_over(mode, &redacted), None, "{}", redacted);
    }

    #[test]
    fn redacted_json_is_json_of_the_same_shape(value in json(hostile()), mode in mode()) {
        let redacted: Value = serde_json::from_str(&redact(mode, &value.to_string()).unwrap()).unwrap();
        prop_assert!(same_shape(&value, &redacted), "{redacted}");
    }

    #[test]
    fn json_without_an_address_is_the_same_bytes(value in json("[^@＠﹫%&\\\\]*"), mode in mode(), pretty in any::<bool>()) {
        let text = written(&value, pretty);
        prop_assert_eq!(redact(mode, &text).unwrap(), text);
    }

    #[test]
    fn redaction_equals_the_reference(value in json(words()), pretty in any::<bool>()) {
        let text = written(&value, pretty);
        prop_assert_eq!(Some(redact(Mode::Balanced, &text).unwrap()), reference::redact(&text));
    }

    #[test]
    fn what_is_json_is_what_serde_json_reads(text in "[\\[\\]{}\",:0-9eE+.\\-tfn \\\\u@a]{0,12}") {
        prop_assert_eq!(redact(Mode::Balanced, &text).is_ok(), reference::redact(&text).is_some());
    }

    #[test]
    fn any_bytes_anywhere_are_redacted_or_refused_and_counted(
        key in proptest::option::of(any::<Vec<u8>>()), value in proptest::option::of(any::<Vec<u8>>()), name in hostile(), mode in mode(),
    ) {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes::from);
        let headers: Headers = [(name, bytes(&key))].into_iter().collect();
        match Redactor::new(mode, Policy::Mask).redact_record(bytes(&key), bytes(&value), &headers) {
            Ok(Redacted { key: new_key, headers: new_headers, counts, .. }) => {
                let changed = new_key != bytes(&key) || new_headers != headers;
                prop_assert!(!changed || counts.total() > 0);
            }
            Err(refusal) => prop_assert!(["not_utf8", "not_json"].contains(&refusal.reason())),
        }
    }
}

/// Equal but for strings; members may have become equal by their keys.
fn same_shape(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same_shape(before, after))
        }
        (Value::Object(before), Value::Object(after)) => {
            after.len() <= before.len()
                && before.iter().all(|(key, value)| after.get(key).is_none_or(|after| same_shape(value, after)))
        }
        (Value::String(_), Value::String(_)) => true,
        (before, after) => before == after,
    }
}
