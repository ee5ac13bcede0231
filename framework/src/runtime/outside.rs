//! For fuzzers: decoders that nothing outside this crate calls.

use crate::broker::CommittedOffset;
use crate::record::Offset;
use crate::task::CommitMetadata;

/// The text beside a committed offset, read and written again; `None` when no task wrote it.
pub fn metadata_written_again(text: &str) -> Option<String> {
    let committed = CommittedOffset { next: Offset(1), metadata: text.to_owned() };
    CommitMetadata::decode(&committed).map(|metadata| metadata.encode())
}
