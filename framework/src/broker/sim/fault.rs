//! Faults: what goes wrong, at which named step, and when.
//!
//! A test schedules a fault (`SimBroker::fail_next`), or a seed draws them ([`Faults::seeded`]). Each fault belongs to one
//! step of a client, its variant says which; it strikes when a client next passes that step.

use std::collections::BTreeMap;

use super::rng::SplitMix64;

/// What goes wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `Broker::producer`: the coordinator is loading; nothing happened. `Retriable`.
    InitRetriable,
    /// `Producer::send`: the transaction breaks before the record is written. `Abortable`.
    BeforeSend,
    /// `Producer::send`: the record is written, then the transaction breaks. `Abortable`.
    AfterSend,
    /// `Producer::send`: the queue stays full; the record is not queued, the producer may be used on. `Retriable`.
    ProducerQueueFull,
    /// `Producer::send`: the record stays in the client's queue until the next call that delivers.
    DeliveryHeld,
    /// `Producer::send`: the delivery report has no offset (a filtered duplicate); missing in the commit's receipt.
    DeliveryOffsetUnknown,
    /// `Producer::send_offsets`: the coordinator cannot be reached; nothing happened. `Abortable`.
    SendOffsets,
    /// `Producer::send_offsets`: the offsets are in the transaction, the response is lost. `Abortable`.
    SendOffsetsResponseLost,
    /// `Producer::commit`: breaks before anything is asked of the coordinator. `Abortable`.
    BeforeEndTxn,
    /// `Producer::commit`: the request is lost, nothing is committed. `OutcomeUnknown`.
    EndTxnRequestLost,
    /// `Producer::commit`: the transaction is committed, the response is lost. `OutcomeUnknown`.
    EndTxnResponseLost,
    /// `Producer::commit`: `OutcomeUnknown` now; the request arrives later, unless the producer is fenced by then.
    EndTxnDelayed,
    /// `Producer::commit`: clean, but the client retried, and the first copy arrives later. The producer is tainted.
    EndTxnDuplicated,
    /// `Producer::commit`: as [`EndTxnDuplicated`](Self::EndTxnDuplicated), but the client lost the race and noticed nothing.
    EndTxnDuplicatedUnnoticed,
    /// `Producer::commit`: clean after a retry; no copy is in flight. The producer is tainted.
    EndTxnRetried,
    /// The transaction's marker reaches one of its partitions late. Asked once for each partition, in order.
    MarkerDelayed,
    /// The transaction's marker reaches the group's offsets late.
    OffsetsMarkerDelayed,
    /// `Consumer::committed`: time-out. `Retriable`.
    OffsetFetchTimeout,
    /// `Consumer::committed`: a coordinator that has just moved answers "none" for every partition (-1).
    CommittedOffsetTransientlyMissing,
    /// `Consumer::log_range`, `ChangelogReader::log_ranges`: time-out. `Retriable`.
    ListOffsetsTimeout,
    /// `Consumer::poll` and `ChangelogReader::poll`: no records this time.
    FetchEmpty,
    /// `Consumer::poll`: at most one record this time.
    FetchShort,
    /// `Consumer::poll`: the coordinator has thrown this member out; its partitions are lost.
    GroupSessionExpired,
    /// `Consumer::poll`: the coordinator begins a rebalance for no reason of ours.
    GroupRebalance,
    /// `Broker::{describe_topics, create_topic, delete_records}`: time-out, nothing happened. `Retriable`.
    AdminTimeout,
    /// The process dies in `Broker::producer`, after the predecessor was fenced.
    CrashAfterInit,
    /// The process dies in `Producer::send`, before the record is written.
    CrashBeforeSend,
    /// The process dies in `Producer::send`, after the record is written.
    CrashAfterSend,
    /// The process dies in `Producer::send_offsets`, before they are in the transaction.
    CrashBeforeSendOffsets,
    /// The process dies in `Producer::send_offsets`, after they are in the transaction.
    CrashAfterSendOffsets,
    /// The process dies in `Producer::commit`, before the request is out.
    CrashBeforeEndTxn,
    /// The process dies in `Producer::commit`: committed, but it never learns.
    CrashAfterEndTxn,
    /// The process dies in `Consumer::acknowledge`, before anything is confirmed.
    CrashBeforeAcknowledge,
    /// The process dies in `Consumer::committed`.
    CrashInOffsetFetch,
    /// The process dies in `ChangelogReader::poll`.
    CrashInRestore,
}

