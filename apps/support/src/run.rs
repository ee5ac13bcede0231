//! From a topology to a running application: identity, broker, stores, threads, pages, and a clean end.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::http::{Admin, HttpServer, StatusSource, Story, TopologyText};
use millpond::metrics::OwnMetrics;
use millpond::runtime::config::{OnShutdown, StreamsConfig};
use millpond::runtime::process::Probe;
use millpond::runtime::stats::StatusBoard;
use millpond::runtime::{Instance, Streams};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::topology::Topology;

use crate::probe::{of_broker, of_process};
use crate::spans::Spans;
use crate::startup::Env;

/// How often the main thread looks whether a stream thread has failed.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a topology until it is asked to stop, or fails.
pub(crate) fn streams(
    env: &Env<'_>,
    topology: &Arc<Topology>,
    story: Option<Arc<dyn Story>>,
    own: Option<Arc<dyn OwnMetrics>>,
) -> Result<(), Box<dyn Error>> {
    let config = &env.config;
    // The lock on the name comes first: a second process of the same name must not get as far as fencing the first.
    let instance = instance(config)?;
    let broker = KafkaBroker::connect(KafkaConfig::of(config)?)?;
    let directory = RocksDirectory::new(&config.state_dir, &config.application_id, instance.name(), options(config));
    let spans = Spans::start(env, instance.name())?;
    let tracing = spans.tracing();
    let streams = Streams::start_traced(&broker, config, instance.name(), topology, &directory, &tracing)?;
    let shown = Shown {
        board: streams.board().clone(),
        topology: (&**topology).into(),
        probe: of_process(&broker, &directory, &config.state_dir),
        own,
        story,
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
#[derive(Debug, Clone, Default)]
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
}

impl Shown {
    /// A program with a loop of its own on these brokers, without stores.
    pub fn of_sink(board: StatusBoard, topology: TopologyText, broker: &KafkaBroker) -> Self {
        Self { board, topology, probe: of_broker(broker), own: None, story: None }
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
    let Shown { board, topology, probe, own, story } = shown;
    let token = config.http_admin_token.clone();
    let admin = token.zip(env.logs.clone()).map(|(token, logs)| Admin::new(token, logs));
    let source =
        StatusSource { probe, own, story, admin, ..StatusSource::new(&config, env.app.version, board, topology) };
    let server = HttpServer::start(address, source)?;
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
