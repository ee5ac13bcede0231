//! Kafka's null: no value at all, which is not the same as zero bytes.

use bytes::Bytes;

use super::{Serde, SerdeError};

/// Null and nothing else, for `()`: a topic without keys, or one whose values are always null.
///
/// Reading is strict, as Kafka's `VoidDeserializer`: bytes where null is meant are an error. For topics that may carry
/// something you do not want, use [`Ignored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Null;

impl Serde<()> for Null {
    fn encode(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    /// Zero bytes pass too: some clients cannot write null.
    fn decode(&self, bytes: &[u8]) -> Result<(), SerdeError> {
        if bytes.is_empty() { Ok(()) } else { Err(SerdeError::Length { expected: 0, actual: bytes.len() }) }
    }

    fn is_null(&self, (): &()) -> bool {
        true
    }

    fn decode_null(&self) -> Result<(), SerdeError> {
        Ok(())
    }
}

/// Reads whatever is there as `()` and writes null: for keys that an application does not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignored;

impl Serde<()> for Ignored {
    fn encode(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn decode(&self, _bytes: &[u8]) -> Result<(), SerdeError> {
        Ok(())
    }

    fn is_null(&self, (): &()) -> bool {
        true
    }

    fn decode_null(&self) -> Result<(), SerdeError> {
        Ok(())
    }
}

/// `Option<T>`: null for `None`, the inner serde's bytes for `Some`: `Nullable(&Utf8)`.
///
/// The inner serde must not write null itself, since null could then mean two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nullable<S>(pub S);

impl<T, S: Serde<T>> Serde<Option<T>> for Nullable<S> {
    fn encode(&self, value: &Option<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match value {
            Some(value) if !self.0.is_null(value) => self.0.encode(value, out),
            Some(_) => {
                Err(SerdeError::Unrepresentable { format: "nullable", reason: "the inner serde writes null itself" })
            }
            None => Err(SerdeError::Unrepresentable { format: "nullable", reason: "null has no bytes; ask is_null" }),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Option<T>, SerdeError> {
        self.0.decode(bytes).map(Some)
    }

    fn decode_bytes(&self, bytes: &Bytes) -> Result<Option<T>, SerdeError> {
        self.0.decode_bytes(bytes).map(Some)
    }

    fn as_bytes(&self, value: &Option<T>) -> Option<Bytes> {
        value.as_ref().and_then(|value| self.0.as_bytes(value))
    }

    fn is_null(&self, value: &Option<T>) -> bool {
        value.is_none()
    }

    fn decode_null(&self) -> Result<Option<T>, SerdeError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serde::{Int64, Utf8, round_trip};

    static NAMES: Nullable<&Utf8> = Nullable(&Utf8);

    #[test]
    fn unit_is_null_both_ways() {
        assert!(Null.is_null(&()));
        assert_eq!(round_trip(&Null, &()), Ok(()));
        assert_eq!(round_trip(&Ignored, &()), Ok(()));
    }

    #[test]
    fn bytes_where_null_is_meant_are_refused_unless_ignored() {
        assert_eq!(Null.decode(b"key"), Err(SerdeError::Length { expected: 0, actual: 3 }));
        assert_eq!(Null.decode(b""), Ok(()));
        assert_eq!(Ignored.decode(b"key"), Ok(()));
    }

    #[test]
    fn none_is_null_and_empty_text_is_not() {
        let erased: &'static dyn Serde<Option<String>> = &NAMES;
        assert!(erased.is_null(&None));
        assert!(!erased.is_null(&Some(String::new())));
        assert_eq!(erased.decode_null(), Ok(None));
        assert_eq!(erased.decode(b""), Ok(Some(String::new())));
    }

    #[test]
    fn a_serde_without_a_null_refuses_it() {
        assert_eq!(Serde::<String>::decode_null(&Utf8), Err(SerdeError::Null));
    }

    #[test]
    fn null_that_could_mean_two_things_is_not_written() {
        let error = Nullable(Null).encode(&Some(()), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, SerdeError::Unrepresentable { format: "nullable", .. }), "{error}");
        assert!(Serde::<Option<i64>>::encode(&Nullable(Int64), &None, &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn options_survive(number: Option<i64>, text: Option<String>) {
            prop_assert_eq!(round_trip(&Nullable(Int64), &number), Ok(number));
            prop_assert_eq!(round_trip(&NAMES, &text), Ok(text));
        }
    }
}
