//! The end of a topic: what is committed from now on.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millpond_harness::Process;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::TopicPartitionList;

const REQUEST: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_mins(10);

/// A reader of what appears in a topic, committed, after its making.
pub(crate) struct Tail {
    consumer: BaseConsumer,
}

impl Tail {
    pub(crate) fn of(bootstrap_servers: &str, topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "bench-tail")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            // An offset, not "the end": what comes between now and the first fetch belongs to it.
            let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST)?;
            assignment.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&assignment)?;
        Ok(Self { consumer })
    }

    /// Waits for a committed record; says when it was there.
    pub(crate) fn next(&self, process: &mut Process) -> anyhow::Result<Instant> {
        let began = Instant::now();
        loop {
            if let Some(message) = self.consumer.poll(LOOK) {
                message.context("read the output")?;
                return Ok(Instant::now());
            }
            if let Some(status) = process.ended()? {
                bail!("{} has ended by itself ({status}):\n{}", process.name(), process.log_tail());
            }
            if began.elapsed() > LIMIT {
                bail!("{} writes nothing for {} s:\n{}", process.name(), LIMIT.as_secs(), process.log_tail());
            }
        }
    }

    /// The timestamp of a committed record, when there is one within that time.
    pub(crate) fn timestamp(&self, within: Duration) -> anyhow::Result<Option<i64>> {
        let Some(message) = self.consumer.poll(within) else { return Ok(None) };
        Ok(message.context("read the output")?.timestamp().to_millis())
    }
}
