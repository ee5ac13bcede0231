//! From a topology to a running application: identity, broker, stores, threads, pages, and a clean end.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::formats::StoreFormats;
use millpond::http::{Admin, HttpBound, HttpServer, Owners, QuerySource, StatusSource, Story, TopologyText};
use millpond::metrics::OwnMetrics;
use millpond::runtime::config::{OnShutdown, StreamsConfig};
use millpond::runtime::process::Probe;
use millpond::runtime::query::Queries;
use millpond::runtime::stats::StatusBoard;
use millpond::runtime::{Instance, Streams};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::topology::Topology;

use crate::probe::{of_broker, of_process};
use crate::spans::Spans;
use crate::startup::Env;

/// How often the main thread looks whether a stream thread has failed.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// What an application tells beside its topology.
pub(crate) struct Extras {
    /// Its own section of the page.
    pub(crate) story: Option<Arc<dyn Story>>,
    /// Metrics of its own.
    pub(crate) own: Option<Arc<dyn OwnMetrics>>,
    /// The serdes of its stores.
    pub(crate) formats: Arc<StoreFormats>,
}

/// Runs a topology until it is asked to stop, or fails.
pub(crate) fn streams(env: &Env<'_>, topology: &Arc<Topology>, extras: Extras) -> Result<(), Box<dyn Error>> {
    let mut config = env.config.clone();
    // The lock on the name comes first: a second process of the same name must not get as far as fencing the first.
    let instance = instance(&config)?;
    // The group is told where queries are answered, so that must be known before the group is joined.
    let bound = config.http_listen.filter(|_| config.queries).map(HttpServer::bind).transpose()?;
    if let Some(bound) = &bound {
        config.http_listen = Some(bound.address());
    }
    let config = &config;
    let broker = KafkaBroker::connect(KafkaConfig::of(config)?)?;
    let directory = RocksDirectory::new(&config.state_dir, &config.application_id, instance.name(), options(config));
    let spans = Spans::start(env, instance.name())?;
    let tracing = spans.tracing();
    let streams = Streams::start_traced(&broker, config, instance.name(), topology, &directory, &tracing)?;
    let Extras { story, own, formats } = extras;
    let queries = streams.queries().map(|queries| query_source(config, queries.clone(), formats, &broker));
    let shown = Shown {
        board: streams.board().clone(),
        topology: (&**topology).into(),
        probe: of_process(&broker, &directory, &config.state_dir),
        own,
        story,
        queries,
        bound,
    };
    let page = serve(env, instance.name(), shown)?;
    while !env.stop.wait(WATCH_INTERVAL) && streams.is_healthy() {}
    tracing::info!("stopping");
    // The page goes last: it tells what the threads do while they stop.
    let ended = streams.close(config.on_shutdown == OnShutdown::Leave);
    drop(spans);
    drop(page);
    Ok(ended?)
}

fn query_source(
    config: &StreamsConfig,
    queries: Queries,
    formats: Arc<StoreFormats>,
    broker: &KafkaBroker,
) -> QuerySource {
    let (broker, group) = (broker.clone(), config.application_id.clone());
    if !config.queries_unmasked_stores.is_empty() {
        let stores = config.queries_unmasked_stores.join(",");
        tracing::warn!(stores, "queries show the rows of these stores to everybody who reaches http.listen");
    }
    QuerySource {
        queries,
        formats,
        unmasked: config.queries_unmasked_stores.clone(),
        address: config.application_server().unwrap_or_default(),
        owners: Owners::new(move || Ok(broker.query_addresses(&group)?)),
    }
}

/// This process's own name, locked: from the configuration, or made once and kept in the state directory.
///
/// # Errors
/// [`millpond::runtime::InstanceError`] when another process has it.
pub fn instance(config: &StreamsConfig) -> Result<Instance, millpond::runtime::InstanceError> {
    let directory = config.state_dir.join(&config.application_id);
    let instance = Instance::acquire(&directory, config.instance.as_deref(), || {
        // Unique among the processes that may ever share a group: the moment and the process id.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        format!("{:x}-{:x}", nanos, std::process::id())
    })?;
    tracing::info!(instance = instance.name(), state_dir = %config.state_dir.display(), "this process");
    Ok(instance)
}

/// What the pages of an application show.
#[derive(Debug, Default)]
pub struct Shown {
    /// What its threads publish.
    pub board: StatusBoard,
    /// What it looks like.
    pub topology: TopologyText,
    /// What belongs to its process.
    pub probe: Probe,
    /// Metrics of its own.
    pub own: Option<Arc<dyn OwnMetrics>>,
    /// Its own section of the page.
    pub story: Option<Arc<dyn Story>>,
    /// What queries are answered from.
    pub queries: Option<QuerySource>,
    /// The address, if it is taken already.
    pub bound: Option<HttpBound>,
}

impl Shown {
    /// A program with a loop of its own on these brokers, without stores.
    pub fn of_sink(board: StatusBoard, topology: TopologyText, broker: &KafkaBroker) -> Self {
        Self { board, topology, probe: of_broker(broker), ..Self::default() }
    }
}

/// Serves metrics and the status page, with the application's own section, if the configuration says so, and logs the address.
///
/// # Errors
/// [`millpond::http::HttpError`] when the address cannot be bound.
pub fn serve(env: &Env<'_>, instance: &str, shown: Shown) -> Result<Option<HttpServer>, millpond::http::HttpError> {
    let Some(address) = env.config.http_listen else { return Ok(None) };
    // Also when nobody has configured it: it tells the pages of several processes apart.
    let mut config = env.config.clone();
    config.instance = Some(instance.to_owned());
    let Shown { board, topology, probe, own, story, queries, bound } = shown;
    let mut source = StatusSource::new(&config, env.app.version, board, topology);
    // The others ask for this one by the name under which it answers.
    let server = queries.iter().filter_map(|queries| queries.address.rsplit_once(':'));
    source.hosts.extend(server.map(|(host, _)| host.trim_end_matches('.').to_ascii_lowercase()));
    let token = config.http_admin_token.clone();
    let admin = token.zip(env.logs.clone()).map(|(token, logs)| Admin::new(token, logs));
    let source = StatusSource { probe, own, story, queries, admin, ..source };
    let server = bound.map_or_else(|| HttpServer::bind(address), Ok)?.start(source)?;
    tracing::info!(url = format!("http://{}/", server.address()), "page");
    Ok(Some(server))
}

fn options(config: &StreamsConfig) -> Options {
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Options {
        block_cache_bytes_max: bytes(config.statestore_cache_bytes_max / 2),
        row_cache_bytes_max: bytes(config.statestore_cache_bytes_max / 2),
        write_buffer_bytes_max: bytes(config.statestore_write_buffer_bytes_max),
        ..Options::default()
    }
}
