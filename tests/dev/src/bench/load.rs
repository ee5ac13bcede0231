//! The input: the same events for every program, keyed by user.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::options::Options;
use crate::demo::Random;

/// Event times begin here and go on at 20,000 events a second.
const BEGIN_MS: i64 = 1_700_000_000_000;
const EVENTS_PER_MS: u64 = 20;
const CHANNELS: [&str; 5] = ["google", "mail", "instagram", "affiliate", "partner"];
const SEED: u64 = 1;

/// What is in the topic, for the checks of the outputs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Input {
    pub(crate) events: u64,
    pub(crate) orders: u64,
}

/// Writes the events into the topic.
pub(crate) fn load(bootstrap_servers: &str, topic: &str, options: &Options) -> anyhow::Result<Input> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .create()?;
    let (mut random, mut value, mut key) = (Random::new(SEED), Vec::new(), Vec::new());
    let mut input = Input::default();
    while input.events < options.events() {
        let user = random.below(options.users.get());
        key.clear();
        value.clear();
        write!(key, "u{user}")?;
        event(&mut input, user, &mut random, options.record_bytes, &mut value)?;
        let at = BEGIN_MS + i64::try_from(input.events / EVENTS_PER_MS)?;
        let mut record = BaseRecord::to(topic).key(key.as_slice()).payload(value.as_slice()).timestamp(at);
        while let Err((error, refused)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("load the events");
            }
            producer.poll(Duration::from_millis(5));
            record = refused;
        }
        input.events += 1;
    }
    producer.flush(Duration::from_mins(2)).context("load the events")?;
    Ok(input)
}

fn event(input: &mut Input, user: u32, random: &mut Random, bytes: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, r#"{{"user_id":"u{user}","event_name":""#)?;
    match random.below(10) {
        0..4 => write!(out, r#"visit","page":"/landing/{}","channel":"{}""#, random.below(50), random.pick(&CHANNELS))?,
        4..7 => write!(out, r#"add_to_cart","item_url":"/item/{}""#, random.below(20_000))?,
        7 => {
            input.orders += 1;
            write!(out, r#"order_confirmed","order_id":"o{}","order_email":"user{user}@example.com""#, input.orders)?;
        }
        _ => write!(out, r#"page_view","page":"/items?page={}""#, random.below(5_000))?,
    }
    let missing = bytes.saturating_sub(out.len() + r#","agent":""}"#.len());
    out.extend_from_slice(br#","agent":""#);
    // Words, so that compression finds neither nothing nor everything to do.
    out.extend((0..missing).map(|_| u8::try_from(random.below(16)).map_or(b' ', |letter| b'a' + letter)));
    out.extend_from_slice(br#""}"#);
    Ok(())
}
