//! What happened, in order, without payloads: the same seed gives the same trace.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::record::{Offset, TopicPartition};
use crate::time::Timestamp;

use super::fault::Fault;

/// How many events are kept; older ones live on in the digest only.
const EVENTS_MAX: usize = 65_536;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceEvent {
    /// Simulated time.
    pub at: Timestamp,
    /// Transactional id, `group.instance.id`, or group.
    pub who: Arc<str>,
    /// What it did, or what was done to it.
    pub what: What,
}

/// What an event was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A producer of that epoch is ready.
    Initialised(i32),
    /// A record was written there.
    Wrote(TopicPartition, Offset),
    /// Offsets of so many partitions went into the transaction.
    SentOffsets(usize),
    /// The coordinator has decided: commit, or not.
    Decided(bool),
    /// A marker was written there (a partition, or a group): commit, or not.
    Marked(String, bool),
    /// The transaction was open for too long.
    TimedOut,
    /// Joined the group under that member id.
    Joined(String),
    /// A generation began.
    Generation(i32),
    /// Was given so many partitions.
    Assigned(usize),
    /// Gives so many partitions back.
    Revoked(usize),
    /// Has lost so many partitions.
    Lost(usize),
    /// Left, or was thrown out.
    Gone(String),
    /// Read records up to that next offset.
    Fetched(TopicPartition, Offset),
    /// A fault struck.
    Struck(Fault),
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.at, self.who, self.what)
    }
}

/// The events, and a digest of all that ever were.
#[derive(Debug)]
pub(super) struct Trace {
    events: VecDeque<TraceEvent>,
    digest: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { events: VecDeque::new(), digest: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Trace {
    pub(super) fn push(&mut self, event: TraceEvent) {
        let mut digest = Fnv(self.digest);
        event.hash(&mut digest);
        self.digest = digest.finish();
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn events(&self) -> Vec<TraceEvent> {
        self.events.iter().cloned().collect()
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }
}

/// FNV-1a: enough to see that two runs differ, and the same everywhere.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
