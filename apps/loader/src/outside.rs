//! For fuzzers: decoders that nothing outside this crate calls.

use millpond::broker::CommittedOffset;
use millpond::record::Offset;

use crate::dead_letter::{committed_offset, letters_before};

/// The mark beside a committed offset, read and written again; `None` when it tells of no letter.
///
/// # Panics
/// When it tells of a place before all records: that is what a fuzzer looks for.
pub fn mark_written_again(text: &str) -> Option<String> {
    let committed = CommittedOffset { next: Offset(0), metadata: text.to_owned() };
    let before = letters_before(Some(&committed));
    assert!(before >= Offset(0), "{before}");
    (before > Offset(0)).then(|| committed_offset(Offset(0), before).metadata)
}
