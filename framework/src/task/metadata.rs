//! The text beside each committed offset: what the group knows about a task's last commit.
//!
//! `millpond/1 seq=12 time=1700000000000 log=345 topic=0123456789abcdef0123456789abcdef`: the number of the commit, stream
//! time, an offset of the commit log at or before which the next start may begin to read (absent before the second commit),
//! and the id of the changelog that the commit record is in (absent without stores, and in what older versions wrote). Other
//! texts are foreign: an operator's tool leaves it empty.
//!
//! A process that answers queries adds ` at=host:port`, where it does: whoever may read the group's offsets sees that address.
//!
//! [`RESET`] says that the application was reset: it begins anew at this offset, without state.

use crate::broker::{CommittedOffset, TopicId};
use crate::record::Offset;
use crate::time::Timestamp;

const MAGIC: &str = "millpond/1";

/// Beside an offset at which a reset application begins anew.
pub(crate) const RESET: &str = "millpond/1 reset";

/// True for an offset at which a reset application begins anew.
pub(crate) fn is_reset(committed: &CommittedOffset) -> bool {
    committed.metadata == RESET
}

/// True for an offset that a task has committed, or a reset of ours; not for one of another program, or of an operator's tool.
pub(crate) fn is_own(committed: &CommittedOffset) -> bool {
    committed.metadata.split(' ').next() == Some(MAGIC)
}

/// Before the address at which the committing process answers queries.
const ADDRESS: &str = "at=";

/// Where the process that committed this offset answers queries.
pub(crate) fn address_of(committed: &CommittedOffset) -> Option<&str> {
    let address = committed.metadata.split(' ').find_map(|word| word.strip_prefix(ADDRESS))?;
    Some(address).filter(|address| is_own(committed) && !address.is_empty())
}

/// What the text says, but for that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMetadata {
    pub(crate) sequence: u64,
    pub(crate) stream_time: Timestamp,
    pub(crate) log: Option<Offset>,
    /// Of the commit log, where the task has stores.
    pub(crate) topic: Option<TopicId>,
}

impl CommitMetadata {
    pub(crate) fn encode(&self) -> String {
        let log = self.log.map_or_else(String::new, |offset| format!(" log={offset}"));
        let topic = self.topic.map_or_else(String::new, |id| format!(" topic={id}"));
        format!("{MAGIC} seq={} time={}{log}{topic}", self.sequence, self.stream_time)
    }

    /// The same with the address at which this process answers queries, if it does.
    pub(crate) fn encode_at(&self, address: Option<&str>) -> String {
        let address = address.map_or_else(String::new, |address| format!(" {ADDRESS}{address}"));
        format!("{}{address}", self.encode())
    }

    /// `None` when the offset was not committed by a task.
    pub(crate) fn decode(committed: &CommittedOffset) -> Option<Self> {
        let mut words = committed.metadata.split(' ');
        if words.next() != Some(MAGIC) {
            return None;
        }
        let (mut sequence, mut stream_time, mut log, mut topic) = (None, Timestamp::NONE, None, None);
        for word in words {
            match word.split_once('=') {
                Some(("seq", value)) => sequence = value.parse().ok(),
                Some(("time", value)) => stream_time = Timestamp::from_millis(value.parse().ok()?),
                Some(("log", value)) => log = Some(Offset(value.parse().ok()?)),
                Some(("topic", value)) => topic = Some(TopicId::from_hex(value)?),
                // A later version may say more.
                _ => {}
            }
        }
        Some(Self { sequence: sequence?, stream_time, log, topic })
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
        let stream_time = Timestamp::from_millis(1_700);
        let metadata = CommitMetadata { sequence: 12, stream_time, log: Some(Offset(345)), topic: None };
        assert_eq!(metadata.encode(), "millpond/1 seq=12 time=1700 log=345");
        assert_eq!(CommitMetadata::decode(&committed(&metadata.encode())), Some(metadata));
        let stateful = CommitMetadata { topic: Some(TopicId([0x0a; 16])), ..metadata };
        assert_eq!(stateful.encode(), "millpond/1 seq=12 time=1700 log=345 topic=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
        assert_eq!(CommitMetadata::decode(&committed(&stateful.encode())), Some(stateful));
        let first = CommitMetadata { sequence: 1, stream_time: Timestamp::NONE, log: None, topic: None };
        assert_eq!(first.encode(), "millpond/1 seq=1 time=-1");
        assert_eq!(CommitMetadata::decode(&committed(&first.encode())), Some(first));
    }

    #[test]
    fn an_address_is_told_beside_the_rest_and_changes_nothing_of_it() {
        let metadata = CommitMetadata { sequence: 12, stream_time: Timestamp::from_millis(7), log: None, topic: None };
        let text = metadata.encode_at(Some("fraud-0.fraud:8080"));
        assert_eq!(text, "millpond/1 seq=12 time=7 at=fraud-0.fraud:8080");
        assert_eq!(CommitMetadata::decode(&committed(&text)), Some(metadata));
        assert_eq!(address_of(&committed(&text)), Some("fraud-0.fraud:8080"));
        assert_eq!(metadata.encode_at(None), metadata.encode());
        for none in [metadata.encode().as_str(), RESET, "", "at=evil:1", "millpond/2 at=h:1", "millpond/1 seq=1 at="] {
            assert_eq!(address_of(&committed(none)), None, "{none}");
        }
    }

    #[test]
    fn foreign_texts_are_not_ours() {
        for text in [
            "",
            RESET,
            "millpond/2 seq=1",
            "seq=1",
            "millpond/1 time=3",
            "millpond/1 seq=1 log=x",
            "millpond/1 seq=1 topic=1",
        ] {
            assert_eq!(CommitMetadata::decode(&committed(text)), None, "{text}");
        }
        assert!(is_own(&committed(RESET)) && is_own(&committed("millpond/1 seq=1 time=-1")));
        assert!(!is_own(&committed("")) && !is_own(&committed("dead-letters=7")));
    }
}
