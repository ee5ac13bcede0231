//! Faults: what goes wrong, and at which named step. Each belongs to one step of a client, its variant says which.

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
    /// `Producer::send`: the partition's records stay in the client's queue while those of others go ahead, until somebody waits
    /// for their delivery.
    DeliverySlow,
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
    /// `Producer::start_commit`: the client is slow, and does its work only after so many looks at it.
    CommitSlow,
    /// `Producer::start_commit`: done at once, but told only after so many looks at it.
    CommitToldLate,
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
    /// The process stands still before any request of its clients, while others go on: what was decided before the request
    /// may be outdated when it is sent. What happens meanwhile is said by [`SimBroker::on_pause`](super::SimBroker::on_pause).
    Paused,
}

impl Fault {
    /// Every fault, in order.
    pub const ALL: [Self; 39] = [
        Self::InitRetriable,
        Self::BeforeSend,
        Self::AfterSend,
        Self::ProducerQueueFull,
        Self::DeliveryHeld,
        Self::DeliverySlow,
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
        Self::CommitSlow,
        Self::CommitToldLate,
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
        Self::Paused,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_listed_once() {
        let mut sorted = Fault::ALL;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sorted.last(), Some(&Fault::Paused), "the last variant is listed, and so are all before it");
    }
}
