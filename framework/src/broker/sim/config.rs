//! Settings of a simulated cluster and its clients, by Kafka's names.

use std::time::Duration;

use crate::time::Timestamp;

/// Limits of brokers and clients. Time is the simulation's own: nothing runs out unless a test advances it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimConfig {
    /// What the clock shows at first.
    pub start: Timestamp,
    /// `transaction.timeout.ms`: a transaction open for longer is aborted, its producer fenced.
    pub transaction_timeout: Duration,
    /// `session.timeout.ms`: a member without heartbeats for longer is thrown out.
    pub session_timeout: Duration,
    /// How long a rebalance waits for members to join again.
    pub rebalance_timeout: Duration,
    /// `max.poll.interval.ms`: a client that is not polled for longer stops its heartbeats and loses its partitions.
    pub max_poll_interval: Duration,
    /// Most records of one poll.
    pub max_poll_records: usize,
    /// Partitions of a topic that is created with -1.
    pub default_partitions: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            start: Timestamp::EPOCH,
            transaction_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_mins(5),
            max_poll_interval: Duration::from_mins(5),
            max_poll_records: 500,
            default_partitions: 1,
        }
    }
}

impl SimConfig {
    /// Nothing ever runs out, however far the clock is advanced: for drivers that jump over hours of event time.
    #[must_use]
    pub fn without_timeouts() -> Self {
        Self {
            transaction_timeout: Duration::MAX,
            session_timeout: Duration::MAX,
            rebalance_timeout: Duration::MAX,
            max_poll_interval: Duration::MAX,
            ..Self::default()
        }
    }
}
