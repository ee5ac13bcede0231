//! `doctor`: silent where all is well, and each thing that is wrong by its name.

use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{Checkpoint, CommitBatch, StateDirectory, StoreKind, StoreSpec};
use millpond_harness::{KafkaOptions, Postgres, Security};

use super::*;

/// Codes of what is not as it should be.
fn findings(answer: &Answer) -> Vec<String> {
    let report: Value = serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let found = report["findings"].as_array().unwrap().iter();
    let mut codes: Vec<String> = found
        .map(|finding| {
            assert!(finding["fix"].as_str().unwrap().len() > 10, "it says what to do: {finding}");
            finding["code"].as_str().unwrap().to_owned()
        })
        .collect();
    codes.sort();
    codes
}

#[test]
fn a_healthy_cluster_has_no_findings_before_the_first_start_and_after() {
    let shop = Shop::new("cli-doctor");
    let first = shop.fraud(&["doctor", "--json"]);
    assert_eq!((first.code, findings(&first)), (0, Vec::<String>::new()), "{first:?}");
    assert_eq!(first.err, "", "a bar is for those who look at a terminal");
    assert!(first.out.contains("a transaction was committed") && first.out.contains("the brokers' agree"), "{first:?}");
    shop.bursts(0..4);
    let mut process = shop.start();
    shop.alerts(&mut process, 4);
    let running = shop.fraud(&["doctor", "--json"]);
    assert_eq!((running.code, findings(&running)), (0, Vec::<String>::new()), "{running:?}");
    let by_tool = shop.ask("millpond", &["doctor"]);
    assert!(by_tool.code == 0 && by_tool.out.ends_with("0 broken, 0 warnings\n"), "{by_tool:?}");
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    assert!(!shop.client.topics().unwrap().contains("cli-doctor-doctor"), "it clears up after itself");
}

#[test]
fn settings_that_break_the_promise_are_named() {
    let shop = Shop::new("cli-sick");
    shop.bursts(0..4);
    let mut process = shop.start();
    shop.alerts(&mut process, 4);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let set = |topic: &str, name: &str, value: &str| {
        // All other settings of the topic become the broker's own.
        shop.client.set_topic_property(&shop.topic(topic), name, value).unwrap();
    };
    set("carts-changelog", "delete.retention.ms", "1000");
    set("by-user-repartition", "retention.ms", "1000");
    set("events", "min.insync.replicas", "2");
    shop.client.delete_topics(&[&shop.topic("alerts")]).unwrap();
    // By now the state was away for longer than half a second, which is all that its changelog keeps deletions for.
    let wanted = [
        "state-age",
        "topic-cleanup-policy",
        "topic-delete-retention",
        "topic-min-insync",
        "topic-missing",
        "topic-retention",
    ];
    let seen = || {
        let mut codes = findings(&shop.fraud(&["doctor", "--no-probe", "--json"]));
        codes.dedup(); // one for each task
        codes
    };
    wait_for(LIMIT, format!("{wanted:?} instead of {:?}", seen()), || seen() == wanted).unwrap();
    let told = shop.fraud(&["doctor", "--no-probe"]);
    assert!(told.code == 1 && told.out.contains("fix: set cleanup.policy=compact"), "{told:?}");
    let slow = ["--set=transaction.timeout.ms=1000000", "--set=max.poll.interval.ms=3100000"];
    let slow = shop.fraud(&[&["doctor", "--json"][..], &slow].concat());
    let codes = findings(&slow);
    assert!(codes.contains(&"transaction-timeout".into()) && codes.contains(&"transactions".into()), "{slow:?}");
}

#[test]
fn state_of_topics_that_are_gone_is_named() {
    let shop = Shop::new("cli-lost");
    shop.bursts(0..4);
    let mut process = shop.start();
    shop.alerts(&mut process, 4);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    shop.client.delete_topics(&[&shop.topic("carts-changelog")]).unwrap();
    let seen = || findings(&shop.fraud(&["doctor", "--no-probe", "--json"]));
    wait_for(LIMIT, "the lost changelog", || seen().contains(&"state-topics".to_owned())).unwrap();
}

