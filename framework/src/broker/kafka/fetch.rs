//! Partitions being read: their queues drained in turn, in batches, and where each of them stands.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::acl::Principal;
use super::error;
use super::ffi::{BATCH_MAX, BatchBuffer, Failure, Handle, Message, Queue};
use crate::arena::Arena;
use crate::broker::{BrokerError, BrokerErrorKind};
use crate::record::{ConsumedRecord, Headers, Offset, TopicPartition};
use crate::time::Timestamp;

/// Bounds of one drain.
const RECORDS_MAX: usize = BATCH_MAX;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The partitions of one client.
pub(super) struct Fetch {
    client: Handle,
    /// For whom it is asked.
    principal: Principal,
    /// Kept over assignments: a partition whose split queue was given back yields nothing ever again
    /// (rust-rdkafka#535).
    queues: BTreeMap<TopicPartition, Queue>,
    slots: BTreeMap<TopicPartition, Slot>,
    /// Started partitions in the order of their turns.
    turns: VecDeque<TopicPartition>,
    buffer: BatchBuffer,
    arena: Arena,
    /// A partition's failure, told after the records that came before it.
    failure: Option<BrokerError>,
    /// Whether this drain met the end of a partition.
    end_seen: bool,
    /// How many records the last drain brought: room for as many is made at once.
    drained: usize,
}

/// What a drain brought.
pub(super) struct Drained {
    pub(super) records: Vec<ConsumedRecord>,
    /// A partition's end was reached: positions may have moved without a record.
    pub(super) end_seen: bool,
}

impl Drained {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && !self.end_seen
    }
}

/// One partition being read.
struct Slot {
    /// The offset after the last record delivered, or the start.
    next: Offset,
    /// Where the broker last said that nothing more is committed.
    end_seen: Option<i64>,
    /// Offset of the last notice that was no record: of an end, or of a failure.
    notice: Option<i64>,
    paused: bool,
    /// It has failed: librdkafka goes on behind what it could not read, so nothing more is taken before the next start.
    failed: bool,
    /// Running mean of a record's bytes: bounds how many records are asked for at once.
    record_bytes: usize,
}

impl Fetch {
    pub(super) fn new(client: Handle, principal: Principal) -> Self {
        Self {
            client,
            principal,
            queues: BTreeMap::new(),
            slots: BTreeMap::new(),
            turns: VecDeque::new(),
            buffer: BatchBuffer::default(),
            arena: Arena::default(),
            failure: None,
            end_seen: false,
            drained: 0,
        }
    }

    /// The queue of a partition, made by `make` the first time.
    pub(super) fn queue(
        &mut self,
        at: &TopicPartition,
        make: impl FnOnce(&Handle) -> Result<Queue, Failure>,
    ) -> Result<&Queue, Failure> {
        match self.queues.entry(at.clone()) {
            Entry::Occupied(queue) => Ok(queue.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(make(&self.client)?)),
        }
    }

    /// Delivers a partition from `offset` on; records below it, fetched before, are dropped.
    pub(super) fn start(&mut self, at: &TopicPartition, offset: Offset) {
        let slot = Slot { next: offset, end_seen: None, notice: None, paused: false, failed: false, record_bytes: 256 };
        if self.slots.insert(at.clone(), slot).is_none() {
            self.turns.push_back(at.clone());
        }
    }

    /// Drops what a partition's queue still holds of an earlier assignment, before anything is fetched for the next.
    ///
    /// Messages of old are thrown away by librdkafka itself, errors are not. One of them is of its own making: paused by a
    /// rebalance behind the notice of an end, a partition stands one record too far and at leader epoch 0 (librdkafka#4844),
    /// asks the next leader where that epoch has ended, and takes the log for truncated.
    pub(super) fn discard(&mut self, at: &TopicPartition) {
        let Some(queue) = self.queues.get(at) else { return };
        while queue.take(&mut self.buffer, BATCH_MAX).len() > 0 {}
    }

