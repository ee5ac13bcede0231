//! What the core expects of a broker, as facts that run on the simulated and on a real one alike, so that the simulation
//! cannot drift into a lie.
//!
//! Each fact is a function over a [`Fixture`]; it panics with what it found. [`all`] lists them for another crate to run on
//! real Kafka. They never sleep: time passes through [`Fixture::pass`], and every expectation that a real cluster fulfils
//! only after a while is waited for, with a limit. Topics and groups have unique names, so that facts share a cluster.
//!
//! Settings a real fixture needs: classic protocol, `range`, static members, short limits (see [`Limits`]), a member that
//! looks for new partitions every second (`topic.metadata.refresh.interval.ms`), and a broker that looks every few hundred
//! milliseconds for what to compact and delete (`log.cleaner.backoff.ms`, `log.retention.check.interval.ms`,
//! `log.initial.task.delay.ms`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a fact is a test: it panics with what it found"
)]

mod compaction;
mod ending;
mod fencing;
mod group;
mod growth;
mod member;
mod reading;
mod refusal;
mod topics;
mod transaction;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, BrokerError, ChangelogReader, CommittedOffset, LogRange, Producer};
use crate::error::Recovery;
use crate::record::{ConsumedRecord, Headers, Offset, Partition, ProducerRecord, TopicName, TopicPartition};
use crate::time::Timestamp;

pub use compaction::*;
pub use ending::*;
pub use fencing::*;
pub use group::*;
pub use growth::*;
pub use reading::*;
pub use refusal::*;
pub use topics::*;
pub use transaction::*;

/// What a fact does to the cluster from outside.
pub trait Fixture {
    /// The broker under test.
    type Broker: Broker;

    /// A connection of the application with that `group.id`.
    fn broker(&mut self, group_id: &str) -> Self::Broker;

    /// A name that was never used on this cluster, beginning with `stem`.
    fn unique(&mut self, stem: &str) -> String;

    /// Creates a topic.
    fn create_topic(&mut self, topic: &str, partitions: i32);

    /// Deletes a topic; returns when it is gone.
    fn delete_topic(&mut self, topic: &str);

    /// Adds partitions to a topic, so that it has so many.
    fn grow_topic(&mut self, topic: &str, partitions: i32);

    /// Compacts everything of a topic that may be: what lies before the newest record, and before the last stable offset.
    /// Deletions are older than `delete.retention.ms` by now, or are not. A real cluster does all of it by itself, by the
    /// settings that a fact gives the topic; the fact waits for what comes of it.
    fn compact(&mut self, topic: &str, old_deletions: bool);

    /// Retention takes what is older than that. A real cluster does so by itself, as with [`compact`](Self::compact).
    fn expire(&mut self, topic: &str, before: Timestamp);

    /// Appends records by a producer without transactions, in order; returns when they are acknowledged.
    fn append(&mut self, records: Vec<ProducerRecord>);

    /// All records of a topic that a new reader with `read_committed` gets now, by partition and offset.
    fn read_committed(&mut self, topic: &str) -> Vec<ConsumedRecord>;

    /// The cluster's clock.
    fn now(&self) -> Timestamp;

    /// Lets time pass: the clock is advanced, or the thread sleeps.
    fn pass(&mut self, time: Duration);

    /// The limits that the clients of [`broker`](Self::broker) run with.
    fn limits(&self) -> Limits;
}

/// Time limits of clients and cluster. Short ones make the suite fast on a real cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `transaction.timeout.ms`, plus how seldom the coordinator looks: the latest time of the abort.
    pub transaction: Duration,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
}

