//! The typed handle, over memory.

use std::ops::Bound;
use std::rc::Rc;

use super::{CARTS, TASK, checkpoint, specs};
use crate::error::Recovery;
use crate::serde::{Serde, SerdeError};
use crate::state::changelog::RESERVED_PREFIX;
use crate::state::{KeyValueStore, MemoryDirectory, StateDirectory, StoreError, TaskStores};

/// Text; the empty text is null, and text with an `!` has no bytes.
struct Text;

impl Serde<String> for Text {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        if value.contains('!') {
            return Err(SerdeError::Unrepresentable { format: "text", reason: "exclamation mark" });
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        String::from_utf8(bytes.to_vec()).map_err(|_| SerdeError::Utf8 { position: 0 })
    }

    fn is_null(&self, value: &String) -> bool {
        value.is_empty()
    }
}

/// Big-endian: keeps order.
struct Number;

impl Serde<u16> for Number {
    fn encode(&self, value: &u16, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u16, SerdeError> {
        let length = SerdeError::Length { expected: 2, actual: bytes.len() };
        bytes.try_into().map(u16::from_be_bytes).map_err(|_| length)
    }
}

fn task() -> Rc<TaskStores> {
    TaskStores::new(TASK, specs(), MemoryDirectory::new().open(TASK, &specs()).unwrap())
}

fn numbers(stores: &Rc<TaskStores>) -> KeyValueStore<u16, String> {
    KeyValueStore::new(Rc::clone(stores), CARTS, &Number, &Text)
}

fn texts(stores: &Rc<TaskStores>) -> KeyValueStore<String, String> {
    KeyValueStore::new(Rc::clone(stores), CARTS, &Text, &Text)
}

fn keys(rows: impl Iterator<Item = Result<(u16, String), StoreError>>) -> Vec<u16> {
    rows.map(|row| row.unwrap().0).collect()
}

#[test]
fn a_task_reads_its_own_writes() {
    let store = numbers(&task());
    assert_eq!(store.get(&1).unwrap(), None);
    store.put(&1, &"one".to_owned()).unwrap();
    assert_eq!(store.get(&1).unwrap().as_deref(), Some("one"));
    assert_eq!(store.put_if_absent(&1, &"other".to_owned()).unwrap().as_deref(), Some("one"));
    assert_eq!(store.put_if_absent(&2, &"two".to_owned()).unwrap(), None);
    assert_eq!(store.get(&1).unwrap().as_deref(), Some("one"));
    assert_eq!(store.delete(&2).unwrap().as_deref(), Some("two"));
    assert_eq!(store.delete(&2).unwrap(), None);
    assert_eq!(store.get(&2).unwrap(), None);
}

#[test]
fn a_null_value_deletes() {
    let store = numbers(&task());
    store.put(&1, &"one".to_owned()).unwrap();
    store.put(&1, &String::new()).unwrap();
    assert_eq!(store.get(&1).unwrap(), None);
    assert_eq!(keys(store.all().unwrap()), [] as [u16; 0]);
}

#[test]
fn a_null_key_is_refused() {
    let store = texts(&task());
    let error = store.put(&String::new(), &"value".to_owned()).unwrap_err();
    assert!(matches!(error, StoreError::Serde { source: SerdeError::Null, .. }), "{error}");
}

#[test]
fn ranges_are_inclusive_as_their_bounds_say() {
    let stores = task();
    let store = numbers(&stores);
    for key in [0_u16, 1, 2, 255, 256, 257, u16::MAX] {
        store.put(&key, &"x".to_owned()).unwrap();
        if key == 255 {
            stores.freeze().unwrap();
            stores.apply_frozen(checkpoint(1)).unwrap();
        }
    }
    assert_eq!(keys(store.range(1..=256).unwrap()), [1, 2, 255, 256]);
    assert_eq!(keys(store.range(1..256).unwrap()), [1, 2, 255]);
    assert_eq!(keys(store.range(&256..&u16::MAX).unwrap()), [256, 257]);
    assert_eq!(keys(store.range(256..).unwrap()), [256, 257, u16::MAX]);
    assert_eq!(keys(store.range((Bound::Excluded(1), Bound::Included(256))).unwrap()), [2, 255, 256]);
    assert_eq!(keys(store.reverse_range(..=2).unwrap()), [2, 1, 0]);
    let inverted = (Bound::Included(256), Bound::Included(1));
    assert_eq!(keys(store.range(inverted).unwrap()), [] as [u16; 0]);
    assert_eq!(keys(store.prefix_scan(&[1]).unwrap()), [256, 257]);
    assert_eq!(keys(store.reverse_all().unwrap()), [u16::MAX, 257, 256, 255, 2, 1, 0]);
}

#[test]
fn a_typed_prefix_finds_its_keys() {
    let store = texts(&task());
    for key in ["a", "user", "user1", "user2", "usf"] {
        store.put(&key.to_owned(), &"x".to_owned()).unwrap();
    }
    let rows = store.prefix_scan_with(&"user".to_owned(), &Text).unwrap();
    assert_eq!(rows.map(|row| row.unwrap().0).collect::<Vec<_>>(), ["user", "user1", "user2"]);
}

#[test]
fn the_rows_met_may_be_deleted() {
    let stores = task();
    let store = numbers(&stores);
    for key in 0..3000 {
        store.put(&key, &"x".to_owned()).unwrap();
        if key == 2000 {
            stores.freeze().unwrap();
            stores.apply_frozen(checkpoint(1)).unwrap();
        }
    }
    let mut met = 0;
    for row in store.range(10..2990).unwrap() {
        store.delete(&row.unwrap().0).unwrap();
        met += 1;
    }
    assert_eq!(met, 2980);
    assert_eq!(keys(store.all().unwrap()).len(), 20);
}

#[test]
fn reserved_keys_are_refused() {
    /// Raw bytes.
    struct Raw;
    impl Serde<Vec<u8>> for Raw {
        fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
            out.extend_from_slice(value);
            Ok(())
        }
        fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, SerdeError> {
            Ok(bytes.to_vec())
        }
    }
    let store: KeyValueStore<Vec<u8>, String> = KeyValueStore::new(task(), CARTS, &Raw, &Text);
    let mut key = RESERVED_PREFIX.to_vec();
    key.extend_from_slice(b"anything");
    let error = store.put(&key, &"value".to_owned()).unwrap_err();
    assert!(matches!(&error, StoreError::ReservedKey { store } if store == "carts"), "{error}");
    assert_eq!(error.recovery(), Recovery::SkipRecord);
    assert!(matches!(store.put(&key, &String::new()), Err(StoreError::ReservedKey { .. })));
    assert_eq!(store.get(&key).unwrap(), None);
    store.put(&RESERVED_PREFIX[1..].to_vec(), &"value".to_owned()).unwrap();
}

