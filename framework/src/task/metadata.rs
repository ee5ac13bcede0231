//! The text beside each committed offset: what the group knows about a task's last commit.
//!
//! `millpond/1 seq=12 time=1700000000000 log=345`: the number of the commit, stream time, and an offset of the commit
//! log at or before which the next start may begin to read (absent before the second commit). Other texts are foreign: an operator's tool leaves it empty.
//!
//! [`RESET`] says that the application was reset: it begins anew at this offset, without state.

use crate::broker::CommittedOffset;
use crate::record::Offset;
use crate::time::Timestamp;

const MAGIC: &str = "millpond/1";

/// Beside an offset at which a reset application begins anew.
pub(crate) const RESET: &str = "millpond/1 reset";

/// True for an offset at which a reset application begins anew.
pub(crate) fn is_reset(committed: &CommittedOffset) -> bool {
    committed.metadata == RESET
}

/// What the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMetadata {
    pub(crate) sequence: u64,
    pub(crate) stream_time: Timestamp,
    pub(crate) log: Option<Offset>,
}

impl CommitMetadata {
    pub(crate) fn encode(&self) -> String {
        let log = self.log.map_or_else(String::new, |offset| format!(" log={offset}"));
        format!("{MAGIC} seq={} time={}{log}", self.sequence, self.stream_time)
    }

    /// `None` when the offset was not committed by a task.
    pub(crate) fn decode(committed: &CommittedOffset) -> Option<Self> {
        let mut words = committed.metadata.split(' ');
        if words.next() != Some(MAGIC) {
            return None;
        }
        let (mut sequence, mut stream_time, mut log) = (None, Timestamp::NONE, None);
        for word in words {
            match word.split_once('=') {
                Some(("seq", value)) => sequence = value.parse().ok(),
                Some(("time", value)) => stream_time = Timestamp::from_millis(value.parse().ok()?),
                Some(("log", value)) => log = Some(Offset(value.parse().ok()?)),
                // A later version may say more.
                _ => {}
            }
        }
        Some(Self { sequence: sequence?, stream_time, log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(metadata: &str) -> CommittedOffset {
        CommittedOffset { next: Offset(1), metadata: metadata.to_owned() }
    }

    #[test]
    fn the_text_is_frozen() {
        let metadata =
            CommitMetadata { sequence: 12, stream_time: Timestamp::from_millis(1_700), log: Some(Offset(345)) };
        assert_eq!(metadata.encode(), "millpond/1 seq=12 time=1700 log=345");
        assert_eq!(CommitMetadata::decode(&committed(&metadata.encode())), Some(metadata));
        let first = CommitMetadata { sequence: 1, stream_time: Timestamp::NONE, log: None };
        assert_eq!(first.encode(), "millpond/1 seq=1 time=-1");
        assert_eq!(CommitMetadata::decode(&committed(&first.encode())), Some(first));
    }

    #[test]
    fn foreign_texts_are_not_ours() {
        for text in ["", RESET, "millpond/2 seq=1", "seq=1", "millpond/1 time=3", "millpond/1 seq=1 log=x"] {
            assert_eq!(CommitMetadata::decode(&committed(text)), None, "{text}");
        }
    }
}
