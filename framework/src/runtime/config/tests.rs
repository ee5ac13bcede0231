//! Sources override each other in order, and every mistake is reported where it was made.

use std::time::Duration;

use serde::Deserialize;

use super::*;

const MINIMAL: &str =
    "application.id = \"shop\"\nbootstrap.servers = \"localhost:9092\"\nstate.dir = \"/var/lib/shop\"\n";

fn file(text: &str) -> Sources {
    Sources { file: Some(File { name: "shop.toml".into(), text: format!("{MINIMAL}{text}") }), ..Sources::default() }
}

fn variable(name: &str, value: &str) -> Sources {
    Sources { environment: vec![(name.into(), value.into())], ..file("") }
}

fn flag(flag: &str, key: &str, value: &str) -> Flag {
    Flag { flag: flag.into(), key: key.into(), value: value.into() }
}

fn messages(sources: &Sources) -> String {
    StreamsConfig::load(sources).map_or_else(|errors| errors.to_string(), |config| format!("accepted: {config:?}"))
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = StreamsConfig::load(&file("")).unwrap();
    assert_eq!(config.application_id, "shop");
    assert_eq!(config.commit_interval, Duration::from_millis(100));
    assert_eq!(config.session_timeout, Duration::from_secs(10));
    assert_eq!(config.transaction_timeout, Duration::from_secs(10));
    assert_eq!(config.delivery_timeout(), Duration::from_secs(8));
    assert_eq!(config.uncommitted_bytes_max, 64 << 20);
    assert_eq!(config.replication_factor, -1);
    assert_eq!(config.stream_threads, 1);
    assert_eq!(config.instance, None);
    assert_eq!((config.start_from, config.on_processing_error), (StartFrom::Earliest, OnError::Stop));
    assert!(config.http_listen.unwrap().ip().is_loopback());
}

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file_which_overrides_defaults() {
    let mut sources = file("commit.interval.ms = 200\n");
    sources.defaults = vec![("commit.interval.ms".into(), "150".into()), ("num.stream.threads".into(), "2".into())];
    let value = |sources: &Sources| {
        let config = StreamsConfig::load(sources).unwrap();
        let setting = config.settings().into_iter().find(|setting| setting.key == "commit.interval.ms").unwrap();
        assert_eq!(setting.value, config.commit_interval.as_millis().to_string());
        (setting.value, setting.origin.to_string())
    };
    assert_eq!(value(&sources), ("200".into(), "shop.toml:4".into()));
    sources.environment = vec![("MILLPOND_COMMIT_INTERVAL_MS".into(), "300".into())];
    assert_eq!(value(&sources), ("300".into(), "MILLPOND_COMMIT_INTERVAL_MS".into()));
    sources.flags = vec![flag("--set", "commit.interval.ms", "400")];
    assert_eq!(value(&sources), ("400".into(), "--set".into()));
    let config = StreamsConfig::load(&sources).unwrap();
    assert_eq!(config.stream_threads, 2);
    let origin = |key: &str| config.settings().into_iter().find(|setting| setting.key == key).unwrap().origin;
    assert_eq!(origin("num.stream.threads"), Origin::Application);
    assert_eq!(origin("session.timeout.ms"), Origin::Default);
}

#[test]
fn dotted_quoted_and_nested_keys_mean_the_same() {
    for text in ["commit.interval.ms = 250", "\"commit.interval.ms\" = 250", "[commit]\ninterval.ms = 250"] {
        let config = StreamsConfig::load(&file(text)).unwrap();
        assert_eq!(config.commit_interval, Duration::from_millis(250), "{text}");
    }
}

#[test]
fn an_unknown_key_shows_its_line_and_the_nearest_key() {
    assert_eq!(
        messages(&file("\ncomit.interval.ms = 100\n")),
        "unknown key `comit.interval.ms`; did you mean `commit.interval.ms`?\n \
         --> shop.toml:5:1\n  |\n5 | comit.interval.ms = 100\n  | ^^^^^^^^^^^^^^^^^"
    );
}

#[test]
fn a_wrong_type_points_at_the_value() {
    assert_eq!(
        messages(&file("commit.interval.ms = \"soon\"\n")),
        "`commit.interval.ms` must be a whole number of milliseconds, found the text \"soon\"\n \
         --> shop.toml:4:22\n  |\n4 | commit.interval.ms = \"soon\"\n  |                      ^^^^^^"
    );
}

