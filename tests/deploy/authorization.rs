//! The rights that Terraform grants suffice: the four applications at work on a real broker that checks every request.
//!
//! MSK describes each of its actions as an access rule of Apache Kafka; those rules are made here, for users of the
//! applications' names. What IAM itself makes of a policy is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loader::{LoaderConfig, Routes, SharedStatus};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::runtime::Streams;
use millpond::runtime::config::StreamsConfig;
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond_harness::{
    Client, Kafka, KafkaOptions, Outgoing, Postgres, Scratch, Secured, Security, built, query, wait_for,
};

use super::files::{APPLICATIONS, configured, path, texts};
use super::rights;

const LIMIT: Duration = Duration::from_mins(1);
/// Those that have a topology.
const STREAMS: [&str; 3] = ["attribution", "fraud", "redaction"];
pub(crate) const PASSWORD: &str = "fourapplications";

/// The access rule of Kafka that an action of MSK is "equivalent to", in the words of AWS's table of actions.
fn rule(action: &str) -> &'static str {
    match action {
        "CreateTopic" => "TOPIC CREATE",
        "DeleteTopic" => "TOPIC DELETE",
        "DescribeTopic" => "TOPIC DESCRIBE",
        "DescribeTopicDynamicConfiguration" => "TOPIC DESCRIBE_CONFIGS",
        "ReadData" => "TOPIC READ",
        "WriteData" => "TOPIC WRITE",
        "AlterGroup" => "GROUP READ",
        "DescribeGroup" => "GROUP DESCRIBE",
        "AlterTransactionalId" => "TRANSACTIONAL_ID WRITE",
        "DescribeTransactionalId" => "TRANSACTIONAL_ID DESCRIBE",
        "WriteDataIdempotently" => "CLUSTER IDEMPOTENT_WRITE",
        other => panic!("no rule of Kafka is known for {other}"),
    }
}

/// Lines for `Acls.java`, from the table and from what Terraform says of its classes.
fn rules() -> String {
    APPLICATIONS.into_iter().flat_map(rules_of).map(|rule| rule + "\n").collect()
}

/// The rules of one application, as `PRINCIPAL TYPE NAME PATTERN OPERATION`.
pub(crate) fn rules_of(application: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (application, row) in rights::table().into_iter().filter(|(name, _)| name == application) {
        let mut grant = |actions: &[String], name: &str| {
            // Connecting is what a password does here.
            for action in actions.iter().filter(|action| *action != "Connect") {
                let (kind, operation) = rule(action).split_once(' ').unwrap();
                let (name, pattern) = match name.strip_suffix('*') {
                    Some(prefix) => (prefix, "PREFIXED"),
                    None => (name, "LITERAL"),
                };
                lines.push(format!("{application} {kind} {name} {pattern} {operation}"));
            }
        };
        grant(&rights::statement_actions("Connect"), "kafka-cluster");
        grant(&rights::statement_actions("Group"), &application);
        grant(&rights::statement_actions("Transactions"), row["transactional_ids"].as_str().unwrap());
        for (class, actions) in rights::topic_actions() {
            let topics = row[&class].as_str().map_or_else(|| texts(&row[&class]), |topic| vec![topic.to_owned()]);
            for topic in topics {
                grant(&actions, &topic);
            }
        }
    }
    lines
}

pub(crate) fn make_rules(bootstrap_servers: &str, rules: &str) {
    change_rules("make", bootstrap_servers, rules);
}

pub(crate) fn remove_rules(bootstrap_servers: &str, rules: &str) {
    change_rules("remove", bootstrap_servers, rules);
}

fn change_rules(change: &str, bootstrap_servers: &str, rules: &str) {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ./dev setup"));
    let mut java = Command::new(variable("MILLPOND_JAVA"))
        .args([
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &format!("{}/*", variable("MILLPOND_KAFKA_LIB")),
        ])
        .arg(path("tests/deploy/Acls.java"))
        .args([change, bootstrap_servers])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    java.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(java.wait().unwrap().success());
}

/// A broker that refuses what no rule allows, to all but those who come without a name.
pub(crate) fn authorizing<'a>(scratch: &Scratch, users: impl IntoIterator<Item = &'a str>) -> Kafka {
    let users = users.into_iter().map(|user| (user.to_owned(), PASSWORD.to_owned())).collect();
    let properties = [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
    ];
    let options = KafkaOptions {
        security: Some(Security { users }),
        properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..KafkaOptions::default()
    };
    Kafka::start_with(scratch.path().join("kafka"), options).unwrap()
}

