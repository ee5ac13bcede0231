use clap::Parser as _;
use millpond::dsl::{StreamsBuilder, Topic};
use millpond::serde::{Raw, Utf8};
use millpond::topology::Topology;

use super::failure::EXIT_USAGE;
use super::*;
use crate::startup::Env;

pub(super) const SHOP: App<'static> = App {
    name: "shop",
    about: "Sells",
    version: "1",
    defaults: &[("application.id", "shop"), ("app.input", "events"), ("state.dir", "/nowhere")],
    placeholders: &[],
};

pub(super) fn topology(env: &Env<'_>) -> Result<Topology, Box<dyn std::error::Error>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        input: String,
    }
    let settings: Settings = env.config.app.get()?;
    let builder = StreamsBuilder::new();
    let events = Topic::<String, bytes::Bytes>::new("events", &Utf8, &Raw).named(settings.input);
    builder.stream(&events).to(&Topic::new("sold", &Utf8, &Raw));
    Ok(builder.build()?)
}

pub(super) fn answered_by(program: &Program<'_>, line: &[&str]) -> Result<String, Failure> {
    let parsed = Cli::try_parse_from(std::iter::once(&"shop").chain(line)).unwrap();
    let mut bytes = Vec::new();
    let context = Context { program, args: &parsed.args };
    answer(parsed.command.as_ref().unwrap(), context, &mut Output::new(parsed.json, &mut bytes))?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn answered(line: &[&str]) -> Result<String, Failure> {
    answered_by(&SHOP.program(topology), line)
}

#[test]
fn the_flags_of_every_command_are_consistent() {
    Cli::command_of(&SHOP.program(topology)).debug_assert();
    Cli::command_of(&SHOP.tool()).debug_assert();
}

#[test]
fn without_a_command_the_application_runs() {
    let parsed = Cli::try_parse_from(["shop", "--bootstrap-servers=b:1"]).unwrap();
    assert!(parsed.command.is_none());
    let refused = Cli::command_of(&SHOP.tool()).try_get_matches_from(["millpond", "--bootstrap-servers=b:1"]);
    assert!(refused.is_err(), "the tool has nothing to run");
}

#[test]
fn a_mistake_in_the_line_is_told_like_any_other_error() {
    let told = |program: &Program<'_>, line: &[&str]| {
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        let failure = usage::failure(&Cli::of_line(program, &line).unwrap_err());
        assert_eq!(failure.exit(), EXIT_USAGE);
        (failure.json()["error"]["message"].to_string(), failure.json()["error"]["fix"].to_string())
    };
    let shop = SHOP.program(topology);
    let (message, fix) = told(&shop, &["shop", "reset", "--to-earlyest", "--json"]);
    assert!(message.contains("unexpected argument '--to-earlyest'"), "{message}");
    assert!(fix.contains("--to-earliest"), "{fix}");
    let (message, fix) = told(&shop, &["shop", "state", "get", "--json"]);
    assert!(message.contains("<STORE> <KEY>") && fix.contains("--help"), "{message} {fix}");
    let (message, _) = told(&SHOP.tool(), &["millpond"]);
    assert_eq!(message, "\"a command is missing\"");
    let wants = |line: &[&str]| usage::wants_json(&line.iter().map(OsString::from).collect::<Vec<_>>());
    assert!(
        wants(&["shop", "--nonsense", "--json"]) && !wants(&["shop", "--jsn"]) && !wants(&["shop", "--", "--json"])
    );
}

#[test]
fn flags_of_the_configuration_may_follow_the_command() {
    let parsed = Cli::try_parse_from(["shop", "config", "show", "--application-id", "other", "--json"]).unwrap();
    assert_eq!(parsed.args.application_id.as_deref(), Some("other"));
    assert!(parsed.json);
    let kafkas = Cli::try_parse_from(["shop", "config", "show", "--bootstrap-server", "b:1"]).unwrap();
    assert_eq!(kafkas.args.bootstrap_servers.as_deref(), Some("b:1"), "Kafka's tools say it without an s");
    let reset = Cli::try_parse_from(["shop", "reset", "--config-file", "shop.toml"]).unwrap();
    assert_eq!(reset.args.config, Some("shop.toml".into()), "so Kafka's reset calls it");
}

