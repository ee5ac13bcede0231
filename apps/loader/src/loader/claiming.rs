//! From assigned to running: claim, learn the offset, start there.

use std::collections::BTreeMap;
use std::time::Instant;

use millpond::broker::{Broker, BrokerError, BrokerErrorKind, CommittedOffset, Consumer, TopicId};
use millpond::record::{TopicName, TopicPartition};

use super::Loader;
use crate::config::StartPolicy;
use crate::dead_letter::letters_before;
use crate::error::Error;
use crate::partitions::{Running, State, UnknownCommit};
use crate::postgres::{self, Claim};

/// How often an answer that nothing is committed is doubted.
const MISSING_OFFSETS_MAX: u32 = 5;

impl<B: Broker> Loader<B> {
    /// Claims every partition that waits for it.
    pub(super) fn claim_waiting(&mut self) -> Result<(), Error> {
        let waiting = self.partitions.waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        match self.claim_all(waiting) {
            Ok(()) => {
                self.backoff.recovered(Instant::now());
                self.missing_offsets = 0;
                self.tell_partitions();
                Ok(())
            }
            Err(error) => self.stand_down(error, &[]),
        }
    }

    /// A partition stays fenced for a moment only, until the group tells the loser. If not, two loaders that know nothing
    /// of each other share the database's claims: end instead of standing still in silence.
    pub(super) fn check_fenced(&self, now: Instant) -> Result<(), Error> {
        match self.partitions.fenced() {
            Some((partition, since)) if now.saturating_duration_since(since) >= self.config.give_up_after => {
                Err(Error::Fenced { partition: partition.clone() })
            }
            _ => Ok(()),
        }
    }

    fn claim_all(&mut self, waiting: Vec<(TopicPartition, State)>) -> Result<(), Error> {
        let timeout = self.config.kafka_timeout;
        // First the producer: it ends a transaction of ours whose outcome is not known, which the next call waits for.
        self.ledger.ready(&self.broker)?;
        millpond::failpoint!("loader.before_claim");
        let partitions: Vec<TopicPartition> = waiting.iter().map(|(partition, _)| partition.clone()).collect();
        let committed = self.member()?.committed(&partitions, timeout)?;
        let topics = self.broker.describe_topics(&self.config.routes.topics())?;
        let ids: BTreeMap<TopicName, TopicId> = topics.into_iter().map(|(name, topic)| (name, topic.id)).collect();
        for (partition, state) in waiting {
            let unknown = if let State::Renewing(unknown) = state { unknown } else { None };
            let claim = match state {
                State::Renewing(_) => self.database.renew(&self.claimant, &partition)?,
                _ => Some(self.claim(&partition, &ids)?),
            };
            if let Some(claim) = claim {
                millpond::failpoint!("loader.after_claim");
                self.resolve(unknown, claim)?;
                let committed = committed.get(&partition).and_then(Option::as_ref);
                self.believe(claim, committed)?;
                self.start(&partition, claim, committed)?;
            } else {
                tracing::error!(%partition, "another loader has claimed it");
                self.partitions.set(partition, State::Fenced(Instant::now()));
            }
        }
        Ok(())
    }

    fn claim(&mut self, partition: &TopicPartition, ids: &BTreeMap<TopicName, TopicId>) -> Result<Claim, Error> {
        let timeout = self.config.kafka_timeout;
        let range = self.member()?.log_range(partition, timeout)?;
        let first = match self.config.start {
            StartPolicy::Earliest => range.start,
            StartPolicy::Latest => range.end,
        };
        let missing = || Error::MissingTopic { topic: partition.topic.clone() };
        let id = *ids.get(&partition.topic).ok_or_else(missing)?;
        Ok(self.database.claim(&self.claimant, partition, first, id)?)
    }

    /// A coordinator that has just moved may answer that nothing is committed; without the mark, dead letters could be
    /// repeated. So a partition that was claimed before is asked for a few times. Then it is true: the group was deleted,
    /// or has expired.
    fn believe(&mut self, claim: Claim, committed: Option<&CommittedOffset>) -> Result<(), Error> {
        if claim.epoch > 1 && committed.is_none() && self.missing_offsets < MISSING_OFFSETS_MAX {
            self.missing_offsets = self.missing_offsets.saturating_add(1);
            let reason = "the group has no offset of a partition that was loaded before";
            return Err(BrokerError::new("offset_fetch", BrokerErrorKind::Retriable, reason).into());
        }
        Ok(())
    }

    /// Counts how an unknown COMMIT ended.
    fn resolve(&self, unknown: Option<UnknownCommit>, claim: Claim) -> Result<(), Error> {
        let Some(unknown) = unknown else { return Ok(()) };
        let invariant = "the offset of a partition that is still ours is that before or after our last commit";
        let committed = unknown.committed(claim.next).ok_or(postgres::Error::Bug { invariant })?;
        self.status.update(|status| {
            let counter = if committed { &mut status.unknown_committed } else { &mut status.unknown_rolled_back };
            *counter = counter.saturating_add(1);
        });
        Ok(())
    }

    fn start(
        &mut self,
        partition: &TopicPartition,
        claim: Claim,
        committed: Option<&CommittedOffset>,
    ) -> Result<(), Error> {
        let timeout = self.config.kafka_timeout;
        let consumer = self.member()?;
        // After the claim: an end that was read before could be behind what a predecessor committed since.
        let range = consumer.log_range(partition, timeout)?;
        if claim.next < range.start || claim.next > range.end {
            let (partition, next) = (partition.clone(), claim.next);
            return Err(Error::OutsideLog { partition, next, start: range.start, end: range.end });
        }
        consumer.start_at(partition, claim.next)?;
        consumer.resume(std::slice::from_ref(partition))?;
        if consumer.membership() != self.membership {
            let reason = "the group has moved on";
            return Err(BrokerError::new("start", BrokerErrorKind::Retriable, reason).into());
        }
        tracing::info!(%partition, epoch = claim.epoch, next = %claim.next, "claimed");
        let displayed = committed.map(|committed| committed.next);
        let running = Running { claim, letters_before: letters_before(committed), displayed };
        self.partitions.set(partition.clone(), State::Running(running));
        Ok(())
    }
}
