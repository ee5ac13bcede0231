//! Dead letters, exactly once.
//!
//! A batch's dead letters are committed to Kafka *before* the SQL transaction that passes their offsets, so none can be
//! missing. That alone would repeat them after a crash in between. Therefore the same Kafka transaction commits, with the
//! group's offset of each source partition, the text `dead-letters=<offset>`: every bad record before that offset has its
//! letter. Whoever claims the partition next reads this back (stable: after any open transaction has ended) and sends no
//! letter twice.
//!
//! ```text
//! SQL: BEGIN, offsets 100→200, rows ─────────────────────────────────────────────── COMMIT
//! Kafka:                             begin, letters, "100, dead-letters=200", commit
//!                                    crash here: neither               crash here: letters only; 100..200 is loaded
//!                                                                      again, its bad records have their letters
//! ```
//!
//! All offsets of the group, those for lag displays too, are committed by this one transactional producer and therefore in
//! order: a plain commit on another connection could arrive late and wipe the text out. A record that was bad before such a
//! crash and is good after it, because the table was altered in between, is loaded and has its letter as well.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millpond::broker::{Broker, BrokerError, CommittedOffset, Membership, Producer};
use millpond::record::{Headers, Offset, Partition, ProducerRecord, TopicName, TopicPartition};
use millpond::time::Timestamp;

use crate::row::Refused;

/// Text in the metadata of a committed offset, before the offset that it is about.
const MARK: &str = "dead-letters=";

/// A letter with a larger payload is sent without it: headers come on top, and the limit of producers is 1,000,000.
const PAYLOAD_BYTES_MAX: usize = 950_000;

/// Where letters go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetterTopic {
    pub(crate) name: TopicName,
    pub(crate) partitions: i32,
}

impl DeadLetterTopic {
    /// The letter of a record: key, value and headers as they were, with why and where from in headers of Kafka Streams'
    /// names (KIP-1034). Topic, partition and offset identify it.
    pub(crate) fn letter(&self, refused: &Refused, node: &str, now: Timestamp) -> ProducerRecord {
        let record = &refused.record;
        let partition = Partition(record.source.partition.0.rem_euclid(self.partitions.max(1)));
        let fits = record.size() <= PAYLOAD_BYTES_MAX;
        let mut headers = if fits { record.headers.clone() } else { Headers::new() };
        let mut header = |name: &str, value: String| {
            headers.push(format!("__streams.errors.{name}"), Some(Bytes::from(value)));
        };
        header("exception", "BadRecord".to_owned());
        header("message", refused.reason.to_string());
        header("reason", refused.reason.code().to_owned());
        header("node", node.to_owned());
        header("topic", record.source.topic.to_string());
        header("partition", record.source.partition.to_string());
        header("offset", record.offset.to_string());
        header("timestamp", record.timestamp.to_string());
        if !fits {
            header("omitted.bytes", record.size().to_string());
        }
        ProducerRecord {
            target: TopicPartition { topic: self.name.clone(), partition },
            // The source's time may be missing, and old times invite retention: the header has it.
            timestamp: now,
            key: record.key.clone().filter(|_| fits),
            value: record.value.clone().filter(|_| fits),
            headers,
        }
    }
}

/// The offset to commit for a partition: the next to load, and how far dead letters are ahead of it.
pub(crate) fn committed_offset(next: Offset, letters_before: Offset) -> CommittedOffset {
    let metadata = if letters_before > next { format!("{MARK}{letters_before}") } else { String::new() };
    CommittedOffset { next, metadata }
}

/// The offset before which all bad records have their letters.
pub(crate) fn letters_before(committed: Option<&CommittedOffset>) -> Offset {
    let marked = committed.and_then(|committed| committed.metadata.strip_prefix(MARK)?.parse().ok());
    Offset(marked.filter(|next| *next >= 0).unwrap_or(0))
}

/// The transactional producer of dead letters and of the group's offsets.
#[derive(Debug)]
pub(crate) struct Ledger<P> {
    transactional_id: String,
    timeout: Duration,
    producer: Option<P>,
}

impl<P: Producer> Ledger<P> {
    pub(crate) const fn new(transactional_id: String, timeout: Duration) -> Self {
        Self { transactional_id, timeout, producer: None }
    }

    /// Makes a producer where there is none. After this no transaction of ours or of a predecessor is open.
    pub(crate) fn ready<B: Broker<Producer = P>>(&mut self, broker: &B) -> Result<(), BrokerError> {
        if self.producer.is_none() {
            self.producer = Some(broker.producer(&self.transactional_id)?);
        }
        Ok(())
    }

