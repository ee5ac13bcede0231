//! Reads a partition from its beginning to its end, committed records only.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millpond_harness::Received;
use millpond_support::Stop;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::demo::Interrupted;

const POLL: Duration = Duration::from_millis(100);
/// How long the brokers may take for the next record.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Records in the order of their offsets.
pub(super) struct Log {
    consumer: BaseConsumer,
    name: String,
    stop: Stop,
    ended: bool,
}

impl Log {
    pub(super) fn open(bootstrap_servers: &str, topic: &str, partition: i32, stop: &Stop) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            // librdkafka wants a group's name even from a consumer that joins none.
            .set("group.id", "millpond-demo")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .context("make a consumer")?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        consumer.assign(&assignment)?;
        Ok(Self { consumer, name: format!("{topic}-{partition}"), stop: stop.clone(), ended: false })
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Received>> {
        let began = Instant::now();
        while !self.ended {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => return Ok(Some(Received::of(&message))),
                Some(Err(KafkaError::PartitionEOF(_))) => self.ended = true,
                Some(Err(error)) => return Err(error).with_context(|| format!("read {}", self.name)),
                None if self.stop.is_requested() => return Err(Interrupted.into()),
                None if began.elapsed() > SILENCE_MAX => bail!("{} cannot be read to its end", self.name),
                None => {}
            }
        }
        Ok(None)
    }

    pub(super) fn rest(mut self) -> anyhow::Result<Vec<Received>> {
        let mut records = Vec::new();
        while let Some(record) = self.next()? {
            records.push(record);
        }
        Ok(records)
    }
}