/// The configuration of a pod, as its user.
fn config(application: &'static str, secured: &Secured, state: &Scratch) -> StreamsConfig {
    let instance = format!("{application}-0");
    let (ca, state) = (secured.ca.display().to_string(), state.path().display().to_string());
    let set = [
        ("BOOTSTRAP_SERVERS", secured.sasl_ssl.as_str()),
        ("SECURITY_PROTOCOL", "SASL_SSL"),
        ("SASL_MECHANISM", "SCRAM-SHA-512"),
        ("SASL_USERNAME", application),
        ("SASL_PASSWORD", PASSWORD),
        ("SSL_CA_LOCATION", &ca),
        ("INSTANCE", &instance),
        ("STATE_DIR", &state),
        ("ERRORS_DESERIALIZATION", "dead-letter"),
        ("ERRORS_PROCESSING", "dead-letter"),
        // Only so that it passes as a configuration; the loader is given its database below.
        ("APP_DATABASE_URL", "postgres://loader@h/d"),
    ];
    let mut set: BTreeMap<String, String> =
        set.map(|(name, value)| (format!("MILLPOND_{name}"), value.to_owned())).into();
    if application != "loader" {
        set.remove("MILLPOND_APP_DATABASE_URL");
    }
    configured(application, &set, &[])
}

fn streams(application: &'static str, secured: &Secured, state: &Scratch) -> Streams {
    let config = config(application, secured, state);
    let broker = KafkaBroker::connect(KafkaConfig::of(&config).unwrap()).unwrap();
    let instance = config.instance.clone().unwrap();
    let directory = RocksDirectory::new(&config.state_dir, application, &instance, Options::default());
    let topology = Arc::new(rights::topology(application));
    Streams::start(&broker, &config, &instance, &topology, &directory)
        .unwrap_or_else(|error| panic!("{application}: {error}"))
}

