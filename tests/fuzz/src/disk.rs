//! What lies on the disk beside the rows.

use millpond::state::StoreError;
use millpond::state::rocksdb::outside::{read_checkpoint, read_format, write_checkpoint};

/// A checkpoint is whole, or damaged, or another version's: the three lead to three different ends. So it is with the file that
/// names the layout of the directory.
pub(crate) fn checkpoint(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        format(text);
    }
    match read_checkpoint(bytes) {
        Ok(checkpoint) => {
            let written = write_checkpoint(&checkpoint).expect("what was read can be written");
            assert_eq!(read_checkpoint(&written).expect("what was written can be read"), checkpoint);
        }
        Err(StoreError::Format { expected, actual, .. }) => {
            assert_ne!(actual, expected);
            // Not every JSON fits into a value: what is nested too deeply does not.
            let json = serde_json::from_slice::<serde_json::Value>(bytes).ok();
            let is_told = json.is_none_or(|json| json.get("version").is_some_and(|version| *version == actual));
            assert!(is_told, "version {actual}");
        }
        Err(StoreError::Corrupt { reason, .. }) => assert!(!reason.is_empty()),
        Err(other) => panic!("no disk was asked: {other}"),
    }
}

fn format(text: &str) {
    let number = text.trim().parse::<u32>().ok();
    match read_format(text) {
        Ok(()) => assert_eq!(number, Some(1), "{text}"),
        Err(StoreError::Format { expected, actual, .. }) => {
            assert_eq!((expected, Some(actual)), (1, number.filter(|number| *number != 1)), "{text}");
        }
        Err(StoreError::Corrupt { reason, .. }) => assert!(number.is_none() && !reason.is_empty(), "{text}"),
        Err(other) => panic!("no disk was asked: {other}"),
    }
}
