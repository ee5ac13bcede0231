//! The input: the same events for every program, keyed by user.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::expected::Expected;
use super::shape::{Content, Shape};
use crate::demo::Random;

/// Event times begin here and go on at 20,000 events a second.
const BEGIN_MS: i64 = 1_700_000_000_000;
const EVENTS_PER_MS: u64 = 20;
const CHANNELS: [&str; 5] = ["google", "mail", "instagram", "affiliate", "partner"];
const SEED: u64 = 1;

/// Writes the events into the topic.
pub(crate) fn load(bootstrap_servers: &str, topic: &str, shape: &Shape) -> anyhow::Result<Expected> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .set("batch.size", shape.batch_bytes.to_string())
        .create()?;
    let (mut random, mut value, mut key) = (Random::new(SEED), Vec::new(), Vec::new());
    let mut expected = Expected::new(shape.users);
    while expected.events < shape.events {
        let at_ms = BEGIN_MS + i64::try_from(expected.events / EVENTS_PER_MS)?;
        let user = shape.keys.draw(expected.events, shape.users, &mut random);
        key.clear();
        value.clear();
        write!(key, "u{user}")?;
        match shape.content {
            Content::Events => {
                Event { user, at_ms, bytes: shape.record_bytes }.write(&mut expected, &mut random, &mut value)?;
            }
            Content::Attributions => {
                expected.addresses += 1;
                let (order, channel) = (expected.addresses, random.pick(&CHANNELS));
                key.clear();
                write!(key, "o{order}")?;
                write!(value, r#"{{"user_id":"u{user}","order_id":"o{order}","marketing_channel":"{channel}"}}"#)?;
            }
            Content::Amounts => {
                let amount = random.below(1000);
                write!(value, "{amount}")?;
                expected.amount(user, i64::from(amount));
            }
        }
        expected.event(user, at_ms, value.len());
        let mut record = BaseRecord::to(topic).key(key.as_slice()).payload(value.as_slice()).timestamp(at_ms);
        while let Err((error, refused)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("load the events");
            }
            producer.poll(Duration::from_millis(5));
            record = refused;
        }
    }
    producer.flush(Duration::from_mins(2)).context("load the events")?;
    Ok(expected)
}

/// One event of the shop.
pub(crate) struct Event {
    pub(crate) user: u32,
    pub(crate) at_ms: i64,
    pub(crate) bytes: usize,
}

impl Event {
    pub(crate) fn write(self, expected: &mut Expected, random: &mut Random, out: &mut Vec<u8>) -> std::io::Result<()> {
        let Self { user, at_ms, bytes } = self;
        write!(out, r#"{{"user_id":"u{user}","event_name":""#)?;
        match random.below(10) {
            0..4 => {
                let channel = random.pick(&CHANNELS);
                write!(out, r#"visit","page":"/landing/{}","channel":"{channel}""#, random.below(50))?;
                expected.visit(user, at_ms, channel);
            }
            4..7 => {
                write!(out, r#"add_to_cart","item_url":"/item/{}""#, random.below(20_000))?;
                expected.cart(user, at_ms);
            }
            7 => {
                expected.order(user, at_ms);
                let order = expected.addresses;
                write!(out, r#"order_confirmed","order_id":"o{order}","order_email":"user{user}@example.com""#)?;
            }
            _ => write!(out, r#"page_view","page":"/items?page={}""#, random.below(5_000))?,
        }
        let missing = bytes.saturating_sub(out.len() + r#","agent":""}"#.len());
        out.extend_from_slice(br#","agent":""#);
        // Letters in no order, so that compression finds neither nothing nor everything to do.
        let mut left = missing;
        while left > 0 {
            let (four, some) = (random.below(1 << 16), left.min(4));
            out.extend((0..some).map(|place| b'a' + u8::try_from(four >> (4 * place) & 15).unwrap_or(0)));
            left -= some;
        }
        out.extend_from_slice(br#""}"#);
        Ok(())
    }
}
