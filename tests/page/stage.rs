//! An application that is played: its page shows what a test publishes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use millpond::error::Recovery;
use millpond::http::{
    Block, Fact, HttpServer, Mark, Section, Share, StatusSource, Story, Timeline, Tone, TopologyText, Traffic,
};
use millpond::record::{Offset, Partition, TaskId, TopicName};
use millpond::runtime::config::{Flag, Sources, StreamsConfig};
use millpond::runtime::stats::{
    CommitCounts, InputSnapshot, RestoreSnapshot, StatusBoard, StoreSnapshot, TableStats, TaskSnapshot, TaskState,
    ThreadSnapshot, ThreadState,
};
use millpond::time::Timestamp;

pub(crate) const PARTITIONS: i32 = 64;
const THREADS: i32 = 2;

/// The server with the board that it reads.
pub(crate) struct Stage {
    server: Option<HttpServer>,
    source: StatusSource,
    pub(crate) address: SocketAddr,
}

/// Everything that an application may tell, once.
#[derive(Debug)]
struct Everything;

impl Story for Everything {
    fn tell(&self, _now: Timestamp, _traffic: &Traffic) -> Section {
        let fact = |name: &str, value: &str, tone| Fact { name: name.into(), value: value.into(), tone };
        let facts = vec![
            fact("PostgreSQL", "connected", Tone::Good),
            fact("Late", "3", Tone::Warning),
            fact("Broken", "1", Tone::Bad),
            fact("Rule", "5 items in less than 5 s", Tone::Plain),
        ];
        let share = |(label, count): (&str, u64)| Share { label: label.into(), count };
        let shares = [("organic", 5_204), ("mail", 2_911), ("ads", 17), ("<b>bold</b>", 0)].map(share).into();
        let marks = [0, 700, 1_900, 2_400, 4_100].map(|ms| Mark { after_ms: Some(ms), label: format!("item {ms}") });
        let timeline = |n: i64| Timeline {
            label: format!("user 3f9a{n:02x}: 5 events in 4.1 s"),
            at_ms: 1_700_000_000_000 + n * 61_234,
            marks: marks.clone().into(),
        };
        Section::new("Everything")
            .with(Block::Facts(facts))
            .with(Block::Timelines {
                caption: "The last alerts".into(),
                length: Duration::from_secs(5),
                timelines: (0..4).map(timeline).collect(),
            })
            .with(Block::Shares { caption: "Orders by channel".into(), shares })
            .with(Block::Table {
                caption: "Rows".into(),
                head: ["Table", "Now", "Written"].map(str::to_owned).into(),
                rows: vec![["events", "12.0/s", "40231"].map(str::to_owned).into()],
            })
            .with(Block::Change {
                caption: "What is done".into(),
                before: "{\n  \"a\": 1\n}".into(),
                after: "{}".into(),
            })
            .with(Block::Note("Nothing of this is true.".into()))
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let flag = |key: &str, value: &str| Flag { flag: format!("--set {key}"), key: key.into(), value: value.into() };
        let sources = Sources {
            flags: vec![
                flag("application.id", "fraud"),
                flag("instance", "fraud-0"),
                flag("bootstrap.servers", "kafka-0.example:9092,kafka-1.example:9092,kafka-2.example:9092"),
                flag("state.dir", "/var/lib/fraud"),
                flag("app.database_url", "postgres://loader:hunter2@db.example/shop"),
            ],
            ..Sources::default()
        };
        let config = StreamsConfig::load(&sources).unwrap();
        let topology = fraud::topology(&fraud::Topics::default(), fraud::Rule::default()).unwrap();
        let source = StatusSource::new(&config, "0.1.0", StatusBoard::new(), TopologyText::from(&topology));
        let source = source.telling(Arc::new(Everything));
        let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), source.clone()).unwrap();
        Self { address: server.address(), server: Some(server), source }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The server goes away, as with its process.
    pub(crate) fn end(&mut self) {
        self.server = None;
    }

    /// It comes back at the same address.
    pub(crate) fn begin(&mut self) {
        self.server = Some(HttpServer::start(self.address, self.source.clone()).unwrap());
    }

    /// Publishes what two threads with 64 partitions each of two topics may look like, after so many records of each.
    pub(crate) fn play(&self, round: u64, scene: Scene) {
        for number in 0..THREADS {
            self.source.board.thread(&number.to_string()).publish(&thread(number, round, scene));
        }
    }
}