#[test]
fn a_file_that_is_not_toml_shows_where() {
    let message = messages(&file("commit.interval.ms = = 1\n"));
    assert!(message.starts_with("not valid TOML: "), "{message}");
    assert!(message.contains("--> shop.toml:4:22\n  |\n4 | commit.interval.ms = = 1"), "{message}");
}

#[test]
fn an_unknown_variable_is_named() {
    assert_eq!(
        messages(&variable("MILLPOND_COMIT_INTERVAL_MS", "1")),
        "unknown key `MILLPOND_COMIT_INTERVAL_MS`; did you mean `MILLPOND_COMMIT_INTERVAL_MS`?\n \
         --> environment variable MILLPOND_COMIT_INTERVAL_MS"
    );
}

#[test]
fn a_wrong_variable_or_flag_is_named() {
    assert_eq!(
        messages(&variable("MILLPOND_NUM_STREAM_THREADS", "many")),
        "`num.stream.threads` must be a whole number, found `many`\n \
         --> environment variable MILLPOND_NUM_STREAM_THREADS"
    );
    let sources = Sources { flags: vec![flag("--threads", "num.stream.threads", "0")], ..file("") };
    assert_eq!(messages(&sources), "`num.stream.threads` cannot be so: 0 is not between 1 and 512\n --> --threads");
}

#[test]
fn variables_of_others_and_of_the_set_up_script_are_left_alone() {
    for name in ["PATH", "MILLPOND_CACHE", "MILLPOND_KAFKA_LIB", "MILLPOND_NO_BROWSER", "MILLPOND_TEST_SEED"] {
        StreamsConfig::load(&variable(name, "x")).unwrap();
    }
}

#[test]
fn a_commit_interval_of_half_the_transaction_timeout_is_impossible() {
    let message = messages(&file("transaction.timeout.ms = 2000\ncommit.interval.ms = 1000\n"));
    assert!(message.contains("1000 is not less than half of transaction.timeout.ms = 2000"), "{message}");
    assert!(message.contains("5 | commit.interval.ms = 1000\n  |                      ^^^^"), "{message}");
    StreamsConfig::load(&file("transaction.timeout.ms = 2000\ncommit.interval.ms = 999\n")).unwrap();
}

#[test]
fn impossible_values_are_refused_with_their_key() {
    for (text, key) in [
        ("num.stream.threads = 0", "num.stream.threads"),
        ("replication.factor = 0", "replication.factor"),
        ("heartbeat.interval.ms = 10000", "heartbeat.interval.ms"),
        ("max.poll.interval.ms = 9999", "max.poll.interval.ms"),
        ("max.poll.interval.ms = 24000", "max.poll.interval.ms"),
        ("uncommitted.max.bytes = \"1 KiB\"", "uncommitted.max.bytes"),
        ("uncommitted.max.bytes = \"1 parsec\"", "uncommitted.max.bytes"),
        ("start.from = \"yesterday\"", "start.from"),
        ("http.listen = \"everywhere\"", "http.listen"),
        ("http.listen = 65536", "http.listen"),
        ("instance = \"a b\"", "instance"),
        ("errors.dead.letter.queue.topic.name = \"a/b\"", "errors.dead.letter.queue.topic.name"),
        ("sasl.username = \"u\"", "sasl.username"),
        ("security.protocol = \"SASL_SSL\"", "sasl.mechanism"),
        ("ssl.ca.location = \"ca.pem\"", "ssl.ca.location"),
        ("auth = \"msk-iam\"", "aws.region"),
        ("sasl.oauthbearer.token.file = \"t\"", "sasl.oauthbearer.token.file"),
        ("auth = \"msk-iam\"\nsasl.oauthbearer.token.file = \"t\"", "sasl.oauthbearer.token.file"),
        ("security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"OAUTHBEARER\"", "sasl.oauthbearer.token.file"),
        (
            "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\nsasl.oauthbearer.token.file = \"t\"",
            "sasl.oauthbearer.token.file",
        ),
        ("security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"OAUTHBEARER\"\nsasl.username = \"u\"", "sasl.username"),
        ("otlp.endpoint = \"collector:4318\"", "otlp.endpoint"),
        ("otlp.endpoint = \"http://\"", "otlp.endpoint"),
        ("otlp.endpoint = \"https://c:4318?token=1\"", "otlp.endpoint"),
        ("otlp.sampling.percent = 0", "otlp.sampling.percent"),
    ] {
        let errors = StreamsConfig::load(&file(text)).expect_err(text);
        let message = errors.to_string();
        assert!(message.contains(&format!("`{key}`")), "{text}: {message}");
    }
}

