//! The topics of one test, with the applications that read and write them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fraud::Rule;
use millpond_harness::{Client, Error, Kafka, Outgoing, Postgres, Scratch, query, try_wait_for};

use crate::application::{Application, LIMIT};
use crate::findings::Findings;
use crate::load::Load;
use crate::shop::{BEGIN_MS, PARTITIONS, carts};
use crate::verdict::Oracle;

/// Long enough that no event of a test is late, however the partitions are read.
const GRACE: Duration = Duration::from_hours(2);
/// So many events fit into `GRACE`: with more, some could be late.
pub const EVENTS_MAX: u64 = 470_000;
/// Nothing leaves because the stream stands still for a moment: in these tests it does.
const IDLE: Duration = Duration::from_hours(1);
/// After every event of a test, with window and grace.
pub(crate) const CLOSING_MS: i64 = BEGIN_MS + 24 * 3_600_000;
pub(crate) const LATE: &str = "late-";
/// The rate of [`Scene::under_load`], in events a second.
const RATE: u64 = 2_000;

/// All applications.
pub const BINARIES: [&str; 4] = ["redaction", "fraud", "attribution", "loader"];

/// Where a scene is set.
#[derive(Debug, Clone)]
pub struct Place {
    /// The brokers' plain listeners.
    pub bootstrap_servers: String,
    /// Copies of each topic.
    pub replicas: i32,
    /// The URL of a database of the scene's own.
    pub database: String,
    /// Where logs and states go.
    pub dir: PathBuf,
}

/// Topics whose names begin with the scene's.
#[derive(Debug)]
pub struct Scene {
    name: String,
    client: Client,
    place: Place,
    /// How long until everything has come through.
    patience: Duration,
}

/// The rule that the fraud detector of a scene has.
pub(crate) fn rule() -> Rule {
    Rule { grace: GRACE, idle: IDLE, ..Rule::default() }
}

/// The database server that all tests of this process share.
fn postgres() -> Result<&'static Postgres, Error> {
    static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
    let start = || Postgres::start(Scratch::new("postgres")?.path());
    let shared = SHARED.get_or_init(|| start().map_err(|error| error.to_string()));
    shared.as_ref().map_err(|output| Error::Tool { tool: "the shared PostgreSQL", output: output.clone() })
}

impl Scene {
    /// A scene on the services that all tests of this process share.
    ///
    /// # Errors
    /// [`Error`] when a service does not start or refuses.
    pub fn new(name: &str) -> Result<Self, Error> {
        let place = Place {
            bootstrap_servers: Kafka::shared()?.bootstrap_servers().to_owned(),
            replicas: 1,
            database: postgres()?.create_database()?,
            dir: Scratch::new(name)?.path().to_owned(),
        };
        Self::at(name, place)
    }

    /// A scene on other services.
    ///
    /// # Errors
    /// [`Error`] when a service refuses.
    pub fn at(name: &str, place: Place) -> Result<Self, Error> {
        let client = Client::new(&place.bootstrap_servers).replicas(place.replicas);
        let this = Self { name: name.to_owned(), client, place, patience: LIMIT * 2 };
        let topics = ["events", "processed", "alerts", "attributions"].map(|topic| this.topic(topic));
        // Events are of 2023: with a retention the broker would delete them.
        let properties = [("retention.ms", "-1"), ("max.message.bytes", "2000000")];
        this.client.create_topics(&topics.each_ref().map(String::as_str), PARTITIONS, &properties)?;
        Ok(this)
    }

    /// The same, that waits so long until everything has come through.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A client of the brokers.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The brokers' plain listeners.
    pub fn bootstrap_servers(&self) -> &str {
        &self.place.bootstrap_servers
    }

