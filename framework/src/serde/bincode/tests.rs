use std::collections::{BTreeMap, BTreeSet};

use ::serde::{Deserialize, Serialize};
use proptest::prelude::*;

use super::*;
use crate::serde::round_trip;
use crate::serde::tests::hex;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Visit,
    Order { id: String, amount: i64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cart {
    user: String,
    items: BTreeSet<String>,
    last: Option<u32>,
    kinds: Vec<Kind>,
    seen: BTreeMap<u16, i64>,
    rate: f64,
}

fn encoded<T>(serde: &impl Serde<T>, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    serde.encode(value, &mut out).unwrap();
    out
}

fn malformed<T>(reason: &'static str) -> Result<T, SerdeError> {
    Err(SerdeError::Malformed { format: "bincode", reason })
}

/// Golden: stores and changelogs hold these bytes.
#[test]
fn the_bytes_are_what_they_always_were() {
    assert_eq!(hex(&encoded(&Bincode, &0_u64)), "010100");
    assert_eq!(hex(&encoded(&Bincode, &250_u64)), "0101fa");
    assert_eq!(hex(&encoded(&Bincode, &251_u64)), "0101fbfb00");
    assert_eq!(hex(&encoded(&Bincode, &65_536_u64)), "0101fc00000100");
    assert_eq!(hex(&encoded(&Bincode, &u64::MAX)), "0101fdffffffffffffffff");
    assert_eq!(hex(&encoded(&Bincode, &-1_i64)), "010101");
    assert_eq!(hex(&encoded(&Bincode, &1_i64)), "010102");
    assert_eq!(hex(&encoded(&Bincode, &())), "0101");
    assert_eq!(hex(&encoded(&Bincode, &1.5_f64)), "0101000000000000f83f");
    assert_eq!(hex(&encoded(&Bincode, &Some(true))), "01010101");
    let cart = Cart {
        user: "u1".into(),
        items: BTreeSet::from(["b".into(), "a".into()]),
        last: None,
        kinds: vec![Kind::Order { id: "o".into(), amount: -3 }, Kind::Visit],
        seen: BTreeMap::from([(300, 1)]),
        rate: 0.0,
    };
    assert_eq!(
        hex(&encoded(&Bincode, &cart)),
        "0101027531020161016200020101".to_owned() + "6f050001fb2c01020000000000000000"
    );
}

#[test]
fn every_cut_of_a_value_is_refused() {
    let whole = encoded(&Bincode, &("text".to_owned(), 70_000_u32, vec![1_i64, -70_000]));
    for length in 0..whole.len() {
        let cut: Result<(String, u32, Vec<i64>), _> = Bincode.decode(&whole[..length]);
        assert!(matches!(cut, Err(SerdeError::Malformed { .. })), "{length}: {cut:?}");
    }
}

#[test]
fn bytes_after_the_value_are_refused() {
    assert_eq!(Bincode.decode(&[1, 1, 5, 0]), malformed::<u8>("bytes after the value"));
}

#[test]
fn a_length_that_is_not_there_allocates_nothing() {
    let text_of_u64_max = [1, 1, 253, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(Bincode.decode(&text_of_u64_max), malformed::<String>("over 16 MiB"));
    let text_of_4_gib = [1, 1, 252, 255, 255, 255, 255];
    assert_eq!(Bincode.decode(&text_of_4_gib), malformed::<String>("over 16 MiB"));
    assert_eq!(Bincode.decode(&text_of_4_gib), malformed::<Vec<u64>>("ends too early"));
}

#[test]
fn bad_text_and_unknown_variants_are_named_without_the_data() {
    assert_eq!(Bincode.decode(&[1, 1, 1, 0xff]), malformed::<String>("text is not UTF-8"));
    assert_eq!(Bincode.decode(&[1, 1, 77]), malformed::<Kind>("not a value of the type"));
    assert_eq!(Bincode.decode(&[1, 1, 2]), malformed::<bool>("not a value of the type"));
}

#[test]
fn another_codec_or_version_is_named() {
    assert_eq!(Bincode.decode(&[2, 1, 0]), Err::<u8, _>(SerdeError::Codec { expected: 1, actual: 2 }));
    assert_eq!(Bincode.decode(&[1, 2, 0]), Err::<u8, _>(SerdeError::Version { newest: 1, actual: 2 }));
    assert_eq!(Bincode.decode(&[1, 0, 0]), Err::<u8, _>(SerdeError::Version { newest: 1, actual: 0 }));
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    // Short on the wire (one byte each), but bincode counts eight bytes for each when reading.
    let short_numbers = vec![1_u64; BINCODE_BYTES_MAX / 8 + 1];
    let error = Bincode.encode(&short_numbers, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, SerdeError::Unrepresentable { format: "bincode", .. }), "{error}");
    let fits = vec![1_u64; BINCODE_BYTES_MAX / 8 - 1];
    assert!(round_trip(&Bincode, &fits) == Ok(fits));
    let text = "x".repeat(BINCODE_BYTES_MAX);
    assert!(Bincode.encode(&text, &mut Vec::new()).is_err());
}

// Attributes that break bincode: these tests hold the table in the module's documentation.

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    second: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    x: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattens {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Point(Inner),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SkipsBothWays {
    #[serde(skip)]
    cache: u8,
    kept: u8,
}

#[test]
fn skip_serializing_if_does_not_come_back() {
    let value = Skips { first: None, second: 1 };
    assert_ne!(round_trip(&Bincode, &value), Ok(value));
    let filled = Skips { first: Some(1), second: 1 };
    assert_eq!(round_trip(&Bincode, &filled), Ok(filled));
}

#[test]
fn flatten_cannot_be_written() {
    let error = round_trip(&Bincode, &Flattens { inner: Inner { x: 1 } }).unwrap_err();
    assert!(matches!(error, SerdeError::Unrepresentable { format: "bincode", .. }), "{error}");
}

#[test]
fn untagged_and_tag_cannot_be_read() {
    let reason = "the type asks for names, as serde's untagged and tag do";
    assert_eq!(round_trip(&Bincode, &Untagged::Number(1)), malformed(reason));
    assert_eq!(round_trip(&Bincode, &Tagged::Point(Inner { x: 1 })), malformed(reason));
}

#[test]
fn skip_on_both_sides_comes_back_as_the_default() {
    let read = round_trip(&Bincode, &SkipsBothWays { cache: 9, kept: 1 });
    assert_eq!(read, Ok(SkipsBothWays { cache: 0, kept: 1 }));
}

// Versions: 1, 2 and 4 exist; 3 never did.

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct V1 {
    count: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct V2 {
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct V4 {
    count: u64,
    path: String,
}

impl Versioned for V1 {
    const VERSION: u8 = 1;
    type Previous = NoPrevious;
    fn migrate(previous: NoPrevious) -> Self {
        match previous {}
    }
}

impl Versioned for V2 {
    const VERSION: u8 = 2;
    type Previous = V1;
    fn migrate(previous: V1) -> Self {
        Self { count: u64::from(previous.count) * 10 }
    }
}

impl Versioned for V4 {
    const VERSION: u8 = 4;
    type Previous = V2;
    fn migrate(previous: V2) -> Self {
        Self { count: previous.count + 1, path: "from 2".into() }
    }
}

#[test]
fn older_versions_are_migrated_step_by_step() {
    let newest = V4 { count: 7, path: "as written".into() };
    assert_eq!(BincodeVersioned.decode(&encoded(&BincodeVersioned, &newest)), Ok(newest));
    let from_2 = V4 { count: 8, path: "from 2".into() };
    assert_eq!(BincodeVersioned.decode(&encoded(&BincodeVersioned, &V2 { count: 7 })), Ok(from_2));
    let from_1 = V4 { count: 71, path: "from 2".into() };
    assert_eq!(BincodeVersioned.decode(&encoded(&BincodeVersioned, &V1 { count: 7 })), Ok(from_1));
}

#[test]
fn a_value_is_written_in_its_own_version() {
    assert_eq!(hex(&encoded(&BincodeVersioned, &V4 { count: 7, path: "p".into() })), "0104070170");
}

#[test]
fn plain_bincode_and_version_one_are_the_same_bytes() {
    let value = V1 { count: 3 };
    assert_eq!(encoded(&Bincode, &value), encoded(&BincodeVersioned, &value));
}

#[test]
fn a_newer_version_is_refused_not_guessed() {
    let newer = encoded(&BincodeVersioned, &V4 { count: 1, path: String::new() });
    assert_eq!(BincodeVersioned.decode(&newer), Err::<V2, _>(SerdeError::Version { newest: 2, actual: 4 }));
}

#[test]
fn versions_that_never_existed_are_malformed() {
    let skipped: Result<V4, _> = BincodeVersioned.decode(&[1, 3, 0]);
    assert!(matches!(skipped, Err(SerdeError::Malformed { format: "envelope", .. })), "{skipped:?}");
    let zero: Result<V4, _> = BincodeVersioned.decode(&[1, 0, 0]);
    assert!(matches!(zero, Err(SerdeError::Malformed { .. })), "{zero:?}");
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Visit), any::<(String, i64)>().prop_map(|(id, amount)| Kind::Order { id, amount })]
}

proptest! {
    #[test]
    fn values_survive(
        user: String,
        items in prop::collection::btree_set(any::<String>(), 0..4),
        last: Option<u32>,
        kinds in prop::collection::vec(kinds(), 0..4),
        seen in prop::collection::btree_map(any::<u16>(), any::<i64>(), 0..4),
        rate in prop::num::f64::ANY.prop_filter("NaN is not equal to itself", |rate| !rate.is_nan()),
    ) {
        let cart = Cart { user, items, last, kinds, seen, rate };
        prop_assert_eq!(round_trip(&Bincode, &cart), Ok(cart));
    }

    #[test]
    fn any_payload_decodes_or_fails_without_panic(payload: Vec<u8>, version in 0_u8..6) {
        let bytes = [&[1, version], &payload[..]].concat();
        let cart: Result<Cart, _> = Bincode.decode(&bytes);
        prop_assert!(version == 1 || cart.is_err());
        let versioned: Result<V4, _> = BincodeVersioned.decode(&bytes);
        prop_assert!(matches!(version, 1 | 2 | 4) || versioned.is_err());
    }

    #[test]
    fn any_bytes_decode_or_fail_without_panic(bytes: Vec<u8>) {
        let text: Result<String, _> = Bincode.decode(&bytes);
        prop_assert!(bytes.first() == Some(&1) || text.is_err());
    }
}
