//! Text as characters that know which original bytes they stand for, after undoing what hides an address.

use unicode_normalization::UnicodeNormalization;

/// Encodings of encodings (`%2540`, `&amp;#64;`) are undone this often.
const LAYERS_MAX: u8 = 4;

/// One character and the original bytes it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) ch: char,
    /// First original byte.
    pub(crate) start: usize,
    /// One past the last original byte.
    pub(crate) end: usize,
    /// How many layers of encoding were undone.
    pub(crate) layers: u8,
    /// Whether a compatibility form was replaced.
    pub(crate) folded: bool,
}

/// The units of a text.
pub(crate) fn of_text(text: &str) -> Vec<Unit> {
    let mut units = Vec::with_capacity(text.len());
    push_chars(text, 0, &mut units);
    normalise(units)
}

/// The units of any bytes; each byte that is not UTF-8 is U+FFFD.
pub(crate) fn of_bytes(bytes: &[u8]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        push_chars(chunk.valid(), at, &mut units);
        at += chunk.valid().len();
        for _ in chunk.invalid() {
            units.push(plain(char::REPLACEMENT_CHARACTER, at, at + 1));
            at += 1;
        }
    }
    normalise(units)
}

const fn plain(ch: char, start: usize, end: usize) -> Unit {
    Unit { ch, start, end, layers: 0, folded: false }
}

fn push_chars(text: &str, offset: usize, units: &mut Vec<Unit>) {
    units.extend(text.char_indices().map(|(i, ch)| plain(ch, offset + i, offset + i + ch.len_utf8())));
}

fn normalise(mut units: Vec<Unit>) -> Vec<Unit> {
    for _ in 0..LAYERS_MAX {
        if !decode_layer(&mut units) {
            break;
        }
    }
    if units.iter().all(|unit| unit.ch.is_ascii()) { units } else { fold(&units) }
}

/// Drops invisible characters and replaces compatibility forms (NFKC, character by character, so that positions hold).
fn fold(units: &[Unit]) -> Vec<Unit> {
    let mut folded = Vec::with_capacity(units.len());
    for unit in units.iter().filter(|unit| !is_invisible(unit.ch)) {
        if unit.ch.is_ascii() {
            folded.push(*unit);
            continue;
        }
        let forms = std::iter::once(unit.ch).nfkc();
        folded.extend(forms.map(|ch| Unit { ch, folded: unit.folded || ch != unit.ch, ..*unit }));
    }
    folded
}