/// Left by a newer program, for example before it was taken back: it is not damaged, and nothing is done to it.
#[test]
fn state_of_another_format_is_named_with_what_every_command_says_to_do() {
    let shop = Shop::new("cli-format");
    shop.bursts(0..4);
    let mut process = shop.start();
    shop.alerts(&mut process, 4);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let tasks = || shop.fraud(&["state", "ls", "--json"]).json()["tasks"].as_array().unwrap().clone();
    let task = tasks().into_iter().find(|task| task["stores"][0] == "carts").unwrap();
    let (instance, name) = (task["instance"].as_str().unwrap(), task["task"].as_str().unwrap());
    let format = shop.dir.join("state").join(&shop.name).join(instance).join(name).join("format");
    let ours = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, "2\n").unwrap();

    let sick = shop.fraud(&["doctor", "--no-probe", "--json"]);
    assert_eq!((sick.code, findings(&sick)), (1, vec!["state".to_owned()]), "{sick:?}");
    let report: Value = serde_json::from_str(&sick.out).unwrap();
    let finding = &report["findings"][0];
    let what = finding["what"].as_str().unwrap();
    assert!(what.contains(name) && what.contains("format=2, this program reads format=1"), "{finding}");
    assert!(finding["fix"].as_str().unwrap().starts_with("use the version that wrote it"), "{finding}");
    // The same state in the words of the others.
    let listed = tasks().into_iter().find(|task| task["task"] == name).unwrap();
    assert_eq!((&listed["error"]["code"], &listed["error"]["fix"]), (&"state-format".into(), &finding["fix"]));
    let refused = shop.fraud(&["state", "scan", "carts", "--json"]);
    assert_eq!(refused.error(), "state-format");
    let refused: Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(refused["error"]["fix"], finding["fix"]);
    let told = shop.ask("millpond", &["doctor", "--no-probe"]);
    assert!(told.code == 1 && told.out.contains("fix: use the version that wrote it"), "{told:?}");

    // It was only looked at: the version that wrote it goes on.
    std::fs::write(&format, ours).unwrap();
    let healthy = shop.fraud(&["doctor", "--no-probe", "--json"]);
    assert_eq!((healthy.code, findings(&healthy)), (0, Vec::<String>::new()), "{healthy:?}");
}

