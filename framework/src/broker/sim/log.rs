//! Topics and the logs of their partitions: batches' producers, control markers, the last stable offset.
//!
//! ```text
//! offset   0    1    2    3        4    5
//!          a    b    c    COMMIT   d    e          producer 7; d and e belong to an open transaction
//!                                  ^ last stable offset = 4     ^ end (high watermark) = 6
//! ```
//!
//! One replica: the high watermark is always the log's end.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broker::TopicId;
use crate::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicName, TopicPartition};
use crate::time::Timestamp;

use super::code::ErrorCode;

/// Kafka's default of `max.message.bytes`.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Whether records of open and aborted transactions are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the last stable offset, without aborted records.
    ReadCommitted,
    /// Everything up to the high watermark.
    ReadUncommitted,
}

/// A producer as the broker knows it: its id and the epoch that fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProducerStamp {
    pub(super) id: u64,
    pub(super) epoch: i32,
}

/// All topics by name.
#[derive(Default)]
pub(super) struct Topics {
    by_name: BTreeMap<TopicName, Topic>,
    created: u128,
}

/// One topic: its id is new each time it is created.
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) logs: Vec<PartitionLog>,
    /// Settings that are not the defaults.
    pub(super) configs: BTreeMap<String, String>,
}

impl Topics {
    /// Creates a topic; false when it exists.
    pub(super) fn create(&mut self, name: &TopicName, partitions: usize, configs: BTreeMap<String, String>) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        self.created += 1;
        let logs = (0..partitions).map(|_| PartitionLog::default()).collect();
        let topic = Topic { id: TopicId(self.created.to_be_bytes()), logs, configs };
        self.by_name.insert(name.clone(), topic);
        true
    }

    pub(super) fn delete(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TopicName> {
        self.by_name.keys()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(super) fn log(&self, at: &TopicPartition) -> Result<&PartitionLog, ErrorCode> {
        self.get(&at.topic)
            .and_then(|topic| topic.logs.get(usize::try_from(at.partition.0).ok()?))
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    pub(super) fn log_mut(&mut self, at: &TopicPartition) -> Result<&mut PartitionLog, ErrorCode> {
        self.get_mut(&at.topic)
            .and_then(|topic| topic.logs.get_mut(usize::try_from(at.partition.0).ok()?))
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The partitions of a topic in order; none when it does not exist.
    pub(super) fn partitions(&self, name: &TopicName) -> Vec<TopicPartition> {
        let count = self.get(name).map_or(0, |topic| topic.logs.len());
        (0..).take(count).map(|number| TopicPartition::new(name.clone(), Partition(number))).collect()
    }

    /// Whether a record of that size may be stored there, and one without a key.
    pub(super) fn accepts(&self, record: &ProducerRecord) -> Result<(), ErrorCode> {
        self.log(&record.target)?;
        let topic = self.get(&record.target.topic);
        let limit = topic.and_then(|topic| topic.configs.get("max.message.bytes")?.parse().ok());
        if record.size() > limit.unwrap_or(MAX_MESSAGE_BYTES) {
            return Err(ErrorCode::MessageTooLarge);
        }
        if record.key.is_none() && topic.is_some_and(|topic| topic.has_policy("compact")) {
            return Err(ErrorCode::InvalidRecord);
        }
        Ok(())
    }
}

impl Topic {
    /// Whether `cleanup.policy` has this one among its policies.
    pub(super) fn has_policy(&self, policy: &str) -> bool {
        self.configs.get("cleanup.policy").map_or("delete", String::as_str).split(',').any(|one| one.trim() == policy)
    }
}

/// The log of one partition.
#[derive(Default)]
pub(super) struct PartitionLog {
    entries: BTreeMap<Offset, Entry>,
    start: Offset,
    end: Offset,
    /// First offset of each producer's open transaction here.
    open: BTreeMap<u64, Offset>,
    /// Newest epoch seen of each producer: older ones are fenced here.
    epochs: BTreeMap<u64, i32>,
}

struct Entry {
    timestamp: Timestamp,
    /// `None`: not transactional.
    producer: Option<ProducerStamp>,
    body: Body,
}

enum Body {
    Data { key: Option<Bytes>, value: Option<Bytes>, headers: Headers, aborted: bool },
    Marker { commit: bool },
}

/// An entry as a drawing shows it.
pub(super) struct Seen<'a> {
    pub(super) producer: Option<ProducerStamp>,
    pub(super) what: SeenBody<'a>,
}

pub(super) enum SeenBody<'a> {
    Data { key: Option<&'a Bytes>, value: Option<&'a Bytes>, fate: Fate },
    Marker { commit: bool },
}

/// What has become of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Aborted,
    Committed,
}

/// What a fetch brought.
pub(super) struct Fetched {
    pub(super) records: Vec<ConsumedRecord>,
    /// Where the next fetch goes on: behind markers and aborted records too.
    pub(super) next: Offset,
}

impl PartitionLog {
    pub(super) const fn start(&self) -> Offset {
        self.start
    }

    /// The high watermark: the next offset to be written.
    pub(super) const fn end(&self) -> Offset {
        self.end
    }

