//! From a record's making to its committed output, at a fixed rate.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bench::expected::Expected;
use crate::bench::figures::{Figure, Lines, thousands};
use crate::bench::load::Event;
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::say;
use crate::bench::stand::Bench;
use crate::bench::tail::Tail;
use crate::demo::Random;

/// What programs do in their first seconds is shown as start-up elsewhere.
const WARM_UP: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);
/// An output may come that long after the last record.
const LATE: Duration = Duration::from_secs(2);

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let works = bench.options.pick(vec![Work::Redaction, Work::Count], vec![Work::Count]);
    let rates = bench.options.pick(vec![1_000_u32, 10_000], vec![10_000]);
    let time = Duration::from_secs(bench.options.pick(20, 10));
    let mut sides = bench.programs.sides();
    for _ in 0..bench.options.rounds() {
        for work in &works {
            for &per_second in &rates {
                for side in &sides {
                    one(bench, (*side, *work), (per_second, time), lines)?;
                }
            }
        }
        sides.reverse();
    }
    Ok(())
}

fn one(
    bench: &mut Bench<'_>,
    (side, work): (Side, Work),
    (per_second, time): (u32, Duration),
    lines: &mut Lines,
) -> anyhow::Result<()> {
    let mut place = bench.place(&format!("latency-{}-{}", work.name(), side.name()), "")?;
    place.input = format!("{}-input", place.application_id);
    let partitions = bench.options.partitions();
    bench.topic(&place.input, partitions)?;
    bench.topic(&place.output, partitions)?;
    let tail = Tail::of(&place.bootstrap_servers, &place.output, partitions)?;
    let mut process = bench.programs.launch(side, work, &place, Setting::of(bench.options)).start()?;
    let feed = Feed { per_second, time, users: bench.options.shape().users };
    let mut feeder = Some(feed.start(&place.bootstrap_servers, &place.input)?);
    let (mut late, mut measured) = (Vec::new(), None::<i64>);
    let mut quiet_since = Instant::now();
    loop {
        if let Some(made_ms) = tail.timestamp(Duration::from_millis(20))? {
            quiet_since = Instant::now();
            let begin_ms = *measured.get_or_insert(made_ms.max(now_ms()) + millis(WARM_UP));
            if made_ms >= begin_ms {
                late.push(now_ms() - made_ms);
            }
        }
        if feeder.as_ref().is_some_and(thread::JoinHandle::is_finished) {
            feeder.take().map_or(Ok(Ok(())), thread::JoinHandle::join).ok().context("the feeder panicked")??;
            quiet_since = Instant::now();
        }
        let patience = if feeder.is_some() { LATE * 15 } else { LATE };
        if quiet_since.elapsed() > patience || process.ended()?.is_some() {
            break;
        }
    }
    ensure!(feeder.is_none(), "{} writes nothing:\n{}", process.name(), process.log_tail());
    process.stop()?;
    late.sort_unstable();
    let line = lines.line(work.name(), &format!("{}/s", thousands(u64::from(per_second))), side.name());
    let figures = [(Figure::LatencyP50Ms, 500), (Figure::LatencyP99Ms, 990), (Figure::LatencyP999Ms, 999)];
    let mut shown = String::new();
    for (figure, permille) in figures {
        let value = percentile(&late, permille).context("no output was measured")?;
        shown = format!("{shown} {value}");
        line.push(figure, value);
    }
    let (work, side) = (work.name(), side.name());
    say(&format!("    {work:12} {side:14} {per_second:>6}/s: p50, p99, p99.9 are{shown} ms, of {}", late.len()));
    bench.forget(&place)
}

/// Of sorted values.
#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn percentile(sorted: &[i64], permille: usize) -> Option<f64> {
    let place = (sorted.len() * permille).div_ceil(1000).max(1) - 1;
    sorted.get(place).map(|value| *value as f64)
}

/// Writes events at a fixed rate, in steps of a millisecond.
#[derive(Clone, Copy)]
struct Feed {
    per_second: u32,
    time: Duration,
    users: u32,
}

impl Feed {
    fn start(self, bootstrap_servers: &str, topic: &str) -> anyhow::Result<thread::JoinHandle<anyhow::Result<()>>> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .create()?;
        let topic = topic.to_owned();
        Ok(thread::Builder::new().name("feed".into()).spawn(move || self.run(&producer, &topic))?)
    }

    fn run(self, producer: &BaseProducer, topic: &str) -> anyhow::Result<()> {
        let (began, mut sent) = (Instant::now(), 0_u64);
        let (mut random, mut value, mut expected) = (Random::new(7), Vec::new(), Expected::new(0));
        while began.elapsed() < WARM_UP * 2 + self.time {
            let due = began.elapsed().as_micros() * u128::from(self.per_second) / 1_000_000;
            while u128::from(sent) < due {
                let (user, at_ms) = (random.below(self.users), now_ms());
                value.clear();
                Event { user, at_ms, bytes: 170 }.write(&mut expected, &mut random, &mut value)?;
                let key = format!("u{user}");
                let mut record = BaseRecord::to(topic).key(&key).payload(&value).timestamp(at_ms);
                while let Err((error, refused)) = producer.send(record) {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error).context("feed the events");
                    }
                    producer.poll(TICK);
                    record = refused;
                }
                sent += 1;
            }
            producer.poll(Duration::ZERO);
            thread::park_timeout(TICK);
        }
        producer.flush(Duration::from_mins(1)).context("feed the events")
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<i64> = (1..=1000).collect();
        assert_eq!([500, 990, 999].map(|permille| percentile(&sorted, permille)), [500.0, 990.0, 999.0].map(Some));
        assert_eq!((percentile(&[7], 999), percentile(&[], 500)), (Some(7.0), None));
    }
}
