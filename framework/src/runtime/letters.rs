//! Dead letters as they are read back: what they say, what is sent again, and the mark that says so.
//!
//! A letter is replayed in one transaction with its mark, a record in the dead-letter topic itself. So a replay that was cut
//! short can be run again, and sends nothing twice.

use bytes::Bytes;

use crate::record::{ConsumedRecord, Headers, Offset, ProducerRecord, TopicPartition};
use crate::time::Timestamp;

/// What the names of a letter's own headers begin with.
const ERRORS: &str = "__streams.errors.";

/// The headers that a letter adds to those of the record.
const ADDED: [&str; 9] =
    ["exception", "message", "reason", "node", "topic", "partition", "offset", "timestamp", "omitted.bytes"];

/// A header of a mark, with the letter's offset.
const MARK: &str = "__millpond.replayed";

/// A header of a record that is sent again, with the letter's place.
const FROM: &str = "__millpond.replayed.from";

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the letter is.
    pub at: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// When it was written.
    pub written: Timestamp,
    /// Where the record was read.
    pub source: TopicPartition,
    /// Its offset there.
    pub source_offset: Offset,
    /// The record's time.
    pub timestamp: Timestamp,
    /// Why it was set aside, in a word.
    pub reason: String,
    /// The node that refused it.
    pub node: String,
    /// The kind of the error.
    pub exception: String,
    /// The error's text.
    pub message: String,
    /// The record; `None` when the letter only points to it.
    pub payload: Option<Payload>,
}

/// The record in a letter, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}

impl Payload {
    /// The record itself, for a letter that only points to it.
    pub fn of(record: ConsumedRecord) -> Self {
        Self { key: record.key, value: record.value, headers: record.headers }
    }
}

