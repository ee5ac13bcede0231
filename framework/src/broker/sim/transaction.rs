//! The transaction coordinator's state by `transactional.id`: Kafka's classic transactions (`transaction.version` 0/1).
//!
//! ```text
//! Empty ─▶ Ongoing ─▶ PrepareCommit ─▶ CompleteCommit ─▶ Ongoing …
//!             └─────▶ PrepareAbort  ─▶ CompleteAbort  ─▶ Ongoing …
//! ```
//!
//! The decision is durable at `Prepare…`, and that is when the client is answered; the markers follow one by one and may
//! be late. There is no KIP-890 epoch bump per transaction, as with librdkafka: **an `EndTxn` of an earlier transaction
//! that arrives late ends the one that is open now**. What follows then is what Kafka 4 does:
//!
//! - a partition whose marker was written has no open transaction, so the leader asks the coordinator at the next
//!   produce; the partition is not part of an ongoing transaction: `INVALID_TXN_STATE`;
//! - a partition or group that the client *adds* after that opens a new transaction with the same epoch, and the client's
//!   own `EndTxn` later ends that one. The first half is committed although the application never said so: a torn
//!   transaction;
//! - an `EndTxn` for what has just been ended the same way is answered with success (it looks like a retry).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::TopicPartition;
use crate::time::Timestamp;

use super::code::ErrorCode;
use super::log::ProducerStamp;

/// Where a marker goes. Groups sort first, but every marker is written on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarkerTarget {
    /// The offsets of a group, in `__consumer_offsets`.
    Group(String),
    /// A partition.
    Partition(TopicPartition),
}

/// All transactional ids.
#[derive(Default)]
pub(super) struct Transactions {
    by_id: BTreeMap<String, Transactional>,
    producers_made: u64,
}

struct Transactional {
    stamp: ProducerStamp,
    state: State,
}

enum State {
    Empty,
    Ongoing { started: Timestamp, targets: BTreeSet<MarkerTarget> },
    Prepare { commit: bool, missing: BTreeSet<MarkerTarget> },
    Complete { commit: bool },
}

/// What `InitProducerId` leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// This is the new producer.
    Ready(ProducerStamp),
    /// The predecessor is fenced; its open transaction must be aborted by these markers first.
    AbortFirst(Vec<MarkerTarget>),
}

impl Transactions {
    /// `InitProducerId`: fences the predecessor.
    pub(super) fn init(&mut self, id: &str) -> Result<Init, ErrorCode> {
        let Some(known) = self.by_id.get_mut(id) else {
            self.producers_made += 1;
            let stamp = ProducerStamp { id: self.producers_made, epoch: 0 };
            self.by_id.insert(id.to_owned(), Transactional { stamp, state: State::Empty });
            return Ok(Init::Ready(stamp));
        };
        match known.state {
            State::Prepare { .. } => Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing { .. } => Ok(Init::AbortFirst(known.fence())),
            State::Empty | State::Complete { .. } => {
                known.stamp.epoch += 1;
                known.state = State::Empty;
                Ok(Init::Ready(known.stamp))
            }
        }
    }

    /// `AddPartitionsToTxn` and `AddOffsetsToTxn`: opens the transaction when none is open.
    pub(super) fn add(
        &mut self,
        id: &str,
        producer: ProducerStamp,
        target: MarkerTarget,
        now: Timestamp,
    ) -> Result<(), ErrorCode> {
        let known = self.current(id, producer)?;
        match &mut known.state {
            State::Prepare { .. } => return Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing { targets, .. } => {
                targets.insert(target);
            }
            State::Empty | State::Complete { .. } => {
                known.state = State::Ongoing { started: now, targets: BTreeSet::from([target]) };
            }
        }
        Ok(())
    }

