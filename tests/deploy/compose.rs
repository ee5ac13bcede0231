//! The compose file: nobody is root, nothing is open to other machines, and what one service says of another is true.

use std::collections::{BTreeMap, BTreeSet};

use attribution::Attribution;
use fraud::{Alert, Evidence, Finding};
use regex::Regex;
use serde_json::Value;

use super::files::{APPLICATIONS, configured, deployed, document, path, text, texts};
use super::rights;

fn services() -> BTreeMap<String, Value> {
    let compose = document("compose/compose.yaml");
    let services = compose["services"].as_object().unwrap().clone();
    services.into_iter().collect()
}

/// `${NAME:?…}` with a value.
fn filled(text: &str) -> String {
    Regex::new(r"\$\{[A-Z_]+[^}]*\}").unwrap().replace_all(text, "x").into_owned()
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let variables = service["environment"].as_object().unwrap();
    variables.iter().map(|(name, value)| (name.clone(), filled(value.as_str().unwrap()))).collect()
}

#[test]
fn no_service_is_root_or_may_become_it() {
    for (name, service) in services() {
        let user = service["user"].as_str().unwrap_or_else(|| panic!("{name} says no user"));
        assert!(!["root", "0"].contains(&user.split(':').next().unwrap()), "{name}: {user}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service.get("privileged").is_none() && service.get("network_mode").is_none(), "{name}");
        assert!(service["mem_limit"].is_string(), "{name} has a limit of memory");
    }
}

#[test]
fn every_port_is_open_to_this_machine_only_and_every_image_says_its_version() {
    let mut ports = BTreeSet::new();
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            assert!(ports.insert(port.rsplit_once(':').unwrap().0.to_owned()), "{name}: {port} is taken");
        }
        let image = service["image"].as_str().unwrap();
        let image = image.trim_start_matches("${MILLPOND_IMAGE:-").trim_end_matches('}');
        let tag = image.rsplit('/').next().unwrap().split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
    }
    assert!(ports.len() >= 8, "{ports:?}");
}

#[test]
fn each_application_understands_its_environment_and_finds_kafka_and_its_volume() {
    let services = services();
    let kafka = environment(&services["kafka"]);
    let targets: Value = serde_json::from_str(&text(deployed("compose/targets/millpond.json"))).unwrap();
    let mut listening = Vec::new();
    for application in APPLICATIONS {
        let service = &services[application];
        assert_eq!(texts(&service["command"]), [application]);
        let config = configured(application, &environment(service), &[]);
        let advertised =
            kafka["KAFKA_ADVERTISED_LISTENERS"].contains(&format!("PLAINTEXT://{}", config.bootstrap_servers));
        assert!(advertised, "{application}: {}", config.bootstrap_servers);
        assert!(config.instance.is_some(), "{application}: a container that is made anew keeps its name");
        let mount = format!("{application}:{}", config.state_dir.display());
        assert_eq!(texts(&service["volumes"]), [mount]);
        assert_eq!(service["read_only"], true, "{application}");
        let port = config.http_listen.unwrap().port();
        assert!(texts(&service["ports"])[0].ends_with(&format!(":{port}")), "{application}");
        listening.push(format!("{application}:{port}"));
        let networks = texts(&service["networks"]);
        assert!(networks.contains(&"monitoring".to_owned()) && networks.contains(&"kafka".to_owned()), "{application}");
        assert_eq!(networks.contains(&"database".to_owned()), application == "loader");
    }
    let mut scraped = texts(&targets[0]["targets"]);
    scraped.sort();
    assert_eq!(scraped, listening);
}

#[test]
fn the_topics_that_are_made_are_those_that_the_applications_do_not_make() {
    let table = rights::table();
    let foreign = table.values().flat_map(|row| [texts(&row["reads"]), texts(&row["writes"])]).flatten();
    let command = texts(&services()["topics"]["command"]).concat();
    let made = command.split_once("for topic in ").unwrap().1.split_once(';').unwrap().0;
    assert_eq!(
        made.split(' ').collect::<BTreeSet<_>>(),
        foreign.collect::<BTreeSet<_>>().iter().map(String::as_str).collect()
    );
}

#[test]
fn what_is_mounted_is_there_and_grafana_has_the_variables_of_its_provisioning() {
    let services = services();
    for (name, service) in &services {
        for volume in texts(&service["volumes"]).iter().filter(|volume| volume.starts_with('.')) {
            let source = volume.split(':').next().unwrap();
            assert!(deployed("compose").join(source).exists(), "{name}: {source}");
            assert!(volume.ends_with(":ro"), "{name}: {volume}");
        }
    }
    let variables = environment(&services["grafana"]);
    for file in ["grafana/provisioning/dashboards/millpond.yml", "grafana/provisioning/datasources/prometheus.yml"] {
        for wanted in text(path(file)).split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(variables.contains_key(wanted), "{file} wants {wanted}");
        }
    }
    assert!(variables["PROMETHEUS_URL"].ends_with(":9090") && services.contains_key("prometheus"));
    let boards = &variables["DASHBOARDS_DIR"];
    assert!(texts(&services["grafana"]["volumes"]).contains(&format!("../../../grafana/dashboards:{boards}:ro")));
}

