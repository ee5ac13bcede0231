//! Writes the shop's events into the topic, at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use millpond_support::Stop;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::shop::{Plan, Shop};

/// How often it is looked how many events are due.
const TICK: Duration = Duration::from_millis(5);
const FLUSH: Duration = Duration::from_secs(30);

/// What became of the events; shared with whoever shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    /// Events that the brokers have.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }
}

impl ClientContext for Counts {}

impl ProducerContext for Counts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let number = if result.is_ok() { &self.0.acknowledged } else { &self.0.refused };
        number.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread that produces.
#[derive(Debug)]
pub(crate) struct Feed {
    thread: JoinHandle<anyhow::Result<Instant>>,
    counts: Counts,
}

/// What the feed is made of.
#[derive(Debug, Clone)]
pub(crate) struct FeedConfig {
    pub(crate) bootstrap_servers: String,
    pub(crate) topic: String,
    pub(crate) plan: Plan,
    /// How many events; none: until it is asked to stop.
    pub(crate) events: Option<u64>,
}

impl Feed {
    /// Begins at once; ends when all events are there, or soon after `stop`.
    pub(crate) fn start(config: FeedConfig, stop: &Stop) -> anyhow::Result<Self> {
        let counts = Counts::default();
        let producer: BaseProducer<Counts> = ClientConfig::new()
            .set("bootstrap.servers", &config.bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "10")
            .set("compression.type", "lz4")
            .create_with_context(counts.clone())
            .context("make the producer of events")?;
        let stop = stop.clone();
        let produce = move || produce(&config, &producer, &stop);
        let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(produce)?;
        Ok(Self { thread, counts })
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end and yields the number of events in the topic, and since when the last one is there.
    pub(crate) fn join(self) -> anyhow::Result<(u64, Instant)> {
        let Ok(ended) = self.thread.join() else { bail!("the feed panicked; see above") };
        let ended = ended?;
        let refused = self.counts.0.refused.load(Ordering::Relaxed);
        if refused > 0 {
            bail!("the brokers refused {refused} events");
        }
        Ok((self.counts.acknowledged(), ended))
    }
}

fn produce(config: &FeedConfig, producer: &BaseProducer<Counts>, stop: &Stop) -> anyhow::Result<Instant> {
    let (mut source, mut value) = (Shop::new(config.plan), Vec::with_capacity(256));
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (began, epoch_ms) = (Instant::now(), i64::try_from(epoch.as_millis()).unwrap_or(i64::MAX));
    let end = config.events.unwrap_or(u64::MAX);
    let mut sent = 0;
    while sent < end && !stop.is_requested() {
        let due = began.elapsed().as_micros() * u128::from(config.plan.rate) / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(end);
        while sent < due && !stop.is_requested() {
            let emission = source.next(&mut value);
            let mut record = BaseRecord::to(&config.topic).partition(emission.partition);
            record.timestamp = Some(epoch_ms + emission.at_ms);
            record.payload = (!emission.is_null).then_some(value.as_slice());
            send(producer, record)?;
            sent += 1;
        }
        // Takes acknowledgements until the next tick.
        producer.poll(TICK);
    }
    producer.flush(FLUSH).context("the brokers do not take the last events")?;
    Ok(Instant::now())
}

fn send(producer: &BaseProducer<Counts>, record: BaseRecord<'_, [u8], [u8]>) -> anyhow::Result<()> {
    let mut record = record;
    while let Err((error, refused)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error).context("produce events");
        }
        producer.poll(Duration::from_millis(10));
        record = refused;
    }
    Ok(())
}
