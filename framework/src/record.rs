//! Records as they travel: typed between nodes, raw at topics and stores.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::time::Timestamp;

/// The number of a partition, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The position of a record in its partition. A *next* offset (committed offsets, log ends) is one past the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a topic. Cheap to clone; ordered by its text.
pub type TopicName = Arc<str>;

/// One partition of one topic, shown as `events-3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition in it.
    pub partition: Partition,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<TopicName>, partition: Partition) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Record headers in order; names may repeat and values may be null, as in Kafka. Empty headers cost no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Arc<str>, Option<Bytes>)>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: Option<Bytes>) {
        self.0.push((name.into(), value));
    }

    /// Gives the header of that name this value, in the place of the first; further ones of the name go. Adds it at the end
    /// when there is none.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: Option<Bytes>) {
        let name = name.into();
        let mut value = Some(value);
        self.0.retain_mut(|(have, old)| {
            if *have != name {
                return true;
            }
            value.take().map(|value| *old = value).is_some()
        });
        if let Some(value) = value {
            self.0.push((name, value));
        }
    }

    /// Takes away all headers of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(have, _)| &**have != name);
    }

    /// The value of the last header of that name, as Kafka's `lastHeader`. The inner `None` is a null value.
    pub fn last(&self, name: &str) -> Option<Option<&Bytes>> {
        self.0.iter().rev().find(|(have, _)| &**have == name).map(|(_, value)| value.as_ref())
    }

    /// Name and value pairs in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_ref()))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Arc<str>>> FromIterator<(N, Option<Bytes>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, Option<Bytes>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// A typed record on its way between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers; kept over every hop unless a node changes them.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    pub const fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: Headers::new() }
    }

    /// The same record with another key.
    pub fn with_key<K2>(self, key: K2) -> Record<K2, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> Record<K, V2> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record at another event time.
    #[must_use]
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }
}

/// A record as read from a topic. Key, value and header values are null or bytes, exactly as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Where it was read.
    pub source: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// The record's timestamp: event time.
    pub timestamp: Timestamp,
    /// Key bytes, or null.
    pub key: Option<Bytes>,
    /// Value bytes, or null (a tombstone).
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}

impl ConsumedRecord {
    /// Bytes of key, value and headers: what the record weighs in a queue.
    pub fn size(&self) -> usize {
        payload(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }
}

/// A record to be produced. The partition is always chosen by us, never by the client library:
/// its default partitioner is not the Java client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    /// Where it goes.
    pub target: TopicPartition,
    /// Timestamp to store.
    pub timestamp: Timestamp,
    /// Key bytes, or null.
    pub key: Option<Bytes>,
    /// Value bytes, or null (a tombstone).
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}

impl ProducerRecord {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        payload(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }

    /// Bytes of memory that it holds: small records are most of all records.
    pub(crate) fn memory(&self) -> usize {
        self.size() + size_of_val(self)
    }
}

fn payload(key: Option<&Bytes>, value: Option<&Bytes>, headers: &Headers) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.map_or(0, Bytes::len)).sum();
    key.map_or(0, Bytes::len) + value.map_or(0, Bytes::len) + headers
}

/// Where the record being processed was read; `None` in a punctuator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Topic and partition.
    pub source: TopicPartition,
    /// Offset.
    pub offset: Offset,
}

/// A task: one sub-topology on one partition, shown as `0_3`. Ordered by sub-topology, then partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Number of the sub-topology, from zero.
    pub subtopology: u32,
    /// The partition.
    pub partition: Partition,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}