#[test]
fn a_broker_that_does_not_answer_is_told_in_time() {
    let shop = Shop::new("cli-nobody");
    let began = std::time::Instant::now();
    let fraud = built("fraud").unwrap();
    let mut asked = Command::new(fraud);
    asked.args(["doctor", "--json", "--bootstrap-servers=127.0.0.1:1"]);
    let output = asked.arg(format!("--state-dir={}", shop.dir.display())).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(r#""code":"broker""#), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

/// What is said of the age of each task's state, as health and text; `servers` instead of the shared broker, if any.
fn ages(shop: &Shop, servers: Option<&str>) -> Vec<(String, String)> {
    let mut doctor = Command::new(built("fraud").unwrap());
    doctor.args(["doctor", "--no-probe", "--json"]);
    doctor.args(shop.flags().into_iter().map(|flag| match servers {
        Some(servers) if flag.starts_with("--bootstrap-servers") => format!("--bootstrap-servers={servers}"),
        _ => flag,
    }));
    let output = doctor.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let unreachable = report["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "broker");
    assert_eq!(unreachable, servers.is_some(), "{report}");
    let all = ["findings", "fine"].into_iter().flat_map(|part| report[part].as_array().unwrap());
    let of_age = all.filter(|finding| finding["code"] == "state-age");
    let text = |finding: &Value, part: &str| finding[part].as_str().unwrap().to_owned();
    of_age.map(|finding| (text(finding, "health"), text(finding, "what") + " " + &text(finding, "fix"))).collect()
}

/// Makes the state of the tasks that have stores so much older, as if it had been away; says of which tasks.
fn age_by(shop: &Shop, away: Duration) -> Vec<String> {
    let listed = shop.fraud(&["state", "ls", "--json"]).json();
    let instance = listed["tasks"][0]["instance"].as_str().unwrap();
    let state = RocksDirectory::new(&shop.dir.join("state"), &shop.name, instance, Options::default());
    let specs = ["carts", "wake-ups"].map(|name| StoreSpec {
        name: name.to_owned(),
        kind: StoreKind::Persistent,
        changelog: None,
    });
    let with_stores = state.tasks().unwrap().into_iter().filter(|task| task.subtopology == 1);
    let made_older = with_stores.map(|task| {
        let mut backend = state.open(task, &specs).unwrap();
        let found = backend.checkpoint().unwrap();
        let checkpoint = Checkpoint { owned_until: found.owned_until.minus(away), ..found };
        backend.apply(&CommitBatch { checkpoint, ..CommitBatch::default() }).unwrap();
        backend.close().unwrap();
        format!("state of task {task} of instance {instance}")
    });
    made_older.collect()
}

/// By Kafka's default while nobody answers, and by what the changelogs really keep as soon as somebody does.
#[test]
fn the_age_of_state_is_told_without_a_broker_and_by_its_changelogs_with_one() {
    const NOBODY: Option<&str> = Some("127.0.0.1:1");
    let shop = Shop::new("cli-age");
    shop.bursts(0..4);
    let mut process = shop.start();
    shop.alerts(&mut process, 4);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let all = |found: &[(String, String)], health: &str, words: &[&str]| {
        let right = |(is, text): &(String, String)| is == health && words.iter().all(|word| text.contains(word));
        found.len() == 2 && found.iter().all(right) // one for each task with a store
    };

    let fresh = ages(&shop, NOBODY);
    let default = "delete.retention.ms=86400000 (Kafka's default; the topic's is not known while no broker answers)";
    assert!(all(&fresh, "fine", &["s ago: a start within 12h of that", default]), "{fresh:?}");

    let tasks = age_by(&shop, Duration::from_hours(20));
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    let old = ages(&shop, NOBODY);
    let words = [" ago, longer than half of", default, "the next start restores it in full", "when the brokers answer"];
    assert!(all(&old, "warning", &words), "{old:?}");
    assert!(tasks.iter().zip(&old).all(|(task, (_, text))| text.starts_with(&format!("{task} was last owned at "))));

    // The brokers tell the same, of the topics themselves.
    let told = ages(&shop, None);
    assert!(all(&told, "warning", &["delete.retention.ms=86400000 (of its changelogs)"]), "{told:?}");
    for changelog in ["carts-changelog", "wake-ups-changelog"] {
        shop.client.set_topic_property(&shop.topic(changelog), "delete.retention.ms", "345600000").unwrap();
    }
    let kept = || ages(&shop, None);
    let longer = ["a start within 48h of that", "delete.retention.ms=345600000 (of its changelogs)"];
    wait_for(LIMIT, format!("four days instead of {:?}", kept()), || all(&kept(), "fine", &longer)).unwrap();
}

/// A principal without any ACL, on a broker with an authorizer: what it lacks is named, thing by thing.
#[test]
fn missing_acls_are_named() {
    let scratch = Scratch::new("cli-acls").unwrap();
    let properties = [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let security = Some(Security { users: vec![("alice".to_owned(), "secret".to_owned())] });
    let kafka =
        Kafka::start_with(scratch.path(), KafkaOptions { security, properties, ..KafkaOptions::default() }).unwrap();
    let secured = kafka.secured().unwrap();
    kafka.client().create_topics(&["acl-events", "acl-alerts"], 2, &[]).unwrap();
    let mut doctor = Command::new(built("fraud").unwrap());
    doctor.args(["doctor", "--json", "--application-id=acl", "--input=acl-events", "--output=acl-alerts"]);
    doctor
        .arg(format!("--bootstrap-servers={}", secured.sasl_ssl))
        .arg(format!("--state-dir={}", scratch.path().display()));
    for (name, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "alice"),
        ("ssl.ca.location", &secured.ca.display().to_string()),
    ] {
        doctor.arg(format!("--set={name}={value}"));
    }
    let output = doctor.env("MILLPOND_SASL_PASSWORD", "secret").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for lacking in ["acl-events", "acl-alerts", "group acl"] {
        assert!(text.contains(lacking), "{lacking} is not named: {text} {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(text.contains("AuthorizationFailed") && output.status.code() == Some(1), "{text}");
    assert!(!text.contains("secret"));
}

#[test]
fn the_loaders_database_is_looked_at() {
    let scratch = Scratch::new("cli-postgres").unwrap();
    let postgres = Postgres::start(scratch.path()).unwrap();
    let database = postgres.create_database().unwrap();
    let client = Kafka::shared().unwrap().client();
    client.create_topics(&["cli-pg-events", "cli-pg-attributions"], 1, &[]).unwrap();
    let ask = |url: &str| {
        let mut doctor = Command::new(built("loader").unwrap());
        let servers = Kafka::shared().unwrap().bootstrap_servers();
        doctor.args(["doctor", "--json", "--application-id=cli-pg", "--input=cli-pg-events,cli-pg-attributions"]);
        doctor.arg(format!("--bootstrap-servers={servers}")).arg(format!("--state-dir={}", scratch.path().display()));
        let output = doctor.env("MILLPOND_APP_DATABASE_URL", url).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    };
    let healthy = ask(&database);
    assert_eq!((healthy.code, findings(&healthy)), (0, Vec::<String>::new()), "{healthy:?}");
    assert!(healthy.out.contains("its tables are made by the first start"), "{healthy:?}");
    let away = ask("postgres://nobody:canary-7@127.0.0.1:1/none");
    assert_eq!((away.code, findings(&away)), (1, vec!["postgresql".to_owned()]), "{away:?}");
    assert!(!away.out.contains("canary-7") && !away.err.contains("canary-7"));
}
