//! Two instances of one application, with a stream thread and a server each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millpond::broker::sim::{SimBroker, SimConfig};
use millpond::dsl::{Materialized, StreamsBuilder, Topic};
use millpond::formats::StoreFormats;
use millpond::http::{HttpBound, HttpServer, Owners, QuerySource, StatusSource, TopologyText};
use millpond::partitioner::partition_for_key;
use millpond::record::{Headers, ProducerRecord, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::query::{Queries, Questions, application_server, queue};
use millpond::runtime::stats::{StatusBoard, TaskSnapshot, ThreadBoard, ThreadSnapshot};
use millpond::runtime::{Application, StreamThread, ThreadConfig, Topics};
use millpond::serde::{Serde, SerdeError, Stamped, Utf8, ValueAndTimestamp};
use millpond::state::MemoryDirectory;
use millpond::time::Timestamp;
use millpond::topology::Topology;

use crate::asking::{ask, until};

pub(crate) const PARTITIONS: usize = 4;
/// How old the records are that come while the instances are behind.
pub(crate) const AGE: Duration = Duration::from_secs(10);
const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);

pub(crate) fn keys() -> Vec<String> {
    (0..40).map(|n| format!("k{n:02}")).collect()
}

pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}

type Addresses = Arc<Mutex<BTreeMap<TopicPartition, String>>>;

/// What the thread that moves the instances is told.
enum Order {
    Kill,
    EndSession,
    Hold(Receiver<()>),
    Behind(bool),
}

pub(crate) struct Stage {
    addresses: [SocketAddr; 2],
    servers: Mutex<Vec<Option<HttpServer>>>,
    masked: HttpServer,
    off: HttpServer,
    orders: Option<Sender<Order>>,
    mover: Option<JoinHandle<()>>,
}

/// What a table keeps, without the time that stands before each value.
struct Kept;

impl Serde<String> for Kept {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Stamped(Utf8).encode(&ValueAndTimestamp::new(value.clone(), Timestamp::NONE), out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        Stamped(Utf8).decode(bytes).map(|kept: ValueAndTimestamp<String>| kept.value)
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let _table = builder.table(&IN, Materialized::persistent("table", &Utf8, &Utf8));
    builder.build().unwrap()
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(millis.try_into().unwrap())
}

/// What an instance's thread is made of, but for the broker, which stays on one thread.
struct Place {
    address: SocketAddr,
    board: ThreadBoard,
    questions: Questions,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let bind = || HttpServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let bound = [bind(), bind()];
        let addresses = [bound[0].address(), bound[1].address()];
        let known = Addresses::default();
        let (mut places, mut doors) = (Vec::new(), Vec::new());
        for address in addresses {
            let board = StatusBoard::new();
            let (asker, questions) = queue();
            places.push(Place { address, board: board.thread("0"), questions });
            doors.push((board, asker));
        }
        let (orders, received) = channel();
        let (ready, prepared) = channel();
        let mover = std::thread::spawn({
            let known = known.clone();
            move || move_all(places, &received, &known, &ready)
        });
        let topics = prepared.recv().unwrap();
        let source = |instance: usize, unmasked: &[&str]| {
            let (board, asker) = &doors[instance];
            let askers = BTreeMap::from([("0".to_owned(), asker.clone())]);
            let known = known.clone();
            let config = StreamsConfig::new("app", "b:1", "/s");
            let mut source = StatusSource::new(&config, "1", board.clone(), TopologyText::default());
            source.queries = Some(QuerySource {
                queries: Queries::new(&topology(), &topics, board.clone(), askers).unwrap(),
                formats: Arc::new(StoreFormats::new().store::<String, String>("table", &Utf8, &Kept)),
                unmasked: unmasked.iter().map(|&store| store.to_owned()).collect(),
                address: addresses[instance].to_string(),
                owners: Owners::new(move || Ok(known.lock().unwrap().clone())),
            });
            source
        };
        let servers = bound.into_iter().enumerate();
        let servers = servers.map(|(instance, bound)| Some(bound.start(source(instance, &["table"])).unwrap()));
        let servers: Vec<_> = servers.collect();
        let masked = HttpBound::start(bind(), source(0, &[])).unwrap();
        let off = bind().start(StatusSource { queries: None, ..source(0, &["table"]) }).unwrap();
        let stage =
            Self { addresses, servers: Mutex::new(servers), masked, off, orders: Some(orders), mover: Some(mover) };
        for address in addresses {
            until("both instances are there, and every row is", || {
                let answer = ask(address, "/stores/table/range");
                // Each partition tells where it is, so both own some.
                let both = addresses.iter().all(|address| answer.body.contains(&format!("\"{address}\"")));
                both && answer.body.matches("value of").count() == keys().len()
            });
        }
        stage
    }

