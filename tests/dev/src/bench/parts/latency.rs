//! From a record's making to its committed output, at a fixed rate.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use millpond_harness::Process;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bench::check;
use crate::bench::expected::Expected;
use crate::bench::figures::{Figure, Lines, thousands};
use crate::bench::load::Event;
use crate::bench::measure::Watch;
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::say;
use crate::bench::stand::Bench;
use crate::bench::tail::Tail;
use crate::demo::Random;

/// What programs do in their first seconds is shown as start-up elsewhere.
const WARM_UP: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);
/// Nobody who is through is silent that long before the last output.
const LATE: Duration = Duration::from_secs(2);
/// No program needs that long for its first output, or for what is left in the end.
const LIMIT: Duration = Duration::from_mins(3);

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let works = bench.options.pick(vec![Work::Redaction, Work::Count], vec![Work::Count]);
    let rates = bench.options.pick(vec![1_000_u32, 10_000], vec![10_000]);
    let time = Duration::from_secs(u64::from(bench.options.seconds()));
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
    let feed = Feed { per_second, users: bench.options.shape().users };
    let end = End::default();
    let feeder = feed.start(&place.bootstrap_servers, &place.input, end.clone())?;
    let listener = Listener { tail, watch: bench.watch(&place, partitions, None)?, end, time };
    let heard = listener.listen(&mut process, feeder)?;
    let (mut late, expected) = (heard.late, heard.expected);
    let outputs = check::output(&place, (side, work), &expected)?;
    ensure!(outputs == heard.outputs, "{} outputs were seen, there are {outputs}", heard.outputs);
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
    let (work, side, sent) = (work.name(), side.name(), expected.events);
    let of = format!("of {} of {outputs} outputs of {sent} records", late.len());
    say(&format!("    {work:12} {side:14} {per_second:>6}/s: p50, p99, p99.9 are{shown} ms, {of}"));
    bench.forget(&place)
}

/// When feeding ends: known with the first output, so that all programs are measured for the same time.
type End = Arc<OnceLock<Instant>>;

/// Who waits for outputs while records are fed.
struct Listener<'a> {
    tail: Tail,
    watch: Watch<'a>,
    end: End,
    time: Duration,
}

/// What came of what was fed.
struct Heard {
    /// Milliseconds of each output that is measured.
    late: Vec<i64>,
    /// All outputs.
    outputs: u64,
    expected: Expected,
}

impl Listener<'_> {
    /// Listens until everything that was fed is committed, and no output comes any more.
    fn listen(&self, process: &mut Process, feeder: JoinHandle<anyhow::Result<Expected>>) -> anyhow::Result<Heard> {
        let (mut late, mut outputs, mut begin_ms) = (Vec::new(), 0, None::<i64>);
        let (mut feeder, mut fed) = (Some(feeder), None::<(Expected, Instant)>);
        let mut quiet_since = Instant::now();
        loop {
            if let Some(made_ms) = self.tail.timestamp(Duration::from_millis(20))? {
                (outputs, quiet_since) = (outputs + 1, Instant::now());
                self.end.get_or_init(|| quiet_since + WARM_UP + self.time);
                if made_ms >= *begin_ms.get_or_insert(made_ms.max(now_ms()) + millis(WARM_UP)) {
                    late.push(now_ms() - made_ms);
                }
            }
            if let Some(feeder) = feeder.take_if(|feeder| feeder.is_finished()) {
                let expected = feeder.join().ok().context("the feeder panicked")??;
                (fed, quiet_since) = (Some((expected, Instant::now())), Instant::now());
            }
            if let Some(status) = process.ended()? {
                bail!("{} has ended by itself ({status}):\n{}", process.name(), process.log_tail());
            }
            ensure!(!self.watch.stop.is_requested(), "interrupted");
            let waited = fed.as_ref().map_or(quiet_since.elapsed(), |(_, at)| at.elapsed());
            ensure!(waited < LIMIT, "{} is not through:\n{}", process.name(), process.log_tail());
            if quiet_since.elapsed() < LATE {
                continue;
            }
            match fed.take() {
                Some((expected, _)) if self.watch.is_done(expected.events)? => {
                    return Ok(Heard { late, outputs, expected });
                }
                // Before the first record, or in a pause.
                before => fed = before,
            }
        }
    }
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
    users: u32,
}

impl Feed {
    /// In the end it says what it has fed.
    fn start(
        self,
        bootstrap_servers: &str,
        topic: &str,
        end: End,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<Expected>>> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .create()?;
        let topic = topic.to_owned();
        Ok(thread::Builder::new().name("feed".into()).spawn(move || self.run(&producer, &topic, &end))?)
    }

    fn run(self, producer: &BaseProducer, topic: &str, end: &OnceLock<Instant>) -> anyhow::Result<Expected> {
        let began = Instant::now();
        let (mut random, mut value, mut expected) = (Random::new(7), Vec::new(), Expected::new(self.users));
        // Who waits for the first output gives up before this does.
        while end.get().map_or(began.elapsed() < LIMIT * 2, |end| Instant::now() < *end) {
            let due = began.elapsed().as_micros() * u128::from(self.per_second) / 1_000_000;
            while u128::from(expected.events) < due {
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
                expected.event(user, at_ms, value.len());
            }
            producer.poll(Duration::ZERO);
            thread::park_timeout(TICK);
        }
        producer.flush(Duration::from_mins(1)).context("feed the events")?;
        Ok(expected)
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
