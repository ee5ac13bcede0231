//! Between values and bytes: at topics and stores, nowhere else.
//!
//! A [`Serde`] is a small value that lives in a `static` or `const`, so that topics and stores can name it:
//! `Topic::new("events", &Utf8, &Json)`.
//!
//! | Serde | Types | Bytes | Sorted as the values |
//! |---|---|---|---|
//! | [`Json`] | serde types | JSON text | no |
//! | [`Bincode`] | serde types | envelope, bincode 2 | no |
//! | [`BincodeVersioned`] | [`Versioned`] types | envelope, bincode 2, older versions are migrated on read | no |
//! | [`Utf8`] | `String`, `Arc<str>` | the text | yes |
//! | [`Raw`] | `Bytes`, `Vec<u8>` | the bytes | yes |
//! | [`Int16`], [`Int32`], [`Int64`] | `i16`, `i32`, `i64` | big-endian, as Kafka's Java serializers | from zero up only |
//! | [`Float32`], [`Float64`] | `f32`, `f64` | big-endian, as Kafka's Java serializers | no |
//! | [`Ordered`] | [`OrderedKey`]s: integers, times, text, bytes, tuples | see [`ordered`] | yes |
//! | [`Stamped`] | [`ValueAndTimestamp`] | time, then the inner serde's bytes | no |
//! | [`Null`], [`Ignored`] | `()` | Kafka's null | |
//! | [`Nullable`] | `Option<T>` | null, or the bytes of the inner serde | as the inner |
//!
//! Topics that other programs read carry JSON or Kafka's own formats. Bincode is for stores, changelogs and repartition
//! topics, which only this program reads.

mod bincode;
pub mod envelope;
mod json;
mod null;
pub mod ordered;
mod primitive;
mod stamped;

use std::sync::Arc;

use bytes::Bytes;

pub use self::bincode::{BINCODE_BYTES_MAX, Bincode, BincodeVersioned, NoPrevious, Versioned};
pub use self::json::Json;
pub use self::null::{Ignored, Null, Nullable};
pub use self::ordered::{Ordered, OrderedKey, PrefixOf};
pub use self::primitive::{Float32, Float64, Int16, Int32, Int64, Raw, Utf8};
pub use self::stamped::{Stamped, ValueAndTimestamp};

/// Turns values of `T` into bytes and back.
///
/// `decode(encode(x)) == x`, and equal values encode to equal bytes (state compares bytes). Keys of stores that are
/// scanned by range must also keep their order: `a < b` exactly when `encode(a) < encode(b)`, see the `ordered` module.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot encode `{T}`",
    label = "this serde does not fit `{T}`",
    note = "for Json and Bincode derive `Serialize` and `Deserialize` on the type; otherwise name another serde"
)]
pub trait Serde<T>: Send + Sync {
    /// Appends the bytes of `value` to `out`; what `out` held before stays.
    ///
    /// # Errors
    /// [`SerdeError`] when the value has no bytes in this format. `out` may then hold a part of it: truncate or drop it.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Reads a value from exactly these bytes.
    ///
    /// # Errors
    /// [`SerdeError`] when the bytes are not a value of `T`. The error never quotes the bytes.
    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError>;

    /// As [`decode`](Self::decode), for values that may share the bytes instead of copying them.
    ///
    /// # Errors
    /// As `decode`.
    fn decode_bytes(&self, bytes: &Bytes) -> Result<T, SerdeError> {
        self.decode(bytes)
    }

    /// The value's bytes without copying, for values that are bytes already. `None`: call [`encode`](Self::encode).
    fn as_bytes(&self, _value: &T) -> Option<Bytes> {
        None
    }

    /// True when the value is written as Kafka's null instead of bytes.
    fn is_null(&self, _value: &T) -> bool {
        false
    }

    /// The value that Kafka's null stands for.
    ///
    /// # Errors
    /// [`SerdeError::Null`] unless the type has such a value: `()` with `Null`, `Option<T>` with `Nullable`.
    fn decode_null(&self) -> Result<T, SerdeError> {
        Err(SerdeError::Null)
    }
}

