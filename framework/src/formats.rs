//! How the rows of stores are shown as JSON, and how keys that a person or a program says become bytes: for queries and for
//! commands that look into stores.
//!
//! A topology's stores have serdes for types that need no JSON form, so an application says here which have one.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::partitioner::partition_for_key;
use crate::record::Partition;
use crate::serde::{Serde, SerdeError};

type Show = Box<dyn Fn(&[u8]) -> Result<Value, SerdeError> + Send + Sync>;
type Parse = Box<dyn Fn(&str) -> Result<Vec<u8>, KeyError> + Send + Sync>;
/// From the bytes of a store's key to those of the key in the topic.
type TopicKey = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, KeyError> + Send + Sync>;
/// A prefix in bytes, and the topic's key when the prefix decides it.
type ParsePrefix = Box<dyn Fn(&str) -> Result<(Vec<u8>, Option<Vec<u8>>), KeyError> + Send + Sync>;

/// A key that does not fit the store. The texts quote what was said, so they go to whoever said it and into no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no value of the key's type.
    #[error("{0}; say a text as it is, other types as JSON such as 7 or [\"u1\",7]")]
    Type(#[source] serde_json::Error),
    /// The value has no bytes, or the bytes are no key.
    #[error(transparent)]
    Serde(#[from] SerdeError),
    /// Bytes in another form than `0x00ff`.
    #[error("after 0x come pairs of hexadecimal digits")]
    Digits,
}

/// The stores of an application that can be shown, by name.
///
/// ```
/// use millpond::formats::StoreFormats;
/// use millpond::serde::{Int64, Utf8};
///
/// let formats = StoreFormats::new().store::<String, i64>("counts", &Utf8, &Int64);
/// assert_eq!(formats.of("counts").unwrap().value(&7_i64.to_be_bytes()), Ok(7.into()));
/// ```
#[derive(Default)]
pub struct StoreFormats(BTreeMap<String, StoreFormat>);

/// How the rows of one store are shown.
pub struct StoreFormat {
    key: Show,
    value: Show,
    parse: Parse,
    topic_key: Option<TopicKey>,
    prefix: Option<ParsePrefix>,
    personal: bool,
}

impl fmt::Debug for StoreFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for StoreFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFormat").field("personal", &self.personal).finish_non_exhaustive()
    }
}

impl StoreFormats {
    /// No store is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a store. Its rows count as personal data; its partition follows from the whole key, written in the topic
    /// as in the store; prefixes are said as bytes.
    #[must_use]
    pub fn store<K, V>(mut self, name: &str, key: &'static dyn Serde<K>, value: &'static dyn Serde<V>) -> Self
    where
        K: Serialize + DeserializeOwned + 'static,
        V: Serialize + 'static,
    {
        let format = StoreFormat {
            key: Box::new(|bytes| json(&key.decode(bytes)?)),
            value: Box::new(|bytes| json(&value.decode(bytes)?)),
            parse: Box::new(|text| encode(&parse::<K>(text)?, key)),
            topic_key: None,
            prefix: None,
            personal: true,
        };
        self.0.insert(name.to_owned(), format);
        self
    }

    /// The same, where a part of the store's key decides the partition, written in the topic by `topic`. Without effect on a
    /// store that is not here.
    #[must_use]
    pub fn keyed_within<K: 'static, P: 'static>(
        self,
        name: &str,
        key: &'static dyn Serde<K>,
        part: fn(&K) -> P,
        topic: &'static dyn Serde<P>,
    ) -> Self {
        self.change(name, |format| {
            let topic_key =
                move |bytes: &[u8]| -> Result<Vec<u8>, KeyError> { encode(&part(&key.decode(bytes)?), topic) };
            format.topic_key = Some(Box::new(topic_key));
        })
    }

    /// The same, where prefixes are values of a type that begins the key, in its bytes there. With `topic`, such a value is the
    /// topic's key in that form, and so decides the partition.
    #[must_use]
    pub fn prefixed<P>(self, name: &str, stored: &'static dyn Serde<P>, topic: Option<&'static dyn Serde<P>>) -> Self
    where
        P: DeserializeOwned + 'static,
    {
        self.change(name, |format| {
            let parse = move |text: &str| -> Result<(Vec<u8>, Option<Vec<u8>>), KeyError> {
                let prefix: P = parse(text)?;
                Ok((encode(&prefix, stored)?, topic.map(|topic| encode(&prefix, topic)).transpose()?))
            };
            format.prefix = Some(Box::new(parse));
        })
    }

    /// The same, where the store's rows hold nothing about a person: queries show them.
    #[must_use]
    pub fn impersonal(self, name: &str) -> Self {
        self.change(name, |format| format.personal = false)
    }

    fn change(mut self, name: &str, change: impl FnOnce(&mut StoreFormat)) -> Self {
        if let Some(format) = self.0.get_mut(name) {
            change(format);
        }
        self
    }

    /// How a store's rows are shown; `None` where nobody has said it.
    pub fn of(&self, store: &str) -> Option<&StoreFormat> {
        self.0.get(store)
    }
}

