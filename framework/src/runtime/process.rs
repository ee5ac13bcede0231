//! What belongs to the process and not to one of its threads. Nobody publishes it: it is read at the moment somebody asks,
//! from the edges, so that it costs the threads nothing.

use std::fmt;
use std::sync::Arc;

pub use crate::state::{EngineReads, HitsAndMisses};

/// The process as its edges know it. What an edge does not have stays empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessSnapshot {
    /// Its clients of Kafka, those of one role together.
    pub clients: Vec<ClientSnapshot>,
    /// Blocks, indexes and filters that RocksDB has in its cache.
    pub block_cache: Option<Budget>,
    /// Memtables of all databases.
    pub write_buffers: Option<Budget>,
    /// Where RocksDB found what was read.
    pub engine_reads: Option<EngineReads>,
    /// Requests over HTTP that were refused, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// The disk that the state is on: free of all.
    pub state_disk: Option<DiskSpace>,
}

/// Bytes that are used of those that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In use.
    pub bytes: u64,
    /// The limit.
    pub bytes_max: u64,
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub size_bytes: u64,
}

/// All clients of Kafka that have one role, as their statistics tell. Counters also hold those of clients that are gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientSnapshot {
    /// What they do: `consumer`, `producer`, `reader`.
    pub role: &'static str,
    /// How many there are.
    pub count: u64,
    /// Records that wait in them: fetched and not yet taken, or sent and not yet acknowledged.
    pub queue_messages: u64,
    /// Bytes of those.
    pub queue_bytes: u64,
    /// Their connections, by broker.
    pub brokers: Vec<BrokerSnapshot>,
}

/// Connections to one broker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BrokerSnapshot {
    /// The broker's id, or `coordinator` or `bootstrap` where a connection is known by what it is for.
    pub broker: String,
    /// How many are up.
    pub connections: u64,
    /// Median of the time until an answer, of the last seconds; the longest of all clients.
    pub round_trip_p50: Option<f64>,
    /// The same, of a hundred the second longest.
    pub round_trip_p99: Option<f64>,
    /// Requests that wait for their answer.
    pub in_flight: u64,
    /// Requests that wait to be sent.
    pub queued: u64,
    /// What was counted.
    pub counters: BrokerCounters,
}

/// What connections count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokerCounters {
    /// Requests sent.
    pub requests: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Requests that could not be sent, and answers that could not be read.
    pub errors: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// Reads a [`ProcessSnapshot`]. The default one knows nothing.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<dyn Fn() -> ProcessSnapshot + Send + Sync>>);

impl Probe {
    /// A probe that asks `read`, from whatever thread; it must not block.
    pub fn new(read: impl Fn() -> ProcessSnapshot + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// The process as it is now.
    pub fn read(&self) -> ProcessSnapshot {
        self.0.as_ref().map_or_else(ProcessSnapshot::default, |read| read())
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}