/// One visit, one order, a burst, and a record that nobody can read.
pub(crate) fn events() -> Vec<Outgoing> {
    let event = |second: i64, text: &str| {
        let value = format!(r#"{{"user_id":"u","event_name":{text}}}"#);
        Outgoing::value(value).partition(0).at(1_700_000_000_000 + second * 100)
    };
    let mut events = vec![
        event(0, r#""visit","channel":"mail""#),
        event(1, r#""order_confirmed","order_id":"o""#),
        Outgoing::value("not json").partition(0).at(1_700_000_000_200),
    ];
    events.extend((3..8).map(|second| event(second, r#""add_to_cart","item_url":"/a""#)));
    events
}

fn wait_for_records(client: &Client, topic: &str, count: usize) {
    let enough = || client.topics().unwrap().contains(topic) && client.read_committed(topic).unwrap().len() >= count;
    wait_for(LIMIT, format!("{count} records in {topic}"), enough).unwrap();
}

/// Without any right an application does not start, and says what it was refused.
fn is_refused(secured: &Secured, state: &Scratch) {
    let config = config("redaction", secured, state);
    let broker = KafkaBroker::connect(KafkaConfig::of(&config).unwrap()).unwrap();
    let directory = RocksDirectory::new(&config.state_dir, "redaction", "redaction-0", Options::default());
    let topology = Arc::new(rights::topology("redaction"));
    let error = Streams::start(&broker, &config, "redaction-0", &topology, &directory).unwrap_err().to_string();
    assert!(error.contains("events"), "{error}");
}

#[test]
fn the_granted_rights_suffice_for_the_whole_work_of_each_application() {
    let scratch = Scratch::new("authorization").unwrap();
    let kafka = authorizing(&scratch, APPLICATIONS);
    let client = kafka.client();
    client.create_topics(&["events", "processed_events", "fraud-detection", "attributions"], 2, &[]).unwrap();
    let secured = kafka.secured().unwrap();
    is_refused(secured, &scratch);
    make_rules(kafka.bootstrap_servers(), &rules());
    let database = Postgres::shared().unwrap().create_database().unwrap();

    let state = Scratch::new("authorized").unwrap();
    let running = STREAMS.map(|application| streams(application, secured, &state));
    let (stop, status) = (AtomicBool::new(false), SharedStatus::default());
    std::thread::scope(|scope| {
        let broker = KafkaBroker::connect(KafkaConfig::of(&config("loader", secured, &state)).unwrap()).unwrap();
        let config = LoaderConfig::new("loader", "loader-0", &database, Routes::defaults().unwrap());
        let (told, asked) = (&status, &stop);
        let loading = scope.spawn(move || loader::run(&config, broker, told, asked));
        let worked = std::panic::catch_unwind(|| {
            client.produce("events", events()).unwrap();
            wait_for_records(&client, "processed_events", 7);
            wait_for_records(&client, "attributions", 1);
            wait_for_records(&client, "fraud-detection", 1);
            for application in STREAMS {
                wait_for_records(&client, &format!("{application}-dead-letters"), 1);
            }
            // The loader's own dead letter.
            client.produce("processed_events", [Outgoing::value("not json either").partition(0)]).unwrap();
            wait_for_records(&client, "loader-dead-letters", 1);
            let loaded = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM purchase_marketing_attributions)";
            let all = || query(&database, loaded).is_ok_and(|rows| rows == [["7", "1"]]);
            wait_for(LIMIT, "all rows are loaded", all).unwrap();
        });
        stop.store(true, Ordering::Release);
        loading.join().unwrap().unwrap_or_else(|error| panic!("loader: {error}"));
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    end(running);
    goes_on_elsewhere(&client, secured);
    the_doctor_finds_nothing_broken(secured, &database);
    is_kept_to_its_own(secured);
}

/// What may not be looked at with these rights is told as that, and as nothing worse.
fn the_doctor_finds_nothing_broken(secured: &Secured, database: &str) {
    for application in APPLICATIONS {
        let state = Scratch::new("doctor").unwrap();
        let mut doctor = Command::new(built(application).unwrap());
        doctor.args(["doctor", "--json"]).arg(format!("--bootstrap-servers={}", secured.sasl_ssl));
        doctor.arg(format!("--state-dir={}", state.path().display())).env("MILLPOND_SASL_PASSWORD", PASSWORD);
        if application == "loader" {
            doctor.env("MILLPOND_APP_DATABASE_URL", database);
        }
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", application),
            ("ssl.ca.location", &secured.ca.display().to_string()),
        ] {
            doctor.arg(format!("--set={name}={value}"));
        }
        let output = doctor.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{application}: {told} {}", String::from_utf8_lossy(&output.stderr));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let codes: BTreeSet<&str> =
            told["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
        assert_eq!(codes, BTreeSet::from(["broker-settings", "probe", "topic-settings"]), "{application}: {told}");
    }
}

fn end(running: [Streams; 3]) {
    for streams in running {
        assert!(streams.is_healthy());
        // Leaving the group asks for a right as well.
        streams.close(true).unwrap();
    }
}

/// On an empty disk everything is read back: changelogs, and the commit records of the tasks without state.
fn goes_on_elsewhere(client: &Client, secured: &Secured) {
    let state = Scratch::new("elsewhere").unwrap();
    let running = STREAMS.map(|application| streams(application, secured, &state));
    let order = r#"{"user_id":"u","event_name":"order_confirmed","order_id":"p"}"#;
    client.produce("events", [Outgoing::value(order).partition(0).at(1_700_000_002_000)]).unwrap();
    wait_for_records(client, "attributions", 2);
    wait_for_records(client, "processed_events", 9);
    let found = client.read_committed("attributions").unwrap();
    let second = found.iter().filter_map(|record| record.value.clone()).map(|value| String::from_utf8(value).unwrap());
    assert!(
        second.clone().any(|value| value.contains(r#""p""#) && value.contains("mail")),
        "{:?}",
        second.collect::<Vec<_>>()
    );
    end(running);
}

/// What the work of a few seconds does not show: records are deleted every half a minute; and the rights end somewhere.
fn is_kept_to_its_own(secured: &Secured) {
    let client = |user: &str| secured.scram_client("SCRAM-SHA-512", user, PASSWORD);
    for (user, topic, allowed) in [
        ("fraud", "fraud-by-user-repartition", true),
        ("attribution", "attribution-by-user-repartition", true),
        ("fraud", "attribution-by-user-repartition", false),
        ("fraud", "fraud-carts-changelog", false),
        ("redaction", "events", false),
        ("loader", "processed_events", false),
    ] {
        let deleted = client(user).delete_records(topic, |_, end| end);
        assert_eq!(deleted.is_ok(), allowed, "{user} deletes records of {topic}: {deleted:?}");
    }
    for (user, topic) in
        [("fraud", "attributions"), ("redaction", "attribution-orders-changelog"), ("loader", "events")]
    {
        assert!(client(user).read_committed(topic).is_err(), "{user} reads {topic}");
    }
    assert!(client("fraud").fence("attribution-attribution-0-0").is_err(), "a foreign transactional id");
}