/// Characters without ink and without width, which mail programs and people overlook.
const fn is_invisible(ch: char) -> bool {
    matches!(
        ch,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Undoes one layer of encoding everywhere; false if there was none.
fn decode_layer(units: &mut Vec<Unit>) -> bool {
    if !units.iter().any(|unit| matches!(unit.ch, '%' | '&' | '\\')) {
        return false;
    }
    let mut decoded = Vec::with_capacity(units.len());
    let mut rest = units.as_slice();
    let mut found = false;
    while let Some((first, tail)) = rest.split_first() {
        let code = match first.ch {
            '%' => percent(rest),
            '&' => entity(tail).map(|(ch, used)| (ch, used + 1)),
            '\\' => backslash(rest),
            _ => None,
        };
        let Some((ch, used)) = code else {
            // A run of backslashes is taken whole, so that a long one is not looked at again and again.
            let run = if first.ch == '\\' { rest.iter().take_while(|unit| unit.ch == '\\').count() } else { 1 };
            let (kept, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            decoded.extend_from_slice(kept);
            rest = after;
            continue;
        };
        let (code, after) = rest.split_at_checked(used).unwrap_or((rest, &[]));
        let layers = code.iter().map(|unit| unit.layers).max().unwrap_or(0).saturating_add(1);
        let end = code.last().map_or(first.end, |unit| unit.end);
        decoded.push(Unit { ch, start: first.start, end, layers, folded: first.folded });
        rest = after;
        found = true;
    }
    *units = decoded;
    found
}

/// The value of `digits` hexadecimal digits at the start of `units`.
fn hex(units: &[Unit], digits: usize) -> Option<u32> {
    let digits = units.get(..digits)?;
    digits.iter().try_fold(0_u32, |value, unit| Some(value.checked_mul(16)? + unit.ch.to_digit(16)?))
}

/// `%40`, and `%C3%A9` for characters of several bytes.
fn percent(units: &[Unit]) -> Option<(char, usize)> {
    let mut bytes = [0_u8; 4];
    let mut length = 1;
    let mut taken = 0;
    for (index, slot) in bytes.iter_mut().enumerate() {
        if index == length {
            break;
        }
        let code = units.get(index * 3..)?;
        if code.first()?.ch != '%' {
            return None;
        }
        *slot = u8::try_from(hex(code.get(1..)?, 2)?).ok()?;
        if index == 0 {
            length = match *slot {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
        }
        taken += 1;
    }
    let text = std::str::from_utf8(bytes.get(..taken)?).ok()?;
    Some((text.chars().next()?, taken * 3))
}

/// What follows the `&` of `&#64;`, `&#x40;` and `&commat;`. As in browsers, the semicolon of a number may be missing.
fn entity(units: &[Unit]) -> Option<(char, usize)> {
    const DIGITS_MAX: usize = 10;
    if units.first()?.ch != '#' {
        return named_entity(units);
    }
    let (radix, prefix) = if matches!(units.get(1)?.ch, 'x' | 'X') { (16, 2) } else { (10, 1) };
    let digits = units.get(prefix..)?.iter().take(DIGITS_MAX).map_while(|unit| unit.ch.to_digit(radix));
    let (value, count) =
        digits.fold((0_u32, 0), |(value, count), digit| (value.saturating_mul(radix).saturating_add(digit), count + 1));
    if count == 0 {
        return None;
    }
    let used = prefix + count;
    let semicolon = units.get(used).is_some_and(|unit| unit.ch == ';');
    Some((char::from_u32(value)?, used + usize::from(semicolon)))
}

/// The named entities that stand in or beside addresses.
const ENTITIES: [(&str, char); 16] = [
    ("commat", '@'),
    ("period", '.'),
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("lowbar", '_'),
    ("hyphen", '-'),
    ("plus", '+'),
    ("nbsp", ' '),
    ("shy", '\u{00AD}'),
    ("zwnj", '\u{200C}'),
    ("zwj", '\u{200D}'),
    ("sol", '/'),
    ("percnt", '%'),
];

fn named_entity(units: &[Unit]) -> Option<(char, usize)> {
    ENTITIES.iter().find_map(|(name, ch)| {
        let written = units.iter().map(|unit| unit.ch.to_ascii_lowercase());
        let matches = written.clone().take(name.len()).eq(name.chars());
        let closed = written.clone().nth(name.len()) == Some(';');
        (matches && closed).then_some((*ch, name.len() + 1))
    })
}

/// `\u0040`, `\u{40}` and `\x40`, after one backslash or several: JSON or JavaScript inside a text.
fn backslash(units: &[Unit]) -> Option<(char, usize)> {
    let slashes = units.iter().take_while(|unit| unit.ch == '\\').count();
    let code = units.get(slashes + 1..)?;
    match units.get(slashes)?.ch {
        'u' if code.first()?.ch == '{' => {
            let digits = code.iter().skip(1).take(6).take_while(|unit| unit.ch != '}').count();
            let value = hex(code.get(1..)?, digits)?;
            let closed = code.get(digits + 1)?.ch == '}';
            closed.then_some((char::from_u32(value)?, slashes + 3 + digits))
        }
        'u' => {
            let value = hex(code, 4)?;
            Some((char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), slashes + 5))
        }
        'x' => Some((char::from_u32(hex(code, 2)?)?, slashes + 3)),
        _ => None,
    }
}
