//! State on disk: one RocksDB per task, a column family per store, and the checkpoint beside the rows.
//!
//! ```text
//! <state.dir>/<application.id>/<instance>/
//!     0_3.lock           held while the task is open
//!     0_3/format         version of this layout
//!     0_3/db/            RocksDB: column families `store-<name>` and `__meta`
//!     0_3/load/          tables of a restore before the database has them; removed at open
//!     0_3.corrupt-1/     set aside; the two newest of a task are kept
//! <state.dir>/<application.id>/<instance>.reset-1/    moved aside by a reset; never removed
//! ```
//!
//! Every commit is one `WriteBatch` through RocksDB's own log, which is never synced for it. A process that is killed loses
//! nothing: the log is in the page cache. A machine that crashes loses whole commits from the end, and the changelog has
//! them. RocksDB syncs the log before it flushes one of several column families, so that no store gets ahead of the
//! checkpoint by more than a replay repairs. Rows of a restore come as whole tables, past the log; see `load`.

mod backend;
mod cache;
mod directory;
mod load;
mod offsets;
mod options;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod view;

pub use directory::RocksDirectory;
pub use options::{Compression, Options, SharedMemory};
pub use view::{InstanceState, StoreStats, TaskView, aside, instances};

use rocksdb::ErrorKind;

use super::StoreError;
use crate::record::TaskId;

/// What RocksDB said, sorted by what must be done.
fn engine_error(task: TaskId, operation: &'static str, error: rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { task, reason: error.into_string() },
        _ => StoreError::Io { task, operation, reason: error.into_string() },
    }
}

fn io_error(task: TaskId, operation: &'static str, error: &std::io::Error) -> StoreError {
    StoreError::Io { task, operation, reason: error.to_string() }
}
