//! The right-hand side of an `@`: how far it reaches, and whether it can be the domain of an address.

use super::scan::Mode;
use super::units::Unit;

/// Names that no registry delegates but people write addresses with: RFC 2606, RFC 6762 and private networks.
const PRIVATE: [&str; 12] = [
    "example",
    "test",
    "invalid",
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "localdomain",
    "onion",
];

/// A top-level domain is at most this long (DNS).
const LABEL_MAX: usize = 63;

/// A domain found behind an `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Domain {
    /// One past its last unit.
    pub(super) end: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Literal,
}

/// The domain that starts at unit `start`, if `mode` takes it for one.
pub(super) fn find(units: &[Unit], start: usize, mode: Mode) -> Option<Domain> {
    let tail = units.get(start..)?;
    if let Some(length) = bracketed(tail) {
        return Some(Domain { end: start + length, kind: Kind::Literal });
    }
    let length = tail.iter().take_while(|unit| is_domain(unit.ch)).count();
    let name: Vec<char> = tail.iter().take(length).map(|unit| unit.ch.to_ascii_lowercase()).collect();
    let name = trimmed(&name);
    let labels = labels(name);
    let (end, kind) = if is_ipv4(name, &labels) {
        (ipv4_end(&labels), Kind::Literal)
    } else {
        let end = match mode {
            Mode::Strict => name.iter().any(|ch| ch.is_alphanumeric()).then_some(name.len()),
            Mode::Balanced => registered_end(name, &labels),
        };
        (end, Kind::Name)
    };
    end.map(|end| Domain { end: start + end, kind })
}

/// Letters, digits, hyphens, dots, and underscores as real hosts have them. U+3002 is IDNA's other dot.
pub(super) fn is_domain(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || matches!(ch, '-' | '_' | '.' | '\u{3002}') || is_word_beyond_ascii(ch)
}

const fn is_dot(ch: char) -> bool {
    matches!(ch, '.' | '\u{3002}')
}

/// Letters, marks, digits and symbols beyond ASCII; not spaces and not punctuation, which end an address.
pub(super) fn is_word_beyond_ascii(ch: char) -> bool {
    let punctuation = matches!(
        ch,
        '\u{0080}'..='\u{00A9}' | '\u{00AB}'..='\u{00B1}' | '\u{00B4}' | '\u{00B6}' | '\u{00B8}' | '\u{00BB}' | '\u{00BF}'
        | '\u{060C}' | '\u{061B}' | '\u{061F}' | '\u{2000}'..='\u{206F}' | '\u{3000}'..='\u{3004}'
        | '\u{3008}'..='\u{3020}' | '\u{3030}' | '\u{FE10}'..='\u{FE19}' | '\u{FE30}'..='\u{FE4F}'
    );
    !ch.is_ascii() && !punctuation && !ch.is_whitespace() && !ch.is_control()
}

/// Without the dots, hyphens and underscores at its end: they belong to the sentence.
fn trimmed(name: &[char]) -> &[char] {
    let kept = name.iter().rposition(|ch| !is_dot(*ch) && !matches!(ch, '-' | '_')).map_or(0, |last| last + 1);
    name.get(..kept).unwrap_or_default()
}

/// Start and text of each label that is not empty.
fn labels(name: &[char]) -> Vec<(usize, &[char])> {
    let mut at = 0;
    let mut labels = Vec::new();
    for label in name.split(|ch| is_dot(*ch)) {
        if !label.is_empty() {
            labels.push((at, label));
        }
        at += label.len() + 1;
    }
    labels
}

/// The end of the longest prefix of `name` that has at least two labels and ends in a known top-level domain.
/// Text may be glued to its end: `joe@example.com.Then`, `joe@example.com谢谢`, `joe@example.com_old`.
fn registered_end(name: &[char], labels: &[(usize, &[char])]) -> Option<usize> {
    let whole = |label: &[char]| label.len();
    let ascii = |label: &[char]| label.iter().take_while(|ch| ch.is_ascii_alphanumeric() || **ch == '-').count();
    let word = |label: &[char]| label.iter().take_while(|ch| ch.is_ascii_alphanumeric()).count();
    labels.iter().skip(1).rev().find_map(|(start, label)| {
        let cuts = [whole(label), ascii(label), word(label)];
        let cut = cuts.into_iter().find(|cut| label.get(..*cut).is_some_and(is_top_level))?;
        Some((start + cut).min(name.len()))
    })
}

fn is_top_level(label: &[char]) -> bool {
    if label.len() < 2 || label.len() > LABEL_MAX {
        return false;
    }
    // New ones are delegated, and in other scripts there are no file names or versions to confuse them with.
    if label.iter().all(|ch| !ch.is_ascii() && ch.is_alphabetic()) {
        return true;
    }
    let text: String = label.iter().flat_map(|ch| ch.to_lowercase()).collect();
    if text.starts_with("xn--") || PRIVATE.contains(&text.as_str()) {
        return true;
    }
    psl::suffix(text.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

fn is_octet(label: &[char]) -> bool {
    let text: String = label.iter().collect();
    text.len() <= 3 && text.parse::<u8>().is_ok()
}

/// Four octets, no label more.
fn is_ipv4(name: &[char], labels: &[(usize, &[char])]) -> bool {
    labels.len() == 4 && name.len() <= 15 && labels.iter().all(|(_, label)| is_octet(label))
}

fn ipv4_end(labels: &[(usize, &[char])]) -> Option<usize> {
    labels.last().map(|(start, label)| start + label.len())
}

/// The length of an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`, at the start of `units`.
fn bracketed(units: &[Unit]) -> Option<usize> {
    const INSIDE_MAX: usize = 64;
    let (open, tail) = units.split_first()?;
    if open.ch != '[' {
        return None;
    }
    let inside = |unit: &&Unit| unit.ch.is_ascii_alphanumeric() || matches!(unit.ch, '.' | ':' | '-');
    let length = tail.iter().take(INSIDE_MAX).take_while(inside).count();
    let closed = tail.get(length).is_some_and(|unit| unit.ch == ']');
    let separated = tail.iter().take(length).any(|unit| matches!(unit.ch, '.' | ':'));
    (closed && separated).then_some(length + 2)
}
