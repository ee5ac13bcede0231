//! Kafka and PostgreSQL: the demo's own, or the user's.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use millpond_harness::{Client, Kafka, KafkaOptions, Postgres};
use millpond_support::Stop;

use super::Interrupted;
use super::database::Database;
use super::options::Options;

/// How often a wait looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How often a second is given to the user's own Kafka to answer.
const ATTEMPTS: usize = 10;

/// The directory of one demo, empty at its start.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes `.millpond/demo` and removes what the last demo left there.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let path = Path::new(".millpond/demo");
        fs::create_dir_all(path).context("make the directory .millpond/demo")?;
        let path = path.canonicalize().context("find the directory .millpond/demo")?;
        // The lock lies beside the directory, which goes away.
        let lock = File::create(path.with_extension("lock")).context("lock .millpond/demo")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("a demo is running in this clone already; end it first"),
            Err(TryLockError::Error(error)) => return Err(error).context("lock .millpond/demo"),
        }
        fs::remove_dir_all(&path).context("remove what the last demo left in .millpond/demo")?;
        fs::create_dir_all(&path).context("make the directory .millpond/demo")?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Where the services are. What the demo has started ends with this value.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is Kafka's name for it")]
pub(crate) struct Servers {
    pub(crate) bootstrap_servers: String,
    pub(crate) database_url: String,
    kafka: Option<Kafka>,
    postgres: Option<Postgres>,
}

impl Servers {
    /// Starts what the user has not brought, both at once.
    pub(crate) fn start(options: &Options, place: &Place, stop: &Stop) -> anyhow::Result<Self> {
        // A slip of the hand in an address is told before anything is started.
        if let Some(url) = &options.database_url {
            Database::connect(url).context("--database-url does not lead to a PostgreSQL")?;
        }
        if let Some(servers) = &options.bootstrap_servers {
            reach(servers, stop)?;
        }
        let kafka = options.bootstrap_servers.is_none().then(|| {
            let dir = place.join("kafka");
            in_background(move || Kafka::start_with(dir, KafkaOptions::default()))
        });
        let postgres = options.database_url.is_none().then(|| {
            let dir = place.join("postgres");
            in_background(move || Postgres::start(dir))
        });
        let kafka = kafka.map(|started| wait(&started, stop).context("start Kafka")).transpose()?;
        let postgres = postgres.map(|started| wait(&started, stop).context("start PostgreSQL")).transpose()?;
        let bootstrap_servers = match (&options.bootstrap_servers, &kafka) {
            (Some(servers), _) => servers.clone(),
            (None, Some(kafka)) => kafka.bootstrap_servers().to_owned(),
            (None, None) => bail!("there is no Kafka"),
        };
        let database_url = match (&options.database_url, &postgres) {
            (Some(url), _) => url.clone(),
            (None, Some(postgres)) => postgres.url(),
            (None, None) => bail!("there is no PostgreSQL"),
        };
        Ok(Self { bootstrap_servers, database_url, kafka, postgres })
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.bootstrap_servers)
    }

    /// The database's address without user and password.
    pub(crate) fn shown_database(&self) -> &str {
        let behind_scheme = self.database_url.split_once("://").map_or(self.database_url.as_str(), |(_, rest)| rest);
        behind_scheme.rsplit_once('@').map_or(behind_scheme, |(_, address)| address)
    }

    /// Stops what the demo has started, in good order: PostgreSQL first.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.postgres.as_mut().map_or(Ok(()), Postgres::stop).context("stop PostgreSQL")?;
        self.kafka.as_mut().map_or(Ok(()), Kafka::stop).context("stop Kafka")
    }
}

/// Waits until one of the user's brokers answers.
fn reach(servers: &str, stop: &Stop) -> anyhow::Result<()> {
    let client = Client::new(servers);
    for _ in 0..ATTEMPTS {
        if client.broker_count().is_ok() {
            return Ok(());
        }
        if stop.wait(LOOK) {
            return Err(Interrupted.into());
        }
    }
    bail!("no broker answers within {ATTEMPTS} s: correct --bootstrap-servers {servers}")
}

type Started<T> = mpsc::Receiver<Result<T, millpond_harness::Error>>;

/// Starts a service on a thread of its own, so that nobody who wants to stop has to wait for it.
fn in_background<T: Send + 'static>(
    start: impl FnOnce() -> Result<T, millpond_harness::Error> + Send + 'static,
) -> Started<T> {
    let (sender, receiver) = mpsc::channel();
    // Nobody listens any more after an interruption; the process then ends, and the service with it.
    std::thread::spawn(move || drop(sender.send(start())));
    receiver
}

fn wait<T>(started: &Started<T>, stop: &Stop) -> anyhow::Result<T> {
    loop {
        match started.recv_timeout(LOOK) {
            Ok(started) => return Ok(started?),
            Err(mpsc::RecvTimeoutError::Timeout) if stop.is_requested() => return Err(Interrupted.into()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the start panicked; see above"),
        }
    }
}
