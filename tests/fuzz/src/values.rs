//! Values and keys of stores: what is decoded is what its encoding decodes to.

use std::collections::BTreeMap;
use std::fmt::Debug;

use millpond::serde::{Bincode, BincodeVersioned, Json, NoPrevious, Ordered, Raw, Serde, Stamped, Utf8, Versioned};
use serde::{Deserialize, Serialize};

/// A value that has everything which a value may be made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Everything {
    Nothing,
    Numbers(u8, i16, u32, i64, u128),
    Text { text: String, letter: char, bytes: Vec<u8> },
    Nested(Vec<Everything>),
    Table(BTreeMap<String, Option<Vec<(bool, u16)>>>),
}

/// The same with a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Second {
    everything: Everything,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct First {
    text: String,
}

impl Versioned for First {
    const VERSION: u8 = 1;
    type Previous = NoPrevious;

    fn migrate(previous: NoPrevious) -> Self {
        match previous {}
    }
}

impl Versioned for Second {
    const VERSION: u8 = 2;
    type Previous = First;

    fn migrate(First { text }: First) -> Self {
        Self { everything: Everything::Text { text, letter: 'a', bytes: Vec::new() } }
    }
}

/// What can be read can be written, and is read again as the same.
fn round<T: Debug + PartialEq>(serde: &impl Serde<T>, bytes: &[u8]) {
    let Ok(value) = serde.decode(bytes) else { return };
    let mut written = Vec::new();
    serde.encode(&value, &mut written).expect("what was read can be written");
    assert_eq!(serde.decode(&written).expect("what was written can be read"), value);
}

pub(crate) fn bincode(bytes: &[u8]) {
    round::<Everything>(&Bincode, bytes);
    round::<Second>(&BincodeVersioned, bytes);
    round::<(String, Vec<String>)>(&Bincode, bytes);
}

/// Values with a time, and the plain ones.
pub(crate) fn envelope(bytes: &[u8]) {
    let _ = millpond::serde::envelope::open(millpond::serde::envelope::CodecId::BINCODE_2, bytes);
    let stamped: Result<millpond::serde::ValueAndTimestamp<String>, _> = Stamped(Bincode).decode(bytes);
    if let Ok(value) = stamped {
        let mut written = Vec::new();
        Stamped(Bincode).encode(&value, &mut written).expect("what was read can be written");
        assert_eq!(Stamped(Bincode).decode(&written).expect("what was written can be read"), value);
    }
    round::<String>(&Utf8, bytes);
    round::<bytes::Bytes>(&Raw, bytes);
}

/// Keys that sort as their bytes do.
pub(crate) fn ordered_key(bytes: &[u8]) {
    round::<(String, i64)>(&Ordered, bytes);
    round::<(u8, String, u64)>(&Ordered, bytes);
    round::<(i64, String)>(&Ordered, bytes);
    round::<String>(&Ordered, bytes);
    let (one, other) = super::split(bytes);
    let key = |bytes: &[u8]| -> Option<(String, i64)> { Ordered.decode(bytes).ok() };
    if let (Some(a), Some(b)) = (key(one), key(other)) {
        let encoded = |key: &(String, i64)| {
            let mut out = Vec::new();
            Ordered.encode(key, &mut out).expect("what was read can be written");
            out
        };
        assert_eq!(a.cmp(&b), encoded(&a).cmp(&encoded(&b)));
    }
}

pub(crate) fn json(bytes: &[u8]) {
    round::<Everything>(&Json, bytes);
}
