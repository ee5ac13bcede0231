//! What a loader tells about itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use millpond::record::{Offset, TopicName, TopicPartition};
use millpond::runtime::stats::Histogram;
use millpond::time::Timestamp;

/// Everything that a metrics page or status page can show of one loader. Counters start at zero with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoaderStatus {
    /// Whether the loader is a member of its group, migrations and routes checked.
    pub ready: bool,
    /// Whether there is a connection to PostgreSQL that worked when it was used last.
    pub connected: bool,
    /// How often the loop came round.
    pub rounds: u64,
    /// Records of committed batches by topic, dead letters included.
    pub records: BTreeMap<TopicName, u64>,
    /// Rows by table, in committed transactions.
    pub tables: BTreeMap<String, TableStatus>,
    /// Committed transactions.
    pub batches: u64,
    /// Errors of PostgreSQL that were survived, by SQL state or `connection`.
    pub postgres_errors: u64,
    /// Errors of Kafka that were survived.
    pub kafka_errors: u64,
    /// Unknown outcomes of COMMIT that turned out as committed.
    pub unknown_committed: u64,
    /// Unknown outcomes of COMMIT that turned out as rolled back.
    pub unknown_rolled_back: u64,
    /// Dead letters by [`Reason::code`](crate::Reason::code).
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Time of one batch: from the beginning of its SQL transaction to the answer of its COMMIT, dead letters included.
    pub write: Histogram,
    /// From a record's timestamp to the COMMIT of its row.
    pub end_to_end: Histogram,
    /// When a batch was last committed, by the wall clock; [`Timestamp::NONE`] before the first.
    pub committed_at: Timestamp,
    /// What was done with records of each partition, assigned or not.
    pub progress: BTreeMap<TopicPartition, Progress>,
    /// Assigned partitions.
    pub partitions: BTreeMap<TopicPartition, PartitionStatus>,
    /// The last error that was survived; no payloads.
    pub last_error: Option<String>,
}

/// What was done to a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStatus {
    /// Rows inserted or replaced; a row replaced within its own statement counts once.
    pub rows: u64,
    /// Records that were in an append-only table already: zero, unless offsets were reset by hand.
    pub present: u64,
}

/// What was done with the records of a partition since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Records of committed batches, dead letters included.
    pub records: u64,
    /// The timestamp of the last of them.
    pub last: Timestamp,
}

impl Progress {
    pub(crate) const fn see(&mut self, time: Timestamp) {
        self.records = self.records.saturating_add(1);
        self.last = time;
    }
}

/// Where an assigned partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    /// What the loader does with it.
    pub state: PartitionState,
    /// The epoch of the claim, 0 without one.
    pub epoch: i64,
    /// The next offset to load, as committed in PostgreSQL.
    pub next: Option<Offset>,
    /// The same as the group in Kafka has it: for display, it follows.
    pub displayed: Option<Offset>,
}

/// What the loader does with an assigned partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// Waits for its claim in the database.
    Claiming,
    /// Is loaded.
    Running,
    /// Another loader has claimed it: stands still until the group decides.
    Fenced,
}

impl PartitionState {
    /// The state as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claiming => "claiming",
            Self::Running => "running",
            Self::Fenced => "fenced",
        }
    }
}

/// A loader's status, shared with whoever shows it.
#[derive(Debug, Clone, Default)]
pub struct SharedStatus(Arc<Mutex<LoaderStatus>>);

impl SharedStatus {
    /// A copy of the status as it is now.
    pub fn get(&self) -> LoaderStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut LoaderStatus)) {
        // A poisoned lock means that a reader panicked; the numbers themselves are sound.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
