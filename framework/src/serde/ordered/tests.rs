use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::serde::round_trip;
use crate::serde::tests::hex;

fn encoded<T: OrderedKey>(key: &T) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode_ordered(&mut out);
    out
}

/// Golden: keys in stores and changelogs have these bytes.
#[test]
fn the_bytes_are_what_they_always_were() {
    assert_eq!(hex(&encoded(&())), "");
    assert_eq!(hex(&encoded(&(false, true))), "0001");
    assert_eq!(hex(&encoded(&(1_u8, 2_u16, 3_u32))), "01000200000003");
    assert_eq!(hex(&encoded(&258_u64)), "0000000000000102");
    assert_eq!(hex(&encoded(&(-1_i8, 1_i16, i32::MIN))), "7f800100000000");
    assert_eq!(hex(&encoded(&-1_i64)), "7fffffffffffffff");
    assert_eq!(hex(&encoded(&0_i64)), "8000000000000000");
    assert_eq!(hex(&encoded(&Timestamp::from_millis(1_700_000_000_000))), "8000018bcfe56800");
    assert_eq!(hex(&encoded(&"ab".to_owned())), "61620001");
    assert_eq!(hex(&encoded(&Arc::<str>::from("a\0b"))), "6100ff620001");
    assert_eq!(hex(&encoded(&vec![0_u8, 0xff, 0])), "00ffff00ff0001");
    assert_eq!(hex(&encoded(&Bytes::new())), "0001");
    assert_eq!(hex(&encoded(&("u1".to_owned(), 5_i64))), "753100018000000000000005");
}

#[test]
fn a_shorter_text_sorts_first_whatever_follows_it() {
    let keys = [("a", i64::MAX), ("a\0", i64::MIN), ("a\0\0", 0), ("a\u{1}", 0), ("aa", i64::MIN), ("b", 0)];
    let bytes = keys.map(|(text, number)| encoded(&(text.to_owned(), number)));
    assert!(bytes.is_sorted(), "{bytes:x?}");
}

#[test]
fn the_prefix_of_one_user_is_not_that_of_another() {
    let key = encoded(&("user-1".to_owned(), Timestamp::EPOCH));
    assert!(key.starts_with(&prefix_of::<(String, Timestamp), _>(&"user-1".to_owned())));
    for other in ["user-", "user-10", "user-1\0", ""] {
        assert!(!key.starts_with(&prefix_of::<(String, Timestamp), _>(&other.to_owned())), "{other:?}");
    }
}

#[test]
fn malformed_keys_are_refused() {
    for (bytes, reason) in [
        (&b"ab"[..], "text or bytes without an end"),
        (b"ab\0", "ends too early"),
        (b"a\0b\0\x01", "a zero byte that is not escaped"),
        (b"ab\0\x01c", "bytes after the key"),
    ] {
        assert_eq!(Ordered.decode(bytes), Err::<String, _>(malformed(reason)));
    }
    assert_eq!(Ordered.decode(&[0; 7]), Err::<i64, _>(malformed("ends too early")));
    assert_eq!(Ordered.decode(&[2]), Err::<bool, _>(malformed("a bool that is neither 0 nor 1")));
    assert_eq!(Ordered.decode(b"a\xff\0\x01"), Err::<String, _>(SerdeError::Utf8 { position: 1 }));
}

fn check<K: OrderedKey + Ord + Debug + Clone>(a: &K, b: &K) -> Result<(), TestCaseError> {
    prop_assert_eq!(round_trip(&Ordered, a), Ok(a.clone()));
    prop_assert_eq!(encoded(a).cmp(&encoded(b)), a.cmp(b));
    Ok(())
}

/// Texts that are often equal, often prefixes of each other, and hold the bytes of the escapes.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[\\x00\\x01a\u{ff}]{0,4}", 1 => any::<String>()]
}

fn raws() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0xfe, 0xff]), 0..5),
        1 => any::<Vec<u8>>(),
    ]
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![-2_i64..3, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

proptest! {
    #[test]
    fn integers_sort_as_their_bytes(a: (i8, i16, i32), b: (i8, i16, i32), c: (u8, u16, u32), d: (u8, u16, u32)) {
        check(&a, &b)?;
        check(&(a.1, a.2), &(a.1, b.2))?;
        check(&c, &d)?;
        check(&(c.0, c.1, c.2), &(c.0, c.1, d.2))?;
    }

    #[test]
    fn long_integers_and_times_sort_as_their_bytes(a in numbers(), b in numbers(), c: u64, d: u64) {
        check(&a, &b)?;
        check(&c, &d)?;
        check(&Timestamp::from_millis(a), &Timestamp::from_millis(b))?;
    }

    #[test]
    fn texts_and_bytes_sort_as_their_bytes(a in texts(), b in texts(), c in raws(), d in raws()) {
        check(&Arc::<str>::from(a.as_str()), &Arc::from(b.as_str()))?;
        check(&a, &b)?;
        check(&Bytes::from(c.clone()), &Bytes::from(d.clone()))?;
        check(&c, &d)?;
    }

    #[test]
    fn tuples_sort_as_their_bytes(
        a in (texts(), numbers(), raws()),
        b in (texts(), numbers(), raws()),
        flag: (bool, bool),
    ) {
        check(&(a.0.clone(), a.1), &(b.0.clone(), b.1))?;
        check(&(a.2.clone(), a.0.clone()), &(b.2.clone(), b.0.clone()))?;
        check(&((a.0.clone(), flag.0), a.1), &((b.0.clone(), flag.1), b.1))?;
        check(&a, &b)?;
    }

    #[test]
    fn a_prefix_finds_exactly_the_keys_that_begin_with_it(
        key in (texts(), numbers(), raws()),
        other in (texts(), numbers()),
    ) {
        type Key = (String, i64, Vec<u8>);
        let bytes = encoded(&key);
        prop_assert!(bytes.starts_with(&prefix_of::<Key, _>(&key.0)));
        prop_assert!(bytes.starts_with(&prefix_of::<Key, _>(&(key.0.clone(), key.1))));
        prop_assert_eq!(bytes.starts_with(&prefix_of::<Key, _>(&other.0)), key.0 == other.0);
        prop_assert_eq!(bytes.starts_with(&prefix_of::<Key, _>(&other)), (key.0, key.1) == other);
    }

    #[test]
    fn bytes_that_decode_are_the_bytes_of_that_key(bytes in raws()) {
        // No key has two encodings, and nothing panics.
        let key: Result<(Vec<u8>, u8), _> = Ordered.decode(&bytes);
        if let Ok(key) = key {
            prop_assert_eq!(encoded(&key), bytes.clone());
        }
        let key: Result<(bool, String, i16), _> = Ordered.decode(&bytes);
        if let Ok(key) = key {
            prop_assert_eq!(encoded(&key), bytes);
        }
    }
}
