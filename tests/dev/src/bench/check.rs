//! Whether an output is right: a fast wrong program is of no interest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::load::Input;
use super::options::Work;
use super::program::Side;

const REQUEST: Duration = Duration::from_secs(30);

/// Reads the output to its end and compares it with the input; yields the number of its records.
pub(crate) fn output(
    bootstrap_servers: &str,
    topic: &str,
    (side, work): (Side, Work),
    input: &Input,
) -> anyhow::Result<u64> {
    let mut records = 0_u64;
    let (mut counts, mut orders, mut addresses) = (BTreeMap::<Vec<u8>, i64>::new(), BTreeSet::<Vec<u8>>::new(), 0);
    each(bootstrap_servers, topic, |message| {
        records += 1;
        let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        match work {
            Work::Redaction => addresses += u64::from(value.contains(&b'@')),
            Work::Count => {
                counts.insert(key.to_vec(), value.try_into().map_or(i64::MIN, i64::from_be_bytes));
            }
            Work::Attribution => drop(orders.insert(key.to_vec())),
            Work::Fraud => {}
        }
    })?;
    let events = input.events;
    match work {
        Work::Redaction => {
            ensure!(records == events, "{records} records for {events} events");
            ensure!(side == Side::Bare || addresses == 0, "{addresses} records with an address");
        }
        Work::Count => {
            let counted: i64 = counts.values().sum();
            ensure!(u64::try_from(counted).ok() == Some(events), "{counted} counted of {events} events");
        }
        Work::Attribution => {
            ensure!(orders.len() as u64 == input.orders, "{} orders of {}", orders.len(), input.orders);
        }
        Work::Fraud => ensure!(records > 0, "no alert"),
    }
    Ok(records)
}

fn each(bootstrap_servers: &str, topic: &str, mut found: impl FnMut(&BorrowedMessage<'_>)) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "bench-check")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut open = partitions;
    while open > 0 {
        match consumer.poll(REQUEST).with_context(|| format!("{topic} does not come to its end"))? {
            Ok(message) => found(&message),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => bail!("read {topic}: {error}"),
        }
    }
    Ok(())
}
