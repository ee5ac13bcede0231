//! Text, bytes and numbers, byte for byte as Kafka's Java serializers write them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Serde, SerdeError};

/// UTF-8 text, as Kafka's `StringSerializer`; for `String` and `Arc<str>`. Sorted as the text's code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Utf8;

impl Serde<String> for Utf8 {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        text(bytes).map(str::to_owned)
    }
}

impl Serde<Arc<str>> for Utf8 {
    fn encode(&self, value: &Arc<str>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<str>, SerdeError> {
        text(bytes).map(Arc::from)
    }
}

/// Bytes as they are, as Kafka's `ByteArraySerializer`; for `Bytes` and `Vec<u8>`. Sorted as unsigned bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw;

impl Serde<Bytes> for Raw {
    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode_bytes(&self, bytes: &Bytes) -> Result<Bytes, SerdeError> {
        Ok(bytes.clone())
    }

    fn as_bytes(&self, value: &Bytes) -> Option<Bytes> {
        Some(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, SerdeError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl Serde<Vec<u8>> for Raw {
    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, SerdeError> {
        Ok(bytes.to_vec())
    }
}

/// `i16` as 2 bytes, big-endian: Kafka's `ShortSerializer`. Negative numbers sort after the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int16;

impl Serde<i16> for Int16 {
    fn encode(&self, value: &i16, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<i16, SerdeError> {
        fixed(bytes).map(i16::from_be_bytes)
    }
}

/// `i32` as 4 bytes, big-endian: Kafka's `IntegerSerializer`. Negative numbers sort after the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int32;

impl Serde<i32> for Int32 {
    fn encode(&self, value: &i32, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<i32, SerdeError> {
        fixed(bytes).map(i32::from_be_bytes)
    }
}

/// `i64` as 8 bytes, big-endian: Kafka's `LongSerializer`. Negative numbers sort after the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int64;

impl Serde<i64> for Int64 {
    fn encode(&self, value: &i64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<i64, SerdeError> {
        fixed(bytes).map(i64::from_be_bytes)
    }
}

/// `f32` as 4 bytes, big-endian IEEE 754: Kafka's `FloatSerializer`, which keeps the bits of a `NaN`.
/// `0.0` and `-0.0` have different bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Float32;

impl Serde<f32> for Float32 {
    fn encode(&self, value: &f32, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<f32, SerdeError> {
        fixed(bytes).map(f32::from_be_bytes)
    }
}

/// `f64` as 8 bytes, big-endian IEEE 754: Kafka's `DoubleSerializer`, which writes every `NaN` as the same bits.
/// `0.0` and `-0.0` have different bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Float64;

/// The one `NaN` of Java's `doubleToLongBits`.
const JAVA_NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

impl Serde<f64> for Float64 {
    fn encode(&self, value: &f64, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let bits = if value.is_nan() { JAVA_NAN_BITS } else { value.to_bits() };
        out.extend_from_slice(&bits.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<f64, SerdeError> {
        fixed(bytes).map(f64::from_be_bytes)
    }
}

/// The bytes as text; the error names a position only.
pub(super) fn text(bytes: &[u8]) -> Result<&str, SerdeError> {
    std::str::from_utf8(bytes).map_err(|error| SerdeError::Utf8 { position: error.valid_up_to() })
}

/// Exactly `N` bytes.
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SerdeError> {
    bytes.try_into().map_err(|_| SerdeError::Length { expected: N, actual: bytes.len() })
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::serde::round_trip;
    use crate::serde::tests::hex;

    fn assert_bytes<T: Debug>(serde: &dyn Serde<T>, golden: &[(T, &str)]) {
        for (value, expected) in golden {
            let mut out = Vec::new();
            serde.encode(value, &mut out).unwrap();
            assert_eq!(hex(&out), *expected, "{value:?}");
        }
    }

    // The bytes come from the serializers of org.apache.kafka:kafka-clients:4.3.1, run on JDK 17.

    #[test]
    fn integers_have_the_bytes_of_the_java_serializers() {
        assert_bytes(
            &Int16,
            &[(i16::MIN, "8000"), (-1, "ffff"), (0, "0000"), (1, "0001"), (258, "0102"), (i16::MAX, "7fff")],
        );
        assert_bytes(
            &Int32,
            &[
                (i32::MIN, "80000000"),
                (-2, "fffffffe"),
                (0, "00000000"),
                (16_909_060, "01020304"),
                (i32::MAX, "7fffffff"),
            ],
        );
        assert_bytes(
            &Int64,
            &[
                (i64::MIN, "8000000000000000"),
                (-2, "fffffffffffffffe"),
                (0, "0000000000000000"),
                (72_623_859_790_382_856, "0102030405060708"),
                (1_700_000_000_000, "0000018bcfe56800"),
                (i64::MAX, "7fffffffffffffff"),
            ],
        );
    }

    #[test]
    fn floats_have_the_bytes_of_the_java_serializers() {
        assert_bytes(
            &Float32,
            &[
                (f32::NEG_INFINITY, "ff800000"),
                (-1.5, "bfc00000"),
                (-0.0, "80000000"),
                (0.0, "00000000"),
                (f32::from_bits(1), "00000001"),
                (std::f32::consts::PI, "40490fdb"),
                (f32::MAX, "7f7fffff"),
                (f32::from_bits(0x7fc0_0000), "7fc00000"),
                (f32::from_bits(0xffc0_0001), "ffc00001"),
            ],
        );
        assert_bytes(
            &Float64,
            &[
                (f64::NEG_INFINITY, "fff0000000000000"),
                (-1.5, "bff8000000000000"),
                (-0.0, "8000000000000000"),
                (0.0, "0000000000000000"),
                (f64::from_bits(1), "0000000000000001"),
                (std::f64::consts::PI, "400921fb54442d18"),
                (f64::MAX, "7fefffffffffffff"),
                (f64::from_bits(0x7ff8_0000_0000_0000), "7ff8000000000000"),
                (f64::from_bits(0xfff8_0000_0000_0001), "7ff8000000000000"),
            ],
        );
    }

    #[test]
    fn text_is_its_utf8_bytes() {
        assert_bytes(&Utf8, &[(String::new(), ""), ("aé🦀".to_owned(), "61c3a9f09fa680")]);
        assert_bytes(&Utf8, &[(Arc::<str>::from("aé🦀"), "61c3a9f09fa680")]);
    }

    #[test]
    fn bad_text_is_named_by_position_alone() {
        let decoded: Result<String, _> = Utf8.decode(b"ab\xffcd");
        assert_eq!(decoded, Err(SerdeError::Utf8 { position: 2 }));
    }

    #[test]
    fn a_number_of_another_width_is_refused() {
        assert_eq!(Int32.decode(&[0; 8]), Err(SerdeError::Length { expected: 4, actual: 8 }));
        assert_eq!(Int64.decode(&[]), Err(SerdeError::Length { expected: 8, actual: 0 }));
    }

    proptest! {
        #[test]
        fn values_survive(text: String, raw: Vec<u8>, short: i16, int: i32, long: i64, float: f32, double: f64) {
            let shared = Arc::<str>::from(text.as_str());
            let bytes = Bytes::from(raw.clone());
            prop_assert_eq!(round_trip(&Utf8, &text), Ok(text));
            prop_assert_eq!(round_trip(&Utf8, &shared), Ok(shared));
            prop_assert_eq!(round_trip(&Raw, &raw), Ok(raw));
            prop_assert_eq!(round_trip(&Raw, &bytes), Ok(bytes));
            prop_assert_eq!(round_trip(&Int16, &short), Ok(short));
            prop_assert_eq!(round_trip(&Int32, &int), Ok(int));
            prop_assert_eq!(round_trip(&Int64, &long), Ok(long));
            prop_assert_eq!(round_trip(&Float32, &float).unwrap().to_bits(), float.to_bits());
            prop_assert_eq!(round_trip(&Float64, &double).unwrap().to_bits(), double.to_bits());
        }

        #[test]
        fn any_bytes_decode_exactly_when_they_fit(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let text: Result<String, _> = Utf8.decode(&bytes);
            prop_assert_eq!(text.is_ok(), std::str::from_utf8(&bytes).is_ok());
            prop_assert_eq!(Int16.decode(&bytes).is_ok(), bytes.len() == 2);
            prop_assert_eq!(Int32.decode(&bytes).is_ok(), bytes.len() == 4);
            prop_assert_eq!(Int64.decode(&bytes).is_ok(), bytes.len() == 8);
            prop_assert_eq!(Float32.decode(&bytes).is_ok(), bytes.len() == 4);
            prop_assert_eq!(Float64.decode(&bytes).is_ok(), bytes.len() == 8);
        }
    }
}
