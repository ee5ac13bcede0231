//! Records waiting to be processed by one task: the partition whose first record is oldest goes first.

use std::collections::{BTreeMap, VecDeque};

use crate::record::{ConsumedRecord, Offset, TopicPartition};
use crate::time::Timestamp;

#[derive(Debug, Default)]
struct PartitionQueue {
    records: VecDeque<ConsumedRecord>,
    bytes: usize,
    paused: bool,
}

/// The input buffers of a task, one per partition.
#[derive(Debug)]
pub(crate) struct InputQueues {
    queues: BTreeMap<TopicPartition, PartitionQueue>,
}

impl InputQueues {
    pub(crate) fn new(partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        Self { queues: partitions.into_iter().map(|partition| (partition, PartitionQueue::default())).collect() }
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.queues.keys()
    }

    /// Adds records of a partition at its end. Those of a partition that is not ours are dropped.
    pub(crate) fn push(&mut self, partition: &TopicPartition, records: impl Iterator<Item = ConsumedRecord>) {
        let Some(queue) = self.queues.get_mut(partition) else { return records.for_each(drop) };
        for record in records {
            queue.bytes += record.size();
            queue.records.push_back(record);
        }
    }

    /// The oldest first record by event time; on a tie the partition that sorts first.
    pub(crate) fn pop(&mut self) -> Option<ConsumedRecord> {
        let queue = if self.queues.len() == 1 {
            self.queues.values_mut().next()?
        } else {
            let heads = self.queues.values_mut().filter(|queue| !queue.records.is_empty());
            heads.min_by_key(|queue| queue.records.front().map(|record| record.timestamp))?
        };
        let record = queue.records.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(record.size());
        Some(record)
    }

    /// The offset of the first record that waits in a partition.
    pub(crate) fn head(&self, partition: &TopicPartition) -> Option<Offset> {
        self.queues.get(partition)?.records.front().map(|record| record.offset)
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.records.len()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.queues.values().map(|queue| queue.bytes).sum()
    }

    /// The event time of the first record that waits in a partition.
    pub(crate) fn head_time(&self, partition: &TopicPartition) -> Option<Timestamp> {
        self.queues.get(partition)?.records.front().map(|record| record.timestamp)
    }

    pub(crate) fn clear(&mut self) {
        for queue in self.queues.values_mut() {
            *queue = PartitionQueue::default();
        }
    }

    /// Partitions that have just become too full (to pause), and those that have drained to half (to resume). When the thread
    /// is full, all are: what is left waits for no other partition, so that it drains.
    pub(crate) fn backpressure(&mut self, limit: BufferLimit) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (partition, queue) in &mut self.queues {
            let records = queue.records.len();
            if !queue.paused && (records > limit.records || limit.full) {
                queue.paused = true;
                pause.push(partition.clone());
            } else if queue.paused && records <= limit.records / 2 && limit.drained {
                queue.paused = false;
                resume.push(partition.clone());
            }
        }
        (pause, resume)
    }
}

/// When a partition is paused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BufferLimit {
    /// How many records may wait in its buffer.
    pub(crate) records: usize,
    /// All buffers of the thread hold more bytes than they may.
    pub(crate) full: bool,
    /// They hold no more than half of that.
    pub(crate) drained: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Partition};

    fn tp(topic: &str) -> TopicPartition {
        TopicPartition::new(topic, Partition(0))
    }

    fn record(topic: &str, offset: i64, ms: i64) -> ConsumedRecord {
        ConsumedRecord {
            source: tp(topic),
            offset: Offset(offset),
            timestamp: Timestamp::from_millis(ms),
            key: None,
            value: Some(bytes::Bytes::from_static(b"12345678")),
            headers: Headers::new(),
        }
    }

    fn push(queues: &mut InputQueues, record: ConsumedRecord) {
        queues.push(&record.source.clone(), std::iter::once(record));
    }

    #[test]
    fn the_oldest_head_goes_first_and_offsets_keep_their_order() {
        let mut queues = InputQueues::new([tp("a"), tp("b")]);
        for record in [record("a", 0, 5), record("a", 1, 1), record("b", 0, 3), record("b", 1, 6)] {
            push(&mut queues, record);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| queues.pop()).map(|r| (r.source.topic.to_string(), r.offset.0)).collect();
        // a: 5 1, b: 3 6. The 1 behind the 5 must wait for it.
        let expected = [("b", 0), ("a", 0), ("a", 1), ("b", 1)].map(|(topic, offset)| (topic.to_owned(), offset));
        assert_eq!(order, expected);
    }

    #[test]
    fn a_queue_that_is_alone_keeps_its_order_and_counts_its_bytes() {
        let mut queues = InputQueues::new([tp("a")]);
        assert_eq!(queues.pop(), None);
        for (offset, ms) in [(0, 5), (1, 1), (2, 3)] {
            push(&mut queues, record("a", offset, ms));
        }
        let order: Vec<_> = std::iter::from_fn(|| queues.pop()).map(|record| record.offset.0).collect();
        assert_eq!((order, queues.len(), queues.bytes()), (vec![0, 1, 2], 0, 0));
    }

    #[test]
    fn a_full_partition_pauses_once_and_resumes_at_half() {
        let mut queues = InputQueues::new([tp("a")]);
        let limit = BufferLimit { records: 2, full: false, drained: true };
        for offset in 0..3 {
            push(&mut queues, record("a", offset, offset));
        }
        assert_eq!(queues.backpressure(limit), (vec![tp("a")], vec![]));
        assert_eq!(queues.backpressure(limit), (vec![], vec![]));
        queues.pop();
        assert_eq!(queues.backpressure(limit), (vec![], vec![]), "two is more than half");
        queues.pop();
        assert_eq!(queues.backpressure(limit), (vec![], vec![tp("a")]));
    }

    #[test]
    fn a_full_thread_pauses_every_partition_until_it_has_drained() {
        let mut queues = InputQueues::new([tp("a"), tp("b")]);
        let mut at = |full, drained| queues.backpressure(BufferLimit { records: 2, full, drained });
        assert_eq!(at(true, false), (vec![tp("a"), tp("b")], vec![]));
        assert_eq!(at(false, false), (vec![], vec![]));
        assert_eq!(at(false, true), (vec![], vec![tp("a"), tp("b")]));
    }

    #[test]
    fn a_record_of_a_foreign_partition_is_dropped() {
        let mut queues = InputQueues::new([tp("a")]);
        push(&mut queues, record("b", 0, 0));
        assert_eq!(queues.len(), 0);
    }
}
