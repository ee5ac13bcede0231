//! Transactional requests: what the transaction coordinator, partition leaders and the group's coordinator do together.

use std::collections::BTreeMap;

use crate::broker::{CommittedOffset, Membership};
use crate::record::{Offset, ProducerRecord, TopicPartition};

use super::cluster::{Cluster, Request};
use super::code::ErrorCode;
use super::log::ProducerStamp;
use super::trace::What;
use super::transaction::{Init, MarkerTarget};

impl Cluster {
    /// `InitProducerId`: fences the predecessor and aborts what it left open.
    ///
    /// `ConcurrentTransactions` while a marker of the predecessor is on its way; it is fenced already then.
    pub(super) fn init_producer(&mut self, id: &str) -> Result<ProducerStamp, ErrorCode> {
        let mut init = self.transactions.init(id)?;
        if let Init::AbortFirst(markers) = init {
            self.note(id, What::Decided(false));
            self.spread_markers(id, markers);
            init = self.transactions.init(id)?;
        }
        match init {
            Init::Ready(stamp) => {
                self.note(id, What::Initialised(stamp.epoch));
                Ok(stamp)
            }
            Init::AbortFirst(_) => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    /// `AddPartitionsToTxn`.
    pub(super) fn add_partition(
        &mut self,
        id: &str,
        producer: ProducerStamp,
        at: &TopicPartition,
    ) -> Result<(), ErrorCode> {
        self.transactions.add(id, producer, MarkerTarget::Partition(at.clone()), self.now)
    }

    /// `Produce` at the partition's leader. A leader without an open transaction of this producer asks the coordinator
    /// first; one that has an open transaction appends without asking, so a fenced producer's record may still be
    /// written until the abort marker comes: it is aborted by that marker.
    pub(super) fn produce(
        &mut self,
        id: &str,
        producer: ProducerStamp,
        record: ProducerRecord,
    ) -> Result<Offset, ErrorCode> {
        self.topics.accepts(&record)?;
        let at = record.target.clone();
        let log = self.topics.log_mut(&at)?;
        log.check_epoch(producer)?;
        if !log.has_open(producer.id) {
            self.transactions.verify(id, producer, &MarkerTarget::Partition(at.clone()))?;
        }
        let offset = log.append(record, Some(producer));
        self.note(id, What::Wrote(at, offset));
        Ok(offset)
    }

    /// `AddOffsetsToTxn`, then `TxnOffsetCommit` at the group's coordinator.
    pub(super) fn send_offsets(
        &mut self,
        (id, producer): (&str, ProducerStamp),
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), ErrorCode> {
        let target = MarkerTarget::Group(group_id.to_owned());
        self.transactions.add(id, producer, target.clone(), self.now)?;
        let group = self.groups.entry(group_id.to_owned()).or_default();
        group.check_epoch(producer.id, producer.epoch)?;
        if !group.has_pending(producer.id) {
            self.transactions.verify(id, producer, &target)?;
        }
        group.check_membership(membership)?;
        group.add_pending(producer.id, offsets)?;
        self.note(id, What::SentOffsets(offsets.len()));
        Ok(())
    }

    /// Which group a producer's offsets belong to. A real client has `group.id` in the same configuration; here it is
    /// the group that knows the member, else the group with a member of the same instance (its id is the transactional
    /// id), else the only group there is.
    pub(super) fn group_of(&self, transactional_id: &str, membership: &Membership) -> Option<String> {
        let knows = self.groups.iter().find(|(_, group)| group.ever_knew(&membership.member_id));
        let twin = || self.groups.iter().find(|(_, group)| group.member_of(transactional_id).is_some());
        let only = || self.groups.iter().next().filter(|_| self.groups.len() == 1);
        knows.or_else(twin).or_else(only).map(|(name, _)| name.clone())
    }

    /// `EndTxn`: answered when the decision is durable; the markers follow.
    pub(super) fn end_txn(&mut self, id: &str, producer: ProducerStamp, commit: bool) -> Result<(), ErrorCode> {
        let markers = self.transactions.end(id, producer, commit)?;
        if !markers.is_empty() {
            self.note(id, What::Decided(commit));
            self.spread_markers(id, markers);
        }
        Ok(())
    }

    /// Writes the markers of a decided transaction, except those that are delayed. Each is a step of its own, so the
    /// offsets of a transaction may be visible before its records are (KAFKA-10167), and the other way round.
    pub(super) fn spread_markers(&mut self, id: &str, markers: Vec<MarkerTarget>) {
        for target in markers {
            match self.marker_delay(id, &target) {
                Some(delay) => self.delay(delay, Request::WriteMarker { id: id.to_owned(), target }),
                None => self.write_marker(id, &target),
            }
        }
    }

    pub(super) fn write_marker(&mut self, id: &str, target: &MarkerTarget) {
        let Some((producer, commit)) = self.transactions.marker(id, target) else { return };
        let shown = match target {
            MarkerTarget::Group(group) => {
                self.group(group).end_transaction(producer.id, producer.epoch, commit);
                group.clone()
            }
            MarkerTarget::Partition(at) => {
                let now = self.now;
                // A topic deleted in the meantime needs no marker.
                if let Ok(log) = self.topics.log_mut(at) {
                    log.append_marker(producer, commit, now);
                }
                at.to_string()
            }
        };
        self.note(id, What::Marked(shown, commit));
        self.transactions.marker_written(id, target);
    }
}
