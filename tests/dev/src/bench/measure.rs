//! One run: from the start of a program on a loaded topic until its committed offsets are the end of the input.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millpond_harness::{Launch, Process};
use millpond_support::Stop;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::figures::{Figure, Line};
use super::usage::Usage;

const LOOK: Duration = Duration::from_millis(50);
const REQUEST: Duration = Duration::from_secs(10);
/// No work of the benchmark takes so long.
const LIMIT: Duration = Duration::from_mins(15);

/// What one run has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Until the first commit: start-up, joining the group.
    pub(crate) first_commit: Duration,
    /// Between the first commit and the last: records, and the time they took.
    pub(crate) records: u64,
    pub(crate) took: Duration,
    /// What was used in that time; the peak is that of the whole run.
    pub(crate) usage: Usage,
    pub(crate) broker: Usage,
    /// Records of the whole run, and bytes in the broker's logs that came of them.
    pub(crate) events: u64,
    pub(crate) broker_bytes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.usage.peak_resident_bytes as f64 / f64::from(1 << 20)
    }

    pub(crate) fn put_into(&self, line: &mut Line) {
        let (records, events) = (self.records.max(1) as f64, self.events.max(1) as f64);
        line.push(Figure::PeakResidentMib, self.peak_mib());
        line.push(Figure::BrokerBytesPerRecord, self.broker_bytes as f64 / events);
        line.push(Figure::FirstCommitMs, self.first_commit.as_secs_f64() * 1e3);
        // The first commit may have been the only one: then there is no time between two.
        if self.records > 0 {
            line.push(Figure::RecordsPerSecond, self.rate().round());
            line.push(Figure::CpuMicrosPerRecord, self.cpu_us());
            line.push(Figure::DiskBytesPerRecord, self.usage.written_bytes as f64 / records);
            line.push(Figure::BrokerCpuMicrosPerRecord, self.broker.cpu.as_secs_f64() * 1e6 / records);
        }
    }
}

/// What is looked at while a program works.
pub(crate) struct Watch<'a> {
    pub(crate) bootstrap_servers: &'a str,
    pub(crate) application_id: &'a str,
    pub(crate) input: &'a str,
    pub(crate) partitions: i32,
    /// The topic between two halves of a program that re-keys.
    pub(crate) repartition: Option<String>,
    /// The broker's process and its logs.
    pub(crate) broker: (u32, PathBuf),
    pub(crate) stop: &'a Stop,
}

impl Watch<'_> {
    /// Starts the program and waits until it is through; it runs on.
    pub(crate) fn run(&self, launch: Launch, events: u64) -> anyhow::Result<(Run, Process)> {
        let consumer = self.consumer()?;
        let began = Instant::now();
        let mut process = launch.start()?;
        let some = || Ok(Some(self.committed(&consumer, self.input)?).filter(|sum| *sum > 0));
        let first = self.until(&mut process, some)?;
        let (at_first, before) = (Instant::now(), self.used(&process)?);
        self.until(&mut process, || self.is_through(&consumer, events))?;
        let (took, after) = (at_first.elapsed(), self.used(&process)?);
        let run = Run {
            first_commit: at_first - began,
            records: events.saturating_sub(first),
            took,
            usage: after.0.since(&before.0),
            broker: after.1.since(&before.1),
            events,
            broker_bytes: log_bytes(&self.broker.1, self.application_id)?,
        };
        Ok((run, process))
    }

    /// Waits until a program that runs is through so many records.
    pub(crate) fn wait(&self, process: &mut Process, events: u64) -> anyhow::Result<()> {
        let consumer = self.consumer()?;
        self.until(process, || self.is_through(&consumer, events))
    }

    /// Whether so many records are through now.
    pub(crate) fn is_done(&self, events: u64) -> anyhow::Result<bool> {
        Ok(self.is_through(&self.consumer()?, events)?.is_some())
    }

    fn used(&self, process: &Process) -> anyhow::Result<(Usage, Usage)> {
        Ok((Usage::of(process.pid()).context("the program has ended")?, Usage::of(self.broker.0)?))
    }

    fn consumer(&self) -> anyhow::Result<BaseConsumer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers).set("group.id", self.application_id);
        Ok(config.create()?)
    }

    /// The sum of the offsets that the program has committed in a topic.
    fn committed(&self, consumer: &BaseConsumer, topic: &str) -> anyhow::Result<u64> {
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.partitions {
            wanted.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(wanted, REQUEST)?;
        let offsets = committed.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
            _ => 0,
        });
        Ok(offsets.sum())
    }

    /// Nothing is left to read. Kafka Streams does not always commit behind the last transaction marker.
    fn is_through(&self, consumer: &BaseConsumer, events: u64) -> anyhow::Result<Option<()>> {
        if self.committed(consumer, self.input)? < events {
            return Ok(None);
        }
        let Some(topic) = &self.repartition else { return Ok(Some(())) };
        let mut ends = 0;
        for partition in 0..self.partitions {
            ends += u64::try_from(consumer.fetch_watermarks(topic, partition, REQUEST)?.1).unwrap_or(0);
        }
        let markers = u64::try_from(self.partitions).unwrap_or(0);
        Ok((self.committed(consumer, topic)? + markers >= ends).then_some(()))
    }

    fn until<T>(
        &self,
        process: &mut Process,
        mut fact: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            if let Some(value) = fact()? {
                return Ok(value);
            }
            if let Some(status) = process.ended()? {
                bail!("{} has ended by itself ({status}):\n{}", process.name(), process.log_tail());
            }
            if began.elapsed() > LIMIT {
                bail!("{} is not through after {} s:\n{}", process.name(), LIMIT.as_secs(), process.log_tail());
            }
            if self.stop.wait(LOOK) {
                bail!("interrupted");
            }
        }
    }
}

/// Bytes in the broker's logs of all topics whose names begin with the application's.
fn log_bytes(data: &Path, application_id: &str) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(data).with_context(|| format!("list {}", data.display()))?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(application_id) {
            continue;
        }
        let segments = fs::read_dir(entry.path()).into_iter().flatten().flatten();
        let logs = segments.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        bytes += logs.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>();
    }
    Ok(bytes)
}

/// Waits out what a broker does after the end of a run, so that it is not charged to the next one.
pub(crate) fn settle() {
    thread::park_timeout(Duration::from_secs(1));
}
