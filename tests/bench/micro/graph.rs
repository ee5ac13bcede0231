//! The whole loop on the simulated broker: poll, graph, store, commit. The simulation's own cost is in it.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::record::Headers;
use millpond::serde::{Int64, Raw, Utf8};
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;
use millpond::topology::Topology;

const RECORDS: u32 = 2_000;
const EVENTS: Topic<String, Bytes> = Topic::new("events", &Utf8, &Raw);
const KEPT: Topic<String, Bytes> = Topic::new("kept", &Utf8, &Raw);
const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);

fn filter() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&EVENTS).filter(|_, value| !value.is_empty()).to(&KEPT);
    builder.build().unwrap()
}

fn count() -> Topology {
    let builder = StreamsBuilder::new();
    let events = builder.stream(&EVENTS).group_by_key(Grouped::named("events", &Utf8, &Raw));
    events.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&COUNTS);
    builder.build().unwrap()
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph");
    group.throughput(Throughput::Elements(u64::from(RECORDS))).sample_size(10);
    let value = Bytes::from(vec![b'x'; 170]);
    for (name, topology) in [("filter 2,000 records", filter as fn() -> Topology), ("count 2,000 records", count)] {
        let pipe = |mut driver: TopologyTestDriver| {
            for record in 0..RECORDS {
                let (key, at) = (Bytes::from(format!("u{}", record % 500)), Timestamp::from_millis(i64::from(record)));
                driver.pipe_raw("events", Some(key), Some(value.clone()), at, Headers::default());
            }
            driver.commit();
            driver
        };
        let driver = || TopologyTestDriver::builder(topology()).build();
        group.bench_function(name, |bencher| bencher.iter_batched(driver, pipe, BatchSize::PerIteration));
    }
    group.finish();
}
