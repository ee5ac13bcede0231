//! The two bytes before every value in a store: `[codec id][schema version][payload]`.
//!
//! The codec id lets one format replace another store by store; the schema version lets a type change while its old
//! values are still on disk and in changelogs.

use super::SerdeError;

/// Which format the payload has. **Once assigned, a number is never changed and never given again.**
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecId(u8);

impl CodecId {
    /// bincode 2 over serde: `config::standard()` (little-endian, variable-length integers).
    pub const BINCODE_2: Self = Self(1);
    /// postcard 1: reserved, not in use yet.
    pub const POSTCARD_1: Self = Self(2);
    /// JSON in an envelope: reserved, not in use yet. [`Json`](super::Json) writes no envelope.
    pub const JSON: Self = Self(3);

    /// The number in the first byte. Zero is nobody's, so that zeroed bytes are never a value.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Bytes of the header.
pub const HEADER_BYTES: usize = 2;

/// Appends the header; the payload follows.
pub fn write_header(codec: CodecId, version: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[codec.0, version]);
}

/// The schema version and the payload of a value written by `codec`.
///
/// # Errors
/// [`SerdeError::Codec`] when another codec wrote it: open the store with the serde that did.
/// [`SerdeError::Malformed`] when there are fewer than two bytes.
pub fn open(codec: CodecId, bytes: &[u8]) -> Result<(u8, &[u8]), SerdeError> {
    match bytes {
        [id, version, payload @ ..] if *id == codec.0 => Ok((*version, payload)),
        [id, _, ..] => Err(SerdeError::Codec { expected: codec.0, actual: *id }),
        _ => Err(SerdeError::Malformed { format: "envelope", reason: "shorter than its two bytes" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: a change here makes every store and changelog in the world unreadable.
    #[test]
    fn codec_ids_are_what_they_always_were() {
        let table = [CodecId::BINCODE_2, CodecId::POSTCARD_1, CodecId::JSON].map(CodecId::number);
        assert_eq!(table, [1, 2, 3]);
    }

    #[test]
    fn the_header_is_codec_then_version() {
        let mut out = b"before".to_vec();
        write_header(CodecId::BINCODE_2, 7, &mut out);
        assert_eq!(out, b"before\x01\x07");
        assert_eq!(out.len(), "before".len() + HEADER_BYTES);
    }

    #[test]
    fn opening_gives_version_and_payload() {
        assert_eq!(open(CodecId::BINCODE_2, &[1, 7, 8, 9]), Ok((7, &[8, 9][..])));
        assert_eq!(open(CodecId::BINCODE_2, &[1, 7]), Ok((7, &[][..])));
    }

    #[test]
    fn another_codec_is_named() {
        assert_eq!(open(CodecId::BINCODE_2, &[2, 1, 0]), Err(SerdeError::Codec { expected: 1, actual: 2 }));
    }

    #[test]
    fn fewer_than_two_bytes_are_no_envelope() {
        for short in [&[][..], &[1]] {
            let error = open(CodecId::BINCODE_2, short).unwrap_err();
            assert!(matches!(error, SerdeError::Malformed { format: "envelope", .. }), "{error}");
        }
    }
}
