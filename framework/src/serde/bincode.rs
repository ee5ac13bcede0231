//! bincode 2: the format of values in stores, changelogs and repartition topics.

use ::bincode::config::{Configuration, Limit, LittleEndian, Varint};
use ::bincode::enc::write::Writer;
use ::bincode::error::{DecodeError, EncodeError};
use ::serde::de::DeserializeOwned;
use ::serde::{Deserialize, Serialize};

use super::envelope::{self, CodecId};
use super::{Serde, SerdeError};

/// The largest value, in bytes as bincode counts them: each integer with its full width, however short it is written.
pub const BINCODE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An integer of 16 bytes may be written as one: below this length no value can be over [`BINCODE_BYTES_MAX`].
const SURELY_READABLE_BYTES: usize = BINCODE_BYTES_MAX / 16;

/// The schema version of values that have never changed.
const FIRST_VERSION: u8 = 1;

type Format = Configuration<LittleEndian, Varint, Limit<BINCODE_BYTES_MAX>>;

const FORMAT: Format = ::bincode::config::standard().with_limit::<BINCODE_BYTES_MAX>();

/// bincode 2 in the [envelope], schema version 1, for every type with serde's derives.
///
/// For a type that has changed since its first values were written, use [`BincodeVersioned`], which still reads what
/// this serde wrote.
///
/// bincode writes values without names, so the reader must ask for exactly what the writer wrote. These attributes of
/// serde break that, and must not stand on a type that is written with bincode:
///
/// | Attribute | What happens |
/// |---|---|
/// | `flatten` | encoding fails |
/// | `untagged`, `tag = ".."` | decoding fails |
/// | `skip_serializing_if`; `skip_serializing` or `skip_deserializing` alone | fields are read from the wrong place: **silently wrong** |
///
/// `skip`, which is both ways, is harmless. Show each stored type to [`round_trip`](super::round_trip) in a test, with
/// every optional field empty and filled. Types that contain themselves (trees of boxes) have no limit of depth here:
/// do not store them. Hash maps have no order, so that equal values get different bytes: store `BTreeMap`.
///
/// ```
/// use millpond::serde::{Bincode, Serde};
///
/// let mut bytes = Vec::new();
/// Bincode.encode(&("a".to_owned(), 300_u64), &mut bytes)?;
/// assert_eq!(bytes, [1, 1, 1, b'a', 251, 0x2c, 0x01]); // codec, version, then bincode
/// # Ok::<(), millpond::serde::SerdeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bincode;

impl<T: Serialize + DeserializeOwned> Serde<T> for Bincode {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write(FIRST_VERSION, value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (version, payload) = envelope::open(CodecId::BINCODE_2, bytes)?;
        if version != FIRST_VERSION {
            return Err(SerdeError::Version { newest: FIRST_VERSION, actual: version });
        }
        read(payload)
    }
}

/// A stored type that knows its older forms.
///
/// Keep the old type, give the new one the next number, and say how one becomes the other. Old values are migrated
/// when they are read and written in the new form when they are next put; there is no rewriting of a store.
///
/// ```
/// use millpond::serde::{Bincode, BincodeVersioned, NoPrevious, Serde, Versioned};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct VisitV1 { channel: String }
///
/// impl Versioned for VisitV1 {
///     const VERSION: u8 = 1;
///     type Previous = NoPrevious;
///     fn migrate(previous: NoPrevious) -> Self { match previous {} }
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Visit { channel: String, paid: bool }
///
/// impl Versioned for Visit {
///     const VERSION: u8 = 2;
///     type Previous = VisitV1;
///     fn migrate(previous: VisitV1) -> Self { Self { channel: previous.channel, paid: false } }
/// }
///
/// let mut old = Vec::new();
/// Bincode.encode(&VisitV1 { channel: "mail".into() }, &mut old)?;
/// assert_eq!(BincodeVersioned.decode(&old), Ok(Visit { channel: "mail".into(), paid: false }));
/// # Ok::<(), millpond::serde::SerdeError>(())
/// ```
///
/// A number that does not grow is a compile error where the serde is used:
///
/// ```compile_fail,E0080
/// use millpond::serde::{BincodeVersioned, Serde, SerdeError, Versioned};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Visit { channel: String }
///
/// impl Versioned for Visit {
///     const VERSION: u8 = 2;
///     type Previous = Self; // the old type was not kept
///     fn migrate(previous: Self) -> Self { previous }
/// }
///
/// let visit: Result<Visit, SerdeError> = BincodeVersioned.decode(&[]);
/// ```
pub trait Versioned: Serialize + DeserializeOwned {
    /// The number of this form, from 1 up, above that of [`Previous`](Self::Previous) (checked by the compiler).
    const VERSION: u8;
    /// The form before; [`NoPrevious`] for the first.
    type Previous: Versioned;
    /// This form of an older value. It must not fail, nor depend on anything but `previous`: it runs at every read.
    fn migrate(previous: Self::Previous) -> Self;
}

