//! Rows as the applications that keep state have stored them: what is shown of a key can be said again.

use std::sync::OnceLock;

use millpond::formats::{StoreFormat, StoreFormats};
use serde_json::Value;

const PARTITIONS: i32 = 3;

/// Bytes, and a text, as key and value of each store.
pub(crate) fn rows(bytes: &[u8]) {
    static FORMATS: OnceLock<[(StoreFormats, [&str; 2]); 2]> = OnceLock::new();
    let applications =
        FORMATS.get_or_init(|| [(fraud::formats(), fraud::STORES), (attribution::formats(), attribution::STORES)]);
    for (formats, stores) in applications {
        for store in stores {
            row(formats.of(store).expect("each store has its format"), bytes);
        }
    }
}

fn row(format: &StoreFormat, bytes: &[u8]) {
    if let Ok(value) = format.value(bytes) {
        assert!(!value.is_string(), "no value of these stores is a text alone: {value}");
    }
    if let Ok(key) = format.key(bytes) {
        let said = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        assert_eq!(format.parse(&said).expect("a key that is shown can be said"), bytes, "{said}");
        let on = format.partition(bytes, PARTITIONS).expect("a key has its partition");
        assert!((0..PARTITIONS).contains(&on.0), "{on}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = format.parse(text) {
        assert_ne!(format.key(&key).expect("a key that was said can be shown"), Value::Null);
    }
    if let Ok((_, Some(on))) = format.parse_prefix(text, PARTITIONS) {
        assert!((0..PARTITIONS).contains(&on.0), "{on}");
    }
}
