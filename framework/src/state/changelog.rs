//! The bytes of a changelog's records. Once assigned, never changed: topics of running applications hold them.
//!
//! | Record | Key | Value |
//! |---|---|---|
//! | a row | the row's key bytes | the row's value bytes, or null for a deletion |
//! | begin record | [`RESERVED_PREFIX`] `begin/` task | JSON, [`BeginRecord`] |
//! | commit record | [`RESERVED_PREFIX`] `commit/` task | JSON, [`CommitRecord`] |
//!
//! The task, as `0_3`, stands in the key so that tasks may share a partition, and so that compaction keeps the last record
//! of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::broker::TopicId;
use crate::record::{Offset, Partition, TaskId, TopicName, TopicPartition};
use crate::serde::SerdeError;
use crate::time::Timestamp;

/// No row's key begins with these bytes.
pub const RESERVED_PREFIX: &[u8] = b"\xff\xffmillpond\xff\xff";

const BEGIN: &[u8] = b"begin/";
const COMMIT: &[u8] = b"commit/";

/// The version that [`BeginRecord`] and [`CommitRecord`] are written in.
const VERSION: u8 = 1;

/// What the key of a changelog record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangelogKey {
    /// A row of the store.
    Row,
    /// The begin record of a task.
    Begin(TaskId),
    /// The commit record of a task.
    Commit(TaskId),
    /// Reserved, and written by a version that knows more than this one.
    UnknownReserved,
}

/// Tells rows from the records that the library writes for itself.
pub fn classify(key: &[u8]) -> ChangelogKey {
    let Some(rest) = key.strip_prefix(RESERVED_PREFIX) else { return ChangelogKey::Row };
    let begin = rest.strip_prefix(BEGIN).and_then(parse_task).map(ChangelogKey::Begin);
    let commit = || rest.strip_prefix(COMMIT).and_then(parse_task).map(ChangelogKey::Commit);
    begin.or_else(commit).unwrap_or(ChangelogKey::UnknownReserved)
}

/// The key of a task's begin record.
pub fn begin_key(task: TaskId) -> Bytes {
    reserved_key(BEGIN, task)
}

/// The key of a task's commit record.
pub fn commit_key(task: TaskId) -> Bytes {
    reserved_key(COMMIT, task)
}

fn reserved_key(kind: &[u8], task: TaskId) -> Bytes {
    Bytes::from([RESERVED_PREFIX, kind, task.to_string().as_bytes()].concat())
}

/// Reads a task's name, `0_3`.
pub(super) fn parse_task(text: &[u8]) -> Option<TaskId> {
    let text = std::str::from_utf8(text).ok()?;
    let (subtopology, partition) = text.split_once('_')?;
    let task = TaskId { subtopology: subtopology.parse().ok()?, partition: Partition(partition.parse().ok()?) };
    // Only the one spelling that we write: two keys of the same task would both survive compaction.
    (task.partition.0 >= 0 && task.to_string() == text).then_some(task)
}

/// Says that rows of the transaction `sequence` follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeginRecord {
    /// Number of the commit that it begins.
    pub sequence: u64,
}

impl BeginRecord {
    /// `{"version":1,"sequence":7}`
    ///
    /// # Errors
    /// [`SerdeError`]; does not happen with valid records.
    pub fn encode(&self) -> Result<Bytes, SerdeError> {
        encode(&BeginJson { version: VERSION, sequence: self.sequence })
    }

    /// Reads what [`encode`](Self::encode) wrote; fields that it does not know are left out.
    ///
    /// # Errors
    /// `Version` when a newer program wrote it, `Json` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, SerdeError> {
        check_version(bytes)?;
        let json: BeginJson = parse(bytes)?;
        Ok(Self { sequence: json.sequence })
    }
}

/// The last record of a task in each of its transactions: what the transaction contained. Compared with the group's offsets
/// when the task starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitRecord {
    /// Number of the commit, counted from one per task without gaps.
    pub sequence: u64,
    /// Next input offsets that the same transaction committed.
    pub input: BTreeMap<TopicPartition, Offset>,
    /// Stream time at the commit.
    pub stream_time: Timestamp,
    /// How many rows the transaction has in the task's changelogs.
    pub records: u64,
    /// Ids of the changelog and input topics.
    pub topic_ids: BTreeMap<TopicName, TopicId>,
    /// How many rows, deletions not counted, the transaction has in the partition of this record: they lie between its begin
    /// record and this one for as long as no later transaction commits. `None` in what older versions wrote.
    pub values: Option<u64>,
    /// Where each of the task's changelogs ends at the least. Older versions left out the one of this record.
    pub ends: BTreeMap<TopicPartition, Offset>,
}