    /// The last stable offset: no open transaction begins before it.
    pub(super) fn last_stable(&self) -> Offset {
        self.open.values().min().copied().unwrap_or(self.end).max(self.start)
    }

    /// Whether a transaction of that producer is open here.
    pub(super) fn has_open(&self, producer: u64) -> bool {
        self.open.contains_key(&producer)
    }

    /// Refuses producers older than the newest one seen here.
    pub(super) fn check_epoch(&self, producer: ProducerStamp) -> Result<(), ErrorCode> {
        match self.epochs.get(&producer.id) {
            Some(&newest) if newest > producer.epoch => Err(ErrorCode::ProducerFenced),
            _ => Ok(()),
        }
    }

    /// Appends a record; with a producer it becomes part of that producer's transaction.
    pub(super) fn append(&mut self, record: ProducerRecord, producer: Option<ProducerStamp>) -> Offset {
        let ProducerRecord { target: _, timestamp, key, value, headers } = record;
        self.push(Entry { timestamp, producer, body: Body::Data { key, value, headers, aborted: false } })
    }

    /// Ends the transaction of a producer here. The marker takes an offset, also when nothing was written.
    pub(super) fn append_marker(&mut self, producer: ProducerStamp, commit: bool, now: Timestamp) -> Offset {
        self.push(Entry { timestamp: now, producer: Some(producer), body: Body::Marker { commit } })
    }

    fn push(&mut self, entry: Entry) -> Offset {
        let offset = self.end;
        self.end = offset.next();
        self.track(offset, &entry);
        self.entries.insert(offset, entry);
        offset
    }

    /// Open transactions and epochs after this entry.
    fn track(&mut self, offset: Offset, entry: &Entry) {
        let Some(producer) = entry.producer else { return };
        let newest = self.epochs.entry(producer.id).or_insert(producer.epoch);
        *newest = producer.epoch.max(*newest);
        match entry.body {
            Body::Data { .. } => {
                self.open.entry(producer.id).or_insert(offset);
            }
            Body::Marker { commit } => {
                if let Some(first) = self.open.remove(&producer.id)
                    && !commit
                {
                    self.mark_aborted(producer.id, first);
                }
            }
        }
    }

    fn mark_aborted(&mut self, producer: u64, first: Offset) {
        for (_, entry) in self.entries.range_mut(first..) {
            if entry.producer.is_some_and(|have| have.id == producer)
                && let Body::Data { aborted, .. } = &mut entry.body
            {
                *aborted = true;
            }
        }
    }

