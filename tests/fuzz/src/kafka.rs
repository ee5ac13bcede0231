//! What stands in topics and beside offsets besides values, and what librdkafka says of itself.

use bytes::Bytes;
use millpond::record::{ConsumedRecord, Headers, Offset, Partition, TopicPartition};
use millpond::runtime::letters::DeadLetter;
use millpond::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, begin_key, classify, commit_key};
use millpond::time::Timestamp;

/// A key that is the library's own is written in one way only.
pub(crate) fn changelog(bytes: &[u8]) {
    match classify(bytes) {
        ChangelogKey::Begin(task) => assert_eq!(begin_key(task), bytes),
        ChangelogKey::Commit(task) => assert_eq!(commit_key(task), bytes),
        ChangelogKey::Row | ChangelogKey::UnknownReserved => {}
    }
}

pub(crate) fn commit_record(bytes: &[u8]) {
    if let Ok(begin) = BeginRecord::decode(bytes) {
        let written = begin.encode().expect("what was read can be written");
        assert_eq!(BeginRecord::decode(&written).expect("what was written can be read"), begin);
    }
    if let Ok(commit) = CommitRecord::decode(bytes) {
        let written = commit.encode().expect("what was read can be written");
        assert_eq!(CommitRecord::decode(&written).expect("what was written can be read"), commit);
    }
}

/// The text beside a committed offset: of a task, or of the loader.
pub(crate) fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(mark) = loader::outside::mark_written_again(text) {
        assert_eq!(loader::outside::mark_written_again(&mark), Some(mark.clone()), "{text}");
    }
    if let Some(again) = millpond::runtime::outside::metadata_written_again(text) {
        assert_eq!(millpond::runtime::outside::metadata_written_again(&again), Some(again.clone()), "{text}");
    }
}

/// A record whose headers are pairs of texts between zeros.
pub(crate) fn dead_letter(bytes: &[u8]) {
    let mut headers = Headers::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (name, after) = super::split(rest);
        let (value, after) = super::split(after);
        headers.push(String::from_utf8_lossy(name).into_owned(), Some(Bytes::copy_from_slice(value)));
        rest = after;
    }
    let record = ConsumedRecord {
        source: TopicPartition::new("dead-letters", Partition(0)),
        offset: Offset(7),
        timestamp: Timestamp::from_millis(1),
        key: None,
        value: Some(Bytes::copy_from_slice(bytes)),
        headers,
    };
    let _ = DeadLetter::marked(&record);
    if let Some(letter) = DeadLetter::read(&record) {
        assert_eq!(letter.at, record.source);
        let mark = letter.mark(Timestamp::from_millis(2));
        assert!(mark.headers.iter().count() > 0);
    }
}

pub(crate) fn statistics(bytes: &[u8]) {
    millpond::broker::kafka::read_statistics(bytes);
}
