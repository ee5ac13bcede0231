//! Addresses in every way of writing them, each with the text around it.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// One JSON value with one address.
pub(crate) struct Sample {
    pub(crate) value: String,
    /// The address as it stands in the value: what must be replaced.
    pub(crate) written: String,
    /// A part of it that must not be left.
    pub(crate) secret: String,
}

pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) sample: fn(&mut ChaCha8Rng) -> Sample,
}

pub(crate) fn classes() -> Vec<Class> {
    let class = |name, sample| Class { name, sample };
    vec![
        class("plain", |rng| sentence(rng, plain)),
        class("tagged", |rng| sentence(rng, |rng| format!("{}+{}@{}", word(rng), word(rng), host(rng)))),
        class("symbols", |rng| sentence(rng, symbols)),
        class("dotted and long", |rng| {
            sentence(rng, |rng| format!("{}.{}@{}.{}", word(rng), word(rng).repeat(5), word(rng).repeat(4), host(rng)))
        }),
        class("upper case", |rng| sentence(rng, |rng| plain(rng).to_uppercase())),
        class("quoted", |rng| sentence(rng, quoted)),
        class("comment", |rng| {
            sentence(rng, |rng| format!("{}({} {})@{}", word(rng), word(rng), word(rng), host(rng)))
        }),
        class("address literal", |rng| sentence(rng, literal)),
        class("punycode", |rng| {
            sentence(rng, |rng| {
                format!("{}@xn--{}.xn--{}", word(rng), word(rng), pick(rng, &["p1ai", "fiqs8s", "mgbh0fb"]))
            })
        }),
        class("international local part", |rng| sentence(rng, |rng| format!("{}@{}", international(rng), host(rng)))),
        class("international domain", |rng| {
            sentence(rng, |rng| {
                format!(
                    "{}@{}.{}",
                    international(rng),
                    international(rng),
                    pick(rng, &["рф", "中国", "भारत", "de", "com"])
                )
            })
        }),
        class("fullwidth", |rng| sentence(rng, |rng| fullwidth(&plain(rng)))),
        class("invisible inside", |rng| sentence(rng, invisible)),
        class("percent", |rng| sentence(rng, |rng| percent(rng, 1))),
        class("percent twice", |rng| sentence(rng, |rng| percent(rng, 2))),
        class("entity", |rng| sentence(rng, entity)),
        class("query of a URL", url),
        class("JSON escape", json_escape),
        class("object key and JSON in a string", nested),
    ]
}

fn pick<'a>(rng: &mut ChaCha8Rng, from: &[&'a str]) -> &'a str {
    from.choose(rng).unwrap()
}

fn letters(rng: &mut ChaCha8Rng, alphabet: &str, length: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    (0..length).map(|_| *alphabet.choose(rng).unwrap()).collect()
}

/// Six letters and digits, the first a letter, none of which occurs in the text around.
fn word(rng: &mut ChaCha8Rng) -> String {
    letters(rng, "bcdfghjklmnpqrstvwxz", 1) + &letters(rng, "bcdfghjklmnpqrstvwxz0123456789", 5)
}

fn host(rng: &mut ChaCha8Rng) -> String {
    let top = pick(
        rng,
        &["com", "org", "net", "de", "co.uk", "io", "museum", "photography", "com.br", "example", "test", "internal"],
    );
    format!("{}.{top}", word(rng))
}

fn plain(rng: &mut ChaCha8Rng) -> String {
    format!("{}{}{}@{}", word(rng), pick(rng, &["", ".", "_", "-"]), word(rng), host(rng))
}

fn symbols(rng: &mut ChaCha8Rng) -> String {
    let inside = letters(rng, "!#$*+-^_`|~'", 3);
    format!("{}{inside}{}@{}", word(rng), word(rng), host(rng))
}

fn quoted(rng: &mut ChaCha8Rng) -> String {
    let inside = pick(rng, &[" ", ", ", "@", "..", "(x)", "<y>"]);
    format!("\"{}{inside}{}\"@{}", word(rng), word(rng), host(rng))
}

fn literal(rng: &mut ChaCha8Rng) -> String {
    let local = word(rng);
    let octets: [u8; 4] = rng.random();
    let [a, b, c, d] = octets;
    match rng.random_range(0..3) {
        0 => format!("{local}@[{a}.{b}.{c}.{d}]"),
        1 => format!("{local}@[IPv6:2001:db8::{a:x}:{b:x}]"),
        _ => format!("{local}@{a}.{b}.{c}.{d}"),
    }
}

