//! The texts that must not show, and how they are found.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// In every secret. Like all marks without a character that an encoding would have to change.
const SECRET: &str = "cnrySecretX7";
/// In everything of a record that is somebody's.
const PAYLOAD: &str = "cnryPayloadX7";

/// A secret: the mark stands at both ends, so that also a piece of it is found.
pub(crate) fn secret(field: &str) -> String {
    format!("{SECRET}-{field}-{SECRET}")
}

/// A text of a record.
pub(crate) fn payload(field: &str) -> String {
    format!("{PAYLOAD}.{field}.{PAYLOAD}")
}

/// Lines of a text that hold a mark in any form, shortened.
pub(crate) fn found_in(text: &str) -> Vec<String> {
    let forms: Vec<(String, bool)> = [SECRET, PAYLOAD].into_iter().flat_map(forms).collect();
    let lines = text.lines().filter(|line| {
        let lower = line.to_ascii_lowercase();
        forms
            .iter()
            .any(|(form, exact)| if *exact { line.contains(form.as_str()) } else { lower.contains(form.as_str()) })
    });
    lines.map(|line| line.chars().take(600).collect()).collect()
}

/// A mark as it may be written; true where capitals count.
fn forms(mark: &str) -> Vec<(String, bool)> {
    let hexadecimal = mark.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let list: Vec<String> = mark.bytes().map(|byte| byte.to_string()).collect();
    let mut forms = vec![(mark.to_lowercase(), false), (hexadecimal, false), (list.join(", "), false)];
    for before in 0..3 {
        // What the encoding makes of the mark alone, whatever stands beside it.
        let text = [vec![0; before], mark.as_bytes().to_vec()].concat();
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            forms.push((encoded[from..to].to_owned(), true));
        }
    }
    forms
}

#[test]
fn a_canary_is_found_in_every_form() {
    let text = secret("a");
    let within = |before: &str| STANDARD_NO_PAD.encode(format!("{before}{text}&more"));
    let bytes = text.as_bytes();
    for form in [
        format!("password={text}"),
        text.to_uppercase(),
        text[13..].to_owned(),
        format!("{bytes:?}"),
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(),
        within(""),
        within("1"),
        within("12"),
        within("123"),
        URL_SAFE_NO_PAD.encode(&text),
        payload("mail"),
    ] {
        assert_eq!(found_in(&format!("first\n{form}\nlast")), [form.as_str()], "{form}");
    }
    assert_eq!(found_in("nothing of the kind"), Vec::<String>::new());
}
