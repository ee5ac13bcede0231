//! A loader on a real PostgreSQL, and the commands that are about it.

use millpond_harness::{Postgres, query};

use super::*;

/// The variable that names the loader's database.
pub(crate) const URL: &str = "MILLPOND_APP_DATABASE_URL";

/// A loader on a database and topics of its own.
pub(crate) struct Loading {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    /// For the questions of the test itself.
    database: String,
    /// By what the loader finds its database.
    variables: Vec<(&'static str, String)>,
    pub(crate) dir: PathBuf,
}

impl Loading {
    pub(crate) fn new(name: &'static str) -> Self {
        let database = Postgres::shared().unwrap().create_database().unwrap();
        let variables = vec![(URL, database.clone())];
        Self::on(name, database, variables)
    }

    /// On a database that the loader reaches in a way of its own.
    pub(crate) fn on(name: &'static str, database: String, variables: Vec<(&'static str, String)>) -> Self {
        let client = Kafka::shared().unwrap().client();
        let this = Self { name, client, database, variables, dir: Scratch::new(name).unwrap().path().to_owned() };
        let topics = ["processed", "attributed"].map(|topic| this.topic(topic));
        this.client.create_topics(&topics.each_ref().map(String::as_str), PARTITIONS, &[]).unwrap();
        this
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    fn flags(&self) -> Vec<String> {
        vec![
            format!("--bootstrap-servers={}", Kafka::shared().unwrap().bootstrap_servers()),
            format!("--application-id={}", self.name),
            format!("--state-dir={}", self.dir.join("state").display()),
            format!("--input={},{}", self.topic("processed"), self.topic("attributed")),
        ]
    }

    pub(crate) fn start(&self) -> Process {
        let launch = Launch::new(built("loader").unwrap(), self.dir.join("log")).args(self.flags());
        let launch = launch.args(["--http=0", "--set=session.timeout.ms=6000"]);
        self.variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start().unwrap()
    }

    pub(crate) fn ask(&self, line: &[&str]) -> Answer {
        let mut command = Command::new(built("loader").unwrap());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        answered(command.args(line).args(self.flags()))
    }

    pub(crate) fn reset(&self, line: &[&str]) -> Answer {
        self.ask(&[&["reset"], line].concat())
    }

    /// The tool for any application, which knows neither its topics nor its database.
    pub(crate) fn tool(&self, line: &[&str]) -> Answer {
        let flags = self.flags().into_iter().filter(|flag| !flag.starts_with("--input"));
        answered(Command::new(built("millpond").unwrap()).args(line).args(flags))
    }

    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        query(&self.database, sql).unwrap()
    }

    /// Where it goes on, by topic and partition.
    pub(crate) fn offsets(&self) -> Vec<String> {
        let rows = self.query("SELECT next_offset FROM sink_offset ORDER BY topic DESC, part");
        rows.into_iter().flatten().collect()
    }

    pub(crate) fn rows(&self) -> [String; 2] {
        ["events", "purchase_marketing_attributions"]
            .map(|table| self.query(&format!("SELECT count(*) FROM {table}"))[0][0].clone())
    }

    pub(crate) fn wait_for_rows(&self, process: &mut Process, rows: [&str; 2]) {
        wait_for(LIMIT, format!("rows={rows:?}"), || {
            assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
            // Its tables are made by the first start.
            query(&self.database, "SELECT 1 FROM sink_offset LIMIT 1").is_ok() && self.rows() == rows
        })
        .unwrap();
    }

    /// Ten events and two attributions in each partition.
    pub(crate) fn feed(&self) {
        let event = |n: i32| {
            let value = format!(r#"{{"user_id":"u{n}","event_name":"visit"}}"#);
            Outgoing::value(value).partition(n % PARTITIONS).at(1_700_000_000_000 + i64::from(n))
        };
        self.client.produce(&self.topic("processed"), (0..20).map(event)).unwrap();
        let attribution = |n: i32| {
            let value = format!(r#"{{"user_id":"u{n}","order_id":"o{n}","marketing_channel":"mail"}}"#);
            Outgoing::value(value).partition(n % PARTITIONS).at(1_700_000_000_000)
        };
        self.client.produce(&self.topic("attributed"), (0..4).map(attribution)).unwrap();
    }
}

fn answered(command: &mut Command) -> Answer {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