    pub(crate) fn address(&self, instance: usize) -> SocketAddr {
        self.addresses[instance]
    }

    /// A server of the first instance that shows no rows.
    pub(crate) fn masked(&self) -> SocketAddr {
        self.masked.address()
    }

    /// One without queries.
    pub(crate) fn off(&self) -> SocketAddr {
        self.off.address()
    }

    fn order(&self, order: Order) {
        self.orders.as_ref().unwrap().send(order).unwrap();
    }

    /// The process of the first instance is gone, and its server with it.
    pub(crate) fn kill_first(&self) {
        self.order(Order::Kill);
        drop(self.servers.lock().unwrap()[0].take());
    }

    /// The group notices.
    pub(crate) fn end_session_of_first(&self) {
        self.order(Order::EndSession);
    }

    /// The stream threads stand still until something comes.
    pub(crate) fn hold(&self, gate: Receiver<()>) {
        self.order(Order::Hold(gate));
    }

    /// Before each round of a thread every partition has one more record, [`AGE`] old, that changes nothing: whenever
    /// it answers, something is not committed yet.
    pub(crate) fn fall_behind(&self) {
        self.order(Order::Behind(true));
    }

    /// No more records come.
    pub(crate) fn catch_up(&self) {
        self.order(Order::Behind(false));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = self.mover.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// A row of the table, as the topic has it.
fn row(key: &str, timestamp: Timestamp) -> ProducerRecord {
    let partition = partition_for_key(key.as_bytes(), PARTITIONS.try_into().unwrap());
    let (key, value) = (Some(Bytes::from(key.to_owned())), Some(Bytes::from(value_of(key))));
    ProducerRecord { target: TopicPartition::new("in", partition), timestamp, key, value, headers: Headers::new() }
}

/// A row of each partition comes once more.
fn come_again(broker: &SimBroker) {
    let mut partitions = BTreeSet::new();
    let old = Timestamp::from_millis(now().as_millis() - i64::try_from(AGE.as_millis()).unwrap());
    for record in keys().iter().map(|key| row(key, old)).filter(|record| partitions.insert(record.target.clone())) {
        broker.append(record).unwrap();
    }
    assert_eq!(partitions.len(), PARTITIONS);
}

/// Runs both instances, round by round, until nobody gives orders any longer.
fn move_all(places: Vec<Place>, orders: &Receiver<Order>, known: &Addresses, ready: &Sender<Arc<Topics>>) {
    let broker = SimBroker::with_config(SimConfig::without_timeouts());
    broker.add_topic("in", PARTITIONS);
    for key in keys() {
        broker.append(row(&key, now())).unwrap();
    }
    let topology = Arc::new(topology());
    let topics = Arc::new(Topics::prepare(&broker, &topology, "app", 1, None).unwrap());
    ready.send(topics.clone()).unwrap();
    let mut threads = Vec::new();
    for (number, Place { address, board, questions }) in places.into_iter().enumerate() {
        let config = ThreadConfig {
            commit_interval: Duration::ZERO,
            poll_timeout: Duration::ZERO,
            application_server: Some(Arc::from(address.to_string())),
            // The mover may be held for seconds; that the process was not replaced meanwhile is certain.
            fenced_pause: Duration::ZERO,
            ..ThreadConfig::new("app", &format!("app-{number}"))
        };
        let directory = Rc::new(MemoryDirectory::new());
        let application = Application { topology: topology.clone(), topics: topics.clone(), directory };
        let mut thread = StreamThread::start(broker.clone(), config, application, now()).unwrap();
        thread.answer(questions);
        threads.push(Some(RefCell::new((thread, board))));
    }
    let mut is_behind = false;
    loop {
        for place in threads.iter().flatten() {
            let (thread, board) = &mut *place.borrow_mut();
            if is_behind {
                come_again(&broker);
            }
            thread.run_once(now()).unwrap();
            let tasks = thread.tasks().map(|task| TaskSnapshot::created(task.id())).collect();
            board.publish(&ThreadSnapshot { thread: "0".into(), tasks, ..ThreadSnapshot::default() });
        }
        let offsets = broker.committed_offsets("app").into_iter();
        let addresses = offsets.filter_map(|(at, offset)| Some((at, application_server(&offset)?.to_owned())));
        *known.lock().unwrap() = addresses.collect();
        match orders.try_recv() {
            Ok(Order::Kill) => drop(threads[0].take()),
            Ok(Order::EndSession) => broker.expire_session("app", "app-0"),
            Ok(Order::Hold(gate)) => gate.recv().unwrap(),
            Ok(Order::Behind(behind)) => is_behind = behind,
            Err(std::sync::mpsc::TryRecvError::Empty) => std::thread::yield_now(),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
        }
    }
}