impl<T, S: Serde<T> + ?Sized> Serde<T> for &S {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        (**self).encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        (**self).decode(bytes)
    }

    fn decode_bytes(&self, bytes: &Bytes) -> Result<T, SerdeError> {
        (**self).decode_bytes(bytes)
    }

    fn as_bytes(&self, value: &T) -> Option<Bytes> {
        (**self).as_bytes(value)
    }

    fn is_null(&self, value: &T) -> bool {
        (**self).is_null(value)
    }

    fn decode_null(&self) -> Result<T, SerdeError> {
        (**self).decode_null()
    }
}

impl<T, S: Serde<T> + ?Sized> Serde<T> for Arc<S> {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        (**self).encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        (**self).decode(bytes)
    }

    fn decode_bytes(&self, bytes: &Bytes) -> Result<T, SerdeError> {
        (**self).decode_bytes(bytes)
    }

    fn as_bytes(&self, value: &T) -> Option<Bytes> {
        (**self).as_bytes(value)
    }

    fn is_null(&self, value: &T) -> bool {
        (**self).is_null(value)
    }

    fn decode_null(&self) -> Result<T, SerdeError> {
        (**self).decode_null()
    }
}

/// The value after a way through bytes (or null) and back.
///
/// For tests of types that go into stores and topics: `assert_eq!(round_trip(&Bincode, &value), Ok(value))` shows, for
/// that value, that none of the type's serde attributes breaks the format.
///
/// # Errors
/// What [`Serde::encode`] or [`Serde::decode`] said.
pub fn round_trip<T>(serde: &(impl Serde<T> + ?Sized), value: &T) -> Result<T, SerdeError> {
    if serde.is_null(value) {
        return serde.decode_null();
    }
    let mut bytes = Vec::new();
    serde.encode(value, &mut bytes)?;
    serde.decode(&bytes)
}

/// Why bytes and values did not fit. Never quotes what was in the bytes: it may be personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerdeError {
    /// The key or value is null and the type has no null.
    #[error("null where a value is required; use Nullable(..) if null is meant")]
    Null,
    /// Not valid UTF-8.
    #[error("not valid UTF-8: first bad byte at position={position}")]
    Utf8 {
        /// Index of the first bad byte.
        position: usize,
    },
    /// Not valid JSON, or JSON of another shape.
    #[error("not the expected JSON: {category} at line={line} column={column}")]
    Json {
        /// `syntax`, `data` or `eof`: serde_json's category.
        category: &'static str,
        /// One-based line.
        line: usize,
        /// One-based column.
        column: usize,
    },
    /// A fixed-width value of another width.
    #[error("wrong length: expected={expected} actual={actual} bytes")]
    Length {
        /// Bytes the type has.
        expected: usize,
        /// Bytes there were.
        actual: usize,
    },
    /// The envelope names another codec.
    #[error(
        "stored with another codec: expected={expected} actual={actual}; open the store with the serde that wrote it"
    )]
    Codec {
        /// Codec id of this serde.
        expected: u8,
        /// Codec id in the bytes.
        actual: u8,
    },
    /// The envelope names a version this program does not know.
    #[error("stored with schema version={actual}, newest known={newest}; run the newer program, or add a migration")]
    Version {
        /// Newest version this program reads.
        newest: u8,
        /// Version in the bytes.
        actual: u8,
    },
    /// The bytes do not follow the format.
    #[error("malformed {format}: {reason}")]
    Malformed {
        /// Name of the format.
        format: &'static str,
        /// What was wrong, in fixed words.
        reason: &'static str,
    },
    /// The value cannot be written in this format.
    #[error("cannot be written as {format}: {reason}")]
    Unrepresentable {
        /// Name of the format.
        format: &'static str,
        /// Why, in fixed words.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as lower-case hexadecimal digits, for golden tables.
    pub(super) fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    #[test]
    fn a_serde_is_a_serde_behind_any_pointer() {
        let shared: Arc<dyn Serde<i64>> = Arc::new(Int64);
        let lent: &dyn Serde<i64> = &Int64;
        assert_eq!(round_trip(&shared, &7), Ok(7));
        assert_eq!(round_trip(&Nullable(lent), &Some(7)), Ok(Some(7)));
        assert!(Serde::<()>::is_null(&&Null, &()));
        assert_eq!(Serde::<()>::decode_null(&Arc::new(Null)), Ok(()));
    }
}
