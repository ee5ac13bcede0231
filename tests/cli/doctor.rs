//! `doctor`: silent where all is well, and each thing that is wrong by its name.

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
