//! Copies a topic in transactions with nothing but librdkafka: the limit for any program that does more.
//!
//! `bench-copy BOOTSTRAP GROUP INPUT OUTPUT COMMIT_MS`; it ends when nobody needs it any more, by a signal.

use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const LIMIT: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, input, output, commit_ms] = arguments.as_slice() else {
        anyhow::bail!("say BOOTSTRAP GROUP INPUT OUTPUT COMMIT_MS")
    };
    let interval = Duration::from_millis(commit_ms.parse().context("COMMIT_MS")?);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", group)
        .set("linger.ms", "5")
        .create()?;
    producer.init_transactions(LIMIT)?;
    consumer.subscribe(&[input])?;
    loop {
        let Some(first) = consumer.poll(interval) else { continue };
        let (began, mut next) = (Instant::now(), TopicPartitionList::new());
        producer.begin_transaction()?;
        let mut message = Some(first);
        while let Some(found) = message {
            let found = found?;
            copy(&producer, output, found.key(), found.payload())?;
            let behind = Offset::Offset(found.offset() + 1);
            if next.find_partition(input, found.partition()).is_none() {
                next.add_partition(input, found.partition());
            }
            next.set_partition_offset(input, found.partition(), behind)?;
            message = if began.elapsed() < interval { consumer.poll(Duration::from_millis(1)) } else { None };
        }
        let metadata = consumer.group_metadata().context("the consumer has no group")?;
        producer.send_offsets_to_transaction(&next, &metadata, LIMIT)?;
        producer.commit_transaction(LIMIT)?;
    }
}

fn copy(producer: &BaseProducer, output: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> anyhow::Result<()> {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(output);
    (record.key, record.payload) = (key, value);
    while let Err((error, refused)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(1));
        record = refused;
    }
    producer.poll(Duration::ZERO);
    Ok(())
}
