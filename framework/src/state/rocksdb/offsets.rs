//! The bytes of a checkpoint in `__meta`. Once assigned, never changed: directories of running applications hold them.
//!
//! JSON, so that `ldb` shows it:
//! `{"version":1,"changelog":{topic:{partition:offset}},"input":{..},"sequence":7,"stream_time":ms,"topic_ids":{topic:hex},
//! "partitions":4,"topology_hash":n,"owned_until":ms,"record":offset}`; no record is left out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::record::{Offset, TaskId};
use crate::serde::SerdeError;
use crate::state::changelog::{
    OffsetsJson, TopicIdsJson, encode as to_json, offsets_from_json, offsets_to_json, parse, topic_ids_from_json,
    topic_ids_to_json,
};
use crate::state::{Checkpoint, StoreError};
use crate::time::Timestamp;

/// The column family of what a task knows about itself.
pub(super) const META: &str = "__meta";

/// The key of the checkpoint in [`META`].
pub(super) const CHECKPOINT_KEY: &[u8] = b"checkpoint";

/// The version that checkpoints are written in.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct VersionJson {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct CheckpointJson {
    version: u32,
    changelog: OffsetsJson,
    input: OffsetsJson,
    sequence: u64,
    stream_time: i64,
    topic_ids: TopicIdsJson,
    partitions: i32,
    topology_hash: u64,
    owned_until: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<i64>,
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Result<Bytes, SerdeError> {
    to_json(&CheckpointJson {
        version: VERSION,
        changelog: offsets_to_json(&checkpoint.changelog),
        input: offsets_to_json(&checkpoint.input),
        sequence: checkpoint.sequence,
        stream_time: checkpoint.stream_time.as_millis(),
        topic_ids: topic_ids_to_json(&checkpoint.topic_ids),
        partitions: checkpoint.partitions,
        topology_hash: checkpoint.topology_hash,
        owned_until: checkpoint.owned_until.as_millis(),
        record: checkpoint.record.map(|record| record.0),
    })
}

pub(super) fn decode(task: TaskId, bytes: &[u8]) -> Result<Checkpoint, StoreError> {
    let damaged =
        |error: SerdeError| StoreError::Corrupt { task, reason: format!("checkpoint is not readable: {error}") };
    // The version comes first: a newer one may have another shape.
    let VersionJson { version } = parse(bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(StoreError::Format { task, expected: VERSION, actual: version });
    }
    let json: CheckpointJson = parse(bytes).map_err(damaged)?;
    Ok(Checkpoint {
        changelog: offsets_from_json(json.changelog),
        input: offsets_from_json(json.input),
        sequence: json.sequence,
        record: json.record.map(Offset),
        stream_time: Timestamp::from_millis(json.stream_time),
        topic_ids: topic_ids_from_json(json.topic_ids).map_err(damaged)?,
        partitions: json.partitions,
        topology_hash: json.topology_hash,
        owned_until: Timestamp::from_millis(json.owned_until),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::TopicId;
    use crate::record::{Partition, TopicPartition};

    const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(3) };
    const GOLDEN: &str = concat!(
        r#"{"version":1,"changelog":{"app-carts-changelog":{"3":41}},"input":{"events":{"3":120,"10":1}},"sequence":7,"#,
        r#""stream_time":1700000000123,"topic_ids":{"app-carts-changelog":"000102030405060708090a0b0c0d0eff"},"#,
        r#""partitions":4,"topology_hash":18446744073709551615,"owned_until":-1,"record":40}"#,
    );

    fn checkpoint() -> Checkpoint {
        let offset =
            |topic: &str, partition, offset| (TopicPartition::new(topic, Partition(partition)), Offset(offset));
        let id = TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        Checkpoint {
            changelog: [offset("app-carts-changelog", 3, 41)].into(),
            input: [offset("events", 3, 120), offset("events", 10, 1)].into(),
            sequence: 7,
            record: Some(Offset(40)),
            stream_time: Timestamp::from_millis(1_700_000_000_123),
            topic_ids: [("app-carts-changelog".into(), id)].into(),
            partitions: 4,
            topology_hash: u64::MAX,
            owned_until: Timestamp::NONE,
        }
    }

    #[test]
    fn a_checkpoint_has_its_golden_bytes() {
        assert_eq!(encode(&checkpoint()).unwrap(), GOLDEN);
        assert_eq!(decode(TASK, GOLDEN.as_bytes()).unwrap(), checkpoint());
        let of_before = GOLDEN.replace(",\"record\":40", "");
        assert_eq!(decode(TASK, of_before.as_bytes()).unwrap(), Checkpoint { record: None, ..checkpoint() });
        let empty = encode(&Checkpoint::default()).unwrap();
        assert_eq!(decode(TASK, &empty).unwrap(), Checkpoint::default());
    }

    #[test]
    fn another_version_is_a_format_and_damage_is_corruption() {
        let newer = decode(TASK, br#"{"version":2,"other":"shape"}"#);
        assert!(matches!(newer, Err(StoreError::Format { expected: 1, actual: 2, .. })), "{newer:?}");
        for cut in 0..GOLDEN.len() {
            let error = decode(TASK, &GOLDEN.as_bytes()[..cut]);
            assert!(matches!(error, Err(StoreError::Corrupt { .. })), "{cut}: {error:?}");
        }
    }

    #[test]
    fn an_array_is_damage_and_no_newer_version() {
        assert!(matches!(decode(TASK, b"[\n3\t\t]"), Err(StoreError::Corrupt { .. })));
    }
}
