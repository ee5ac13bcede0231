//! A real server with committed rows, for targets that ask it: rows that queries may show, and rows that they may not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::formats::StoreFormats;
use millpond::http::{Admin, HttpServer, LogFilter, Owners, QuerySource, StatusSource, TopologyText};
use millpond::partitioner::partition_for_key;
use millpond::record::{Headers, ProducerRecord, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::query::{Queries, Questions, queue};
use millpond::runtime::stats::{StatusBoard, TaskSnapshot, ThreadBoard, ThreadSnapshot};
use millpond::runtime::{Application, StreamThread, ThreadConfig, Topics};
use millpond::serde::{Serde, SerdeError, Stamped, Utf8, ValueAndTimestamp};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

const GOODS: Topic<String, String> = Topic::new("goods", &Utf8, &Utf8);
const PEOPLE: Topic<String, String> = Topic::new("people", &Utf8, &Utf8);
const PARTITIONS: usize = 2;
/// Of each topic.
const ROWS: usize = 20;
/// In each row that may not be shown, in key and value.
pub(crate) const HIDDEN: &str = "hiddenperson";
/// Opens what may be changed.
pub(crate) const TOKEN: &str = "the-token-of-the-fuzzed-server";
const LIMIT: Duration = Duration::from_secs(30);

/// What a table keeps, without the time that stands before each value.
pub(crate) struct Kept;

impl Serde<String> for Kept {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Stamped(Utf8).encode(&ValueAndTimestamp::new(value.clone(), Timestamp::NONE), out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        Stamped(Utf8).decode(bytes).map(|kept: ValueAndTimestamp<String>| kept.value)
    }
}

/// Nobody shows the token.
#[derive(Debug)]
struct Shut;

impl LogFilter for Shut {
    fn filter(&self) -> String {
        "info".to_owned()
    }

    fn change(&self, filter: &str) -> Result<(), String> {
        panic!("the filter was changed without the token: {filter}")
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let _goods = builder.table(&GOODS, Materialized::persistent("goods", &Utf8, &Utf8));
    let _people = builder.table(&PEOPLE, Materialized::persistent("people", &Utf8, &Utf8));
    builder.build().expect("a topology")
}

/// Where it listens; the first call starts it.
pub(crate) fn served() -> SocketAddr {
    static SERVER: OnceLock<HttpServer> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (board, (asker, questions)) = (StatusBoard::new(), queue());
        let (ready, prepared) = channel();
        let thread = board.thread("0");
        // It ends with the process, as the server does.
        std::thread::spawn(move || answer(&thread, questions, &ready));
        let topics = prepared.recv().expect("the topics");
        let config = StreamsConfig::new("shop", "b:1", "/s");
        let mut source = StatusSource::new(&config, "1", board.clone(), TopologyText::default());
        source.admin = Some(Admin::new(TOKEN.into(), Arc::new(Shut)));
        let askers = BTreeMap::from([("0".to_owned(), asker)]);
        let formats = StoreFormats::new().store::<String, String>("goods", &Utf8, &Kept);
        source.queries = Some(QuerySource {
            queries: Queries::new(&topology(), &topics, board, askers).expect("the topics of the topology"),
            formats: Arc::new(formats.store::<String, String>("people", &Utf8, &Kept).impersonal("goods")),
            unmasked: Vec::new(),
            address: "127.0.0.1:1".to_owned(),
            owners: Owners::new(|| Ok(BTreeMap::new())),
        });
        prepared.recv_timeout(LIMIT).expect("the rows are committed");
        HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), source).expect("a free port")
    });
    server.address()
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// The stream thread: tells the topics, and once more when all rows are committed; then it answers.
fn answer(board: &ThreadBoard, questions: Questions, ready: &Sender<Arc<Topics>>) {
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    for (topic, name) in [("goods", "good"), ("people", HIDDEN)] {
        broker.add_topic(topic, PARTITIONS);
        for row in (0..ROWS).map(|number| format!("{name}{number:02}")) {
            let partition = partition_for_key(row.as_bytes(), PARTITIONS.try_into().unwrap_or(i32::MAX));
            let (key, value) = (Some(Bytes::from(row.clone())), Some(Bytes::from(format!("value of {row}"))));
            let target = TopicPartition::new(topic, partition);
            let record = ProducerRecord { target, timestamp: now(), key, value, headers: Headers::new() };
            broker.append(record).expect("the topic is there");
        }
    }
    let topology = Arc::new(topology());
    let topics = Arc::new(Topics::prepare(&broker, &topology, "shop", 1, None).expect("the topics"));
    ready.send(topics.clone()).expect("somebody waits");
    let config = ThreadConfig {
        commit_interval: Duration::ZERO,
        poll_timeout: Duration::ZERO,
        // Whoever fuzzes may stop the process for a while; nobody takes its place.
        fenced_pause: Duration::ZERO,
        ..ThreadConfig::new("shop", "shop-0")
    };
    let directory = Rc::new(MemoryDirectory::new());
    let application = Application { topology, topics: topics.clone(), directory };
    let mut thread = StreamThread::start(broker.clone(), config, application, now()).expect("a thread");
    thread.answer(questions);
    let mut is_told = false;
    loop {
        thread.run_once(now()).expect("a round");
        let tasks = thread.tasks().map(|task| TaskSnapshot::created(task.id())).collect();
        board.publish(&ThreadSnapshot { thread: "0".into(), tasks, ..ThreadSnapshot::default() });
        let committed: i64 = broker.committed_offsets("shop").values().map(|offset| offset.next.0).sum();
        if !is_told && usize::try_from(committed) == Ok(2 * ROWS) {
            is_told = true;
            ready.send(topics.clone()).expect("somebody waits");
        }
        // Nobody wakes it: it only leaves the processor to the fuzzer for a moment.
        std::thread::park_timeout(Duration::from_micros(500));
    }
}
