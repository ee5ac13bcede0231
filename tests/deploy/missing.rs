//! Each right that the table grants, taken away: the application names it with the command that grants it, and so does
//! `doctor`; or it does its work without it, because another right holds it.
//!
//! Each case is an application of its own name under a principal of its own, which lacks one rule of those that `fraud` has,
//! for those that have a topology, or `loader`, which has a loop of its own. They run beside each other on one broker. What is
//! taken away between two runs is in `restarts`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use loader::{LoaderConfig, Routes, SharedStatus};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::broker::{Broker, BrokerErrorKind, Producer};
use millpond::record::{Headers, Partition, ProducerRecord, TopicPartition};
use millpond::runtime::Streams;
use millpond::runtime::config::StreamsConfig;
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::time::Timestamp;
use millpond_harness::{Client, Kafka, Outgoing, Postgres, Scratch, built, query};
use serde_json::Value;

use super::authorization::{PASSWORD, authorizing, events, make_rules, rules_of};
use super::files::configured;
use super::rights;

pub(crate) const LIMIT: Duration = Duration::from_mins(2);
/// Those with a topology are alike: this one has every kind of topic.
const APPLICATIONS: [&str; 2] = ["fraud", "loader"];
/// So many at a time.
const WORKERS: usize = 3;

/// What happens without a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The application ends with an error that names it, and `doctor` finds it.
    Named,
    /// It works: the right is held by another one, as Kafka has it, or is not needed.
    Works,
    /// It works and says so in `doctor`: something is not done without the right.
    Noticed,
}

/// One rule that is left out.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) application: &'static str,
    /// Application id and principal.
    pub(crate) name: String,
    pub(crate) rule: String,
}

/// Where a case is run.
pub(crate) struct Place<'a> {
    pub(crate) kafka: &'a Kafka,
    pub(crate) state: Scratch,
    /// Of the loader alone.
    pub(crate) database: Option<String>,
}

impl<'a> Place<'a> {
    fn of(case: &Case, kafka: &'a Kafka) -> Self {
        let database = || Postgres::shared().unwrap().create_database().unwrap();
        let database = (case.application == "loader").then(database);
        Self { kafka, state: Scratch::new(&case.name).unwrap(), database }
    }
}

impl Case {
    pub(crate) fn words(&self) -> Vec<&str> {
        self.rule.split(' ').collect()
    }

    /// What is on the wire for it, in the words of `kafka-acls.sh`.
    fn operation(&self) -> String {
        let words = self.words()[4].to_lowercase();
        words.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
    }

    fn outcome(&self) -> Outcome {
        let words = self.words();
        match (words[1], words[4]) {
            // READ, WRITE and DELETE hold DESCRIBE.
            // The last is asked for by producers without transactions alone.
            ("TOPIC" | "GROUP" | "TRANSACTIONAL_ID", "DESCRIBE") | ("CLUSTER", "IDEMPOTENT_WRITE") => Outcome::Works,
            // A first start has nothing to restore (a later one is in `restarts`), and no alert of this input has to wait: only doctor can tell.
            ("TOPIC", "READ") if self.is_own_log() => Outcome::Noticed,
            ("TOPIC", "WRITE") if words[2].ends_with("wake-ups-changelog") => Outcome::Noticed,
            // Kafka's defaults are assumed; records behind the commit stay.
            ("TOPIC", "DESCRIBE_CONFIGS" | "DELETE") => Outcome::Noticed,
            _ => Outcome::Named,
        }
    }

    pub(crate) fn is_own_log(&self) -> bool {
        let topic = self.words()[2];
        topic.ends_with("-changelog") || topic.ends_with("-commits")
    }

    /// The right as a message names it.
    fn right(&self) -> String {
        let words = self.words();
        let on = match words[1] {
            "TOPIC" => format!("topic {}", words[2]),
            "GROUP" => format!("group {}", words[2]),
            "TRANSACTIONAL_ID" => "transactional id".to_owned(),
            other => other.to_lowercase(),
        };
        format!("lacks {} on {on}", self.operation())
    }

