//! Kafka, PostgreSQL and applications with a canary in every secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millpond_harness::{
    Client, Collector, Kafka, KafkaOptions, Launch, Postgres, Process, Scratch, Secured, Security, built, try_wait_for,
    wait_for,
};

use super::canary::secret;

pub(crate) const APPLICATIONS: [&str; 4] = ["attribution", "fraud", "loader", "redaction"];
pub(crate) const TOPICS: [&str; 4] = ["events", "processed_events", "fraud-detection", "attributions"];
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The servers, and where everything else is kept.
pub(crate) struct Shop {
    pub(crate) scratch: Scratch,
    pub(crate) kafka: Kafka,
    pub(crate) postgres: Postgres,
    /// Of spans.
    pub(crate) collector: Collector,
    /// With the password.
    pub(crate) database: String,
}

/// The variables of one application.
pub(crate) type Variables = BTreeMap<String, String>;

impl Shop {
    pub(crate) fn open() -> Self {
        let scratch = Scratch::new("canaries").unwrap();
        let users = vec![("shop".to_owned(), secret("sasl"))];
        let options = KafkaOptions { security: Some(Security { users }), ..KafkaOptions::default() };
        let kafka = Kafka::start_with(scratch.path().join("kafka"), options).unwrap();
        kafka.client().create_topics(&TOPICS, 2, &[]).unwrap();
        let dir = scratch.path().join("postgres");
        let postgres = Postgres::start(&dir).unwrap();
        for sql in [
            &format!("CREATE ROLE loader LOGIN PASSWORD '{}'", secret("database")),
            "CREATE DATABASE shop OWNER loader",
        ] {
            postgres.query("postgres", sql).unwrap();
        }
        let rules = "host all loader 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
        fs::write(dir.join("data/pg_hba.conf"), rules).unwrap();
        postgres.query("postgres", "SELECT pg_reload_conf()").unwrap();
        let database = postgres.database_url("shop");
        let with = |password: &str| database.replace("postgres@", &format!("loader:{password}@"));
        // The server reads its rules in a moment of its own.
        let asks = || postgres.query(&with("none"), "SELECT 1").is_err();
        wait_for(LIMIT, "the database asks for a password", asks).unwrap();
        let database = with(&secret("database"));
        let collector = Collector::start().unwrap();
        Self { scratch, kafka, postgres, collector, database }
    }

    pub(crate) fn client(&self) -> Client {
        self.kafka.client()
    }

    pub(crate) fn secured(&self) -> &Secured {
        self.kafka.secured().unwrap()
    }

    /// A directory of that name.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.scratch.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The configuration of an application that works, with each secret that it can hold.
    pub(crate) fn variables(&self, application: &str) -> Variables {
        let secured = self.secured();
        let mut variables = talkative();
        let set = [
            ("BOOTSTRAP_SERVERS", secured.sasl_ssl.as_str()),
            ("SECURITY_PROTOCOL", "SASL_SSL"),
            ("SASL_MECHANISM", "SCRAM-SHA-512"),
            ("SASL_USERNAME", "shop"),
            ("SASL_PASSWORD", &secret("sasl")),
            ("SSL_CA_LOCATION", &secured.ca.display().to_string()),
            ("SSL_CERTIFICATE_LOCATION", &secured.client_certificate.display().to_string()),
            ("SSL_KEY_LOCATION", &secured.client_key.display().to_string()),
            ("SSL_KEY_PASSWORD", &secret("key")),
            ("ERRORS_DESERIALIZATION", "dead-letter"),
            ("ERRORS_PROCESSING", "dead-letter"),
            ("STATE_DIR", &self.dir("state").display().to_string()),
            ("HTTP_LISTEN", "0"),
            ("HTTP_ADMIN_TOKEN", &secret("admin")),
            ("OTLP_ENDPOINT", &format!("http://{}", self.collector.address())),
            // Nobody has said that their rows may be shown.
            ("QUERIES", "on"),
        ];
        variables.extend(set.map(|(name, value)| (format!("MILLPOND_{name}"), value.to_owned())));
        // Passed on to librdkafka, which has no use for it here.
        variables.insert("MILLPOND_KAFKA_SSL_KEYSTORE_PASSWORD".into(), secret("keystore"));
        if application == "loader" {
            variables.insert("MILLPOND_APP_DATABASE_URL".into(), self.database.clone());
            // For a URL without a password.
            variables.insert("PGPASSWORD".into(), secret("pgpassword"));
        }
        variables
    }

    /// Starts an application; what it prints goes into a file of the directory.
    pub(crate) fn start(application: &str, log: &Path, variables: &Variables) -> Process {
        let launch = Launch::new(built(application).unwrap(), log).arg("--log-format=json");
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        launch.start().unwrap()
    }
}

/// Logs of everything, librdkafka's debug lines among them; AWS's secrets, which nobody may look at unasked; and the token that a
/// collector of spans wants.
pub(crate) fn talkative() -> Variables {
    let variables = [
        ("RUST_LOG", "trace".to_owned()),
        ("MILLPOND_KAFKA_DEBUG", "all".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret("aws")),
        ("AWS_SESSION_TOKEN", secret("session")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret("container")),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{}", secret("otlp"))),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A command of an application, with these variables.
pub(crate) fn command(application: &str, line: &[&str], variables: &Variables) -> Command {
    let mut command = Command::new(built(application).unwrap());
    command.args(line).envs(variables);
    command
}

/// The address of the page that a process has told of last.
pub(crate) fn page_of(process: &mut Process) -> String {
    let found = try_wait_for(LIMIT, format!("{} tells its page", process.name()), || {
        assert_eq!(process.ended()?, None, "{}", process.log_tail());
        let log = process.log();
        let mut urls = log.lines().filter_map(|line| line.split_once(r#""url":"http://"#));
        Ok(urls.next_back().and_then(|(_, rest)| Some(rest.split_once("/\"")?.0.to_owned())))
    });
    found.unwrap_or_else(|error| panic!("{error}: {}", process.log_tail()))
}
