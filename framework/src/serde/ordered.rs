//! Keys whose bytes sort as the keys do, so that ranges and prefixes of a store mean what they say.
//!
//! | Type | Bytes, **never changed once assigned** |
//! |---|---|
//! | `()` | none |
//! | `bool` | 0 or 1 |
//! | `u8`, `u16`, `u32`, `u64` | big-endian |
//! | `i8`, `i16`, `i32`, `i64`, [`Timestamp`] | big-endian, sign bit flipped |
//! | `String`, `Arc<str>`, `Vec<u8>`, `Bytes` | the bytes, each `00` as `00 ff`, closed by `00 01` |
//! | tuples of two and three | one after the other |
//!
//! Each encoding ends itself: none is the beginning of another of its type. So a tuple's first elements, encoded, are
//! a prefix of exactly those keys that begin with them. For a key that is one text, [`Utf8`](super::Utf8) sorts too and
//! is shorter.

use std::sync::Arc;

use bytes::Bytes;

use super::primitive::text;
use super::{Serde, SerdeError};
use crate::time::Timestamp;

/// Order-preserving keys: `a < b` exactly when the bytes of `a` are below those of `b`.
///
/// The serde of the key's first elements gives the prefix of a prefix scan: for keys `(UserId, Timestamp)`, the bytes
/// of a user id alone are the prefix of all the user's keys. [`prefix_of`] checks that the types fit.
///
/// ```
/// use millpond::serde::{Ordered, Serde, ordered::prefix_of};
///
/// let mut key = Vec::new();
/// Ordered.encode(&("u1".to_owned(), -5_i64), &mut key)?;
/// assert!(key.starts_with(&prefix_of::<(String, i64), String>(&"u1".to_owned())));
/// assert!(!key.starts_with(&prefix_of::<(String, i64), String>(&"u".to_owned())));
/// # Ok::<(), millpond::serde::SerdeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ordered;

impl<T: OrderedKey> Serde<T> for Ordered {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.encode_ordered(out);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let mut rest = bytes;
        let value = T::decode_ordered(&mut rest)?;
        if rest.is_empty() { Ok(value) } else { Err(malformed("bytes after the key")) }
    }
}

/// A type with an order-preserving encoding that ends itself.
///
/// Implement it for a key of your own by its fields, in the order in which `Ord` compares them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no order-preserving encoding",
    note = "integers, bool, Timestamp, text, bytes and tuples of these have; implement `OrderedKey` by fields"
)]
pub trait OrderedKey: Sized {
    /// Appends the bytes of this key.
    fn encode_ordered(&self, out: &mut Vec<u8>);

    /// Takes a key from the front of `input`, which is left at what follows it.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] or [`SerdeError::Utf8`] when there is no such key; `input` may then be anywhere.
    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError>;
}

/// Says that `Self` is what keys `K` begin with: `A` of `(A, B)`, `A` and `(A, B)` of `(A, B, C)`.
///
/// An own key type says so for its own first fields.
pub trait PrefixOf<K>: OrderedKey {}

impl<A: OrderedKey, B: OrderedKey> PrefixOf<(A, B)> for A {}
impl<A: OrderedKey, B: OrderedKey, C: OrderedKey> PrefixOf<(A, B, C)> for A {}
impl<A: OrderedKey, B: OrderedKey, C: OrderedKey> PrefixOf<(A, B, C)> for (A, B) {}

/// The bytes with which exactly those keys `K` begin whose first elements are `prefix`.
pub fn prefix_of<K: OrderedKey, P: PrefixOf<K>>(prefix: &P) -> Vec<u8> {
    let mut out = Vec::new();
    prefix.encode_ordered(&mut out);
    out
}

const fn malformed(reason: &'static str) -> SerdeError {
    SerdeError::Malformed { format: "ordered key", reason }
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], SerdeError> {
    let (first, rest) = input.split_first_chunk::<N>().ok_or(malformed("ends too early"))?;
    *input = rest;
    Ok(*first)
}

impl OrderedKey for () {
    fn encode_ordered(&self, _out: &mut Vec<u8>) {}

    fn decode_ordered(_input: &mut &[u8]) -> Result<Self, SerdeError> {
        Ok(())
    }
}

impl OrderedKey for bool {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        match take(input)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(malformed("a bool that is neither 0 nor 1")),
        }
    }
}

macro_rules! unsigned {
    ($($integer:ty),*) => {$(
        impl OrderedKey for $integer {
            fn encode_ordered(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
                take(input).map(Self::from_be_bytes)
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);

macro_rules! signed {
    ($($integer:ty),*) => {$(
        impl OrderedKey for $integer {
            fn encode_ordered(&self, out: &mut Vec<u8>) {
                // Two's complement with the sign bit flipped counts up from MIN to MAX.
                out.extend_from_slice(&(*self ^ Self::MIN).to_be_bytes());
            }

            fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
                take(input).map(|bytes| Self::from_be_bytes(bytes) ^ Self::MIN)
            }
        }
    )*};
}

signed!(i8, i16, i32, i64);

impl OrderedKey for Timestamp {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.as_millis().encode_ordered(out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        i64::decode_ordered(input).map(Self::from_millis)
    }
}

/// Stands for a zero byte: above the end, below every other byte that may follow.
const ZERO: [u8; 2] = [0x00, 0xff];
/// Closes text and bytes: below everything that may go on, so that a prefix sorts before what it begins.
const END: [u8; 2] = [0x00, 0x01];

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut parts = bytes.split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&ZERO);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&END);
}

fn decode_bytes(input: &mut &[u8]) -> Result<Vec<u8>, SerdeError> {
    let mut out = Vec::new();
    loop {
        let zero = input.iter().position(|byte| *byte == 0).ok_or(malformed("text or bytes without an end"))?;
        let (part, rest) = input.split_at_checked(zero).ok_or(malformed("ends too early"))?;
        out.extend_from_slice(part);
        *input = rest;
        match take(input)? {
            END => return Ok(out),
            ZERO => out.push(0),
            _ => return Err(malformed("a zero byte that is not escaped")),
        }
    }
}

impl OrderedKey for Vec<u8> {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        decode_bytes(input)
    }
}

impl OrderedKey for Bytes {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        decode_bytes(input).map(Self::from)
    }
}

impl OrderedKey for String {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        let bytes = decode_bytes(input)?;
        Self::from_utf8(bytes).map_err(|error| SerdeError::Utf8 { position: error.utf8_error().valid_up_to() })
    }
}

impl OrderedKey for Arc<str> {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        text(&decode_bytes(input)?).map(Self::from)
    }
}

impl<A: OrderedKey, B: OrderedKey> OrderedKey for (A, B) {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.0.encode_ordered(out);
        self.1.encode_ordered(out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        Ok((A::decode_ordered(input)?, B::decode_ordered(input)?))
    }
}

impl<A: OrderedKey, B: OrderedKey, C: OrderedKey> OrderedKey for (A, B, C) {
    fn encode_ordered(&self, out: &mut Vec<u8>) {
        self.0.encode_ordered(out);
        self.1.encode_ordered(out);
        self.2.encode_ordered(out);
    }

    fn decode_ordered(input: &mut &[u8]) -> Result<Self, SerdeError> {
        Ok((A::decode_ordered(input)?, B::decode_ordered(input)?, C::decode_ordered(input)?))
    }
}

#[cfg(test)]
mod tests;