    /// The flags that grant it.
    fn flags(&self) -> String {
        let words = self.words();
        let on = match words[1] {
            "TOPIC" => format!("--topic {}", words[2]),
            "GROUP" => format!("--group {}", words[2]),
            _ => "--transactional-id".to_owned(),
        };
        format!("--allow-principal User:{} --operation {} {on}", self.name, self.operation())
    }

    pub(crate) fn config(&self, place: &Place<'_>) -> StreamsConfig {
        let secured = place.kafka.secured().unwrap();
        let (ca, dir) = (secured.ca.display().to_string(), place.state.path().display().to_string());
        let set = [
            ("APPLICATION_ID", self.name.as_str()),
            ("BOOTSTRAP_SERVERS", &secured.sasl_ssl),
            ("SECURITY_PROTOCOL", "SASL_SSL"),
            ("SASL_MECHANISM", "SCRAM-SHA-512"),
            ("SASL_USERNAME", &self.name),
            ("SASL_PASSWORD", PASSWORD),
            ("SSL_CA_LOCATION", &ca),
            ("INSTANCE", "0"),
            ("STATE_DIR", &dir),
            ("ERRORS_DESERIALIZATION", "dead-letter"),
            ("ERRORS_PROCESSING", "dead-letter"),
        ];
        let database = place.database.iter().map(|url| ("APP_DATABASE_URL", url.as_str()));
        let set = set.into_iter().chain(database);
        let set: BTreeMap<String, String> =
            set.map(|(name, value)| (format!("MILLPOND_{name}"), value.to_owned())).collect();
        configured(self.application, &set, &[])
    }

    /// The error with which it ends; none when it has done its work.
    fn run(&self, place: &Place<'_>) -> Option<String> {
        let config = self.config(place);
        let broker = KafkaBroker::connect(KafkaConfig::of(&config).unwrap()).unwrap();
        match &place.database {
            Some(database) => self.load(broker, &place.kafka.client(), database),
            None => self.stream(&broker, &config, || has_done_its_work(&place.kafka.client(), &self.name)),
        }
    }