/// What came before the first version: nothing. It has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoPrevious {}

impl Versioned for NoPrevious {
    const VERSION: u8 = 0;
    type Previous = Self;

    fn migrate(previous: Self) -> Self {
        previous
    }
}

/// bincode 2 in the [envelope] with the type's own schema version; reads older versions too.
///
/// Writes [`Versioned::VERSION`]. A version above it is [`SerdeError::Version`]: a newer program wrote the value, and
/// this one must not guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BincodeVersioned;

impl<T: Versioned> Serde<T> for BincodeVersioned {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write(T::VERSION, value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (version, payload) = envelope::open(CodecId::BINCODE_2, bytes)?;
        if version > T::VERSION {
            return Err(SerdeError::Version { newest: T::VERSION, actual: version });
        }
        read_version(version, payload)
    }
}

/// Reads the form `version` and migrates it step by step to `T`; only the steps in between are run.
fn read_version<T: Versioned>(version: u8, payload: &[u8]) -> Result<T, SerdeError> {
    const {
        let first = T::VERSION == NoPrevious::VERSION;
        assert!(first || T::VERSION > <T::Previous as Versioned>::VERSION, "VERSION must be above Previous::VERSION");
    }
    if version == T::VERSION {
        return read(payload);
    }
    if version > T::VERSION {
        let reason = "a schema version between two known ones, with no type of its own";
        return Err(SerdeError::Malformed { format: "envelope", reason });
    }
    read_version::<T::Previous>(version, payload).map(T::migrate)
}

fn write<T: Serialize + DeserializeOwned>(version: u8, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    envelope::write_header(CodecId::BINCODE_2, version, out);
    let start = out.len();
    ::bincode::serde::encode_into_writer(value, Append(out), FORMAT).map_err(|_| SerdeError::Unrepresentable {
        format: "bincode",
        reason: "the type's Serialize refused it, or needs names, as serde's flatten does",
    })?;
    let payload = out.get(start..).unwrap_or_default();
    // bincode checks its limit when it reads only: what is written here must not be unreadable after a restart.
    if payload.len() > SURELY_READABLE_BYTES && read::<T>(payload).is_err() {
        let reason = "over 16 MiB as bincode counts, or not readable again";
        return Err(SerdeError::Unrepresentable { format: "bincode", reason });
    }
    Ok(())
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, SerdeError> {
    let malformed = |reason| SerdeError::Malformed { format: "bincode", reason };
    let (value, read) = ::bincode::serde::decode_from_slice::<T, _>(payload, FORMAT).map_err(|error| {
        // Fixed words only: the messages quote what was read.
        malformed(match error {
            DecodeError::UnexpectedEnd { .. } => "ends too early",
            DecodeError::LimitExceeded => "over 16 MiB",
            DecodeError::Utf8 { .. } | DecodeError::InvalidCharEncoding(_) => "text is not UTF-8",
            DecodeError::Serde(_) => "the type asks for names, as serde's untagged and tag do",
            _ => "not a value of the type",
        })
    })?;
    if read == payload.len() { Ok(value) } else { Err(malformed("bytes after the value")) }
}

/// Appends without `std::io` in between, whose errors cannot happen here.
struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
