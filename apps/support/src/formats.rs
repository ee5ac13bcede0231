//! How the rows of a store are shown: by the application's own serdes, or, where nobody knows them, by what the bytes look
//! like.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millpond::serde::{Serde, SerdeError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Show = Box<dyn Fn(&[u8]) -> Result<Value, SerdeError>>;
type Parse = Box<dyn Fn(&str) -> Result<Vec<u8>, String>>;

/// The serdes of an application's stores, by the stores' names.
#[derive(Default)]
pub struct StoreFormats(BTreeMap<String, StoreFormat>);

/// How the rows of one store are shown.
pub(crate) struct StoreFormat {
    key: Show,
    value: Show,
    parse: Parse,
}

impl std::fmt::Debug for StoreFormats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl StoreFormats {
    /// No store is known: bytes are shown as they look.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a store.
    #[must_use]
    pub fn store<K, V>(mut self, name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self
    where
        K: Serialize + DeserializeOwned + 'static,
        V: Serialize + 'static,
    {
        let format = StoreFormat {
            key: Box::new(|bytes| json(&key.decode(bytes)?)),
            value: Box::new(|bytes| json(&value.decode(bytes)?)),
            parse: Box::new(|text| parse(text, key)),
        };
        self.0.insert(name.to_owned(), format);
        self
    }

    /// How a store's rows are shown.
    pub(crate) fn of(&self, store: &str) -> Option<&StoreFormat> {
        self.0.get(store)
    }
}

impl StoreFormat {
    pub(crate) fn key(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        (self.key)(bytes)
    }

    pub(crate) fn value(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        (self.value)(bytes)
    }

    /// The bytes of a key that a person has typed.
    pub(crate) fn parse(&self, text: &str) -> Result<Vec<u8>, String> {
        (self.parse)(text)
    }
}

fn json<T: Serialize>(value: &T) -> Result<Value, SerdeError> {
    let failed = |_| SerdeError::Unrepresentable { format: "JSON", reason: "the value has no JSON form" };
    serde_json::to_value(value).map_err(failed)
}

/// JSON, or a text without its quotes.
fn parse<K: DeserializeOwned>(text: &str, serde: &dyn Serde<K>) -> Result<Vec<u8>, String> {
    let as_text = || serde_json::from_value(Value::String(text.to_owned()));
    let key: K = as_text().or_else(|_| serde_json::from_str(text)).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    serde.encode(&key, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

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

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The opposite of [`guess`] for texts: hexadecimal digits after `0x`, or the text's own bytes.
pub(crate) fn unguess(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    let wrong = || "after 0x come pairs of hexadecimal digits".to_owned();
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return Err(wrong());
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2).unwrap_or_default());
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(|_| wrong())).collect()
}

#[cfg(test)]
mod tests {
    use millpond::serde::{Bincode, Int64, Ordered, Utf8};
    use serde_json::json;

    use super::*;

    fn formats() -> StoreFormats {
        StoreFormats::new()
            .store::<String, i64>("counts", &Utf8, &Int64)
            .store::<(String, i64), Vec<u8>>("pairs", &Ordered, &Bincode)
    }

    #[test]
    fn known_rows_are_decoded_and_typed_keys_are_encoded() {
        let formats = formats();
        let counts = formats.of("counts").unwrap();
        assert_eq!(counts.key(b"mill"), Ok(json!("mill")));
        assert_eq!(counts.value(&7_i64.to_be_bytes()), Ok(json!(7)));
        assert!(counts.value(b"short").is_err());
        assert_eq!(counts.parse("7").unwrap(), b"7", "a text stays a text, whatever it looks like");
        let pairs = formats.of("pairs").unwrap();
        let bytes = pairs.parse(r#"["u1", -5]"#).unwrap();
        assert_eq!(pairs.key(&bytes), Ok(json!(["u1", -5])));
        assert!(pairs.parse("u1").is_err());
        assert!(formats.of("others").is_none());
    }

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
                assert_eq!(unguess(&text).unwrap(), bytes);
            }
        }
        assert!(unguess("0xabc").is_err() && unguess("0xzz").is_err() && unguess("0xää").is_err());
    }
}
