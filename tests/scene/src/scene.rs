//! The topics of one test, with the applications that read and write them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fraud::Rule;
use millpond_harness::{Client, Error, Kafka, Outgoing, Postgres, Received, Scratch, query, try_wait_for};

use crate::application::{Application, LIMIT};
use crate::findings::Findings;
use crate::load::Load;
use crate::shop::{BEGIN_MS, PARTITIONS, carts};
use crate::{oracle, stores};

/// Long enough that no event of a test is late, however the partitions are read.
const GRACE: Duration = Duration::from_hours(2);
/// So many events fit into `GRACE`: with more, some could be late.
pub const EVENTS_MAX: u64 = 470_000;
/// Nothing leaves because the stream stands still for a moment: in these tests it does.
const IDLE: Duration = Duration::from_hours(1);
/// After every event of a test, with window and grace.
const CLOSING_MS: i64 = BEGIN_MS + 24 * 3_600_000;
const LATE: &str = "late-";
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

    /// Where logs and states are.
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// The full name of a topic, or the application id of a binary.
    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
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

    /// Compares outputs and dead letters of the application with what its input asks for.
    ///
    /// # Errors
    /// [`Error`] when something cannot be read.
    pub fn verify(&self, binary: &str) -> Result<Findings, Error> {
        self.drain(binary)?;
        let mut findings = Findings::default();
        let (topic, processed) = (self.topic("events"), self.topic("processed"));
        let letters = self.client.read_committed(&format!("{}-dead-letters", self.topic(binary)))?;
        let mut found = oracle::dead_letters(&letters);
        let expected = if binary == "loader" {
            let loaded = self.client.read_committed(&processed)?;
            findings.compare("events", oracle::rows(&loaded), self.query(oracle::ROWS)?);
            let table = oracle::attribution_rows(&self.client.read_committed(&self.topic("attributions"))?);
            findings.compare("attributions", table, self.query(oracle::ATTRIBUTION_ROWS)?);
            oracle::refused(&processed, &loaded, |flaw| flaw.loader)
        } else {
            let events = self.client.read_committed(&topic)?;
            match binary {
                "redaction" => {
                    let processed = self.client.read_committed(&processed)?;
                    oracle::verify_redaction(&events, &processed, &letters, &mut findings);
                    oracle::refused(&topic, &events, |flaw| flaw.redaction)
                }
                "fraud" => {
                    self.verify_alerts(&events, &letters, &mut findings)?;
                    found.retain(|(_, _, _, reason)| reason != "late_event");
                    oracle::refused(&topic, &events, |flaw| flaw.fraud)
                }
                _ => {
                    let attributions = self.client.read_committed(&self.topic("attributions"))?;
                    oracle::verify_attribution(&events, &attributions, &mut findings);
                    oracle::refused(&topic, &events, |flaw| flaw.attribution)
                }
            }
        };
        findings.compare(&format!("dead letters of {binary}"), expected, found);
        Ok(findings)
    }

    fn verify_alerts(&self, events: &[Received], letters: &[Received], findings: &mut Findings) -> Result<(), Error> {
        let alerts = self.client.read_committed(&self.topic("alerts"))?;
        let rule = Rule { grace: GRACE, idle: IDLE, ..Rule::default() };
        oracle::verify_fraud(&rule, events, &alerts, |add| add.user_id.starts_with(LATE), findings);
        let late = letters.iter().filter(|letter| letter.header("__streams.errors.reason") == Some(b"late_event"));
        let expected = (0..8).map(|n| format!("{LATE}{n}")).collect();
        findings.compare("late events", expected, late.map(Received::key_text).collect());
        Ok(())
    }

    /// Compares the application's stores with their changelogs and with the input. It must not run, and this instance
    /// must have owned all tasks at the end.
    ///
    /// # Errors
    /// [`Error`] when something cannot be read.
    pub fn verify_stores(&self, binary: &str, state_dir: &Path, instance: &str) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        if matches!(binary, "fraud" | "attribution") {
            let id = self.topic(binary);
            let tables = stores::verify(&self.client, &id, state_dir, instance, &mut findings)?;
            if binary == "attribution" {
                let events = self.client.read_committed(&self.topic("events"))?;
                stores::verify_attribution(&events, &tables, &mut findings);
            }
        }
        Ok(findings)
    }
}
