//! What a scrape costs, and what a thread pays for it twice a second: on a page with 64 tasks and librdkafka's statistics of three
//! brokers.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use millpond::metrics::{View, render};
use millpond::record::{Offset, Partition, TaskId};
use millpond::runtime::process::{BrokerSnapshot, ClientSnapshot, EngineReads, ProcessSnapshot};
use millpond::runtime::stats::{
    DatabaseStats, InputSnapshot, OperationTimes, StatusBoard, StoreOperation, StoreSnapshot, TableStats, TaskSnapshot,
    TaskState, ThreadSnapshot, ThreadState,
};
use millpond::time::Timestamp;

const TASKS: i32 = 64;
const STORES: [&str; 2] = ["carts", "bursts"];

fn task(partition: i32) -> TaskSnapshot {
    let input = |topic: &str| InputSnapshot {
        topic: topic.into(),
        partition: Partition(partition),
        committed: Some(Offset(1_000_000)),
        position: Some(Offset(1_000_100)),
        end: Some(Offset(1_000_200)),
        lag_records: Some(200),
        lag: Some(Duration::from_millis(150)),
    };
    let store = |name: &&str| StoreSnapshot {
        name: (*name).to_owned(),
        rows: 100_000,
        bytes: 10_000_000,
        table: Some(TableStats { live_bytes: 10_000_000, ..TableStats::default() }),
    };
    TaskSnapshot {
        state: TaskState::Running,
        inputs: vec![input("events")],
        stores: STORES.iter().map(store).collect(),
        database: Some(DatabaseStats::default()),
        ..TaskSnapshot::created(TaskId { subtopology: 0, partition: Partition(partition) })
    }
}

fn thread() -> ThreadSnapshot {
    let mut times = OperationTimes::default();
    for operation in StoreOperation::ALL {
        times.observe(operation, Duration::from_micros(3));
    }
    ThreadSnapshot {
        thread: "0".to_owned(),
        state: ThreadState::Running,
        tasks: (0..TASKS).map(task).collect(),
        records_in: BTreeMap::from([("events".into(), 1)]),
        operations: STORES.iter().map(|store| ((*store).to_owned(), times.clone())).collect(),
        ..ThreadSnapshot::default()
    }
}

fn process() -> ProcessSnapshot {
    let broker = |id: i32| BrokerSnapshot {
        broker: id.to_string(),
        round_trip_p50: Some(0.001),
        round_trip_p99: Some(0.01),
        ..BrokerSnapshot::default()
    };
    let client =
        |role| ClientSnapshot { role, count: 1, brokers: (1..=3).map(broker).collect(), ..ClientSnapshot::default() };
    ProcessSnapshot {
        clients: ["consumer", "producer", "reader"].map(client).into(),
        engine_reads: Some(EngineReads::default()),
        ..ProcessSnapshot::default()
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let board = StatusBoard::new();
    let (place, process) = (board.thread("0"), process());
    place.publish(&thread());
    let scrape = || {
        let threads = board.snapshots();
        let view = View {
            application_id: "fraud",
            version: "1",
            threads: &threads,
            process: &process,
            own: None,
            now: Timestamp::from_millis(1_700_000_000_000),
            silence_max: Duration::from_mins(5),
        };
        render(&view).unwrap()
    };
    let text = scrape();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let mut group = criterion.benchmark_group("metrics");
    group.bench_function(format!("a scrape of {series} series, {} KiB", text.len() >> 10), |bencher| {
        bencher.iter(|| black_box(scrape()));
    });
    let snapshot = thread();
    group.bench_function("what a thread of 64 tasks publishes, handed over", |bencher| {
        bencher.iter(|| place.publish(black_box(&snapshot)));
    });
    group.finish();
}
