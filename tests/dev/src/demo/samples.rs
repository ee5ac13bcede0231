//! The last records of the outputs, and when the first one was there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use millpond_support::Stop;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::names::Names;

const REQUEST: Duration = Duration::from_secs(2);
/// How long the last records of a topic may take.
const READ: Duration = Duration::from_millis(200);
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(1);
/// Offsets looked at before each partition's end; markers of transactions are among them.
const TAIL: i64 = 40;
const TAIL_BYTES: &str = "16384";

/// What was seen last. The data is synthetic: it may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) alert: Option<String>,
    pub(crate) attribution: Option<String>,
    pub(crate) redacted: Option<String>,
    /// When the first record of any output was seen.
    pub(crate) first: Option<Instant>,
}

/// Samples that a thread keeps up to date.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedSamples(Arc<Mutex<Samples>>);

impl SharedSamples {
    /// Starts the thread; it ends soon after `stop`, or with the process.
    pub(crate) fn follow(bootstrap_servers: &str, names: &Names, stop: &Stop) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            // librdkafka wants a group's name even from a consumer that joins none.
            .set("group.id", "millpond-demo")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.message.max.bytes", TAIL_BYTES)
            .create()
            .context("make the consumer of samples")?;
        let (shared, names, stop) = (Self::default(), names.clone(), stop.clone());
        let samples = shared.clone();
        let follow = move || {
            let mut interval = FIRST_INTERVAL;
            while !stop.wait(interval) {
                samples.look(&consumer, &names);
                if samples.get().first.is_some() {
                    interval = INTERVAL;
                }
            }
        };
        std::thread::Builder::new().name("samples".to_owned()).spawn(follow)?;
        Ok(shared)
    }

    pub(crate) fn get(&self) -> Samples {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self, consumer: &BaseConsumer, names: &Names) {
        // What cannot be read now is read the next time: nothing but the picture depends on it.
        let last = |topic: &str, wanted: fn(&str) -> bool| last(consumer, topic, wanted).unwrap_or_default();
        let alert = last(&names.alerts, |_| true);
        let attribution = last(&names.attributions, |_| true);
        let redacted = last(&names.processed, |text| text.contains("[redacted]"));
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alert.is_some() || attribution.is_some() || redacted.is_some() {
            samples.first.get_or_insert_with(Instant::now);
        }
        samples.alert = alert.or_else(|| samples.alert.take());
        samples.attribution = attribution.or_else(|| samples.attribution.take());
        samples.redacted = redacted.or_else(|| samples.redacted.take());
    }
}

/// The newest wanted value among the last committed records of a topic.
fn last(consumer: &BaseConsumer, topic: &str, wanted: fn(&str) -> bool) -> anyhow::Result<Option<String>> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    let (mut tails, mut ends) = (TopicPartitionList::new(), Vec::new());
    for partition in partitions.map(MetadataPartition::id) {
        let (start, end) = consumer.fetch_watermarks(topic, partition, REQUEST)?;
        if end > start {
            tails.add_partition_offset(topic, partition, Offset::Offset(start.max(end - TAIL)))?;
            ends.push((partition, end));
        }
    }
    consumer.assign(&tails)?;
    let began = Instant::now();
    let mut newest: Option<(Option<i64>, String)> = None;
    while !ends.is_empty() && began.elapsed() < READ {
        let Some(message) = consumer.poll(READ / 4).transpose()? else { continue };
        // An end that is a marker never comes; then time decides.
        ends.retain(|(partition, end)| *partition != message.partition() || message.offset() + 1 < *end);
        let Some(text) = message.payload().and_then(|value| std::str::from_utf8(value).ok()) else { continue };
        let at = message.timestamp().to_millis();
        if wanted(text) && newest.as_ref().is_none_or(|(before, _)| *before <= at) {
            newest = Some((at, text.to_owned()));
        }
    }
    consumer.assign(&TopicPartitionList::new())?;
    Ok(newest.map(|(_, text)| text))
}