    /// Whether the target is part of the producer's ongoing transaction: what partition leaders verify (KIP-890, part 1).
    pub(super) fn verify(&mut self, id: &str, producer: ProducerStamp, target: &MarkerTarget) -> Result<(), ErrorCode> {
        match &self.current(id, producer)?.state {
            State::Ongoing { targets, .. } if targets.contains(target) => Ok(()),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// `EndTxn`: decides, and tells which markers are to be written; none for a repeated request.
    pub(super) fn end(
        &mut self,
        id: &str,
        producer: ProducerStamp,
        commit: bool,
    ) -> Result<Vec<MarkerTarget>, ErrorCode> {
        let known = self.current(id, producer)?;
        match &mut known.state {
            State::Ongoing { targets, .. } => {
                let missing = std::mem::take(targets);
                let markers = missing.iter().cloned().collect();
                known.state = State::Prepare { commit, missing };
                Ok(markers)
            }
            State::Prepare { commit: decided, .. } if *decided == commit => Err(ErrorCode::ConcurrentTransactions),
            State::Complete { commit: decided } if *decided == commit => Ok(Vec::new()),
            State::Empty | State::Prepare { .. } | State::Complete { .. } => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Who writes a marker, and whether it commits; `None` when no marker is due there.
    pub(super) fn marker(&self, id: &str, target: &MarkerTarget) -> Option<(ProducerStamp, bool)> {
        let known = self.by_id.get(id)?;
        match &known.state {
            State::Prepare { commit, missing } if missing.contains(target) => Some((known.stamp, *commit)),
            _ => None,
        }
    }

    /// A marker has been written; after the last one the transaction is complete.
    pub(super) fn marker_written(&mut self, id: &str, target: &MarkerTarget) {
        if let Some(known) = self.by_id.get_mut(id)
            && let State::Prepare { commit, missing } = &mut known.state
        {
            missing.remove(target);
            if missing.is_empty() {
                known.state = State::Complete { commit: *commit };
            }
        }
    }

    /// Fences the producers whose transaction is open for longer than `timeout`; gives the markers that abort them.
    pub(super) fn expire(&mut self, now: Timestamp, timeout: Duration) -> Vec<(String, Vec<MarkerTarget>)> {
        let late = |known: &Transactional| match known.state {
            State::Ongoing { started, .. } => started.plus(timeout) <= now,
            _ => false,
        };
        let expired = self.by_id.iter_mut().filter(|(_, known)| late(known));
        expired.map(|(id, known)| (id.clone(), known.fence())).collect()
    }

    /// Ids whose transaction is open, or whose markers are not all written.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let open = |known: &Transactional| matches!(known.state, State::Ongoing { .. } | State::Prepare { .. });
        self.by_id.iter().filter(|(_, known)| open(known)).map(|(id, _)| id.clone()).collect()
    }

    fn current(&mut self, id: &str, producer: ProducerStamp) -> Result<&mut Transactional, ErrorCode> {
        self.by_id.get_mut(id).filter(|known| known.stamp == producer).ok_or(ErrorCode::ProducerFenced)
    }
}

impl Transactional {
    /// Bumps the epoch and decides to abort what is open.
    fn fence(&mut self) -> Vec<MarkerTarget> {
        self.stamp.epoch += 1;
        let State::Ongoing { targets, .. } = &mut self.state else { return Vec::new() };
        let missing = std::mem::take(targets);
        let markers = missing.iter().cloned().collect();
        self.state = State::Prepare { commit: false, missing };
        markers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    fn target(partition: i32) -> MarkerTarget {
        MarkerTarget::Partition(TopicPartition::new("t", Partition(partition)))
    }

    fn ready(transactions: &mut Transactions) -> ProducerStamp {
        match transactions.init("id").unwrap() {
            Init::Ready(stamp) => stamp,
            Init::AbortFirst(_) => panic!("nothing is open"),
        }
    }

    #[test]
    fn init_fences_the_predecessor_and_waits_for_its_markers() {
        let mut transactions = Transactions::default();
        let old = ready(&mut transactions);
        transactions.add("id", old, target(0), Timestamp::EPOCH).unwrap();
        assert_eq!(transactions.init("id"), Ok(Init::AbortFirst(vec![target(0)])));
        assert_eq!(transactions.end("id", old, true), Err(ErrorCode::ProducerFenced));
        assert_eq!(transactions.init("id"), Err(ErrorCode::ConcurrentTransactions));
        assert!(!transactions.marker("id", &target(0)).unwrap().1);
        transactions.marker_written("id", &target(0));
        let new = ready(&mut transactions);
        assert_eq!((new.id, new.epoch), (old.id, old.epoch + 2));
    }

    #[test]
    fn a_late_request_of_the_same_epoch_ends_the_next_transaction() {
        let mut transactions = Transactions::default();
        let producer = ready(&mut transactions);
        for round in 0..2 {
            transactions.add("id", producer, target(round), Timestamp::EPOCH).unwrap();
            assert_eq!(transactions.end("id", producer, true), Ok(vec![target(round)]));
            transactions.marker_written("id", &target(round));
        }
        assert_eq!(transactions.end("id", producer, true), Ok(Vec::new()), "looks like a retry");
        assert_eq!(transactions.end("id", producer, false), Err(ErrorCode::InvalidTxnState));
        assert_eq!(transactions.verify("id", producer, &target(1)), Err(ErrorCode::InvalidTxnState));
    }

    #[test]
    fn a_transaction_is_aborted_at_its_timeout_and_its_producer_fenced() {
        let mut transactions = Transactions::default();
        let producer = ready(&mut transactions);
        transactions.add("id", producer, target(0), Timestamp::from_millis(5)).unwrap();
        let timeout = Duration::from_millis(10);
        assert_eq!(transactions.expire(Timestamp::from_millis(14), timeout), []);
        assert_eq!(transactions.expire(Timestamp::from_millis(15), timeout).len(), 1);
        assert_eq!(transactions.end("id", producer, true), Err(ErrorCode::ProducerFenced));
        assert_eq!(transactions.unfinished(), ["id"]);
    }
}