    /// The error with which it ends; none when it is healthy until it has done its work.
    pub(crate) fn stream(
        &self,
        broker: &KafkaBroker,
        config: &StreamsConfig,
        has_done_its_work: impl Fn() -> bool,
    ) -> Option<String> {
        let directory = RocksDirectory::new(&config.state_dir, &self.name, "0", Options::default());
        let topology = Arc::new(rights::topology(self.application));
        let streams = match Streams::start(broker, config, "0", &topology, &directory) {
            Ok(streams) => streams,
            Err(error) => return Some(error.to_string()),
        };
        let began = Instant::now();
        while streams.is_healthy() && !has_done_its_work() {
            assert!(began.elapsed() < LIMIT, "{self:?} neither works nor ends");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let failed = !streams.is_healthy();
        let ended = streams.close(true);
        failed.then(|| ended.unwrap_err().to_string())
    }

    fn load(&self, broker: KafkaBroker, client: &Client, database: &str) -> Option<String> {
        let config = LoaderConfig::new(&self.name, "0", database, Routes::defaults().unwrap());
        let (stop, status) = (AtomicBool::new(false), SharedStatus::default());
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| loader::run(&config, broker, &status, &stop));
            let began = Instant::now();
            while !loading.is_finished() && !has_loaded(client, &self.name, database) && began.elapsed() < LIMIT {
                std::thread::park_timeout(Duration::from_millis(300));
            }
            let is_over = loading.is_finished() || has_loaded(client, &self.name, database);
            // Before anything may panic: the scope waits for it.
            stop.store(true, Ordering::Release);
            let ended = loading.join().unwrap();
            assert!(is_over, "{self:?} neither works nor ends: {ended:?}");
            ended.err().map(|error| error.to_string())
        })
    }

    /// Everything that `doctor` tells.
    pub(crate) fn doctor(&self, place: &Place<'_>) -> Vec<Value> {
        let secured = place.kafka.secured().unwrap();
        let mut doctor = Command::new(built(self.application).unwrap());
        doctor.args(["doctor", "--json", &format!("--application-id={}", self.name)]);
        doctor.arg(format!("--bootstrap-servers={}", secured.sasl_ssl));
        doctor.arg(format!("--state-dir={}", place.state.path().display())).env("MILLPOND_SASL_PASSWORD", PASSWORD);
        doctor.envs(place.database.iter().map(|url| ("MILLPOND_APP_DATABASE_URL", url)));
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", &self.name),
            ("ssl.ca.location", &secured.ca.display().to_string()),
            ("instance", "0"),
            ("errors.deserialization", "dead-letter"),
        ] {
            doctor.arg(format!("--set={name}={value}"));
        }
        let output = doctor.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        told["findings"].as_array().unwrap().clone()
    }

    /// What is wrong, when error and findings are not those of such an outcome.
    pub(crate) fn judge(&self, outcome: Outcome, error: Option<&String>, findings: &[Value]) -> Result<(), String> {
        let fixes: Vec<&str> = findings.iter().map(|finding| finding["fix"].as_str().unwrap()).collect();
        let broken = findings.iter().filter(|finding| finding["health"] == "broken").count();
        let words = self.flags().replace("--operation ", "");
        let (principal, rest) = words.split_at(words.find(' ').unwrap());
        let parts: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty() && *word != principal).collect();
        let granted = |text: &&str| text.contains("kafka-acls.sh") && parts.iter().all(|part| text.contains(part));
        let told = fixes.iter().any(granted);
        let as_it_should = match (outcome, error) {
            (Outcome::Named, Some(error)) => {
                error.contains(&self.right()) && error.contains(&self.flags()) && told && broken > 0
            }
            (Outcome::Works, None) => broken == 0,
            (Outcome::Noticed, None) => told,
            _ => false,
        };
        if as_it_should {
            return Ok(());
        }
        Err(format!("{}, {} ({outcome:?}):\n  error: {error:?}\n  doctor: {findings:?}\n", self.application, self.rule))
    }
}

/// Its group has read everything, the five carts of the repartition topic among it: the alert is committed with them.
fn has_done_its_work(client: &Client, name: &str) -> bool {
    let repartition = format!("{name}-by-user-repartition");
    let topics = ["events", repartition.as_str()];
    let Ok(lag) = client.group(name).and_then(|group| group.lag(&topics)) else { return false };
    let [events, carts] = lag.as_slice() else { return false };
    events.lag() == 0 && carts.committed.is_some_and(|next| next >= 5)
}

/// Two events and a record that is none, and an attribution: what the loader has to do.
fn feed_the_loader(client: &Client) {
    let event = |user: &str| format!(r#"{{"user_id":"{user}","event_name":"visit"}}"#);
    let events = [event("u"), event("v"), "not json".to_owned()];
    client.produce("processed_events", events.map(|event| Outgoing::value(event).partition(0))).unwrap();
    let attribution = r#"{"user_id":"u","order_id":"o","marketing_channel":"mail"}"#;
    client.produce("attributions", [Outgoing::value(attribution).partition(0)]).unwrap();
}

/// All rows are there, and the letter of the record that is none.
fn has_loaded(client: &Client, name: &str, database: &str) -> bool {
    let rows = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM purchase_marketing_attributions)";
    let letters = format!("{name}-dead-letters");
    query(database, rows).is_ok_and(|rows| rows == [["2", "1"]])
        && client.topics().is_ok_and(|topics| topics.contains(&letters))
        && client.read_committed(&letters).is_ok_and(|letters| letters.len() == 1)
}

