//! Golden bytes: a change here is a change to the topics of running applications.

use proptest::prelude::*;

use crate::broker::TopicId;
use crate::record::{Offset, Partition, TaskId, TopicPartition};
use crate::serde::SerdeError;
use crate::state::changelog::{
    BeginRecord, ChangelogKey, CommitRecord, RESERVED_PREFIX, begin_key, classify, commit_key,
};
use crate::time::Timestamp;

const TASK: TaskId = TaskId { subtopology: 2, partition: Partition(13) };

fn commit_record() -> CommitRecord {
    let offset = |topic: &str, partition, offset| (TopicPartition::new(topic, Partition(partition)), Offset(offset));
    CommitRecord {
        sequence: 7,
        input: [offset("events", 3, 120), offset("app-by-user-repartition", 3, 9), offset("events", 10, 1)].into(),
        stream_time: Timestamp::from_millis(1_700_000_000_123),
        records: 5,
        topic_ids: [("app-carts-changelog".into(), TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]))]
            .into(),
        ..CommitRecord::default()
    }
}

#[test]
fn reserved_keys_have_their_golden_bytes() {
    assert_eq!(&begin_key(TASK)[..], b"\xff\xffmillpond\xff\xffbegin/2_13");
    assert_eq!(&commit_key(TASK)[..], b"\xff\xffmillpond\xff\xffcommit/2_13");
}

#[test]
fn records_have_their_golden_bytes() {
    assert_eq!(&BeginRecord { sequence: 7 }.encode().unwrap()[..], br#"{"version":1,"sequence":7}"#);
    let golden = concat!(
        r#"{"version":1,"sequence":7,"input":{"app-by-user-repartition":{"3":9},"events":{"3":120,"10":1}},"#,
        r#""stream_time":1700000000123,"records":5,"topic_ids":{"app-carts-changelog":"000102030405060708090a0b0c0d0eff"}}"#,
    );
    assert_eq!(commit_record().encode().unwrap(), golden);
    assert_eq!(CommitRecord::decode(golden.as_bytes()).unwrap(), commit_record());
    // Fields that came later: what older versions wrote has none of them.
    let ends = [(TopicPartition::new("app-orders-changelog", Partition(3)), Offset(88))].into();
    let later = CommitRecord { values: Some(4), ends, ..commit_record() };
    let more = r#","values":4,"ends":{"app-orders-changelog":{"3":88}}}"#;
    let golden = format!("{}{more}", golden.strip_suffix('}').unwrap());
    assert_eq!(later.encode().unwrap(), golden);
    assert_eq!(CommitRecord::decode(golden.as_bytes()).unwrap(), later);
    assert_eq!(BeginRecord::decode(br#"{"version":1,"sequence":7}"#).unwrap(), BeginRecord { sequence: 7 });
}

#[test]
fn keys_are_told_apart() {
    assert_eq!(classify(&begin_key(TASK)), ChangelogKey::Begin(TASK));
    assert_eq!(classify(&commit_key(TASK)), ChangelogKey::Commit(TASK));
    for row in [&b""[..], b"\xff\xff", b"commit/0_3", b"\xff\xffmillpond\xff", b"\xff\xffmillpond\xfe\xffcommit/0_3"] {
        assert_eq!(classify(row), ChangelogKey::Row);
    }
    for unknown in
        ["", "commit", "commit/", "commit/0", "commit/0_", "commit/0_-3", "commit/00_3", "commit/0_3 ", "end/0_3"]
    {
        assert_eq!(
            classify(&[RESERVED_PREFIX, unknown.as_bytes()].concat()),
            ChangelogKey::UnknownReserved,
            "{unknown}"
        );
    }
}

#[test]
fn a_newer_version_is_refused_and_unknown_fields_are_not() {
    let newer = br#"{"version":2,"other":"shape"}"#;
    assert_eq!(CommitRecord::decode(newer), Err(SerdeError::Version { newest: 1, actual: 2 }));
    assert_eq!(BeginRecord::decode(newer), Err(SerdeError::Version { newest: 1, actual: 2 }));
    let more = br#"{"version":1,"sequence":7,"since":"later"}"#;
    assert_eq!(BeginRecord::decode(more).unwrap(), BeginRecord { sequence: 7 });
}

#[test]
fn a_damaged_topic_id_is_refused() {
    let json = String::from_utf8(commit_record().encode().unwrap().to_vec()).unwrap();
    for id in ["", "00", "+00102030405060708090a0b0c0d0eff", "g00102030405060708090a0b0c0d0eff"] {
        let damaged = json.replace("000102030405060708090a0b0c0d0eff", id);
        let error = CommitRecord::decode(damaged.as_bytes()).unwrap_err();
        assert!(matches!(error, SerdeError::Malformed { .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn damaged_records_are_errors_not_panics(at in 0_usize..200, to in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = commit_record().encode().unwrap().to_vec();
        let at = at % bytes.len();
        if cut { bytes.truncate(at); } else { bytes[at] = to; }
        if let Ok(record) = CommitRecord::decode(&bytes) {
            prop_assert_eq!(CommitRecord::decode(&record.encode().unwrap()).unwrap(), record);
        } else {
            prop_assert!(cut || bytes != commit_record().encode().unwrap());
        }
    }

    #[test]
    fn every_task_finds_its_own_keys(subtopology in any::<u32>(), partition in 0..=i32::MAX) {
        let task = TaskId { subtopology, partition: Partition(partition) };
        prop_assert_eq!(classify(&commit_key(task)), ChangelogKey::Commit(task));
        prop_assert_eq!(classify(&begin_key(task)), ChangelogKey::Begin(task));
    }
}

/// serde would take the values of an array for the fields in their order, and `3` for a version: found by fuzzing.
#[test]
fn an_array_is_no_record_of_a_newer_version() {
    for array in [&b"[3]"[..], b"\n[3\t\t]", b" [1,7]"] {
        assert!(matches!(BeginRecord::decode(array), Err(SerdeError::Json { .. })));
        assert!(matches!(CommitRecord::decode(array), Err(SerdeError::Json { .. })));
    }
}