    /// Commits letters and offsets together. After any error the producer is gone and the outcome may be unknown: the
    /// committed offsets must be read again before more letters are sent.
    ///
    /// Letters always go by a new producer, which fences whatever the one before has left on its way: a commit request
    /// that the client had retried could otherwise arrive late and end this transaction between letters and mark (brokers
    /// check that only with KIP-890, which librdkafka does not speak). Without letters there is nothing to tear.
    pub(crate) fn commit<B: Broker<Producer = P>>(
        &mut self,
        broker: &B,
        letters: Vec<ProducerRecord>,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        membership: &Membership,
    ) -> Result<(), BrokerError> {
        if !letters.is_empty() {
            self.producer = None;
        }
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => broker.producer(&self.transactional_id)?,
        };
        producer.begin()?;
        let has_letters = !letters.is_empty();
        for letter in letters {
            producer.send(letter)?;
            millpond::failpoint!("loader.inside_letters");
        }
        producer.send_offsets(offsets, membership)?;
        millpond::failpoint!("loader.inside_letters_end_txn", if has_letters);
        producer.commit(self.timeout)?;
        if let Some(reason) = producer.taint() {
            tracing::debug!(reason, "the producer of dead letters is replaced");
        } else {
            self.producer = Some(producer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millpond::record::{ConsumedRecord, Headers, Offset, Partition, TopicPartition};
    use millpond::time::Timestamp;

    use super::{DeadLetterTopic, PAYLOAD_BYTES_MAX, committed_offset, letters_before};
    use crate::row::{Reason, Refused};

    fn refused(value: Vec<u8>) -> Refused {
        let mut headers = Headers::new();
        headers.push("trace", Some("7".into()));
        let record = ConsumedRecord {
            source: TopicPartition::new("events", Partition(5)),
            offset: Offset(42),
            timestamp: Timestamp::from_millis(9),
            key: Some("key".into()),
            value: Some(value.into()),
            headers,
        };
        Refused { record, reason: Reason::MissingField("user_id".to_owned()) }
    }

    fn topic() -> DeadLetterTopic {
        DeadLetterTopic { name: "dead".into(), partitions: 2 }
    }

    #[test]
    fn a_letter_keeps_the_record_and_tells_where_it_came_from_and_why() {
        let letter = topic().letter(&refused(b"{}".to_vec()), "events", Timestamp::from_millis(100));
        assert_eq!(letter.target, TopicPartition::new("dead", Partition(1)));
        assert_eq!((letter.key, letter.value), (Some("key".into()), Some("{}".into())));
        assert_eq!(letter.timestamp, Timestamp::from_millis(100));
        let header = |name: &str| String::from_utf8(letter.headers.last(name).unwrap().unwrap().to_vec()).unwrap();
        assert_eq!(header("trace"), "7");
        let told: Vec<_> = ["reason", "node", "topic", "partition", "offset", "timestamp"]
            .into_iter()
            .map(|name| header(&format!("__streams.errors.{name}")))
            .collect();
        assert_eq!(told, ["missing_field", "events", "events", "5", "42", "9"]);
    }

    #[test]
    fn a_payload_too_large_for_a_letter_is_left_out() {
        let letter = topic().letter(&refused(vec![b'x'; PAYLOAD_BYTES_MAX]), "events", Timestamp::EPOCH);
        assert_eq!((letter.key, letter.value), (None, None));
        assert!(letter.headers.last("__streams.errors.omitted.bytes").is_some());
        assert!(letter.headers.last("trace").is_none());
    }

    #[test]
    fn the_mark_is_read_back_and_nothing_else_is() {
        let ahead = committed_offset(Offset(100), Offset(200));
        assert_eq!((ahead.next, letters_before(Some(&ahead))), (Offset(100), Offset(200)));
        let level = committed_offset(Offset(200), Offset(200));
        assert_eq!((level.metadata.as_str(), letters_before(Some(&level))), ("", Offset(0)));
        assert_eq!(letters_before(None), Offset(0));
        for text in ["dead-letters=x", "dead-letters=-7", "dead-letters=99999999999999999999", "letters=7"] {
            let foreign = millpond::broker::CommittedOffset { next: Offset(1), metadata: text.to_owned() };
            assert_eq!(letters_before(Some(&foreign)), Offset(0), "{text}");
        }
    }
}
