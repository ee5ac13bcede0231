//! Kafka's error codes, as far as the simulation answers with them.

use std::fmt;

use crate::broker::{BrokerError, BrokerErrorKind};

/// What a simulated broker answers instead of a result, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `INVALID_PRODUCER_EPOCH` / `PRODUCER_FENCED`: a newer producer has this transactional id.
    ProducerFenced,
    /// `INVALID_TXN_STATE`: the coordinator has no such transaction open.
    InvalidTxnState,
    /// `CONCURRENT_TRANSACTIONS`: markers of the last transaction are still on their way.
    ConcurrentTransactions,
    /// `ILLEGAL_GENERATION`: a rebalance has happened since.
    IllegalGeneration,
    /// `UNKNOWN_MEMBER_ID`: left, expired, or never joined.
    UnknownMemberId,
    /// `FENCED_INSTANCE_ID`: another client joined with the same `group.instance.id`.
    FencedInstanceId,
    /// `UNSTABLE_OFFSET_COMMIT`: a transaction with offsets for the partition is open.
    UnstableOffsetCommit,
    /// `OFFSET_METADATA_TOO_LARGE`: more than 4096 bytes beside an offset.
    OffsetMetadataTooLarge,
    /// `OFFSET_OUT_OF_RANGE`: before the log's start or after its end.
    OffsetOutOfRange,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    UnknownTopicOrPartition,
    /// `MESSAGE_TOO_LARGE`: over the topic's `max.message.bytes`.
    MessageTooLarge,
    /// `INVALID_RECORD`: without a key, for a compacted topic.
    InvalidRecord,
    /// `POLICY_VIOLATION`: records of a compacted topic are not deleted by their offsets.
    PolicyViolation,
}

impl ErrorCode {
    /// What the client makes of it, in the call `operation`.
    pub(super) fn during(self, operation: &'static str) -> BrokerError {
        let kind = match self {
            Self::ProducerFenced => BrokerErrorKind::ProducerFenced,
            Self::ConcurrentTransactions | Self::UnstableOffsetCommit | Self::UnknownTopicOrPartition => {
                BrokerErrorKind::Retriable
            }
            Self::OffsetOutOfRange => BrokerErrorKind::OffsetOutOfRange,
            Self::MessageTooLarge | Self::InvalidRecord => BrokerErrorKind::RecordRejected,
            Self::PolicyViolation => BrokerErrorKind::Configuration,
            Self::IllegalGeneration | Self::UnknownMemberId | Self::FencedInstanceId => BrokerErrorKind::NotAMember,
            Self::InvalidTxnState | Self::OffsetMetadataTooLarge => BrokerErrorKind::Abortable,
        };
        BrokerError::new(operation, kind, self.to_string())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProducerFenced => "PRODUCER_FENCED",
            Self::InvalidTxnState => "INVALID_TXN_STATE",
            Self::ConcurrentTransactions => "CONCURRENT_TRANSACTIONS",
            Self::IllegalGeneration => "ILLEGAL_GENERATION",
            Self::UnknownMemberId => "UNKNOWN_MEMBER_ID",
            Self::FencedInstanceId => "FENCED_INSTANCE_ID",
            Self::UnstableOffsetCommit => "UNSTABLE_OFFSET_COMMIT",
            Self::OffsetMetadataTooLarge => "OFFSET_METADATA_TOO_LARGE",
            Self::OffsetOutOfRange => "OFFSET_OUT_OF_RANGE",
            Self::UnknownTopicOrPartition => "UNKNOWN_TOPIC_OR_PARTITION",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::InvalidRecord => "INVALID_RECORD",
            Self::PolicyViolation => "POLICY_VIOLATION",
        })
    }
}
