//! Whether an output is right: a fast wrong program is of no interest.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::expected::Expected;
use super::options::Work;
use super::program::{Place, Side};

const REQUEST: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
const MARKER: &[u8] = b"[redacted]";
/// One order in so many may be astray in the peer's output: seen are 4 of 300,000.
const ASTRAY_SHARE: u64 = 10_000;

/// Reads the output to its end and compares it with the input; yields the number of its records.
pub(crate) fn output(place: &Place, sides: (Side, Work), expected: &Expected) -> anyhow::Result<u64> {
    compare(&place.bootstrap_servers, &place.output, sides, expected).with_context(|| place.dir.display().to_string())
}

fn compare(
    bootstrap_servers: &str,
    topic: &str,
    (side, work): (Side, Work),
    expected: &Expected,
) -> anyhow::Result<u64> {
    match work {
        Work::Redaction if side == Side::Bare => copied(bootstrap_servers, topic, expected),
        Work::Redaction => redacted(bootstrap_servers, topic, expected),
        Work::Count => last_numbers(bootstrap_servers, topic, &expected.counts),
        Work::Table => last_numbers(bootstrap_servers, topic, &expected.sums),
        Work::Attribution => attributed(bootstrap_servers, topic, side, expected),
        Work::Fraud => {
            let alerts = each(bootstrap_servers, topic, |_| Ok(()))?;
            let (least, most) = expected.alerts(side);
            ensure!((least..=most).contains(&alerts), "{alerts} alerts, expected {least} to {most}");
            Ok(alerts)
        }
    }
}

fn copied(bootstrap_servers: &str, topic: &str, expected: &Expected) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let records = each(bootstrap_servers, topic, |message| {
        bytes += message.payload().unwrap_or_default().len() as u64;
        Ok(())
    })?;
    let (found, wanted) = ((records, bytes), (expected.events, expected.value_bytes));
    ensure!(found == wanted, "records and bytes are {found:?}, expected {wanted:?}");
    Ok(records)
}

fn redacted(bootstrap_servers: &str, topic: &str, expected: &Expected) -> anyhow::Result<u64> {
    let (mut addresses, mut markers) = (0_u64, 0_u64);
    let records = each(bootstrap_servers, topic, |message| {
        let value = message.payload().unwrap_or_default();
        addresses += u64::from(value.contains(&b'@'));
        // The marker's bracket is nowhere else in the events.
        let bracket = value.iter().position(|byte| *byte == b'[');
        let marked = bracket.and_then(|place| value.get(place..)).is_some_and(|rest| rest.starts_with(MARKER));
        markers += u64::from(marked);
        Ok(())
    })?;
    let (found, wanted) = ((records, markers, addresses), (expected.events, expected.addresses, 0));
    ensure!(found == wanted, "records, redacted ones and addresses left are {found:?}, expected {wanted:?}");
    Ok(records)
}

/// The last number of each key.
fn last_numbers(bootstrap_servers: &str, topic: &str, wanted: &[i64]) -> anyhow::Result<u64> {
    let mut numbers = vec![0; wanted.len()];
    let records = each(bootstrap_servers, topic, |message| {
        let number = message.payload().unwrap_or_default().try_into().map(i64::from_be_bytes);
        let key = std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default();
        let place = key.strip_prefix('u').and_then(|user| user.parse::<usize>().ok());
        let place = place.and_then(|user| numbers.get_mut(user)).with_context(|| format!("an unknown key, {key}"))?;
        *place = number.context("a number has eight bytes")?;
        Ok(())
    })?;
    let wrong = numbers.iter().zip(wanted).filter(|(found, wanted)| found != wanted).count();
    ensure!(wrong == 0, "{wrong} of {} keys have a wrong number", wanted.len());
    Ok(records)
}

fn attributed(bootstrap_servers: &str, topic: &str, side: Side, expected: &Expected) -> anyhow::Result<u64> {
    let mut orders = BTreeMap::new();
    let records = each(bootstrap_servers, topic, |message| {
        let value: serde_json::Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
        let channel = value.get("marketing_channel").and_then(|channel| channel.as_str()).unwrap_or_default();
        orders.insert(message.key().unwrap_or_default().to_vec(), channel.to_owned());
        Ok(())
    })?;
    let mut channels = BTreeMap::<String, u64>::new();
    for channel in orders.into_values() {
        *channels.entry(channel).or_default() += 1;
    }
    let wanted = expected.channels(side);
    let all = |orders: &BTreeMap<String, u64>| orders.values().sum::<u64>();
    let names = channels.keys().chain(wanted.keys()).collect::<BTreeSet<_>>();
    let of = |orders: &BTreeMap<String, u64>, name: &str| orders.get(name).copied().unwrap_or(0);
    let astray = names.iter().map(|name| of(&channels, name).abs_diff(of(&wanted, name))).sum::<u64>() / 2;
    // The peer does not come back to an order when an earlier visit comes after it, by another way through the repartition
    // topic. Ours does: none of its orders may be astray.
    let allowed = if side == Side::Streams { all(&wanted) / ASTRAY_SHARE } else { 0 };
    let found = all(&channels) == all(&wanted) && astray <= allowed;
    ensure!(found, "orders of each channel are {channels:?}, expected {wanted:?}");
    Ok(records)
}

/// Hands out everything committed in the topic; yields the number of records.
fn each(
    bootstrap_servers: &str,
    topic: &str,
    mut found: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let consumer = reader(bootstrap_servers, "read_committed")?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    decided(&consumer, &reader(bootstrap_servers, "read_uncommitted")?, topic, i32::try_from(partitions)?)?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let (mut open, mut records) = (partitions, 0);
    while open > 0 {
        match consumer.poll(REQUEST).with_context(|| format!("{topic} does not come to its end"))? {
            Ok(message) => {
                records += 1;
                found(&message)?;
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => bail!("read {topic}: {error}"),
        }
    }
    Ok(records)
}

fn reader(bootstrap_servers: &str, isolation: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("group.id", "bench-check").set("isolation.level", isolation);
    Ok(config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").create()?)
}

/// Waits until no transaction is open in the topic: a broker shows offsets as committed before it has marked the last
/// records in each of many partitions, and until then they are not to be seen.
fn decided(committed: &BaseConsumer, all: &BaseConsumer, topic: &str, partitions: i32) -> anyhow::Result<()> {
    let began = Instant::now();
    for partition in 0..partitions {
        loop {
            let end = |of: &BaseConsumer| of.fetch_watermarks(topic, partition, REQUEST).map(|(_, end)| end);
            if end(committed)? >= end(all)? {
                break;
            }
            ensure!(began.elapsed() < REQUEST, "a transaction stays open in {topic}, partition {partition}");
            thread::park_timeout(LOOK);
        }
    }
    Ok(())
}
