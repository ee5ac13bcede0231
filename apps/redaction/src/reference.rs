//! What redaction means, written slow and obvious: used by tests and by the demo's verification, never by the application.
//!
//! It shares no code with the application. It knows the addresses that people and the demo's generator write: ASCII and
//! international dot-atoms at domains with a known top-level domain, `@` or `%40` between them, alone, in a sentence, in a
//! URL, in an object key, in JSON inside a string. Quoted local parts, address literals, entities and disguises it does not
//! know. A string that holds an address is written again by `serde_json`, so the result equals the application's byte for
//! byte if the input's escapes are `serde_json`'s own.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

const MARKER: &str = "[redacted]";
const DEPTH_MAX: usize = 127;

/// The value with its addresses masked, or `None` if the application must refuse it: not JSON, or nested too deep.
pub fn redact(value: &str) -> Option<String> {
    let mut deserializer = Deserializer::from_str(value);
    IgnoredAny::deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    let mut redacted = String::new();
    let mut depth = 0_usize;
    let mut rest = value;
    while let Some(ch) = rest.chars().next() {
        if ch == '"' {
            let (literal, after) = split_literal(rest);
            redacted.push_str(&redact_literal(literal));
            rest = after;
            continue;
        }
        match ch {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return None;
        }
        redacted.push(ch);
        rest = rest.get(ch.len_utf8()..)?;
    }
    Some(redacted)
}

/// Splits a text that starts with a JSON string behind it.
fn split_literal(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, ch) in text.char_indices().skip(1) {
        match ch {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at(at + 1),
            _ => {}
        }
    }
    (text, "")
}

/// A JSON string with its marks; written again only if it held an address.
fn redact_literal(literal: &str) -> String {
    let Ok(text) = serde_json::from_str::<String>(literal) else { return literal.to_owned() };
    let is_json = text.trim_start().starts_with(['{', '[', '"']);
    let redacted = is_json.then(|| redact(&text)).flatten().unwrap_or_else(|| redact_words(&text));
    if redacted == text { literal.to_owned() } else { serde_json::Value::from(redacted).to_string() }
}

/// Masks the addresses of a plain text, word by word.
fn redact_words(text: &str) -> String {
    let mut redacted = String::new();
    let mut word = String::new();
    for ch in text.chars() {
        if is_separator(ch) {
            redacted.push_str(&redact_word(&word));
            redacted.push(ch);
            word.clear();
        } else {
            word.push(ch);
        }
    }
    redacted.push_str(&redact_word(&word));
    redacted
}

fn is_separator(ch: char) -> bool {
    ch.is_whitespace() || ch.is_control() || "\"<>()[],;:\\".contains(ch)
}

fn redact_word(word: &str) -> String {
    let Some((before, domain)) = word.split_once("%40").or_else(|| word.split_once('@')) else {
        return word.to_owned();
    };
    let is_url = before.starts_with('/') || (before.contains(['?', '&']) && before.contains('='));
    let local_start = if is_url { before.rfind(['/', '?', '&', '=', '#']).map_or(0, |at| at + 1) } else { 0 };
    let (kept, local) = before.split_at(local_start);
    let domain_end = domain.find(|ch: char| !(ch.is_alphanumeric() || ".-_".contains(ch))).unwrap_or(domain.len());
    let (domain, after) = domain.split_at(domain_end);
    let (domain, dots) = domain.split_at(domain.trim_end_matches(['.', '-', '_']).len());
    if local.is_empty() || !is_domain(domain) {
        return word.to_owned();
    }
    format!("{kept}{MARKER}{dots}{after}")
}

fn is_domain(domain: &str) -> bool {
    const PRIVATE: [&str; 3] = ["example", "test", "invalid"];
    let lower = domain.to_lowercase();
    match lower.rsplit_once('.') {
        Some((_, top)) if PRIVATE.contains(&top) => true,
        Some((_, top)) => psl::suffix(top.as_bytes()).is_some_and(|suffix| suffix.is_known()),
        None => false,
    }
}
