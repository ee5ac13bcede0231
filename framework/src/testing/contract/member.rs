//! A group member that a fact drives.

use std::collections::BTreeSet;

use crate::broker::{Broker, Consumer, MemberConfig, Polled, Rebalance};
use crate::error::Recovery;
use crate::record::{ConsumedRecord, Offset, TopicName, TopicPartition};

use super::{Fixture, POLL, STEP, wait_until};

/// A member that confirms every rebalance at once and remembers what it saw.
pub(super) struct Member<B: Broker> {
    pub(super) consumer: B::Consumer,
    pub(super) owned: Vec<TopicPartition>,
    pub(super) records: Vec<ConsumedRecord>,
    pub(super) rebalances: Vec<Rebalance>,
}

impl<B: Broker> Member<B> {
    /// Subscribed; joins with its first turns.
    pub(super) fn subscribe(broker: &B, group_id: &str, instance: &str, topics: &[TopicName]) -> Self {
        let config = MemberConfig { group_id: group_id.to_owned(), group_instance_id: instance.to_owned() };
        let mut consumer = broker.consumer(&config).unwrap();
        consumer.subscribe(topics).unwrap();
        Self { consumer, owned: Vec::new(), records: Vec::new(), rebalances: Vec::new() }
    }

    /// The only member of a group, with all partitions of one topic.
    pub(super) fn alone<F>(fixture: &mut F, broker: &B, group_id: &str, topic: &TopicName) -> Self
    where
        F: Fixture<Broker = B>,
    {
        let mut member = Self::subscribe(broker, group_id, &format!("{group_id}-a-0"), std::slice::from_ref(topic));
        wait_until(fixture, "the member has its assignment", |_| {
            member.turn();
            !member.owned.is_empty()
        });
        member
    }

    /// One poll. A rebalance is confirmed, records are kept.
    pub(super) fn turn(&mut self) {
        match self.consumer.poll(POLL) {
            Ok(Polled::Records(records)) => self.records.extend(records),
            Ok(Polled::Rebalance(change)) => {
                self.consumer.acknowledge().unwrap();
                self.owned = match &change {
                    Rebalance::Assign(partitions) => partitions.clone(),
                    Rebalance::Revoke(_) | Rebalance::Lost(_) => Vec::new(),
                };
                self.owned.sort();
                self.rebalances.push(change);
            }
            Ok(Polled::Idle) => {}
            Err(error) => assert_eq!(error.recovery(), Recovery::Retry, "poll: {error}"),
        }
    }

    /// Turns in which nothing is expected.
    pub(super) fn idle<F: Fixture>(&mut self, fixture: &mut F) {
        for _ in 0..5 {
            self.turn();
            fixture.pass(STEP);
        }
    }

    /// Takes turns until it has read so many records in all.
    pub(super) fn read<F: Fixture>(&mut self, fixture: &mut F, count: usize) {
        wait_until(fixture, "the records are read", |_| {
            self.turn();
            self.records.len() >= count
        });
        assert_eq!(self.records.len(), count, "more records than expected");
    }

    /// Reads an owned partition from there.
    pub(super) fn start_at(&mut self, at: &TopicPartition, offset: i64) {
        self.consumer.start_at(at, Offset(offset)).unwrap();
    }
}

/// All members take turns until each owns as many partitions as expected.
pub(super) fn settle<F: Fixture>(fixture: &mut F, members: &mut [&mut Member<F::Broker>], owned: &[usize]) {
    wait_until(fixture, "the members have their shares", |_| {
        for member in members.iter_mut() {
            member.turn();
        }
        let have: Vec<usize> = members.iter().map(|member| member.owned.len()).collect();
        have == owned
    });
    let all: Vec<&TopicPartition> = members.iter().flat_map(|member| &member.owned).collect();
    let distinct: BTreeSet<&TopicPartition> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "a partition has two owners: {all:?}");
}
