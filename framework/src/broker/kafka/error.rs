//! librdkafka's codes as the core's classes of failure: the table of `exactly-once` 1.4, in one place.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::ffi::Failure;
use super::refusal;
use crate::broker::{BrokerError, BrokerErrorKind as Kind};

/// The class of a code, where the code alone decides it.
pub(super) fn class(code: Code) -> Option<Kind> {
    unauthorized(code).or_else(|| lasting(code)).or_else(|| passing(code))
}

/// Credentials, certificates, ACLs.
fn unauthorized(code: Code) -> Option<Kind> {
    match code {
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SecurityDisabled => Some(Kind::Unauthorized),
        _ => None,
    }
}

/// What trying the same call again cannot mend.
fn lasting(code: Code) -> Option<Kind> {
    match code {
        Code::FencedInstanceId | Code::UnreleasedInstanceId => Some(Kind::InstanceFenced),
        Code::FencedMemberEpoch | Code::AssignmentLost | Code::PollExceeded => Some(Kind::MemberFenced),
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::TransactionCoordinatorFenced => {
            Some(Kind::ProducerFenced)
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset => Some(Kind::OffsetOutOfRange),
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidTimestamp => Some(Kind::RecordRejected),
        Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidGroupId
        | Code::InvalidPartitions
        | Code::InvalidReplicaAssignment
        | Code::InvalidReplicationFactor
        | Code::InvalidRequest
        | Code::InvalidSessionTimeout
        | Code::InvalidTopic
        | Code::InvalidTransactionTimeout
        | Code::InconsistentGroupProtocol
        | Code::NotConfigured
        | Code::NotImplemented
        | Code::PolicyViolation
        | Code::UnsupportedAssignor
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => Some(Kind::Configuration),
        _ => None,
    }
}

/// What goes by itself: nothing happened.
fn passing(code: Code) -> Option<Kind> {
    match code {
        Code::AllBrokersDown
        | Code::BrokerNotAvailable
        | Code::BrokerTransportFailure
        | Code::ConcurrentTransactions
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::FencedLeaderEpoch
        | Code::InProgress
        | Code::KafkaStorageError
        | Code::LeaderNotAvailable
        | Code::NetworkException
        | Code::NotController
        | Code::NotCoordinator
        | Code::NotLeaderForPartition
        | Code::OffsetNotAvailable
        | Code::OperationTimedOut
        | Code::PreviousInProgress
        | Code::QueueFull
        | Code::RebalanceInProgress
        | Code::ReplicaNotAvailable
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::Retry
        | Code::State
        | Code::ThrottlingQuotaExceeded
        | Code::TimedOutQueue
        | Code::UnknownLeaderEpoch
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicId
        | Code::UnknownTopicOrPartition
        | Code::UnstableOffsetCommit
        | Code::WaitCache
        | Code::WaitingForCoordinator => Some(Kind::Retriable),
        _ => None,
    }
}

/// A failure outside a transaction: what is not known is the client's end.
pub(super) fn of_client(operation: &'static str, failure: &Failure) -> BrokerError {
    let kind = match class(failure.code) {
        Some(Kind::InstanceFenced) => Some(Kind::InstanceFenced),
        _ if failure.fatal => Some(Kind::MemberFenced),
        class => class,
    };
    told(operation, kind.unwrap_or(Kind::MemberFenced), failure)
}

/// A failure inside a transaction, or of its producer: all but a rejected record, an authorisation and a fencing drops
/// the transaction with its producer. Nothing is tried in place (the one error path).
pub(super) fn of_transaction(operation: &'static str, failure: &Failure) -> BrokerError {
    let kind = match class(failure.code) {
        Some(kind @ (Kind::ProducerFenced | Kind::RecordRejected | Kind::Unauthorized)) => kind,
        Some(Kind::InstanceFenced | Kind::MemberFenced) => Kind::NotAMember,
        _ if matches!(failure.code, Code::IllegalGeneration | Code::UnknownMemberId) => Kind::NotAMember,
        _ => Kind::Abortable,
    };
    told(operation, kind, failure)
}

/// With what to do about a refusal, or about damage.
fn told(operation: &'static str, kind: Kind, failure: &Failure) -> BrokerError {
    let error = BrokerError::new(operation, kind, reason(failure));
    let refused = refusal::advice(failure.code, &failure.reason).filter(|_| kind == Kind::Unauthorized);
    match refused.or_else(|| special(failure.code)) {
        Some(advice) => BrokerError { advice: advice.into(), ..error },
        None => error,
    }
}

/// What to do about failures of which the class says too little.
fn special(code: Code) -> Option<&'static str> {
    match code {
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => Some(
            "records were damaged in the log or on the way; they are read again with a new client. If it comes again, let \
             another replica lead the partition, or, when no replica has them whole, reset the application behind them",
        ),
        Code::InvalidTransactionTimeout => Some(
            "transaction.timeout.ms is longer than the brokers allow: lower it, or raise their \
             transaction.max.timeout.ms",
        ),
        _ => None,
    }
}

/// A failure to make a client. The value of a property is never told: it may be a secret.
pub(super) fn of_creation(operation: &'static str, error: &KafkaError) -> BrokerError {
    let reason = match error {
        KafkaError::ClientConfig(_, _, property, _) => {
            format!("librdkafka does not know the property {property}, or refuses its value")
        }
        other => other.to_string(),
    };
    BrokerError::new(operation, Kind::Configuration, reason)
}

/// A failure as the `rdkafka` crate reports it.
pub(super) fn of_crate(operation: &'static str, error: &KafkaError) -> BrokerError {
    match error.rdkafka_error_code() {
        Some(code) => of_client(operation, &Failure::of(code)),
        None => BrokerError::new(operation, Kind::MemberFenced, error.to_string()),
    }
}

/// The system gave no thread.
pub(super) fn no_thread(operation: &'static str, error: &std::io::Error) -> BrokerError {
    BrokerError::new(operation, Kind::Configuration, format!("the system gave no thread: {error}"))
}

fn reason(failure: &Failure) -> String {
    format!("{:?}: {}", failure.code, failure.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Recovery;

    #[test]
    fn a_zombie_drops_its_transaction_and_a_second_producer_is_fenced() {
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::FencedInstanceId] {
            let error = of_transaction("send_offsets", &Failure::of(code));
            assert_eq!((error.kind, error.recovery()), (Kind::NotAMember, Recovery::AbortTransaction), "{code:?}");
        }
        for code in [Code::Fenced, Code::InvalidProducerEpoch, Code::ProducerFenced] {
            assert_eq!(of_transaction("commit_transaction", &Failure::of(code)).kind, Kind::ProducerFenced, "{code:?}");
        }
    }

    #[test]
    fn a_failure_without_a_class_ends_the_client() {
        assert_eq!(of_client("poll", &Failure::of(Code::Conflict)).kind, Kind::MemberFenced);
        assert_eq!(of_transaction("send", &Failure::of(Code::Conflict)).kind, Kind::Abortable);
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let error = KafkaError::ClientConfig(
            rdkafka_sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID,
            "invalid value hunter2".into(),
            "sasl.password".into(),
            "hunter2".into(),
        );
        let error = of_creation("consumer", &error).to_string();
        assert!(error.contains("sasl.password") && !error.contains("hunter2"), "{error}");
    }
}