/// How the application does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    Well,
    Restoring,
    Failed,
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn thread(number: i32, round: u64, scene: Scene) -> ThreadSnapshot {
    let tasks = (0..2).flat_map(|part| (0..PARTITIONS).map(move |partition| (part, partition)));
    let tasks = tasks.filter(|(_, partition)| partition % THREADS == number);
    let topic = |name: &str| TopicName::from(name);
    let records = 10_000 * round;
    let mut thread = ThreadSnapshot {
        thread: number.to_string(),
        state: ThreadState::Running,
        heartbeat: now(),
        tasks: tasks.map(|(part, partition)| task(part, partition, round, scene)).collect(),
        records_in: [(topic("events"), records), (topic("fraud-by-user-repartition"), records / 3)].into(),
        records_out: [(topic("fraud-by-user-repartition"), records / 3), (topic("fraud-detection"), records / 900)]
            .into(),
        commits: CommitCounts { ok: 10 * round, aborted: 2, fenced: 0, unknown: 1 },
        rebalances: 3,
        uncommitted_bytes: 48_213,
        input_buffer_bytes: 1_204_224,
        ..ThreadSnapshot::default()
    };
    for millis in 1..100 {
        thread.commit.end_transaction.observe(Duration::from_micros(millis * 130));
        thread.commit.store.observe(Duration::from_micros(millis * 12));
        thread.end_to_end.observe(Duration::from_millis(40 + millis));
    }
    if scene != Scene::Well {
        thread.dead_letters.extend([("malformed_value", 12), ("late_event", 3)]);
        let error = std::io::Error::other("broker transport failure; it is asked again, see the broker's log");
        thread.errors.push(now(), None, &error, Recovery::AbortTransaction);
    }
    if scene == Scene::Failed {
        thread.state = ThreadState::Failed;
    }
    thread
}

fn task(part: u32, partition: i32, round: u64, scene: Scene) -> TaskSnapshot {
    let base = i64::from(partition) * 31_337 + i64::try_from(round).unwrap() * 157;
    let restoring = scene == Scene::Restoring && partition % 5 == 1;
    let late = scene != Scene::Well && partition % 16 == 3;
    let lag = if late { 48_211 } else { i64::from(partition % 7) * 3 };
    let stores: &[&str] = if part == 0 { &[] } else { &["carts", "wake-ups"] };
    TaskSnapshot {
        state: if restoring { TaskState::Restoring } else { TaskState::Running },
        processed: u64::try_from(base).unwrap(),
        stream_time: now(),
        inputs: vec![InputSnapshot {
            topic: if part == 0 { "events" } else { "fraud-by-user-repartition" }.into(),
            partition: Partition(partition),
            committed: Some(Offset(base)),
            position: Some(Offset(base + 2)),
            end: Some(Offset(base + lag)),
            lag_records: Some(u64::try_from(lag).unwrap()),
            lag: Some(Duration::from_millis(if late { 95_000 } else { u64::try_from(lag).unwrap() * 40 })),
        }],
        stores: stores
            .iter()
            .map(|name| {
                let (rows, bytes) = (1_204 + round, 7_340_032 + 4_096 * round);
                let table = TableStats {
                    live_bytes: bytes / 2,
                    memtable_bytes: bytes / 4,
                    row_cache_bytes: bytes / 4,
                    ..TableStats::default()
                };
                StoreSnapshot { name: (*name).into(), rows, bytes, table: Some(table) }
            })
            .collect(),
        restore: restoring.then(|| {
            let total = 100_000 + 1_000 * u64::try_from(partition).unwrap();
            // Ever slower, so that it moves however long a test plays.
            RestoreSnapshot { done: total * round / (round + 200), total }
        }),
        ..TaskSnapshot::created(TaskId { subtopology: part, partition: Partition(partition) })
    }
}