/// The rules of the application under another name.
pub(crate) fn renamed(rule: &str, application: &str, name: &str) -> String {
    let mut words: Vec<String> = rule.split(' ').map(str::to_owned).collect();
    name.clone_into(&mut words[0]);
    let on = words[2].clone();
    // Outputs keep their names.
    if on == application {
        name.clone_into(&mut words[2]);
    } else if let Some(rest) = on.strip_prefix(&format!("{application}-")).filter(|_| on != "fraud-detection") {
        words[2] = format!("{name}-{rest}");
    }
    words.join(" ")
}

/// One for each rule of the application, with the rules that are left to it.
fn cases(application: &'static str) -> Vec<(Case, Vec<String>)> {
    let all = rules_of(application);
    let case = |(number, lacking): (usize, &String)| {
        let name = format!("{application}{number:02}");
        let rule = renamed(lacking, application, &name);
        let others = all.iter().map(|rule| renamed(rule, application, &name)).filter(|other| *other != rule);
        let others = others.map(|rule| rule + "\n").collect();
        (Case { application, name, rule }, others)
    };
    all.iter().enumerate().map(case).collect()
}

#[test]
fn each_right_that_is_missing_is_named_with_the_command_that_grants_it() {
    let (cases, rules): (Vec<Case>, Vec<Vec<String>>) = APPLICATIONS.into_iter().flat_map(cases).unzip();
    let of = |application: &str| cases.iter().filter(|case| case.application == application).count();
    assert!(of("fraud") > 20 && of("loader") >= 12, "{cases:?}");
    let scratch = Scratch::new("missing").unwrap();
    let kafka = authorizing(&scratch, cases.iter().map(|case| case.name.as_str()));
    kafka.client().create_topics(&["events", "fraud-detection", "processed_events", "attributions"], 1, &[]).unwrap();
    kafka.client().produce("events", events()).unwrap();
    feed_the_loader(&kafka.client());
    make_rules(kafka.bootstrap_servers(), &rules.concat().concat());

    let next = AtomicUsize::new(0);
    let wrong = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let place = Place::of(case, &kafka);
                let error = case.run(&place);
                let findings = case.doctor(&place);
                wrong.extend(case.judge(case.outcome(), error.as_ref(), &findings).err());
            }
            wrong
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<String>>()
    });
    assert!(wrong.is_empty(), "{} of {} are not as they should be:\n{}", wrong.len(), cases.len(), wrong.concat());
}

/// A topic that the client did not know yet is added to the transaction when its metadata is there: behind the offsets, or, as
/// here, within the commit. Its records are then given up with the transaction, and say nothing of why.
#[test]
fn a_right_that_is_refused_within_the_commit_is_named() {
    let scratch = Scratch::new("refused-within").unwrap();
    let case = Case { application: "fraud", name: "late".into(), rule: "late TOPIC letters LITERAL WRITE".into() };
    let kafka = authorizing(&scratch, [case.name.as_str()]);
    kafka.client().create_topics(&["letters"], 1, &[]).unwrap();
    let given = ["TOPIC letters LITERAL DESCRIBE", "TRANSACTIONAL_ID late LITERAL WRITE"];
    make_rules(kafka.bootstrap_servers(), &given.map(|rule| format!("late {rule}\n")).concat());
    let place = Place { kafka: &kafka, state: Scratch::new("late").unwrap(), database: None };
    let broker = KafkaBroker::connect(KafkaConfig::of(&case.config(&place)).unwrap()).unwrap();
    let mut producer = broker.producer("late").unwrap();
    producer.begin().unwrap();
    producer
        .send(ProducerRecord {
            target: TopicPartition::new("letters", Partition(0)),
            timestamp: Timestamp::from_millis(1),
            key: None,
            value: Some("letter".into()),
            headers: Headers::new(),
        })
        .unwrap();
    let refused = producer.commit(LIMIT).unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::Unauthorized, "{refused}");
    assert!(refused.to_string().contains(&case.right()) && refused.to_string().contains(&case.flags()), "{refused}");
}