    /// Stops delivering; the queues stay.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.turns.clear();
        self.failure = None;
    }

    /// Stops delivering and gives the queues back: not for queues split from a group consumer.
    pub(super) fn forget(&mut self) {
        self.clear();
        self.queues.clear();
    }

    pub(super) fn pause(&mut self, at: &TopicPartition, paused: bool) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.paused = paused;
        }
    }

    /// The partitions being delivered.
    pub(super) fn started(&self) -> impl Iterator<Item = &TopicPartition> {
        self.slots.keys()
    }

    /// The next offset to look at; passes markers and aborted records.
    pub(super) fn position(&self, at: &TopicPartition) -> Option<Offset> {
        let slot = self.slots.get(at)?;
        if slot.failed {
            return Some(slot.next);
        }
        Some(position(slot.next, (slot.end_seen, slot.notice), self.client.application_position(at)))
    }

    /// What is there, without waiting, within the bounds: each partition gets its share in turn, then the rest is shared
    /// among those that have more.
    pub(super) fn drain(&mut self) -> Result<Drained, BrokerError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut records = Vec::with_capacity(self.drained);
        let mut bytes = 0;
        self.end_seen = false;
        let share = (RECORDS_MAX / self.turns.len().max(1)).max(64);
        loop {
            let before = records.len();
            for _ in 0..self.turns.len() {
                let room = RECORDS_MAX.saturating_sub(records.len()).min(share);
                if room == 0 || bytes >= BYTES_MAX || self.failure.is_some() {
                    break;
                }
                let Some(at) = self.turns.pop_front() else { break };
                bytes += self.drain_one(&at, room, BYTES_MAX - bytes, &mut records);
                self.turns.push_back(at);
            }
            if records.len() == before || self.failure.is_some() {
                break;
            }
        }
        match self.failure.take() {
            Some(failure) if records.is_empty() => Err(failure),
            failure => {
                self.failure = failure;
                self.drained = records.len();
                Ok(Drained { records, end_seen: self.end_seen })
            }
        }
    }

    /// Takes up to `room` records of one partition; returns their bytes.
    fn drain_one(
        &mut self,
        at: &TopicPartition,
        room: usize,
        bytes_max: usize,
        records: &mut Vec<ConsumedRecord>,
    ) -> usize {
        let (Some(slot), Some(queue)) = (self.slots.get_mut(at), self.queues.get(at)) else { return 0 };
        if slot.paused || slot.failed {
            return 0;
        }
        let ask = room.min(bytes_max / slot.record_bytes.max(1)).max(1);
        let batch = queue.take(&mut self.buffer, ask);
        let mut bytes = 0;
        for message in batch.iter() {
            if message.is_failure() {
                let failure = slot.failed(at, &message, &self.principal);
                self.end_seen |= failure.is_none();
                self.failure = failure.or(self.failure.take());
                if slot.failed {
                    break;
                }
            } else if message.offset() >= slot.next.0 {
                let record = record(&mut self.arena, at, &message);
                bytes += record.size();
                slot.next = record.offset.next();
                records.push(record);
            }
        }
        if let Some(mean) = bytes.checked_div(batch.len()) {
            slot.record_bytes = (slot.record_bytes + mean).div_ceil(2).max(1);
        }
        bytes
    }
}

impl Slot {
    /// Notes the end of the partition, which is no failure; tells any other.
    fn failed(&mut self, at: &TopicPartition, message: &Message<'_>, who: &Principal) -> Option<BrokerError> {
        let mut failure = message.failure()?;
        self.notice = Some(message.offset());
        if failure.code == Code::PartitionEOF {
            self.end_seen = Some(message.offset());
            return None;
        }
        failure.reason = format!("{at} at {}: {}", self.next, failure.reason);
        let failure = failure.on_topic(&at.topic);
        let error = error::of_client("poll", &failure);
        // What passes by itself is read again from the same place; a batch that cannot be read is skipped.
        self.failed = error.kind != BrokerErrorKind::Retriable;
        Some(who.explain(error, &failure, None))
    }
}

/// The next offset to look at, from three sources that each know a part:
/// - `next`: after the last record delivered. Knows no markers.
/// - `end_seen`: where the broker said that nothing more is there. Exact, also behind batches that compaction emptied,
///   but a fetch late.
/// - `application`: librdkafka's own. Passes markers at once, but counts the `notice` of an end, and of any failure, as one
///   record too many (librdkafka#4844): where it is exactly one past that notice it is not believed.
fn position(next: Offset, (end_seen, notice): (Option<i64>, Option<i64>), application: Option<i64>) -> Offset {
    let known = end_seen.map_or(next, |end| next.max(Offset(end)));
    match application {
        Some(application) if notice.is_none_or(|notice| application != notice.saturating_add(1)) => {
            known.max(Offset(application))
        }
        _ => known,
    }
}

/// A record of its own.
///
/// Keeping librdkafka's messages instead of copies would pin what they point into, the whole answer to a fetch (1 MiB and
/// more), and the client itself, whose closing would then wait for the last record. It is also slower for small records:
/// 270 ns against 170 ns at 100 bytes, two owners and a count against one copy. From about 500 bytes on it would be faster
/// (250 ns against 700 ns at 1000 bytes, measured on a busy machine).
fn record(arena: &mut Arena, at: &TopicPartition, message: &Message<'_>) -> ConsumedRecord {
    let (key, value) = arena.pair(message.key(), message.value());
    let mut headers = Headers::new();
    for (name, value) in message.headers() {
        headers.push(name, value.map(|value| arena.copy(value)));
    }
    ConsumedRecord {
        source: at.clone(),
        offset: Offset(message.offset()),
        timestamp: Timestamp::from_millis(message.timestamp()),
        key,
        value,
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_passes_markers_and_is_never_one_too_far() {
        let at = |next, end, application| position(Offset(next), (end, end), application).0;
        // p-0: 10 rec + C, nothing read yet; all read; the marker passed; the end told.
        assert_eq!(at(0, None, None), 0);
        assert_eq!(at(10, None, Some(10)), 10);
        assert_eq!(at(10, None, Some(11)), 11);
        assert_eq!(at(10, Some(11), Some(12)), 11, "the notice of the end counts as no record");
        // One more record and its marker: passed at once, also right behind the notice.
        assert_eq!(at(12, Some(11), Some(13)), 13);
        assert_eq!(at(12, Some(11), Some(12)), 12);
        // The tail is a batch that compaction emptied: only the broker knows.
        assert_eq!(at(10, Some(25), Some(26)), 25);
        // A failure that passes, told at 10: the record there is still to come.
        let failed = |next, application| position(Offset(next), (None, Some(10)), application).0;
        assert_eq!((failed(10, Some(11)), failed(11, Some(11)), failed(11, Some(12))), (10, 11, 12));
    }
}