    /// Where logs and states are.
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// The full name of a topic, or the application id of a binary.
    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        query(&self.place.database, sql)
    }

    /// The application on this scene's topics; `label` tells its processes apart.
    pub fn application(&self, binary: &'static str, label: &str) -> Application {
        let application = Application::new(binary, label, &self.place.dir, &self.place.bootstrap_servers)
            .arg(format!("--application-id={}", self.topic(binary)));
        let [input, output] = match binary {
            "redaction" => ["events", "processed"],
            "fraud" => ["events", "alerts"],
            "attribution" => ["events", "attributions"],
            _ => {
                let inputs = self.inputs(binary).join(",");
                let database = format!("--set=app.database_url={}", self.place.database);
                return application.arg(format!("--input={inputs}")).arg(database);
            }
        };
        let application = application.arg(format!("--input={}", self.topic(input)));
        let application = application.arg(format!("--output={}", self.topic(output)));
        if binary != "fraud" {
            return application;
        }
        application
            .arg(format!("--set=app.grace_ms={}", GRACE.as_millis()))
            .arg(format!("--set=app.idle_ms={}", IDLE.as_millis()))
    }

    /// Does the work while events flow, about two thousand a second.
    ///
    /// # Errors
    /// [`Error`] when the brokers do not take the events.
    pub fn under_load<T>(&self, seed: u64, work: impl FnOnce() -> T) -> Result<T, Error> {
        let load = Load::start(&self.client, &self.topic("events"), seed, RATE, EVENTS_MAX);
        let done = work();
        load.end(0)?;
        Ok(done)
    }

    /// The sum of the offsets that the application has committed; the loader's are in the database.
    ///
    /// # Errors
    /// [`Error`] when a service refuses, or not in time.
    pub fn committed(&self, binary: &str) -> Result<i64, Error> {
        if binary == "loader" {
            let rows = self.query("select coalesce(sum(next_offset), 0) from sink_offset")?;
            return Ok(rows.first().and_then(|row| row.first()?.parse().ok()).unwrap_or(0));
        }
        let inputs = self.inputs(binary);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let lags = self.client.group(&self.topic(binary))?.lag(&inputs)?;
        Ok(lags.iter().filter_map(|lag| lag.committed).sum())
    }

    /// Waits until that sum has reached `goal`.
    ///
    /// # Errors
    /// [`Error`] when a service refuses, or not in time.
    pub fn wait_until_committed(&self, binary: &str, goal: i64) -> Result<(), Error> {
        try_wait_for(LIMIT, format!("{binary} commits up to {goal}"), || {
            Ok((self.committed(binary)? >= goal).then_some(()))
        })
    }

    /// Writes events.
    ///
    /// # Errors
    /// [`Error`] when a service refuses.
    pub fn feed(&self, records: impl IntoIterator<Item = Outgoing>) -> Result<(), Error> {
        self.client.produce(&self.topic("events"), records)
    }

    /// The sum of the ends of these topics.
    ///
    /// # Errors
    /// [`Error`] when the brokers do not answer.
    pub fn ends(&self, names: &[&str]) -> Result<u64, Error> {
        let topics: Vec<String> = names.iter().map(|name| self.topic(name)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let lags = self.client.group(&self.topic("ends"))?.lag(&topics)?;
        Ok(lags.iter().filter_map(|lag| u64::try_from(lag.end).ok()).sum())
    }

    /// What the application reads: the events, and its repartition topic.
    pub fn inputs(&self, binary: &str) -> Vec<String> {
        match binary {
            "redaction" => vec![self.topic("events")],
            "loader" => vec![self.topic("processed"), self.topic("attributions")],
            _ => vec![self.topic("events"), format!("{}-by-user-repartition", self.topic(binary))],
        }
    }

    /// Waits until the application has consumed everything: each committed offset is exactly the end.
    ///
    /// # Errors
    /// [`Error`] when a service refuses, or not in time.
    pub fn drain(&self, binary: &str) -> Result<(), Error> {
        let inputs = self.inputs(binary);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.client.group(&self.topic(binary))?.wait_until_drained(&inputs, self.patience)
    }

    /// Lets time pass in the events: alerts that were held leave; then one event each of eight users comes too late.
    ///
    /// # Errors
    /// [`Error`] when a service refuses, or not in time.
    pub fn close_bursts(&self) -> Result<(), Error> {
        self.drain("fraud")?;
        self.feed(carts((0..200).map(|n| format!("closing-{n}")), CLOSING_MS))?;
        self.drain("fraud")?;
        self.feed(carts((0..8).map(|n| format!("{LATE}{n}")), BEGIN_MS))?;
        self.drain("fraud")
    }

    /// The oracle of this scene as it is now: every topic that it compares is read once. Applications whose results are
    /// compared must have drained, and write no more.
    pub fn oracle(&self) -> Oracle<'_> {
        Oracle::new(self)
    }

    /// Compares outputs and dead letters of the application with what its input asks for.
    ///
    /// # Errors
    /// [`Error`] when something cannot be read.
    pub fn verify(&self, binary: &str) -> Result<Findings, Error> {
        self.drain(binary)?;
        self.oracle().verify(binary)
    }
}