/// A fact with its name.
pub type Fact<F> = (&'static str, fn(&mut F));

/// Every fact, in an order that goes from the simple to the involved.
#[expect(clippy::too_many_lines, reason = "a list of names, each once as text and once as a function")]
pub fn all<F: Fixture>() -> Vec<Fact<F>> {
    vec![
        ("a_topic_is_created_once_and_described", a_topic_is_created_once_and_described),
        ("a_recreated_topic_has_another_id", a_recreated_topic_has_another_id),
        ("deleted_records_move_the_start_of_the_log", deleted_records_move_the_start_of_the_log),
        ("reading_before_the_start_of_the_log_is_an_error", reading_before_the_start_of_the_log_is_an_error),
        ("reading_past_the_end_of_the_log_is_an_error", reading_past_the_end_of_the_log_is_an_error),
        ("a_topic_tells_its_settings", a_topic_tells_its_settings),
        ("records_that_may_not_be_deleted_stay", records_that_may_not_be_deleted_stay),
        (
            "retention_moves_the_start_of_the_log_and_skips_nothing",
            retention_moves_the_start_of_the_log_and_skips_nothing,
        ),
        (
            "compaction_keeps_the_last_value_of_each_key_and_every_offset",
            compaction_keeps_the_last_value_of_each_key_and_every_offset,
        ),
        ("compaction_keeps_a_deletion_until_it_is_old", compaction_keeps_a_deletion_until_it_is_old),
        ("compaction_drops_a_deletion_that_is_old", compaction_drops_a_deletion_that_is_old),
        ("compaction_decides_by_what_is_committed", compaction_decides_by_what_is_committed),
        ("an_open_transaction_holds_compaction_back", an_open_transaction_holds_compaction_back),
        ("a_record_comes_back_as_it_was_sent", a_record_comes_back_as_it_was_sent),
        ("a_record_that_is_too_large_is_rejected", a_record_that_is_too_large_is_rejected),
        ("a_record_for_a_missing_partition_is_rejected", a_record_for_a_missing_partition_is_rejected),
        (
            "a_record_without_a_key_is_rejected_by_a_compacted_topic",
            a_record_without_a_key_is_rejected_by_a_compacted_topic,
        ),
        ("a_transaction_appears_as_a_whole", a_transaction_appears_as_a_whole),
        ("an_empty_transaction_commits", an_empty_transaction_commits),
        ("a_commit_tells_the_last_offset_of_each_partition", a_commit_tells_the_last_offset_of_each_partition),
        ("deliveries_are_told_by_their_number", deliveries_are_told_by_their_number),
        (
            "a_commit_that_was_started_has_everything_when_it_is_told",
            a_commit_that_was_started_has_everything_when_it_is_told,
        ),
        (
            "a_commit_that_was_started_by_a_stranger_commits_nothing",
            a_commit_that_was_started_by_a_stranger_commits_nothing,
        ),
        ("a_successor_aborts_what_its_predecessor_left_open", a_successor_aborts_what_its_predecessor_left_open),
        ("a_fenced_predecessor_commits_nothing", a_fenced_predecessor_commits_nothing),
        ("an_open_transaction_holds_the_last_stable_offset", an_open_transaction_holds_the_last_stable_offset),
        ("a_transaction_open_for_too_long_is_aborted", a_transaction_open_for_too_long_is_aborted),
        ("positions_pass_markers_and_aborted_records", positions_pass_markers_and_aborted_records),
        ("records_come_only_after_confirmation_and_start", records_come_only_after_confirmation_and_start),
        ("a_start_rewinds_and_skips", a_start_rewinds_and_skips),
        ("a_paused_partition_keeps_its_position", a_paused_partition_keeps_its_position),
        ("the_end_of_a_log_is_known_after_a_read", the_end_of_a_log_is_known_after_a_read),
        ("nothing_is_committed_at_first", nothing_is_committed_at_first),
        ("offsets_are_committed_with_their_transaction", offsets_are_committed_with_their_transaction),
        ("offsets_are_dropped_with_their_transaction", offsets_are_dropped_with_their_transaction),
        ("the_offset_fetch_waits_for_an_open_transaction", the_offset_fetch_waits_for_an_open_transaction),
        (
            "metadata_that_is_too_long_is_refused_with_its_transaction",
            metadata_that_is_too_long_is_refused_with_its_transaction,
        ),
        ("range_keeps_equal_partitions_together", range_keeps_equal_partitions_together),
        ("a_revocation_waits_for_its_confirmation", a_revocation_waits_for_its_confirmation),
        ("a_member_that_leaves_hands_over", a_member_that_leaves_hands_over),
        (
            "the_partitions_of_a_dead_member_wait_for_the_end_of_its_session",
            the_partitions_of_a_dead_member_wait_for_the_end_of_its_session,
        ),
        ("a_static_member_restarts_without_a_rebalance", a_static_member_restarts_without_a_rebalance),
        ("a_member_that_does_not_poll_loses_its_partitions", a_member_that_does_not_poll_loses_its_partitions),
        ("a_second_client_of_an_instance_fences_the_first", a_second_client_of_an_instance_fences_the_first),
        ("a_member_gets_the_partitions_that_its_topic_grows_by", a_member_gets_the_partitions_that_its_topic_grows_by),
        (
            "a_member_gives_the_partitions_of_a_deleted_topic_back",
            a_member_gives_the_partitions_of_a_deleted_topic_back,
        ),
        ("the_broker_knows_members_but_not_owners", the_broker_knows_members_but_not_owners),
        ("a_stranger_s_offsets_are_refused", a_stranger_s_offsets_are_refused),
        ("a_former_generation_s_offsets_are_refused", a_former_generation_s_offsets_are_refused),
        ("offsets_without_membership_are_refused_unsent", offsets_without_membership_are_refused_unsent),
    ]
}

/// How long one wait inside a loop is.
const STEP: Duration = Duration::from_millis(50);
/// How much waiting ends in a failure.
const PATIENCE: Duration = Duration::from_mins(1);
/// The time limit given to single calls.
const CALL: Duration = Duration::from_secs(5);
/// The time limit given to polls.
const POLL: Duration = Duration::from_millis(100);

/// Waits until the condition holds.
fn wait_until<F: Fixture>(fixture: &mut F, what: &str, mut holds: impl FnMut(&mut F) -> bool) {
    let mut waited = Duration::ZERO;
    while !holds(fixture) {
        assert!(waited < PATIENCE, "waited in vain until {what}");
        fixture.pass(STEP);
        waited += STEP;
    }
}

/// Makes a call again while it answers `Retry`.
fn retry<F: Fixture, T>(fixture: &mut F, what: &str, mut call: impl FnMut() -> Result<T, BrokerError>) -> T {
    let mut result = None;
    wait_until(fixture, what, |_| match call() {
        Ok(value) => {
            result = Some(value);
            true
        }
        Err(error) if error.recovery() == Recovery::Retry => false,
        Err(error) => panic!("{what}: {error}"),
    });
    result.unwrap()
}

fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(number))
}

