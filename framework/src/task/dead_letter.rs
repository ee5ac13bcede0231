//! What happens to a bad record: the task stops, or the record goes to the dead-letter topic in the same transaction.
//!
//! Headers carry the names of Kafka Streams' (KIP-1034): `__streams.errors.exception`, `.message`, `.topic`,
//! `.partition`, `.offset`; besides them `.reason`, `.node` and `.timestamp`. A record that is too large for a letter leaves
//! its size instead of its payload, `.omitted.bytes`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::processor::{ProcessorError, Reason};
use crate::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicName, TopicPartition};
use crate::time::Timestamp;

/// A larger payload is left out: headers come on top of it, and the limit of producers is 1,000,000.
const PAYLOAD_BYTES_MAX: usize = 950_000;

/// So much of an error's text goes along: it may be a user's.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// How many of them are told of.
const KEPT: usize = 32;

/// A bad record that was set aside: where it is, and why. Nothing of what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Where it was read.
    pub source: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// Why, in one of a few words.
    pub reason: Reason,
    /// The node that refused it.
    pub node: Arc<str>,
}

/// The last dead letters, oldest first. As they were processed: a transaction that failed sets its records aside again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastDeadLetters(VecDeque<DeadLetter>);

impl LastDeadLetters {
    /// Keeps a letter; the oldest makes room.
    pub fn push(&mut self, letter: DeadLetter) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(letter);
    }

    /// Takes in those of others, and keeps the last of all.
    pub(crate) fn absorb(&mut self, other: &Self) {
        if other.0.is_empty() {
            return;
        }
        self.0.extend(other.0.iter().cloned());
        self.0.make_contiguous().sort_by_key(|letter| letter.at);
        self.0.drain(..self.0.len().saturating_sub(KEPT));
    }

    /// The letters.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &DeadLetter> {
        self.0.iter()
    }
}

/// What to do with bad records. The default stops the application at the first.
///
/// ```
/// use millpond::runtime::ErrorPolicy;
///
/// let point_only = ErrorPolicy {
///     topic: Some(("orders-dead-letters".into(), 1)),
///     on_deserialization: true, // bytes that are not what the topic's types say
///     on_processing: false,     // what a node refuses still stops the application
///     payload: false,           // no key, value or headers: a pointer to the source
/// };
/// assert!(ErrorPolicy::default().topic.is_none());
/// # let _ = point_only;
/// ```
///
/// An application sets it by `errors.deserialization`, `errors.processing`, `errors.dead.letter.queue.topic.name` and
/// `errors.dead.letter.queue.payload`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorPolicy {
    /// The dead-letter topic with its partitions; `None`: every bad record stops the application.
    pub topic: Option<(TopicName, i32)>,
    /// Records that cannot be decoded go there; otherwise they stop the application.
    pub on_deserialization: bool,
    /// Records that a node refuses go there; otherwise they stop the application.
    pub on_processing: bool,
    /// Whether key, value and headers go along, up to 950,000 bytes of them. Without them a dead letter is only a pointer to
    /// its source.
    pub payload: bool,
}

impl ErrorPolicy {
    /// What tests ask for: every bad record goes to the topic `dead-letters`, of one partition.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn all_to_dead_letters(payload: bool) -> Self {
        Self {
            topic: Some((TopicName::from("dead-letters"), 1)),
            on_deserialization: true,
            on_processing: true,
            payload,
        }
    }

    /// True when a record must be kept at hand while it is processed.
    pub(crate) const fn sets_records_aside(&self) -> bool {
        self.topic.is_some() && (self.on_deserialization || self.on_processing)
    }

    /// True when that error sets the record aside instead of stopping the task.
    pub(crate) fn dead_letters(&self, error: &ProcessorError) -> bool {
        let wanted = if error.is_deserialization() { self.on_deserialization } else { self.on_processing };
        self.topic.is_some() && wanted && error.recovery() == crate::error::Recovery::SkipRecord
    }

    pub(crate) fn dead_letter(
        &self,
        record: ConsumedRecord,
        error: &ProcessorError,
        now: Timestamp,
    ) -> Option<ProducerRecord> {
        let (topic, partitions) = self.topic.as_ref()?;
        let partition = Partition(record.source.partition.0.rem_euclid((*partitions).max(1)));
        let size = record.size();
        let payload = self.payload && size <= PAYLOAD_BYTES_MAX;
        let mut headers = if payload { record.headers } else { Headers::new() };
        let mut header =
            |name: &str, value: String| headers.push(format!("__streams.errors.{name}"), Some(value.into()));
        header("exception", error.kind().to_owned());
        header("message", error.to_string().chars().take(MESSAGE_CHARS_MAX).collect());
        header("reason", error.reason().to_owned());
        header("node", error.node().to_owned());
        header("topic", record.source.topic.to_string());
        header("partition", record.source.partition.to_string());
        header("offset", record.offset.to_string());
        header("timestamp", record.timestamp.to_string());
        if self.payload && !payload {
            header("omitted.bytes", size.to_string());
        }
        let pointer = || Bytes::from(format!("{}@{}", record.source, record.offset));
        Some(ProducerRecord {
            target: TopicPartition { topic: topic.clone(), partition },
            // The source's time may be missing, and old times invite retention: the header has it.
            timestamp: now,
            key: if payload { record.key } else { Some(pointer()) },
            value: record.value.filter(|_| payload),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(at: i64) -> DeadLetter {
        let source = TopicPartition { topic: "in".into(), partition: Partition(0) };
        DeadLetter {
            at: Timestamp::from_millis(at),
            source,
            offset: Offset(at),
            reason: "null_value",
            node: "n".into(),
        }
    }

    #[test]
    fn the_last_letters_of_all_tasks_are_kept() {
        let mut of_two = LastDeadLetters::default();
        for part in [[0, 2], [1, 3]] {
            let mut of_one = LastDeadLetters::default();
            (0..50).for_each(|n| of_one.push(letter(n * 4 + part[0])));
            assert_eq!(of_one.iter().count(), KEPT);
            of_two.absorb(&of_one);
        }
        let times: Vec<i64> = of_two.iter().map(|letter| letter.at.as_millis()).collect();
        assert_eq!((times.len(), times.last(), times.is_sorted()), (KEPT, Some(&197), true));
    }
}