impl StoreFormat {
    /// A key as JSON.
    ///
    /// # Errors
    /// [`SerdeError`] when the bytes are no key of this store.
    pub fn key(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        (self.key)(bytes)
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// [`SerdeError`] when the bytes are no value of this store.
    pub fn value(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        (self.value)(bytes)
    }

    /// The bytes of a key that was said: a text as it is, other types as JSON.
    ///
    /// # Errors
    /// [`KeyError`] to show to whoever said it.
    pub fn parse(&self, text: &str) -> Result<Vec<u8>, KeyError> {
        (self.parse)(text)
    }

    /// The bytes of a prefix that was said, and its partition among so many when it decides one.
    ///
    /// # Errors
    /// [`KeyError`] to show to whoever said it.
    pub fn parse_prefix(&self, text: &str, partitions: i32) -> Result<(Vec<u8>, Option<Partition>), KeyError> {
        let Some(parse) = &self.prefix else { return Ok((bytes_of(text)?, None)) };
        let (prefix, topic_key) = parse(text)?;
        Ok((prefix, topic_key.map(|key| partition_for_key(&key, partitions))))
    }

    /// The partition that a key of the store is on, among so many.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are no key of this store.
    pub fn partition(&self, key: &[u8], partitions: i32) -> Result<Partition, KeyError> {
        match &self.topic_key {
            Some(topic_key) => Ok(partition_for_key(&topic_key(key)?, partitions)),
            None => Ok(partition_for_key(key, partitions)),
        }
    }

    /// Whether rows may tell something about a person: queries then show them only where the configuration names the store.
    pub const fn is_personal(&self) -> bool {
        self.personal
    }
}

fn json<T: Serialize>(value: &T) -> Result<Value, SerdeError> {
    let failed = |_| SerdeError::Unrepresentable { format: "JSON", reason: "the value has no JSON form" };
    serde_json::to_value(value).map_err(failed)
}

/// JSON, or a text without its quotes.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, KeyError> {
    let as_text = || serde_json::from_value(Value::String(text.to_owned()));
    as_text().or_else(|_| serde_json::from_str(text)).map_err(KeyError::Type)
}

fn encode<T>(value: &T, serde: &dyn Serde<T>) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    serde.encode(value, &mut bytes)?;
    Ok(bytes)
}

/// Bytes as hexadecimal digits after `0x`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes of hexadecimal digits after `0x`, or of any other text itself.
///
/// # Errors
/// [`KeyError::Digits`] for `0x` with something else behind it.
pub fn bytes_of(text: &str) -> Result<Vec<u8>, KeyError> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || digits.len() % 2 != 0 {
        return Err(KeyError::Digits);
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2).unwrap_or_default());
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(|_| KeyError::Digits)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serde::{Bincode, Int64, Ordered, Utf8};

    fn formats() -> StoreFormats {
        StoreFormats::new()
            .store::<String, i64>("counts", &Utf8, &Int64)
            .store::<(String, i64), Vec<u8>>("pairs", &Ordered, &Bincode)
            .keyed_within::<(String, i64), String>("pairs", &Ordered, |(user, _)| user.clone(), &Utf8)
            .prefixed::<String>("pairs", &Ordered, Some(&Utf8))
            .impersonal("counts")
            .impersonal("others")
    }

    #[test]
    fn known_rows_are_decoded_and_keys_that_are_said_are_encoded() {
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
    fn a_key_is_on_the_partition_of_the_part_that_the_topic_is_keyed_by() {
        let formats = formats();
        let (counts, pairs) = (formats.of("counts").unwrap(), formats.of("pairs").unwrap());
        for user in ["u1", "u2", "somebody-else"] {
            let expected = partition_for_key(user.as_bytes(), 12);
            assert_eq!(counts.partition(user.as_bytes(), 12).unwrap(), expected);
            let key = pairs.parse(&format!(r#"["{user}", 7]"#)).unwrap();
            assert_eq!(pairs.partition(&key, 12).unwrap(), expected);
            let (prefix, partition) = pairs.parse_prefix(user, 12).unwrap();
            assert!(key.starts_with(&prefix) && partition == Some(expected));
        }
        assert!(pairs.partition(b"no key", 12).is_err());
        // Bytes decide nothing: a longer key may be anywhere.
        assert_eq!(counts.parse_prefix("u", 12).unwrap(), (b"u".to_vec(), None));
        assert_eq!(counts.parse_prefix("0x75", 12).unwrap(), (b"u".to_vec(), None));
    }

    #[test]
    fn rows_are_about_persons_unless_the_application_says_otherwise() {
        let formats = formats();
        assert!(formats.of("pairs").unwrap().is_personal());
        assert!(!formats.of("counts").unwrap().is_personal());
    }

    #[test]
    fn bytes_are_read_back_from_their_digits() {
        for bytes in [&b""[..], b"\x00\xff", b"mill"] {
            assert_eq!(bytes_of(&hex(bytes)).unwrap(), bytes);
        }
        assert_eq!(bytes_of("mill").unwrap(), b"mill");
        for wrong in ["0xabc", "0xzz", "0x+1", "0xää"] {
            assert!(bytes_of(wrong).is_err(), "{wrong}");
        }
    }
}
