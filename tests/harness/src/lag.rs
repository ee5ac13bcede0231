use std::fmt;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::partition_count;
use crate::{Error, wait::try_wait_for};

const REQUEST: Duration = Duration::from_secs(10);

/// A consumer group's position in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset; none before the first commit.
    pub committed: Option<i64>,
    /// The offset behind the last record or marker of the log.
    pub end: i64,
}

impl PartitionLag {
    /// Offsets between the committed one, or the log's beginning, and the end; transaction markers count.
    pub fn lag(&self) -> i64 {
        self.end - self.committed.unwrap_or(0)
    }
}

/// A view of a consumer group's offsets; it never joins the group. Keeps its connection, for repeated looks.
pub struct Group {
    consumer: BaseConsumer,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) fn new(consumer: BaseConsumer) -> Self {
        Self { consumer }
    }

    /// Committed and end offsets of every partition of these topics, in order.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the brokers do not answer within 10 seconds.
    pub fn lag(&self, topics: &[&str]) -> Result<Vec<PartitionLag>, Error> {
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..partition_count(&self.consumer, topic)? {
                wanted.add_partition(topic, partition);
            }
        }
        let committed = self.consumer.committed_offsets(wanted, REQUEST);
        let committed = committed.map_err(Error::kafka("fetch committed offsets"))?;
        let lags = committed.elements().into_iter().map(|element| {
            let watermarks = self.consumer.fetch_watermarks(element.topic(), element.partition(), REQUEST);
            let (_, end) = watermarks.map_err(Error::kafka("fetch end offsets"))?;
            let offset = element.offset();
            let committed = if let Offset::Offset(offset) = offset { Some(offset) } else { None };
            Ok(PartitionLag { topic: element.topic().to_owned(), partition: element.partition(), committed, end })
        });
        lags.collect()
    }

    /// The sum of all lags; see [`PartitionLag::lag`].
    ///
    /// # Errors
    /// As [`Group::lag`].
    pub fn total_lag(&self, topics: &[&str]) -> Result<i64, Error> {
        Ok(self.lag(topics)?.iter().map(PartitionLag::lag).sum())
    }

    /// Waits at most `limit` until nothing is left to consume in these topics: every committed offset equals the end.
    ///
    /// # Errors
    /// [`Error::Late`] with the remaining lags when there is something left.
    pub fn wait_until_drained(&self, topics: &[&str], limit: Duration) -> Result<(), Error> {
        let mut left = Vec::new();
        let drained = try_wait_for(limit, "", || {
            left = self.lag(topics)?;
            left.retain(|partition| partition.lag() != 0);
            Ok(left.is_empty().then_some(()))
        });
        match drained {
            Err(Error::Late { limit, .. }) => Err(Error::Late { what: format!("lag is zero, left={left:?}"), limit }),
            done => done,
        }
    }
}

/// Partitions whose last stable offset is not the end of their log, by how each of the two readers sees the end.
pub(crate) fn open_partitions(committed: &BaseConsumer, all: &BaseConsumer) -> Result<Vec<String>, Error> {
    let metadata = all.fetch_metadata(None, REQUEST).map_err(Error::kafka("fetch metadata"))?;
    let mut open = Vec::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            let end = |reader: &BaseConsumer| {
                let watermarks = reader.fetch_watermarks(topic.name(), partition.id(), REQUEST);
                watermarks.map(|(_, end)| end).map_err(Error::kafka(format!("fetch the end of {}", topic.name())))
            };
            let (stable, end) = (end(committed)?, end(all)?);
            if stable < end {
                open.push(format!("{}-{}: committed up to {stable} of {end}", topic.name(), partition.id()));
            }
        }
    }
    Ok(open)
}