impl CommitRecord {
    /// `{"version":1,"sequence":7,"input":{"events":{"3":120}},"stream_time":1700000000000,"records":5,"topic_ids":{..},
    /// "values":4,"ends":{"app-other-changelog":{"3":88}}}`; topic ids are 32 hexadecimal digits; no values and no ends are
    /// left out.
    ///
    /// # Errors
    /// [`SerdeError`]; does not happen with valid records.
    pub fn encode(&self) -> Result<Bytes, SerdeError> {
        encode(&CommitJson {
            version: VERSION,
            sequence: self.sequence,
            input: offsets_to_json(&self.input),
            stream_time: self.stream_time.as_millis(),
            records: self.records,
            topic_ids: topic_ids_to_json(&self.topic_ids),
            values: self.values,
            ends: offsets_to_json(&self.ends),
        })
    }

    /// Reads what [`encode`](Self::encode) wrote; fields that it does not know are left out.
    ///
    /// # Errors
    /// `Version` when a newer program wrote it, `Json` or `Malformed` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, SerdeError> {
        check_version(bytes)?;
        let json: CommitJson = parse(bytes)?;
        Ok(Self {
            sequence: json.sequence,
            input: offsets_from_json(json.input),
            stream_time: Timestamp::from_millis(json.stream_time),
            records: json.records,
            topic_ids: topic_ids_from_json(json.topic_ids)?,
            values: json.values,
            ends: offsets_from_json(json.ends),
        })
    }
}

#[derive(Deserialize)]
struct VersionJson {
    version: u8,
}

#[derive(Serialize, Deserialize)]
struct BeginJson {
    version: u8,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct CommitJson {
    version: u8,
    sequence: u64,
    input: OffsetsJson,
    stream_time: i64,
    records: u64,
    topic_ids: TopicIdsJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ends: OffsetsJson,
}

/// Offsets by topic and partition: `{"events":{"0":17,"1":4}}`.
pub(super) type OffsetsJson = BTreeMap<String, BTreeMap<i32, i64>>;

/// Topic ids by topic, as hexadecimal digits.
pub(super) type TopicIdsJson = BTreeMap<String, String>;

pub(super) fn offsets_to_json(offsets: &BTreeMap<TopicPartition, Offset>) -> OffsetsJson {
    let mut json = OffsetsJson::new();
    for (partition, offset) in offsets {
        json.entry(partition.topic.to_string()).or_default().insert(partition.partition.0, offset.0);
    }
    json
}

pub(super) fn offsets_from_json(json: OffsetsJson) -> BTreeMap<TopicPartition, Offset> {
    let mut offsets = BTreeMap::new();
    for (topic, partitions) in json {
        let topic = TopicName::from(topic);
        for (partition, offset) in partitions {
            offsets.insert(TopicPartition::new(TopicName::clone(&topic), Partition(partition)), Offset(offset));
        }
    }
    offsets
}

pub(super) fn topic_ids_to_json(ids: &BTreeMap<TopicName, TopicId>) -> TopicIdsJson {
    ids.iter().map(|(topic, id)| (topic.to_string(), id.to_string())).collect()
}

pub(super) fn topic_ids_from_json(json: TopicIdsJson) -> Result<BTreeMap<TopicName, TopicId>, SerdeError> {
    let malformed = SerdeError::Malformed { format: "topic id", reason: "not 32 hexadecimal digits" };
    let parse = |(topic, id): (String, String)| {
        Ok((TopicName::from(topic), TopicId::from_hex(&id).ok_or_else(|| malformed.clone())?))
    };
    json.into_iter().map(parse).collect()
}

pub(super) fn encode(json: &impl Serialize) -> Result<Bytes, SerdeError> {
    let failed = |_| SerdeError::Unrepresentable { format: "JSON", reason: "a field has no JSON form" };
    serde_json::to_vec(json).map(Bytes::from).map_err(failed)
}

/// Reads an object. An array is none, though serde would take its values for the fields in their order: damaged bytes would pass
/// for those of a newer version.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SerdeError> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(SerdeError::Json { category: "data", line: 1, column: 1 });
    }
    serde_json::from_slice(bytes).map_err(|error| SerdeError::Json {
        category: match error.classify() {
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof => "eof",
            serde_json::error::Category::Io => "io",
        },
        line: error.line(),
        column: error.column(),
    })
}

/// The version comes first: a newer one may have another shape.
fn check_version(bytes: &[u8]) -> Result<(), SerdeError> {
    let VersionJson { version } = parse(bytes)?;
    if version == VERSION { Ok(()) } else { Err(SerdeError::Version { newest: VERSION, actual: version }) }
}
