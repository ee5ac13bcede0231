//! For fuzzers: decoders that nothing outside this crate calls.

use std::path::Path;

use bytes::Bytes;

use super::{directory, offsets};
use crate::record::{Partition, TaskId};
use crate::serde::SerdeError;
use crate::state::{Checkpoint, StoreError};

const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(0) };

/// The file beside a task's database that says which layout it has.
///
/// # Errors
/// [`StoreError`]: `Format` of another version, `Corrupt` for anything else that is none.
pub fn read_format(text: &str) -> Result<(), StoreError> {
    directory::is_our_format(TASK, text, Path::new("format"))
}

/// The checkpoint that stands beside a task's rows.
///
/// # Errors
/// [`StoreError`]: `Format` of another version, `Corrupt` for anything else that is none.
pub fn read_checkpoint(bytes: &[u8]) -> Result<Checkpoint, StoreError> {
    offsets::decode(TASK, bytes)
}

/// The same as bytes.
///
/// # Errors
/// [`SerdeError`] when it has no form.
pub fn write_checkpoint(checkpoint: &Checkpoint) -> Result<Bytes, SerdeError> {
    offsets::encode(checkpoint)
}