#[test]
fn what_has_no_default_is_missing() {
    let errors = StreamsConfig::load(&Sources::default()).unwrap_err();
    let missing: Vec<_> = errors
        .iter()
        .map(|error| match &error.problem {
            Problem::Missing { key, .. } => key.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(missing, ["application.id", "bootstrap.servers", "state.dir"]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let errors = StreamsConfig::load(&file("a = 1\npoll.ms = true\n[kafka]\nacks = 1\n")).unwrap_err();
    assert_eq!(errors.iter().count(), 3, "{errors}");
}

#[test]
fn state_lives_in_the_users_data_directory_unless_told_otherwise() {
    let mut sources = Sources { environment: vec![("HOME".into(), "/home/u".into())], ..Sources::default() };
    sources.flags = vec![flag("", "application.id", "a"), flag("", "bootstrap.servers", "b:1")];
    let dir = |sources: &Sources| StreamsConfig::load(sources).unwrap().state_dir.display().to_string();
    assert_eq!(dir(&sources), "/home/u/.local/share/millpond");
    sources.environment.push(("XDG_DATA_HOME".into(), "/data".into()));
    assert_eq!(dir(&sources), "/data/millpond");
    sources.flags.push(flag("--state-dir", "state.dir", "here"));
    assert_eq!(dir(&sources), "here");
}

#[test]
fn http_listens_on_loopback_unless_an_address_is_said() {
    let listen = |value: &str| StreamsConfig::load(&variable("MILLPOND_HTTP_LISTEN", value)).unwrap().http_listen;
    assert_eq!(listen("8080").unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!(listen("localhost:8080").unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!(listen("0.0.0.0:8080").unwrap().to_string(), "0.0.0.0:8080");
    assert_eq!(listen("[::1]:0").unwrap().to_string(), "[::1]:0");
    assert_eq!(listen("none"), None);
}

#[test]
fn librdkafka_properties_pass_through_except_those_exactly_once_depends_on() {
    let mut sources = file("[kafka]\nlinger.ms = 5\n\"socket.keepalive.enable\" = true\n");
    sources.environment = vec![("MILLPOND_KAFKA_BATCH_SIZE".into(), "1000".into())];
    let config = StreamsConfig::load(&sources).unwrap();
    let properties: Vec<_> = config.kafka.iter().collect();
    assert_eq!(properties, [("batch.size", "1000"), ("linger.ms", "5"), ("socket.keepalive.enable", "true")]);

    assert_eq!(
        messages(&file("[kafka]\nenable.auto.commit = true\n")),
        "`kafka.enable.auto.commit` is not yours to set: offsets are committed in the transaction, with the state; \
         a second way would lose or repeat records\n \
         --> shop.toml:5:22\n  |\n5 | enable.auto.commit = true\n  |                      ^^^^"
    );
    assert!(
        messages(&variable("MILLPOND_KAFKA_ISOLATION_LEVEL", "read_uncommitted")).contains("MILLPOND_KAFKA_ISOLATION")
    );
}

#[test]
fn a_token_file_is_all_that_oauthbearer_wants() {
    let text = "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"OAUTHBEARER\"\n\
                sasl.oauthbearer.token.file = \"/var/run/kafka/token\"\n";
    let config = StreamsConfig::load(&file(text)).unwrap();
    assert_eq!(config.security.sasl_oauthbearer_token_file, Some("/var/run/kafka/token".into()));
    let shown = config.settings().into_iter().find(|setting| setting.key == "sasl.oauthbearer.token.file").unwrap();
    assert_eq!(shown.value, "/var/run/kafka/token", "where it is is no secret");
    let said = variable("MILLPOND_SASL_OAUTHBEARER_TOKEN_FILE", "/t");
    assert!(messages(&said).contains("MILLPOND_SASL_OAUTHBEARER_TOKEN_FILE"), "without the mechanism it has no use");
}

#[test]
fn no_secret_is_shown_anywhere() {
    let text = "security.protocol = \"SASL_SSL\"\nsasl.mechanism = \"SCRAM-SHA-512\"\nsasl.username = \"u\"\n\
                sasl.password = \"hunter2\"\n[app]\ndatabase.url = \"postgres://u:hunter2@h/d\"\n\
                [kafka]\nssl.keystore.password = \"hunter2\"\n";
    let config = StreamsConfig::load(&file(text)).unwrap();
    assert_eq!(config.security.sasl_password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(config.kafka.get("ssl.keystore.password"), Some("hunter2"));
    let shown = format!("{config:?} {:?}", config.settings());
    assert!(!shown.contains("hunter2"), "{shown}");
    for wrong in [
        "sasl.pasword = \"hunter2\"",
        "sasl.password = [\"hunter2\"]",
        "sasl.password = \"hunter2\" oops",
        "[app]\ndatabase.password = \"hunter2\"\n[app]",
        "otlp.endpoint = \"http://u:hunter2@collector:4318\"",
    ] {
        let errors = StreamsConfig::load(&file(wrong)).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{wrong}: {errors}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shop {
    input: String,
    #[serde(default)]
    window_ms: u64,
    #[serde(default)]
    database: Database,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Database {
    password: Option<Secret>,
    pool: Option<u32>,
}

#[test]
fn the_application_reads_its_section_from_all_sources() {
    let mut sources = file("[app]\ninput = \"events\"\nwindow_ms = 5000\n[app.database]\npool = 3\n");
    sources.defaults = vec![("app.input".into(), "default".into()), ("app.window_ms".into(), "1".into())];
    sources.environment = vec![("MILLPOND_APP_DATABASE__PASSWORD".into(), "12345".into())];
    sources.flags = vec![flag("--input", "app.input", "77")];
    let config = StreamsConfig::load(&sources).unwrap();
    let shop: Shop = config.app.get().unwrap();
    // `77` and `12345` look like numbers, and are texts where texts are wanted.
    assert_eq!((shop.input.as_str(), shop.window_ms), ("77", 5000));
    assert_eq!((shop.database.password.unwrap().expose(), shop.database.pool), ("12345", Some(3)));
    let settings = config.settings();
    let find = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap();
    assert_eq!((find("app.input").value.as_str(), find("app.input").origin.to_string()), ("77", "--input".into()));
    assert_eq!(find("app.window_ms").origin.to_string(), "shop.toml:6");
    assert_eq!(find("app.database.password").value, "***");
}

#[test]
fn mistakes_in_the_application_section_are_shown_like_any_other() {
    let message = |sources: &Sources| StreamsConfig::load(sources).unwrap().app.get::<Shop>().unwrap_err().to_string();
    assert_eq!(
        message(&file("")),
        "`app.input` is missing: say it in the [app] section of the file, or as MILLPOND_APP_INPUT"
    );
    assert_eq!(
        message(&file("[app]\ninput = \"e\"\nwindow_ms = \"long\"\n")),
        "invalid type: string \"long\", expected u64\n --> shop.toml:6:13\n  |\n6 | window_ms = \"long\"\n  |             ^^^^^^"
    );
    let unknown = message(&file("[app]\ninput = \"e\"\nwindow = 1\n"));
    assert!(unknown.contains("unknown field `window`") && unknown.contains("6 | window = 1"), "{unknown}");
    let mut sources = file("[app]\ninput = \"e\"\n");
    sources.environment = vec![("MILLPOND_APP_WINDOW_MS".into(), "long".into())];
    assert_eq!(
        message(&sources),
        "invalid type: string \"long\", expected u64\n --> environment variable MILLPOND_APP_WINDOW_MS"
    );
}

#[test]
fn every_key_has_a_meaning_and_shows_a_value_that_loads_again() {
    let mut sources = file("");
    sources.flags = vec![
        flag("--set", "auth", "msk-iam"),
        flag("--set", "aws.region", "eu-west-1"),
        flag("--set", "errors.dead.letter.queue.topic.name", "dead"),
    ];
    let config = StreamsConfig::load(&sources).unwrap();
    assert!(StreamsConfig::keys().all(|key| key.meaning.len() > 10 && !key.accepts.is_empty()));
    let told = |name: &str| {
        let key = StreamsConfig::keys().find(|key| key.name == name).unwrap();
        format!("{}; {}", key.accepts, key.default)
    };
    assert_eq!(told("uncommitted.max.bytes"), "bytes, 64 KiB to 64 GiB; 64 MiB");
    assert_eq!(told("commit.interval.ms"), "milliseconds, 1 to 3600000; 100");
    assert_eq!(told("on.shutdown"), "stay, leave; stay");
    let said: Vec<Flag> = config
        .settings()
        .into_iter()
        .filter(|setting| !setting.value.is_empty() && setting.key != "security.protocol")
        .map(|setting| flag("--set", &setting.key, &setting.value))
        .collect();
    let again = StreamsConfig::load(&Sources { flags: said, ..Sources::default() }).unwrap();
    let values =
        |config: &StreamsConfig| config.settings().into_iter().map(|setting| setting.value).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&config));
}
