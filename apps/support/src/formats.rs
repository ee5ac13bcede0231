//! How bytes are shown of which nobody knows the serde: by what they look like.

use millpond::formats::hex;
use serde_json::Value;

/// Bytes of which nothing is known: JSON where it is an object or array, a text, or hexadecimal digits after `0x`.
pub(crate) fn guess(bytes: &[u8]) -> Value {
    if matches!(bytes.first(), Some(b'{' | b'['))
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("0x") && !text.chars().any(char::is_control) => Value::String(text.to_owned()),
        _ => Value::String(hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use millpond::formats::bytes_of;
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_bytes_are_shown_as_they_look_and_read_back() {
        for (bytes, shown) in [
            (&b"mill"[..], json!("mill")),
            (br#"{"a":1}"#, json!({"a": 1})),
            (b"{no json", json!("{no json")),
            (&[0, 0xff], json!("0x00ff")),
            (b"0xab", json!("0x30786162")),
            (b"", json!("")),
        ] {
            assert_eq!(guess(bytes), shown);
            if let Value::String(text) = guess(bytes) {
                assert_eq!(bytes_of(&text).unwrap(), bytes);
            }
        }
    }
}
