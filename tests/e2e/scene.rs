//! The topics of one test, with the applications that read and write them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fraud::Rule;
use millpond_harness::{Client, Error, Kafka, Outgoing, Postgres, Scratch, try_wait_for};

use crate::application::{Application, LIMIT};
use crate::oracle;
use crate::shop::{BEGIN_MS, PARTITIONS, Shop, carts};

/// Long enough that no event of a test is late, however the partitions are read.
const GRACE: Duration = Duration::from_hours(2);
/// Nothing leaves because the stream stands still for a moment: in these tests it does.
const IDLE: Duration = Duration::from_hours(1);
/// After every event of a test, with window and grace.
const CLOSING_MS: i64 = BEGIN_MS + 24 * 3_600_000;
const LATE: &str = "late-";

/// All applications.
pub(crate) const BINARIES: [&str; 4] = ["redaction", "fraud", "attribution", "loader"];

/// Topics whose names begin with the test's.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) scratch: Scratch,
    bootstrap_servers: String,
    database: OnceLock<String>,
}

/// The database server that all tests of this process share.
fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(Scratch::new("postgres").unwrap().path()).unwrap())
}

impl Scene {
    pub(crate) fn new(name: &'static str) -> Result<Self, Error> {
        let kafka = Kafka::shared()?;
        let client = kafka.client();
        let this = Self {
            name,
            client,
            scratch: Scratch::new(name)?,
            bootstrap_servers: kafka.bootstrap_servers().into(),
            database: OnceLock::new(),
        };
        let topics = ["events", "processed", "alerts", "attributions"].map(|topic| this.topic(topic));
        // Events are of 2023: with a retention the broker would delete them.
        let properties = [("retention.ms", "-1"), ("max.message.bytes", "2000000")];
        this.client.create_topics(&topics.each_ref().map(String::as_str), PARTITIONS, &properties)?;
        Ok(this)
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The URL of the test's own database; made when it is asked for first.
    fn database(&self) -> &str {
        self.database.get_or_init(|| postgres().create_database().unwrap())
    }

    fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        postgres().query(self.database(), sql)
    }

    /// The application on this scene's topics; `label` tells its processes apart.
    pub(crate) fn application(&self, binary: &'static str, label: &str) -> Application {
        let application = Application::new(binary, label, self.scratch.path(), &self.bootstrap_servers)
            .arg(format!("--application-id={}", self.topic(binary)));
        let [input, output] = match binary {
            "redaction" => ["events", "processed"],
            "fraud" => ["events", "alerts"],
            "attribution" => ["events", "attributions"],
            _ => {
                let inputs = self.inputs(binary).join(",");
                let database = format!("--set=app.database_url={}", self.database());
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
    pub(crate) fn under_load<T>(&self, seed: u64, work: impl FnOnce() -> T) -> T {
        struct StopAtEnd<'a>(&'a AtomicBool);
        impl Drop for StopAtEnd<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut events = Shop::new(seed);
                let (writer, topic) = (self.client.writer().unwrap(), self.topic("events"));
                while !stop.load(Ordering::Acquire) {
                    writer.write(&topic, events.by_ref().take(200)).unwrap();
                    // The pace of the load; nothing waits for it.
                    std::thread::park_timeout(Duration::from_millis(80));
                }
            });
            let _stop = StopAtEnd(&stop);
            work()
        })
    }

    /// The sum of the offsets that the application has committed; the loader's are in the database.
    pub(crate) fn committed(&self, binary: &str) -> Result<i64, Error> {
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
    pub(crate) fn wait_until_committed(&self, binary: &str, goal: i64) -> Result<(), Error> {
        try_wait_for(LIMIT, format!("{binary} commits up to {goal}"), || {
            Ok((self.committed(binary)? >= goal).then_some(()))
        })
    }

    pub(crate) fn feed(&self, records: impl IntoIterator<Item = Outgoing>) -> Result<(), Error> {
        self.client.produce(&self.topic("events"), records)
    }

    /// What the application reads: the events, and its repartition topic.
    pub(crate) fn inputs(&self, binary: &str) -> Vec<String> {
        match binary {
            "redaction" => vec![self.topic("events")],
            "loader" => vec![self.topic("processed"), self.topic("attributions")],
            _ => vec![self.topic("events"), format!("{}-by-user-repartition", self.topic(binary))],
        }
    }

    /// Waits until the application has consumed everything: each committed offset is exactly the end.
    pub(crate) fn drain(&self, binary: &str) -> Result<(), Error> {
        let inputs = self.inputs(binary);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.client.group(&self.topic(binary))?.wait_until_drained(&inputs, LIMIT * 2)
    }

    /// Lets time pass in the events: alerts that were held leave; then one event each of eight users comes too late.
    pub(crate) fn close_bursts(&self) -> Result<(), Error> {
        self.drain("fraud")?;
        self.feed(carts((0..200).map(|n| format!("closing-{n}")), CLOSING_MS))?;
        self.drain("fraud")?;
        self.feed(carts((0..8).map(|n| format!("{LATE}{n}")), BEGIN_MS))?;
        self.drain("fraud")
    }

    /// Compares outputs and dead letters of the application with what its input asks for.
    pub(crate) fn verify(&self, binary: &str) -> Result<(), Error> {
        self.drain(binary)?;
        let (topic, processed) = (self.topic("events"), self.topic("processed"));
        let events = self.client.read_committed(&topic)?;
        let letters = self.client.read_committed(&format!("{}-dead-letters", self.topic(binary)))?;
        let mut found = oracle::dead_letters(&letters);
        let expected = match binary {
            "redaction" => {
                let processed = self.client.read_committed(&processed)?;
                oracle::verify_redaction(&events, &processed, &letters);
                oracle::refused(&topic, &events, |flaw| flaw.redaction)
            }
            "fraud" => {
                let alerts = self.client.read_committed(&self.topic("alerts"))?;
                let rule = Rule { grace: GRACE, idle: IDLE, ..Rule::default() };
                oracle::verify_fraud(&rule, &events, &alerts, |add| add.user_id.starts_with(LATE));
                let mut late: Vec<String> = letters
                    .iter()
                    .map(millpond_harness::Received::key_text)
                    .filter(|key| key.starts_with(LATE))
                    .collect();
                late.sort();
                assert_eq!(late, (0..8).map(|n| format!("{LATE}{n}")).collect::<Vec<_>>(), "each late event once");
                found.retain(|(_, _, _, reason)| reason != "late_event");
                assert_eq!(found.len() + late.len(), letters.len());
                oracle::refused(&topic, &events, |flaw| flaw.fraud)
            }
            "loader" => {
                let loaded = self.client.read_committed(&processed)?;
                oracle::assert_same("events", &oracle::rows(&loaded), &self.query(oracle::ROWS)?);
                let table = oracle::attribution_rows(&self.client.read_committed(&self.topic("attributions"))?);
                oracle::assert_same("attributions", &table, &self.query(oracle::ATTRIBUTION_ROWS)?);
                oracle::refused(&processed, &loaded, |flaw| flaw.loader)
            }
            _ => {
                oracle::verify_attribution(&events, &self.client.read_committed(&self.topic("attributions"))?);
                oracle::refused(&topic, &events, |flaw| flaw.attribution)
            }
        };
        oracle::assert_same(&format!("dead letters of {binary}"), &expected, &found);
        Ok(())
    }
}
