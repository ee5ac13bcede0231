//! Reads a topic with nothing but librdkafka and throws it away: the limit for any program that reads.
//!
//! `bench-consume BOOTSTRAP GROUP INPUT COMMIT_MS`; it ends when nobody needs it any more, by a signal.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, input, commit_ms] = arguments.as_slice() else {
        anyhow::bail!("say BOOTSTRAP GROUP INPUT COMMIT_MS")
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("auto.commit.interval.ms", commit_ms)
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    consumer.subscribe(&[input])?;
    let mut bytes = 0;
    loop {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            bytes += message?.payload_len();
            std::hint::black_box(bytes);
        }
    }
}
