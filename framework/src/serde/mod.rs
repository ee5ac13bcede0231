//! Between values and bytes: at topics and stores, nowhere else.
//!
//! A [`Serde`] is a small value that lives in a `static` or `const`, so that topics and stores can name it:
//! `Topic::new("events", &Utf8, &Json)`.

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