impl DeadLetter {
    /// The letter that a record is; `None` for marks and for what is no letter.
    pub fn read(record: &ConsumedRecord) -> Option<Self> {
        let text = |name: &str| {
            let value = record.headers.last(&format!("{ERRORS}{name}"))??;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let number = |name: &str| text(name)?.parse::<i64>().ok();
        let partition = crate::record::Partition(i32::try_from(number("partition")?).ok()?);
        let source = TopicPartition::new(text("topic")?, partition);
        let source_offset = Offset(number("offset")?);
        let pointer = format!("{source}@{source_offset}");
        let points = record.value.is_none() && record.key.as_deref() == Some(pointer.as_bytes());
        let omitted = points || text("omitted.bytes").is_some();
        Some(Self {
            at: record.source.clone(),
            offset: record.offset,
            written: record.timestamp,
            source,
            source_offset,
            timestamp: Timestamp::from_millis(number("timestamp").unwrap_or(-1)),
            reason: text("reason").unwrap_or_default(),
            node: text("node").unwrap_or_default(),
            exception: text("exception").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            payload: (!omitted).then(|| Payload {
                key: record.key.clone(),
                value: record.value.clone(),
                headers: without_added(&record.headers),
            }),
        })
    }

    /// The record as it is sent again.
    pub fn replay(&self, payload: Payload, target: TopicPartition, now: Timestamp) -> ProducerRecord {
        let mut headers = payload.headers;
        headers.push(FROM, Some(format!("{}@{}", self.at, self.offset).into()));
        // A record without a time would be refused for it once more.
        let timestamp = if self.timestamp.is_some() { self.timestamp } else { now };
        ProducerRecord { target, timestamp, key: payload.key, value: payload.value, headers }
    }

    /// The mark that goes with it, in one transaction.
    pub fn mark(&self, now: Timestamp) -> ProducerRecord {
        let mut headers = Headers::new();
        headers.push(MARK, Some(self.offset.to_string().into()));
        // A key of its own, so that compaction keeps it.
        let key = format!("{MARK}/{}@{}", self.at.partition, self.offset);
        ProducerRecord {
            target: self.at.clone(),
            timestamp: now,
            key: Some(key.into()),
            value: Some("{}".into()),
            headers,
        }
    }

    /// The offset of the letter in the same partition that a mark is about; `None` for what is no mark.
    pub fn marked(record: &ConsumedRecord) -> Option<Offset> {
        let value = record.headers.last(MARK)??;
        std::str::from_utf8(value).ok()?.parse().ok().map(Offset)
    }
}

/// The record's own headers. Of each that a letter adds the last is the letter's: the record may have been a letter before.
fn without_added(headers: &Headers) -> Headers {
    let mut added: Vec<&str> = ADDED.to_vec();
    let mut kept: Vec<(&str, Option<&Bytes>)> = Vec::new();
    for (name, value) in headers.iter().rev() {
        let place = name.strip_prefix(ERRORS).and_then(|name| added.iter().position(|added| *added == name));
        match place {
            Some(place) => {
                added.swap_remove(place);
            }
            None => kept.push((name, value)),
        }
    }
    let mut own = Headers::new();
    for (name, value) in kept.into_iter().rev() {
        own.push(name, value.cloned());
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::ProcessorError;
    use crate::record::Partition;
    use crate::task::ErrorPolicy;

    fn bad() -> ConsumedRecord {
        let mut headers = Headers::new();
        headers.push("trace", Some("7".into()));
        ConsumedRecord {
            source: TopicPartition::new("events", Partition(3)),
            offset: Offset(42),
            timestamp: Timestamp::from_millis(9),
            key: Some("u1".into()),
            value: Some("{}".into()),
            headers,
        }
    }

    /// What the library writes for a bad record, as it is read back.
    fn letter_of(record: ConsumedRecord, payload: bool) -> ConsumedRecord {
        let policy = ErrorPolicy::all_to_dead_letters(payload);
        let error = ProcessorError::bad_record("missing_user_id");
        let sent = policy.dead_letter(record, &error, Timestamp::from_millis(100)).unwrap();
        let ProducerRecord { target, timestamp, key, value, headers } = sent;
        ConsumedRecord { source: target, offset: Offset(5), timestamp, key, value, headers }
    }

    fn resent(sent: ProducerRecord, offset: i64) -> ConsumedRecord {
        let ProducerRecord { target, timestamp, key, value, headers } = sent;
        ConsumedRecord { source: target, offset: Offset(offset), timestamp, key, value, headers }
    }

    #[test]
    fn a_letter_is_read_back_and_its_record_is_sent_as_it_was() {
        let letter = DeadLetter::read(&letter_of(bad(), true)).unwrap();
        assert_eq!((letter.source.to_string().as_str(), letter.source_offset), ("events-3", Offset(42)));
        assert_eq!((letter.reason.as_str(), letter.written), ("missing_user_id", Timestamp::from_millis(100)));
        let payload = letter.payload.clone().unwrap();
        assert_eq!(payload, Payload::of(bad()));
        let sent = letter.replay(payload, letter.source.clone(), Timestamp::from_millis(200));
        assert_eq!((sent.timestamp, sent.key, sent.value), (Timestamp::from_millis(9), bad().key, bad().value));
        let names: Vec<&str> = sent.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["trace", FROM]);
    }

    #[test]
    fn a_letter_without_the_record_points_to_it() {
        let letter = DeadLetter::read(&letter_of(bad(), false)).unwrap();
        assert_eq!((letter.payload, letter.source_offset), (None, Offset(42)));
    }

    #[test]
    fn a_record_that_is_refused_again_becomes_a_letter_like_the_first() {
        let first = DeadLetter::read(&letter_of(bad(), true)).unwrap();
        let sent = first.replay(first.payload.clone().unwrap(), first.source.clone(), Timestamp::EPOCH);
        let second = DeadLetter::read(&letter_of(resent(sent, 43), true)).unwrap();
        assert_eq!((second.source_offset, second.reason.as_str()), (Offset(43), "missing_user_id"));
        assert_eq!(second.payload.unwrap().headers.len(), 2, "the trace and the first letter's place");
        // Letters that are themselves input keep the headers that they came with.
        let letter_as_input = letter_of(bad(), true);
        let nested = DeadLetter::read(&letter_of(letter_as_input.clone(), true)).unwrap();
        assert_eq!(nested.payload.unwrap(), Payload::of(letter_as_input));
    }

    #[test]
    fn marks_are_no_letters_and_name_theirs() {
        let letter = DeadLetter::read(&letter_of(bad(), true)).unwrap();
        let mark = resent(letter.mark(Timestamp::EPOCH), 6);
        assert_eq!((mark.source.clone(), DeadLetter::marked(&mark)), (letter.at, Some(Offset(5))));
        assert_eq!(DeadLetter::read(&mark), None);
        assert_eq!(DeadLetter::marked(&bad()), None);
        assert_eq!(DeadLetter::read(&bad()), None);
    }

    #[test]
    fn a_record_without_a_time_gets_one() {
        let record = ConsumedRecord { timestamp: Timestamp::NONE, ..bad() };
        let letter = DeadLetter::read(&letter_of(record, true)).unwrap();
        let sent = letter.replay(letter.payload.clone().unwrap(), letter.source.clone(), Timestamp::from_millis(200));
        assert_eq!(sent.timestamp, Timestamp::from_millis(200));
    }
}