fn international(rng: &mut ChaCha8Rng) -> String {
    let alphabet =
        pick(rng, &["абвгдежзик", "的一是不了人我在有他", "αβγδεζηθ", "äöüßéèñ", "あいうえお", "कखगघङ", "가나다라마"]);
    letters(rng, alphabet, 5)
}

fn fullwidth(ascii: &str) -> String {
    let wide = |ch: char| char::from_u32(u32::from(ch) + 0xFEE0).unwrap();
    ascii.chars().map(wide).collect()
}

fn invisible(rng: &mut ChaCha8Rng) -> String {
    let mut address: Vec<char> = plain(rng).chars().collect();
    for _ in 0..3 {
        let at = rng.random_range(1..address.len());
        let mark = *['\u{200B}', '\u{200D}', '\u{AD}', '\u{2060}', '\u{FEFF}'].choose(rng).unwrap();
        address.insert(at, mark);
    }
    address.into_iter().collect()
}

fn percent(rng: &mut ChaCha8Rng, times: usize) -> String {
    let mut address = plain(rng).replace('@', "%40");
    if rng.random_bool(0.3) {
        address = address.replace('.', "%2E");
    }
    for _ in 1..times {
        address = address.replace('%', "%25");
    }
    address
}

fn entity(rng: &mut ChaCha8Rng) -> String {
    let at =
        pick(rng, &["&#64;", "&#x40;", "&#X0040;", "&commat;", "&#0064;", "&amp;#64;", "&amp;commat;", "&#65312;"]);
    let dot = pick(rng, &[".", ".", "&#46;", "&period;"]);
    plain(rng).replace('@', at).replace('.', dot)
}

/// The longest run of the generator's own letters: nobody may find it in the output.
fn secret(address: &str) -> String {
    let runs = address.split(|ch: char| !ch.is_alphanumeric());
    runs.max_by_key(|run| run.chars().count()).unwrap().to_owned()
}

/// An address in a text in a JSON string.
fn sentence(rng: &mut ChaCha8Rng, address: fn(&mut ChaCha8Rng) -> String) -> Sample {
    let address = address(rng);
    let (before, after) = *[
        ("", ""),
        ("write to ", " today"),
        ("<", ">"),
        ("Ann (", "), or call"),
        ("mailto:", ""),
        ("to: ", ", cc: none"),
        ("{user: ", "; id: 7}"),
        ("see ", "."),
        ("a\n", "\nb"),
        ("is it ", "?"),
        ("号码 ", "。"),
    ]
    .choose(rng)
    .unwrap();
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let written = json(&address);
    let written = written.trim_start_matches('"').trim_end_matches('"').to_owned();
    // The address may itself start with an escaped quotation mark, whose bytes the trimming above took.
    let written = if address.starts_with('"') {
        json(&address).get(1..json(&address).len() - 1).unwrap().to_owned()
    } else {
        written
    };
    Sample { value: json(&format!("{before}{address}{after}")), secret: secret(&address), written }
}

fn url(rng: &mut ChaCha8Rng) -> Sample {
    let address = if rng.random_bool(0.5) { plain(rng) } else { percent(rng, 1) };
    let value = match rng.random_range(0..4) {
        0 => format!("{{\"page\":\"https://shop.test/a/b?email={address}&step=2\"}}"),
        1 => format!("{{\"page\":\"/checkout?step=2&email={address}\"}}"),
        2 => format!("{{\"page\":\"/unsubscribe/{address}/now\"}}"),
        _ => format!("{{\"body\":\"step=2&email={address}&x=1\"}}"),
    };
    Sample { value, secret: secret(&address), written: address }
}

/// Some characters, always the `@`, as `\uXXXX`.
fn json_escape(rng: &mut ChaCha8Rng) -> Sample {
    let address = plain(rng);
    let escaped = |ch: char| format!("\\u{:04x}", u32::from(ch));
    let written: String = address
        .chars()
        .map(|ch| if ch == '@' || rng.random_bool(0.1) { escaped(ch) } else { ch.to_string() })
        .collect();
    Sample { value: format!("{{ \"a\\/b\" : [1.50, \"x {written}, \\u00e9\"] }}"), secret: secret(&address), written }
}

fn nested(rng: &mut ChaCha8Rng) -> Sample {
    let address = plain(rng);
    let mut value = if rng.random_bool(0.5) {
        serde_json::json!({ &address: [1, null, "@x", "z"] })
    } else {
        serde_json::json!({ "list": [{ "deep": { "email": address } }, 2] })
    };
    for _ in 0..rng.random_range(0..4) {
        value = serde_json::json!({ "payload": value.to_string() });
    }
    Sample { value: value.to_string(), secret: secret(&address), written: address }
}