impl Fault {
    /// Every fault, in order.
    pub const ALL: [Self; 35] = [
        Self::InitRetriable,
        Self::BeforeSend,
        Self::AfterSend,
        Self::ProducerQueueFull,
        Self::DeliveryHeld,
        Self::DeliveryOffsetUnknown,
        Self::SendOffsets,
        Self::SendOffsetsResponseLost,
        Self::BeforeEndTxn,
        Self::EndTxnRequestLost,
        Self::EndTxnResponseLost,
        Self::EndTxnDelayed,
        Self::EndTxnDuplicated,
        Self::EndTxnDuplicatedUnnoticed,
        Self::EndTxnRetried,
        Self::MarkerDelayed,
        Self::OffsetsMarkerDelayed,
        Self::OffsetFetchTimeout,
        Self::CommittedOffsetTransientlyMissing,
        Self::ListOffsetsTimeout,
        Self::FetchEmpty,
        Self::FetchShort,
        Self::GroupSessionExpired,
        Self::GroupRebalance,
        Self::AdminTimeout,
        Self::CrashAfterInit,
        Self::CrashBeforeSend,
        Self::CrashAfterSend,
        Self::CrashBeforeSendOffsets,
        Self::CrashAfterSendOffsets,
        Self::CrashBeforeEndTxn,
        Self::CrashAfterEndTxn,
        Self::CrashBeforeAcknowledge,
        Self::CrashInOffsetFetch,
        Self::CrashInRestore,
    ];
}

/// How long something that was delayed takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delay {
    /// Until the test releases it.
    Held,
    /// That many client calls.
    Calls(u64),
}

/// Which faults strike when. Equal schedules and seeds strike equally.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rng: Option<SplitMix64>,
    one_in: BTreeMap<Fault, u32>,
    /// Fault, and how many passes of its step are let through first.
    scheduled: Vec<(Fault, u32)>,
}

/// Longest delay that a seed draws, in client calls.
const DELAY_CALLS_MAX: u64 = 24;

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Faults drawn from a seed; none until [`with`](Self::with) names them.
    pub fn seeded(seed: u64) -> Self {
        Self { rng: Some(SplitMix64::new(seed)), ..Self::default() }
    }

    /// Adds a drawn fault: strikes once in `one_in` passes of its step on average; zero is never.
    #[must_use]
    pub fn with(mut self, fault: Fault, one_in: u32) -> Self {
        self.one_in.insert(fault, one_in);
        self
    }

    /// Strikes once, after `passes` passes of its step.
    pub fn schedule(&mut self, fault: Fault, passes: u32) {
        self.scheduled.push((fault, passes));
    }

    /// Whether the fault strikes now, and how long a delay would last.
    pub(super) fn strikes(&mut self, fault: Fault) -> Option<Delay> {
        let mut due = None;
        for (index, (scheduled, passes)) in self.scheduled.iter_mut().enumerate() {
            if *scheduled == fault {
                match passes.checked_sub(1) {
                    Some(fewer) => *passes = fewer,
                    None => due = due.or(Some(index)),
                }
            }
        }
        if let Some(index) = due {
            self.scheduled.remove(index);
            return Some(Delay::Held);
        }
        let one_in = self.one_in.get(&fault).copied().unwrap_or(0);
        let rng = self.rng.as_mut().filter(|_| one_in != 0)?;
        rng.one_in(one_in).then(|| Delay::Calls(1 + rng.below(DELAY_CALLS_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_fault_strikes_once_after_its_passes() {
        let mut faults = Faults::none();
        faults.schedule(Fault::AfterSend, 2);
        faults.schedule(Fault::AfterSend, 0);
        let struck: Vec<bool> = (0..5).map(|_| faults.strikes(Fault::AfterSend).is_some()).collect();
        assert_eq!(struck, [true, false, true, false, false]);
        assert_eq!(faults.strikes(Fault::BeforeSend), None);
    }

    #[test]
    fn a_seed_strikes_the_same_way_twice_and_about_as_often_as_said() {
        let draw = || {
            let mut faults = Faults::seeded(42).with(Fault::FetchEmpty, 10);
            (0..1000).map(|_| faults.strikes(Fault::FetchEmpty).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        let hits = draw().into_iter().filter(|&hit| hit).count();
        assert!((60..140).contains(&hits), "{hits} of 1000, one in 10 asked for");
    }

    #[test]
    fn every_fault_is_listed_once() {
        let mut sorted = Fault::ALL;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sorted.last(), Some(&Fault::CrashInRestore), "the last variant is listed, and so are all before it");
    }
}
