//! For fuzzers: decoders that nothing outside this crate calls.

use bytes::Bytes;

use super::offsets;
use crate::record::{Partition, TaskId};
use crate::serde::SerdeError;
use crate::state::{Checkpoint, StoreError};

/// The checkpoint that stands beside a task's rows.
///
/// # Errors
/// [`StoreError`]: `Format` of another version, `Corrupt` for anything else that is none.
pub fn read_checkpoint(bytes: &[u8]) -> Result<Checkpoint, StoreError> {
    offsets::decode(TaskId { subtopology: 0, partition: Partition(0) }, bytes)
}

/// The same as bytes.
///
/// # Errors
/// [`SerdeError`] when it has no form.
pub fn write_checkpoint(checkpoint: &Checkpoint) -> Result<Bytes, SerdeError> {
    offsets::encode(checkpoint)
}
