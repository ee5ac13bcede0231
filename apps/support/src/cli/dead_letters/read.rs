//! Reading topics to their end, or at one place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use millpond::broker::kafka::KafkaBroker;
use millpond::broker::{Broker, BrokerErrorKind, ChangelogReader};
use millpond::record::{ConsumedRecord, Offset, Partition, TopicName, TopicPartition};
use millpond::runtime::letters::DeadLetter;

use crate::cli::Failure;
use crate::cli::progress::Progress;

/// One wait for records.
const POLL: Duration = Duration::from_millis(100);

/// How long a topic may bring nothing although it has not ended.
const SILENCE: Duration = Duration::from_secs(30);

/// The letters of a topic, by partition and offset.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) topic: String,
    pub(super) all: Vec<DeadLetter>,
    /// Those that were sent again.
    replayed: BTreeSet<(Partition, Offset)>,
}

impl Letters {
    pub(super) fn is_replayed(&self, letter: &DeadLetter) -> bool {
        self.replayed.contains(&(letter.at.partition, letter.offset))
    }

    pub(super) fn find(&self, at: &str) -> Result<&DeadLetter, Failure> {
        let wrong = || Failure::usage(format!("{at} is no place of a letter"), "say partition and offset as 0@17");
        let (partition, offset) = at.split_once('@').ok_or_else(wrong)?;
        let place = (partition.parse::<i32>(), offset.parse::<i64>());
        let (Ok(partition), Ok(offset)) = place else { return Err(wrong()) };
        let found = self.all.iter().find(|letter| (letter.at.partition.0, letter.offset.0) == (partition, offset));
        found.ok_or_else(|| {
            let fix = "see `dead-letters list --limit 0` for those that are there";
            Failure::new("unknown-letter", format!("there is no letter {at} in {}", self.topic), fix)
        })
    }

    fn take(&mut self, record: &ConsumedRecord) {
        match DeadLetter::marked(record) {
            Some(offset) => drop(self.replayed.insert((record.source.partition, offset))),
            None => self.all.extend(DeadLetter::read(record)),
        }
    }
}

/// All letters of a topic.
pub(super) fn all(broker: &KafkaBroker, topic: &str) -> Result<Letters, Failure> {
    let name = TopicName::from(topic);
    let described = broker.describe_topics(std::slice::from_ref(&name))?;
    let Some(description) = described.get(&name) else {
        let fix = "nothing was set aside yet, or errors.dead.letter.queue.topic.name and --application-id are not those \
                   of the application";
        return Err(Failure::new("unknown-topic", format!("there is no topic {topic}"), fix));
    };
    let partitions = (0..description.partitions).map(|number| TopicPartition::new(name.clone(), Partition(number)));
    let ranges = broker.committed_ranges(&partitions.collect())?;
    let ends: BTreeMap<TopicPartition, Offset> = ranges.iter().map(|(at, range)| (at.clone(), range.end)).collect();
    let from: BTreeMap<TopicPartition, Offset> = ranges
        .iter()
        .filter(|(_, range)| range.start < range.end)
        .map(|(at, range)| (at.clone(), range.start))
        .collect();
    let about = ranges.values().map(|range| u64::try_from(range.end.0 - range.start.0).unwrap_or(0)).sum();
    let progress = Progress::over("reading", about);
    let mut letters = Letters { topic: topic.to_owned(), ..Letters::default() };
    if from.is_empty() {
        return Ok(letters);
    }
    let mut reader = broker.reader()?;
    reader.assign(&from)?;
    let mut heard = Instant::now();
    while from.keys().any(|at| reader.position(at) < ends.get(at).copied()) {
        let records = reader.poll(POLL)?;
        if !records.is_empty() {
            heard = Instant::now();
        }
        for record in &records {
            letters.take(record);
            progress.step();
        }
        if heard.elapsed() > SILENCE {
            return Err(silent(topic));
        }
    }
    letters.all.sort_by_key(|letter| (letter.written, letter.at.partition, letter.offset));
    Ok(letters)
}

/// The committed record at a place; `None` when it is gone.
pub(super) fn one(
    broker: &KafkaBroker,
    at: &TopicPartition,
    offset: Offset,
) -> Result<Option<ConsumedRecord>, Failure> {
    let mut reader = broker.reader()?;
    reader.assign(&BTreeMap::from([(at.clone(), offset)]))?;
    let began = Instant::now();
    while began.elapsed() < SILENCE {
        let records = match reader.poll(POLL) {
            Err(error) if error.kind == BrokerErrorKind::OffsetOutOfRange => return Ok(None),
            records => records?,
        };
        if let Some(record) = records.into_iter().find(|record| record.offset == offset) {
            return Ok(Some(record));
        }
        if reader.position(at) > Some(offset) {
            return Ok(None);
        }
    }
    Err(silent(&at.to_string()))
}

fn silent(what: &str) -> Failure {
    let fix = "look at the broker that leads it; a transaction that is open hides what follows it";
    Failure::new("broker-unreachable", format!("{what} brings nothing for 30 seconds"), fix)
}