fn record(target: &TopicPartition, value: &str) -> ProducerRecord {
    ProducerRecord {
        target: target.clone(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

fn values(records: &[ConsumedRecord]) -> Vec<String> {
    let text = |record: &ConsumedRecord| String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap();
    records.iter().map(text).collect()
}

fn next(offset: i64) -> CommittedOffset {
    CommittedOffset { next: Offset(offset), metadata: format!("after {offset}") }
}

/// A new topic.
fn topic<F: Fixture>(fixture: &mut F, partitions: i32) -> TopicName {
    let name = fixture.unique("topic");
    fixture.create_topic(&name, partitions);
    name.into()
}

/// A new application: its broker and its group's id.
fn application<F: Fixture>(fixture: &mut F) -> (F::Broker, String) {
    let group_id = fixture.unique("application");
    (fixture.broker(&group_id), group_id)
}

/// An initialised producer.
fn producer<F: Fixture>(fixture: &mut F, broker: &F::Broker, id: &str) -> <F::Broker as Broker>::Producer {
    retry(fixture, "the producer is initialised", || broker.producer(id))
}

/// A producer with an open transaction of these records.
fn open_transaction<F: Fixture>(
    fixture: &mut F,
    broker: &F::Broker,
    id: &str,
    records: &[ProducerRecord],
) -> <F::Broker as Broker>::Producer {
    let mut producer = producer(fixture, broker, id);
    producer.begin().unwrap();
    for record in records {
        retry(fixture, "the record is queued", || producer.send(record.clone()));
    }
    producer
}

/// A transaction of these records, committed.
fn commit<F: Fixture>(fixture: &mut F, broker: &F::Broker, id: &str, records: &[ProducerRecord]) {
    open_transaction(fixture, broker, id, records).commit(CALL).unwrap();
}

/// Start and high watermark, as a restore sees them.
fn log_range<F: Fixture>(fixture: &mut F, reader: &mut <F::Broker as Broker>::Reader, at: &TopicPartition) -> LogRange {
    let one = std::slice::from_ref(at);
    let ranges: BTreeMap<_, _> = retry(fixture, "offsets are listed", || reader.log_ranges(one, CALL));
    ranges[at]
}

/// Waits until the partition's log ends there: markers and records in flight have arrived.
fn await_end<F: Fixture>(fixture: &mut F, broker: &F::Broker, at: &TopicPartition, end: i64) {
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    wait_until(fixture, "the log has grown", |fixture| log_range(fixture, &mut reader, at).end == Offset(end));
}

#[cfg(test)]
mod tests;