#[test]
fn what_does_not_encode_is_not_written_and_the_next_call_is_clean() {
    let store = numbers(&task());
    let error = store.put(&1, &"one!".to_owned()).unwrap_err();
    assert_eq!(error.recovery(), Recovery::SkipRecord);
    assert!(!error.to_string().contains("one"), "payload in a message: {error}");
    assert_eq!(store.get(&1).unwrap(), None);
    store.put(&1, &"two".to_owned()).unwrap();
    assert_eq!(store.get(&1).unwrap().as_deref(), Some("two"));
}

#[test]
fn a_row_that_does_not_decode_is_one_error_in_a_scan() {
    let stores = task();
    let store = numbers(&stores);
    store.put(&1, &"one".to_owned()).unwrap();
    stores.put(CARTS, &[0, 2], b"\xff").unwrap();
    stores.put(CARTS, b"three", "3".as_bytes()).unwrap();
    store.put(&3, &"three".to_owned()).unwrap();
    let rows: Vec<_> = store.all().unwrap().collect();
    let decoded: Vec<_> = rows.iter().map(|row| row.as_ref().ok().map(|(key, _)| *key)).collect();
    assert_eq!(decoded, [Some(1), None, Some(3), None]);
    assert!(store.get(&2).is_err());
    assert!(store.delete(&2).is_err());
    assert_eq!(stores.get(CARTS, &[0, 2]).unwrap().unwrap(), b"\xff"[..]);
}

#[test]
fn the_count_follows_writes_and_deletions() {
    let stores = task();
    let store = numbers(&stores);
    assert_eq!(store.approximate_count().unwrap(), 0);
    for key in 0..10 {
        store.put(&key, &"x".to_owned()).unwrap();
    }
    assert_eq!(store.approximate_count().unwrap(), 10);
    stores.freeze().unwrap();
    store.delete(&3).unwrap();
    assert_eq!(store.approximate_count().unwrap(), 9);
    stores.apply_frozen(checkpoint(1)).unwrap();
    assert_eq!(store.approximate_count().unwrap(), 9);
    stores.discard();
    assert_eq!(store.approximate_count().unwrap(), 10);
}
