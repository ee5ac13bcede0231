//! Kafka, PostgreSQL and applications with a canary in every secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millpond_harness::{
    Client, Collector, KEY_PASSWORD, Kafka, KafkaOptions, Launch, Process, Scratch, Secured, Security, built,
    try_wait_for,
};

use super::canary::secret;
use super::database::Database;

pub(crate) const APPLICATIONS: [&str; 4] = ["attribution", "fraud", "loader", "redaction"];
pub(crate) const TOPICS: [&str; 4] = ["events", "processed_events", "fraud-detection", "attributions"];
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The servers, and where everything else is kept.
pub(crate) struct Shop {
    pub(crate) scratch: Scratch,
    pub(crate) kafka: Kafka,
    pub(crate) database: Database,
    /// Of spans.
    pub(crate) collector: Collector,
}

/// The variables of one application.
pub(crate) type Variables = BTreeMap<String, String>;

impl Shop {
    pub(crate) fn open() -> Self {
        assert_eq!(KEY_PASSWORD, secret("key"), "the pass phrase of the key is a canary");
        let scratch = Scratch::new("canaries").unwrap();
        let users = vec![("shop".to_owned(), secret("sasl"))];
        let options = KafkaOptions { security: Some(Security { users }), ..KafkaOptions::default() };
        let kafka = Kafka::start_with(scratch.path().join("kafka"), options).unwrap();
        kafka.client().create_topics(&TOPICS, 2, &[]).unwrap();
        let database = Database::open(&scratch.path().join("postgres"));
        let collector = Collector::start().unwrap();
        Self { scratch, kafka, database, collector }
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
            ("SSL_KEY_LOCATION", &secured.locked_client_key.display().to_string()),
            ("SSL_KEY_PASSWORD", KEY_PASSWORD),
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
            variables.insert("MILLPOND_APP_DATABASE_URL".into(), self.database.url.clone());
            // For a URL without a password.
            variables.insert("PGPASSWORD".into(), secret("pgpassword"));
        }
        variables
    }

    /// The same as it runs: one shows a token out of a file to the brokers, and one a key and a password out of files to the
    /// database. Commands have the variables above, which do as well.
    pub(crate) fn at_work(&self, application: &str) -> Variables {
        let mut variables = self.variables(application);
        match application {
            "redaction" => by_token(&mut variables, &self.token_file("token", &token())),
            "loader" => {
                let file = self.database.password_file();
                variables.insert("MILLPOND_APP_DATABASE_URL".into(), self.database.verified("loader.key"));
                variables.insert("PGPASSFILE".into(), file.display().to_string());
                // It would be taken instead.
                variables.remove("PGPASSWORD");
            }
            _ => {}
        }
        variables
    }

    /// A file of that name with a token.
    pub(crate) fn token_file(&self, name: &str, token: &str) -> PathBuf {
        let file = self.scratch.path().join(name);
        fs::write(&file, token).unwrap();
        file
    }

    /// Starts an application; what it prints goes into a file of the directory.
    pub(crate) fn start(application: &str, log: &Path, variables: &Variables) -> Process {
        let launch = Launch::new(built(application).unwrap(), log).arg("--log-format=json");
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        launch.start().unwrap()
    }
}

/// Lets the brokers be shown a token out of that file instead of a password.
pub(crate) fn by_token(variables: &mut Variables, file: &Path) {
    variables.retain(|name, _| !["MILLPOND_SASL_USERNAME", "MILLPOND_SASL_PASSWORD"].contains(&name.as_str()));
    variables.insert("MILLPOND_SASL_MECHANISM".into(), "OAUTHBEARER".into());
    variables.insert("MILLPOND_SASL_OAUTHBEARER_TOKEN_FILE".into(), file.display().to_string());
}

/// A token that the brokers take for the next hour.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"shop","iat":{now},"exp":{},"jti":"{}"}}"#, now + 3_600, secret("token"));
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims))
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