    /// Up to `max` records from `from` on.
    pub(super) fn read(
        &self,
        source: &TopicPartition,
        from: Offset,
        isolation: Isolation,
        max: usize,
    ) -> Result<Fetched, ErrorCode> {
        if from < self.start || from > self.end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let limit = match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.end,
        };
        let mut fetched = Fetched { records: Vec::new(), next: from };
        if from >= limit {
            return Ok(fetched);
        }
        for (&offset, entry) in self.entries.range(from..limit) {
            if fetched.records.len() == max {
                return Ok(fetched);
            }
            fetched.next = offset.next();
            if let Body::Data { key, value, headers, aborted } = &entry.body
                && !(*aborted && isolation == Isolation::ReadCommitted)
            {
                fetched.records.push(ConsumedRecord {
                    source: source.clone(),
                    offset,
                    timestamp: entry.timestamp,
                    key: key.clone(),
                    value: value.clone(),
                    headers: headers.clone(),
                });
            }
        }
        fetched.next = limit;
        Ok(fetched)
    }

    /// Compacts everything before the last stable offset: aborted records and those without a key go, of each key the
    /// last record stays.
    /// With `drop_tombstones` tombstones and markers go too, as after `delete.retention.ms`. Offsets stay.
    pub(super) fn compact(&mut self, drop_tombstones: bool) {
        let limit = self.last_stable();
        let mut last = BTreeMap::new();
        for (&offset, entry) in self.entries.range(..limit) {
            if let Body::Data { key: Some(key), aborted: false, .. } = &entry.body {
                last.insert(key.clone(), offset);
            }
        }
        self.entries.retain(|&offset, entry| {
            offset >= limit
                || match &entry.body {
                    Body::Marker { .. } => !drop_tombstones,
                    Body::Data { aborted: true, .. } | Body::Data { key: None, .. } => false,
                    Body::Data { key: Some(key), value, .. } => {
                        last.get(key) == Some(&offset) && !(drop_tombstones && value.is_none())
                    }
                }
        });
    }

    /// `DeleteRecords`: moves the log's start; never back, never past the end.
    pub(super) fn delete_before(&mut self, before: Offset) {
        self.start = self.start.max(before.min(self.end));
        self.entries = self.entries.split_off(&self.start);
    }

    /// Retention by time, up to the first entry that is not older or not stable.
    pub(super) fn expire(&mut self, before: Timestamp) {
        let stable = self.last_stable();
        let kept = self.entries.range(..stable).find(|(_, entry)| entry.timestamp >= before);
        let start = kept.map_or(stable, |(&offset, _)| offset);
        self.delete_before(start);
    }

    /// Every entry that is there, markers included.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Offset, Seen<'_>)> {
        self.entries.iter().map(|(&offset, entry)| {
            let producer = entry.producer;
            let what = match &entry.body {
                Body::Marker { commit } => SeenBody::Marker { commit: *commit },
                Body::Data { key, value, aborted, .. } => {
                    let open = producer.and_then(|producer| self.open.get(&producer.id));
                    let fate = match open {
                        _ if *aborted => Fate::Aborted,
                        Some(&first) if first <= offset => Fate::Open,
                        _ => Fate::Committed,
                    };
                    SeenBody::Data { key: key.as_ref(), value: value.as_ref(), fate }
                }
            };
            (offset, Seen { producer, what })
        })
    }

    /// Loses everything from `end` on, as after an unclean leader election. Lost markers leave transactions open.
    pub(super) fn truncate(&mut self, end: Offset) {
        let end = end.clamp(self.start, self.end);
        let mut kept = std::mem::take(&mut self.entries);
        kept.split_off(&end);
        self.open.clear();
        self.end = end;
        for (offset, mut entry) in kept {
            if let Body::Data { aborted, .. } = &mut entry.body {
                *aborted = false;
            }
            self.track(offset, &entry);
            self.entries.insert(offset, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: ProducerStamp = ProducerStamp { id: 7, epoch: 0 };
    const Q: ProducerStamp = ProducerStamp { id: 8, epoch: 0 };

    fn source() -> TopicPartition {
        TopicPartition::new("t", Partition(0))
    }

    fn record(key: &'static str, value: Option<&'static str>) -> ProducerRecord {
        ProducerRecord {
            target: source(),
            timestamp: Timestamp::from_millis(1),
            key: Some(Bytes::from(key)),
            value: value.map(Bytes::from),
            headers: Headers::new(),
        }
    }

    fn seen(log: &PartitionLog, isolation: Isolation) -> Vec<(i64, String)> {
        let fetched = log.read(&source(), log.start(), isolation, 100).unwrap();
        let text = |r: &ConsumedRecord| String::from_utf8(r.value.clone().unwrap_or_default().to_vec()).unwrap();
        fetched.records.iter().map(|r| (r.offset.0, text(r))).collect()
    }

    // p-0: a(P) b(Q) COMMIT(Q) c(P) ABORT(P)
    #[test]
    fn read_committed_stops_at_the_first_open_transaction_and_skips_aborted_records() {
        let mut log = PartitionLog::default();
        log.append(record("k", Some("a")), Some(P));
        log.append(record("k", Some("b")), Some(Q));
        log.append_marker(Q, true, Timestamp::EPOCH);
        log.append(record("k", Some("c")), Some(P));
        assert_eq!(log.last_stable(), Offset(0));
        assert_eq!(seen(&log, Isolation::ReadCommitted), []);
        assert_eq!(seen(&log, Isolation::ReadUncommitted).len(), 3);
        log.append_marker(P, false, Timestamp::EPOCH);
        assert_eq!(log.last_stable(), Offset(5));
        assert_eq!(seen(&log, Isolation::ReadCommitted), [(1, "b".to_owned())]);
        assert_eq!(log.read(&source(), Offset(2), Isolation::ReadCommitted, 1).unwrap().next, Offset(5));
    }

    #[test]
    fn compaction_keeps_the_last_record_of_each_key_and_every_offset() {
        let mut log = PartitionLog::default();
        for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("b", None)] {
            log.append(record(key, value), None);
        }
        log.append(record("a", Some("open")), Some(P));
        log.compact(false);
        assert_eq!(seen(&log, Isolation::ReadCommitted), [(2, "3".to_owned()), (3, String::new())]);
        log.compact(true);
        assert_eq!(seen(&log, Isolation::ReadUncommitted), [(2, "3".to_owned()), (4, "open".to_owned())]);
        assert_eq!((log.start(), log.end()), (Offset(0), Offset(5)));
    }

    #[test]
    fn truncating_a_marker_opens_its_transaction_again() {
        let mut log = PartitionLog::default();
        log.append(record("k", Some("a")), Some(P));
        log.append_marker(P, false, Timestamp::EPOCH);
        log.truncate(Offset(1));
        assert_eq!((log.last_stable(), log.end()), (Offset(0), Offset(1)));
        log.append_marker(P, true, Timestamp::EPOCH);
        assert_eq!(seen(&log, Isolation::ReadCommitted), [(0, "a".to_owned())]);
    }

    #[test]
    fn reading_outside_the_log_is_an_error() {
        let mut log = PartitionLog::default();
        log.append(record("k", Some("a")), None);
        log.append(record("k", Some("b")), None);
        log.delete_before(Offset(1));
        let at = |offset| log.read(&source(), Offset(offset), Isolation::ReadCommitted, 9).map(|f| f.records.len());
        assert_eq!(at(0), Err(ErrorCode::OffsetOutOfRange));
        assert_eq!(at(1), Ok(1));
        assert_eq!(at(2), Ok(0));
        assert_eq!(at(3), Err(ErrorCode::OffsetOutOfRange));
    }
}
