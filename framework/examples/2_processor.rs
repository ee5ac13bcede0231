//! A processor by hand, with a store and a punctuator: the highest reading of each sensor, every ten seconds of event time.
//!
//! ```text
//! cargo run --example 2_processor --no-default-features --features testing
//! cargo run --example 2_processor -- --bootstrap-servers localhost:9092
//! ```
//!
//! With a real broker: write readings to the topic `readings`, the sensor's name as the key, an eight-byte big-endian
//! integer (Kafka's `LongSerializer`) as the value; read `highest-readings`.

use std::error::Error;
use std::time::Duration;

use millpond::dsl::{Stores, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
use millpond::record::Record;
use millpond::serde::{Int64, Utf8};
use millpond::state::KeyValueStore;
use millpond::time::Timestamp;
use millpond::topology::{Topology, TopologyError};

#[path = "run/mod.rs"]
mod run;

/// What is read: a sensor's readings.
const READINGS: Topic<String, i64> = Topic::new("readings", &Utf8, &Int64);
/// What is written: each sensor's highest reading since the last report.
const HIGHEST: Topic<String, i64> = Topic::new("highest-readings", &Utf8, &Int64);

const INTERVAL: Duration = Duration::from_secs(10);

/// One per task. What must survive a crash is in the store; the struct itself is made again.
struct HighestReading {
    highest: KeyValueStore<String, i64>,
}

impl Processor for HighestReading {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn init(&mut self, context: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
        context.schedule(INTERVAL, Punctuation::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        reading: Record<String, i64>,
        _: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        let highest = self.highest.get(&reading.key)?;
        if highest.is_none_or(|highest| highest < reading.value) {
            self.highest.put(&reading.key, &reading.value)?;
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: ScheduleId,
        at: Timestamp,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        for row in self.highest.all()? {
            let (sensor, highest) = row?;
            self.highest.delete(&sensor)?;
            context.forward(Record::new(sensor, highest, at))?;
        }
        Ok(())
    }
}

/// The whole application. The store goes to the processor by its reference: one that is not connected, or has other types,
/// does not compile.
pub(crate) fn topology() -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let highest = builder.key_value_store(Stores::persistent("highest", &Utf8, &Int64));
    builder.stream(&READINGS).process("highest-reading", &highest, |highest| HighestReading { highest }).to(&HIGHEST);
    builder.build()
}

fn main() -> Result<(), Box<dyn Error>> {
    run::run("highest-reading", topology()?, simulate)
}

#[cfg(feature = "testing")]
pub(crate) fn simulate(topology: Topology) -> Vec<String> {
    use millpond::testing::TopologyTestDriver;

    let mut driver = TopologyTestDriver::builder(topology).build();
    for (sensor, reading, at_ms) in [("sluice", 3, 0), ("wheel", 40, 2_000), ("sluice", 9, 4_000), ("wheel", 38, 9_000)]
    {
        driver.pipe(&READINGS, sensor.to_owned(), reading, at_ms);
    }
    driver.commit();
    let mut lines = vec![format!("before ten seconds have passed: {:?}", driver.read_committed(&HIGHEST))];
    // A record moves event time over the boundary.
    driver.pipe(&READINGS, "sluice".to_owned(), 5, 12_000);
    driver.commit();
    lines.extend(driver.read_committed(&HIGHEST).into_iter().map(|(sensor, highest)| format!("{sensor} {highest}")));
    lines
}

#[cfg(not(feature = "testing"))]
fn simulate(_topology: Topology) -> Vec<String> {
    vec!["no simulated broker in this build: add --features testing, or --bootstrap-servers HOST:PORT".to_owned()]
}
