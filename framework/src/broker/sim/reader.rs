//! The reader of changelogs: committed records, by hand, outside any group.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::broker::{BrokerError, BrokerErrorKind, ChangelogReader, LogRange};
use crate::record::{ConsumedRecord, Offset, TopicPartition};

use super::SharedCluster;
use super::cluster::pause;
use super::fault::Fault;
use super::log::Isolation;

/// The name of readers in traces: they have no identity of their own.
const WHO: &str = "reader";

/// A changelog reader of the simulated broker.
pub struct SimReader {
    cluster: SharedCluster,
    positions: BTreeMap<TopicPartition, Offset>,
    /// Which partition the next fetch begins with, so that none starves.
    turn: usize,
}

impl SimReader {
    pub(super) const fn new(cluster: SharedCluster) -> Self {
        Self { cluster, positions: BTreeMap::new(), turn: 0 }
    }
}

impl ChangelogReader for SimReader {
    fn log_ranges(
        &mut self,
        partitions: &[TopicPartition],
        _timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, LogRange>, BrokerError> {
        let operation = "list_offsets";
        pause(&self.cluster, WHO);
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        cluster.fails(WHO, (operation, Fault::ListOffsetsTimeout, BrokerErrorKind::Retriable))?;
        let mut ranges = BTreeMap::new();
        for at in partitions {
            let log = cluster.topics.log(at).map_err(|code| code.during(operation))?;
            ranges.insert(at.clone(), LogRange { start: log.start(), end: log.end() });
        }
        Ok(ranges)
    }

    fn assign(&mut self, positions: &BTreeMap<TopicPartition, Offset>) -> Result<(), BrokerError> {
        self.cluster.borrow_mut().enter("assign")?;
        self.positions.clone_from(positions);
        Ok(())
    }

    fn poll(&mut self, _timeout: Duration) -> Result<Vec<ConsumedRecord>, BrokerError> {
        let operation = "fetch";
        pause(&self.cluster, WHO);
        let mut cluster = self.cluster.borrow_mut();
        cluster.enter(operation)?;
        cluster.crashes(WHO, operation, Fault::CrashInRestore)?;
        if cluster.strikes(WHO, Fault::FetchEmpty).is_some() {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        let assigned: Vec<TopicPartition> = self.positions.keys().cloned().collect();
        self.turn = (self.turn + 1) % assigned.len().max(1);
        for at in assigned.iter().cycle().skip(self.turn).take(assigned.len()) {
            let Some(position) = self.positions.get_mut(at) else { continue };
            let room = cluster.config.max_poll_records.saturating_sub(records.len());
            let log = cluster.topics.log(at);
            match log.and_then(|log| log.read(at, *position, Isolation::ReadCommitted, room)) {
                Ok(fetched) => {
                    *position = fetched.next;
                    records.extend(fetched.records);
                }
                Err(code) if records.is_empty() => return Err(code.during(operation)),
                // What the others brought is delivered first; the error comes again with the next poll.
                Err(_) => break,
            }
        }
        Ok(records)
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).copied()
    }

    /// It tells nothing of itself.
    fn idle(&mut self) {}
}

impl fmt::Debug for SimReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimReader").field("positions", &self.positions).finish_non_exhaustive()
    }
}
