//! JSON: the format of topics that other programs read.

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::{Serde, SerdeError};

/// JSON text without spaces, for every type with serde's derives.
///
/// Reading refuses bytes after the value, and nesting deeper than 128 levels in what the type keeps. A struct's fields
/// are written in the order of their declaration. `NaN` and the infinities are written as JSON's `null`, which is not
/// read back as a number.
///
/// ```
/// use millpond::serde::{Json, Serde, round_trip};
///
/// let mut bytes = Vec::new();
/// Json.encode(&vec![1, 2], &mut bytes)?;
/// assert_eq!(bytes, b"[1,2]");
/// assert_eq!(round_trip(&Json, &vec![1, 2]), Ok(vec![1, 2]));
/// # Ok::<(), millpond::serde::SerdeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        // The only failures are the type's own: memory takes every byte.
        serde_json::to_writer(out, value).map_err(|_| SerdeError::Unrepresentable {
            format: "JSON",
            reason: "the type's Serialize refused it; map keys must be text, numbers or unit variants",
        })
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        match std::str::from_utf8(bytes) {
            // Looked through once, instead of again for each string in it.
            Ok(text) => Self::decode_text(text),
            // Strings that are skipped may be anything.
            Err(_) => serde_json::from_slice(bytes).map_err(|error| without_text(&error)),
        }
    }
}

impl Json {
    /// Reads a value from text that is known to be UTF-8.
    ///
    /// # Errors
    /// [`SerdeError::Json`]: it is no JSON, or no `T`.
    pub fn decode_text<T: DeserializeOwned>(text: &str) -> Result<T, SerdeError> {
        serde_json::from_str(text).map_err(|error| without_text(&error))
    }
}

/// Keeps where, drops what: the message of `serde_json` quotes the data.
fn without_text(error: &serde_json::Error) -> SerdeError {
    let category = match error.classify() {
        serde_json::error::Category::Io => "io",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "data",
        serde_json::error::Category::Eof => "eof",
    };
    SerdeError::Json { category, line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ::serde::{Deserialize, Serialize};
    use proptest::prelude::*;

    use crate::serde::{Json, Serde, SerdeError, round_trip};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Event {
        user_id: String,
        amount: Option<f64>,
        tags: BTreeMap<String, i64>,
    }

    fn decode<T: Serialize + ::serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, SerdeError> {
        Json.decode(text)
    }

    #[test]
    fn fields_are_written_in_declared_order_after_what_was_there() {
        let event = Event { user_id: "u1".into(), amount: None, tags: BTreeMap::from([("a".into(), 1)]) };
        let mut out = b"kept".to_vec();
        Json.encode(&event, &mut out).unwrap();
        assert_eq!(out, br#"kept{"user_id":"u1","amount":null,"tags":{"a":1}}"#);
    }

    #[test]
    fn an_error_says_where_and_never_what() {
        let error = decode::<Event>(b"{\"user_id\":\n \"secret@example.com\", \"tags\": \"secret\"}").unwrap_err();
        assert_eq!(error, SerdeError::Json { category: "data", line: 2, column: 39 });
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert_eq!(decode::<i32>(b"\"secret\""), Err(SerdeError::Json { category: "data", line: 1, column: 8 }));
    }

    #[test]
    fn every_kind_of_bad_text_has_its_category() {
        assert_eq!(decode::<i32>(b""), Err(SerdeError::Json { category: "eof", line: 1, column: 0 }));
        assert_eq!(decode::<Vec<i32>>(b"[1"), Err(SerdeError::Json { category: "eof", line: 1, column: 2 }));
        assert_eq!(decode::<Vec<i32>>(b"[1}"), Err(SerdeError::Json { category: "syntax", line: 1, column: 3 }));
        assert_eq!(decode::<String>(b"\"\xff\""), Err(SerdeError::Json { category: "syntax", line: 1, column: 2 }));
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        assert_eq!(decode::<i32>(b"1 2"), Err(SerdeError::Json { category: "syntax", line: 1, column: 3 }));
        assert_eq!(decode::<i32>(b" 1 \n"), Ok(1));
    }

    #[test]
    fn nesting_of_10_000_levels_is_an_error_and_not_a_stack_overflow() {
        let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        let error = decode::<serde_json::Value>(&deep).unwrap_err();
        assert_eq!(error, SerdeError::Json { category: "syntax", line: 1, column: 128 });
    }

    #[test]
    fn nesting_in_a_field_nobody_reads_is_skipped() {
        let deep = ["{\"user_id\":\"u1\",\"tags\":{},\"x\":", &"[".repeat(10_000), &"]".repeat(10_000), "}"].concat();
        let event = decode::<Event>(deep.as_bytes()).unwrap();
        assert_eq!(event, Event { user_id: "u1".into(), amount: None, tags: BTreeMap::new() });
    }

    #[test]
    fn a_map_with_keys_that_json_lacks_is_refused() {
        let map = BTreeMap::from([(vec![1_u8], 1_u8)]);
        let error = Json.encode(&map, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, SerdeError::Unrepresentable { format: "JSON", .. }), "{error}");
    }

    #[test]
    fn null_bytes_are_not_json_null() {
        assert_eq!(Serde::<Option<i32>>::decode_null(&Json), Err(SerdeError::Null));
    }

    proptest! {
        #[test]
        fn values_survive(
            user_id: String,
            amount in proptest::option::of(prop::num::f64::NORMAL | prop::num::f64::ZERO),
            tags in prop::collection::btree_map(any::<String>(), any::<i64>(), 0..5),
        ) {
            let event = Event { user_id, amount, tags };
            prop_assert_eq!(round_trip(&Json, &event), Ok(event));
        }

        #[test]
        fn any_bytes_decode_or_fail_without_panic(bytes: Vec<u8>) {
            let value = decode::<serde_json::Value>(&bytes);
            let event = decode::<Event>(&bytes);
            prop_assert!(value.is_ok() || event.is_err(), "an event is a value");
        }
    }
}