/// The image makes its user a superuser: the applications log in as the role of the scripts, in the order of their names.
#[test]
fn no_application_is_the_owner_of_the_database() {
    let services = services();
    let database = environment(&services["postgres"]);
    let owner = format!("postgres://{}:", database["POSTGRES_USER"]);
    let urls: Vec<String> = APPLICATIONS
        .iter()
        .filter_map(|name| environment(&services[*name]).remove("MILLPOND_APP_DATABASE_URL"))
        .collect();
    assert_eq!(urls.len(), 1);
    assert!(urls[0].starts_with("postgres://loader:") && !urls[0].starts_with(&owner), "{urls:?}");
    let scripts: Vec<String> = texts(&services["postgres"]["volumes"])
        .iter()
        .filter_map(|volume| volume.split(':').nth(1)?.strip_prefix("/docker-entrypoint-initdb.d/").map(str::to_owned))
        .collect();
    assert_eq!(scripts, ["1-roles.sql", "2-password.sh"]);
    assert!(text(deployed("postgresql/roles.sql")).contains("CREATE ROLE loader LOGIN NOSUPERUSER"));
    let password = text(deployed("postgresql/password.sh"));
    assert!(password.contains("ALTER ROLE loader PASSWORD :'password'") && database.contains_key("LOADER_PASSWORD"));
}

/// As kafbat does it: a rule counts for the topics whose whole name its pattern matches.
fn masks(rules: &[Value], side: &str, topic: &str) -> Vec<Value> {
    let applies = |rule: &&Value| {
        let pattern = rule[side].as_str();
        pattern.is_some_and(|pattern| Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(topic))
    };
    rules.iter().filter(applies).cloned().collect()
}

#[test]
fn nobody_sees_who_somebody_is_in_the_pages_of_kafka() {
    let config = document("compose/kafka-ui.yml");
    let cluster = &config["kafka"]["clusters"][0];
    assert_eq!((&cluster["readOnly"], &config["auth"]["type"]), (&Value::Bool(true), &"LOGIN_FORM".into()));
    let rules = cluster["masking"].as_array().unwrap();
    let mut seen = 0;
    for row in rights::table().values() {
        for class in ["reads", "writes", "repartitions", "changelogs", "commits", "dead_letters"] {
            let topics = if class == "dead_letters" {
                vec![row[class].as_str().unwrap().to_owned()]
            } else {
                texts(&row[class])
            };
            for topic in topics {
                seen += 1;
                let keys = masks(rules, "topicKeysPattern", &topic);
                assert!(keys.iter().any(|rule| rule.get("fields").is_none()), "{topic}: keys");
                let values = masks(rules, "topicValuesPattern", &topic);
                let whole = values.iter().any(|rule| rule.get("fields").is_none());
                let named = |field: &str| values.iter().any(|rule| texts(&rule["fields"]).contains(&field.to_owned()));
                let personal = ["user_id", "order_id", "order_email"].into_iter().all(named);
                // Raw events hold addresses anywhere, and what is ours is binary.
                let must_be_whole = topic == "events" || topic.contains('-') && topic != "fraud-detection";
                assert!(whole || (personal && !must_be_whole), "{topic}: values");
            }
        }
    }
    assert!(seen > 15, "{seen} topics");
}

/// Alerts and attributions are made from events as they came: whatever text of an event is in them is masked.
#[test]
fn no_text_of_a_raw_event_is_shown_in_what_is_made_of_it() {
    let config = document("compose/kafka-ui.yml");
    let rules = config["kafka"]["clusters"][0]["masking"].as_array().unwrap().clone();
    let evidence = Evidence { first_event_ms: 1, last_event_ms: 2, events: 5, items: vec!["/i?mail=x@y.z".to_owned()] };
    let alert = Alert { user_id: "u".to_owned(), alert: Finding::PotentialFraud, evidence };
    let attribution = Attribution {
        user_id: "u".to_owned(),
        order_id: "o".to_owned(),
        marketing_channel: "mail".to_owned(),
        order_time_ms: 1,
        visit_time_ms: Some(1),
    };
    // Of ours, and always the same.
    let own = ["alert"];
    for (topic, value) in [
        ("fraud-detection", serde_json::to_value(alert).unwrap()),
        ("attributions", serde_json::to_value(attribution).unwrap()),
    ] {
        let masked: BTreeSet<String> =
            masks(&rules, "topicValuesPattern", topic).iter().flat_map(|rule| texts(&rule["fields"])).collect();
        let fields = value.as_object().unwrap().iter().filter(|(_, value)| !value.is_number());
        let shown: Vec<&String> = fields
            .map(|(name, _)| name)
            .filter(|name| !masked.contains(*name) && !own.contains(&name.as_str()))
            .collect();
        assert!(shown.is_empty(), "{topic}: {shown:?}");
    }
}
