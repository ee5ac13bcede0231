//! Why a loader stopped.

use std::time::Duration;

use millpond::broker::BrokerError;
use millpond::error::Recovery;
use millpond::record::{Offset, TopicName, TopicPartition};

use crate::postgres;

/// Why a loader stopped, or what it survived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Kafka.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A topic to read is not there.
    #[error("topic {topic} does not exist; create it, or remove its route")]
    MissingTopic {
        /// The topic.
        topic: TopicName,
    },
    /// The stored offset is not in the log: records were deleted before they were loaded, or the log lost its end.
    #[error(
        "offset {next} of {partition} is outside the log, which spans {start} to {end}: records are lost; to go on with \
         what is there, stop all loaders and say `loader reset`, with --shift-by=0 for the nearest place"
    )]
    OutsideLog {
        /// The partition.
        partition: TopicPartition,
        /// The next offset to load.
        next: Offset,
        /// The log's first offset.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// Another loader of the same application id writes for a partition that is assigned to this one.
    #[error(
        "another loader holds {partition} in the database; give each Kafka cluster's loaders an application id of its own"
    )]
    Fenced {
        /// The partition.
        partition: TopicPartition,
    },
    /// It did not get better in time.
    #[error("given up after {} s: {last}", after.as_secs())]
    GaveUp {
        /// How long it was tried.
        after: Duration,
        /// The last failure.
        last: Box<Error>,
    },
}

impl Error {
    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Postgres(error) => error.recovery(),
            Self::Broker(error) => error.recovery(),
            Self::MissingTopic { .. } => Recovery::Retry,
            Self::OutsideLog { .. } | Self::Fenced { .. } | Self::GaveUp { .. } => Recovery::Shutdown,
        }
    }
}