#[test]
fn the_topology_has_three_forms_and_needs_no_broker() {
    let text = answered(&["topology"]).unwrap();
    assert!(text.starts_with("Topologies:\n   Sub-topology: 0\n"), "{text}");
    assert!(answered(&["topology", "--format=mermaid"]).unwrap().starts_with("flowchart TD\n"));
    for line in [&["topology", "--json"][..], &["topology", "--format=json"]] {
        let json: serde_json::Value = serde_json::from_str(&answered(line).unwrap()).unwrap();
        assert_eq!(json["subtopologies"].as_array().unwrap().len(), 1);
    }
    let renamed = answered(&["topology", "--input=others"]).unwrap();
    assert!(renamed.contains("topics: [others]"), "{renamed}");
}

#[test]
fn a_program_that_knows_no_topology_says_whom_to_ask() {
    let failure = answered_by(&SHOP.tool(), &["topology"]).unwrap_err();
    assert!(failure.to_string().contains("--from"), "{failure}");
    let nobody = answered(&["topology", "--from=127.0.0.1:1"]).unwrap_err();
    assert_eq!(nobody.code, "page-unreachable");
}

#[test]
fn the_configuration_is_checked_with_the_applications_own_section() {
    let good = ["config", "check", "--bootstrap-servers=b:1"];
    assert!(answered(&good).unwrap().contains("is right"));
    let wrong = answered(&["config", "check", "--bootstrap-servers=b:1", "--set=app.inputs=x"]).unwrap_err();
    assert!(wrong.to_string().contains("unknown field `inputs`"), "{wrong}");
    assert_eq!(wrong.exit(), EXIT_USAGE);
    let unknown =
        answered(&["config", "check", "--bootstrap-servers=b:1", "--set=kafka.lingre.ms=canary"]).unwrap_err();
    assert!(unknown.to_string().contains("lingre.ms") && !unknown.to_string().contains("canary"), "{unknown}");
    assert_eq!((unknown.code, unknown.exit()), ("broker-configuration", EXIT_USAGE));
    let missing = answered(&["config", "check"]).unwrap_err();
    assert!(missing.to_string().contains("bootstrap.servers"), "{missing}");
}

#[test]
fn the_configuration_is_shown_as_a_file_and_as_json_without_secrets() {
    let line = ["config", "show", "--bootstrap-servers=b:1", "--set=kafka.ssl.keystore.password=canary"];
    let shown = answered(&line).unwrap();
    assert!(shown.contains("bootstrap.servers = \"b:1\"  # --bootstrap-servers\n"), "{shown}");
    let json = answered(&[&line[..], &["--json"]].concat()).unwrap();
    assert!(json.contains(r#""key":"bootstrap.servers","origin":"--bootstrap-servers","value":"b:1""#), "{json}");
    assert!(!shown.contains("canary") && !json.contains("canary"));
}

#[test]
fn a_reset_by_force_is_refused_with_the_reason_and_is_in_no_help() {
    let refused = answered(&["reset", "--force", "--bootstrap-servers=b:1"]).unwrap_err();
    assert_eq!((refused.code, refused.exit()), ("usage", EXIT_USAGE));
    assert!(refused.to_string().contains("--force is not taken"), "{refused}");
    let refused = answered(&["reset", "--from-file=/nowhere/places.csv", "--bootstrap-servers=b:1"]).unwrap_err();
    assert!(refused.to_string().contains("/nowhere/places.csv cannot be read"), "{refused}");
    let both = Cli::try_parse_from(["shop", "reset", "--from-file=places.csv", "--to-latest"]);
    assert!(both.unwrap_err().to_string().contains("cannot be used with"));
    let mut command = Cli::command_of(&SHOP.program(topology));
    let help = command.find_subcommand_mut("reset").unwrap().render_long_help().to_string();
    assert!(help.contains("--from-file") && !help.contains("--force"), "{help}");
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = answered(&["completions", shell]).unwrap();
        assert!(script.contains("topology") && script.contains("bootstrap-servers"), "{shell}");
    }
    assert!(answered(&["man"]).unwrap().contains(".TH shop 1"));
    let dir = tempfile::tempdir().unwrap();
    answered(&["man", "--dir", dir.path().to_str().unwrap()]).unwrap();
    assert!(dir.path().join("shop-topology.1").is_file());
}
