//! A value with the time of its last update: what tables keep.

use super::primitive::fixed;
use super::{Serde, SerdeError};
use crate::time::Timestamp;

/// A value and the event time of the record that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// Event time of the newest record in it.
    pub timestamp: Timestamp,
}

impl<V> ValueAndTimestamp<V> {
    /// A value as of `timestamp`.
    pub const fn new(value: V, timestamp: Timestamp) -> Self {
        Self { value, timestamp }
    }
}

/// `[timestamp: 8 bytes, big-endian][value]`: the layout of Kafka Streams' timestamped stores.
///
/// A value that the inner serde writes as null is null as a whole, without its timestamp, as in Kafka Streams: in a
/// store that is a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamped<S>(pub S);

/// Bytes of the timestamp.
const TIMESTAMP_BYTES: usize = 8;

impl<V, S: Serde<V>> Serde<ValueAndTimestamp<V>> for Stamped<S> {
    fn encode(&self, stamped: &ValueAndTimestamp<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&stamped.timestamp.as_millis().to_be_bytes());
        self.0.encode(&stamped.value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<ValueAndTimestamp<V>, SerdeError> {
        let Some((timestamp, value)) = bytes.split_at_checked(TIMESTAMP_BYTES) else {
            return Err(SerdeError::Malformed { format: "stamped value", reason: "shorter than its timestamp" });
        };
        let timestamp = Timestamp::from_millis(i64::from_be_bytes(fixed(timestamp)?));
        Ok(ValueAndTimestamp { value: self.0.decode(value)?, timestamp })
    }

    fn is_null(&self, stamped: &ValueAndTimestamp<V>) -> bool {
        self.0.is_null(&stamped.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serde::tests::hex;
    use crate::serde::{Bincode, Nullable, Utf8, round_trip};

    /// Golden: stores and changelogs hold these bytes.
    #[test]
    fn the_timestamp_comes_first_big_endian() {
        let value = ValueAndTimestamp::new("v1".to_owned(), Timestamp::from_millis(1_700_000_000_000));
        let mut out = Vec::new();
        Stamped(&Utf8).encode(&value, &mut out).unwrap();
        assert_eq!(hex(&out), "0000018bcfe568007631");
    }

    #[test]
    fn a_serde_made_at_run_time_can_be_erased() {
        let inner: &'static dyn Serde<String> = &Utf8;
        let boxed: Box<dyn Serde<ValueAndTimestamp<String>>> = Box::new(Stamped(inner));
        let value = ValueAndTimestamp::new(String::new(), Timestamp::NONE);
        assert_eq!(round_trip(&*boxed, &value), Ok(value));
    }

    #[test]
    fn fewer_bytes_than_a_timestamp_are_malformed() {
        let short: Result<ValueAndTimestamp<String>, _> = Stamped(Utf8).decode(&[0; 7]);
        assert!(matches!(short, Err(SerdeError::Malformed { format: "stamped value", .. })), "{short:?}");
        let empty: Result<ValueAndTimestamp<String>, _> = Stamped(Utf8).decode(&[0; 8]);
        assert_eq!(empty, Ok(ValueAndTimestamp::new(String::new(), Timestamp::EPOCH)));
    }

    #[test]
    fn a_null_value_is_null_as_a_whole() {
        let serde = Stamped(Nullable(Utf8));
        assert!(serde.is_null(&ValueAndTimestamp::new(None::<String>, Timestamp::EPOCH)));
        assert!(!serde.is_null(&ValueAndTimestamp::new(Some(String::new()), Timestamp::EPOCH)));
        assert_eq!(Serde::<ValueAndTimestamp<Option<String>>>::decode_null(&serde), Err(SerdeError::Null));
    }

    proptest! {
        #[test]
        fn values_survive(value: (String, i64), ms: i64) {
            let stamped = ValueAndTimestamp::new(value, Timestamp::from_millis(ms));
            prop_assert_eq!(round_trip(&Stamped(Bincode), &stamped), Ok(stamped));
        }

        #[test]
        fn any_bytes_decode_exactly_when_they_fit(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let decoded: Result<ValueAndTimestamp<Vec<u8>>, _> = Stamped(crate::serde::Raw).decode(&bytes);
            prop_assert_eq!(decoded.is_ok(), bytes.len() >= 8);
        }
    }
}
