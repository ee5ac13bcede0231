//! Recording and alert rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use millpond_harness::{Error, Scratch, promtool};
use serde_json::Value;

use crate::names::unknown;
use crate::{path, text};

const RUNBOOKS: &str = "https://github.com/millpond/millpond/blob/main/grafana/RUNBOOKS.md#";

fn yaml(below: &str) -> Value {
    serde_saphyr::from_str(&text(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

fn rules(file: &str) -> Vec<Value> {
    let groups = yaml(file)["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn recorded() -> BTreeSet<String> {
    rules("rules/recording.yml").iter().map(|rule| rule["record"].as_str().unwrap().to_owned()).collect()
}

fn alerts() -> Vec<Value> {
    rules("rules/alerts.yml")
}

#[test]
fn every_name_in_a_rule_is_a_metric_or_one_of_its_labels() {
    for rule in rules("rules/recording.yml").into_iter().chain(alerts()) {
        let expression = rule["expr"].as_str().unwrap();
        assert_eq!(unknown(expression, &recorded()), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_has_a_runbook_of_its_own() {
    let runbooks = text("RUNBOOKS.md");
    let sections: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names: Vec<String> = alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sections, names, "sections stand in the order of the alerts");
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        let annotations = &alert["annotations"];
        assert_eq!(annotations["runbook_url"], format!("{RUNBOOKS}{}", name.to_lowercase()));
        assert!(annotations["summary"].is_string() && annotations["description"].is_string(), "{name}");
        let section = runbooks.split(&format!("## {name}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let urgency = if severity == "page" { "**Page.**" } else { "**Ticket.**" };
        assert!(["page", "ticket"].contains(&severity) && section.contains(urgency), "{name}: {severity}");
        for part in ["Look", "do:", "Do:"] {
            let told = section.contains(part) || (part != "Look" && section.to_lowercase().contains("do:"));
            assert!(told, "{name}: its runbook does not say {part}");
        }
    }
}

/// Links from a runbook to another lead somewhere.
#[test]
fn links_between_runbooks_lead_to_a_section() {
    let runbooks = text("RUNBOOKS.md");
    let sections: Vec<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    for link in runbooks.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(sections.iter().any(|section| section == link), "{link}");
    }
    for file in runbooks.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        assert!(path(file).exists(), "{file}");
    }
}

/// Panels that a runbook sends somebody to, in italics: each is on a board.
#[test]
fn panels_that_a_runbook_names_are_on_the_boards() {
    let boards: String = ["fleet", "fraud", "loader"].map(|name| text(&format!("dashboards/{name}.json"))).concat();
    let runbooks = text("RUNBOOKS.md").replace("**", "");
    let prose: String = runbooks.split('`').step_by(2).collect();
    let named: BTreeSet<&str> = prose.split('*').skip(1).step_by(2).collect();
    assert!(named.len() > 20, "{named:?}");
    // What `/readyz` says begins with a small letter; the others are of Prometheus's pages and ours.
    for name in named.into_iter().filter(|name| name.starts_with(char::is_uppercase)) {
        let there = boards.contains(&format!("\"title\": \"{name}")) || ["Targets", "Errors"].contains(&name);
        assert!(there, "{name} is on no board");
    }
}

/// What promtool complains of, as it says it.
fn checked(dir: &Path, args: &[&str]) {
    promtool(dir, args).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn promtool_finds_no_mistake_in_rules_and_configuration() {
    for file in ["rules/recording.yml", "rules/alerts.yml"] {
        checked(&path(""), &["check", "rules", file]);
    }
    checked(&path(""), &["check", "config", "prometheus.yml"]);
}

#[test]
fn every_alert_is_proved_to_fire_and_to_stay_quiet() {
    let tests = yaml("rules/tests/alerts.yml");
    let mut proved: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for case in tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap()) {
        let fires = !case["exp_alerts"].as_array().unwrap().is_empty();
        proved.entry(case["alertname"].as_str().unwrap().to_owned()).or_default()[usize::from(fires)] = true;
    }
    let names: BTreeSet<String> = alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(proved.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (name, [quiet, fires]) in proved {
        assert!(quiet && fires, "{name}: fires={fires} quiet={quiet}");
    }
    checked(&path("rules/tests"), &["test", "rules", "alerts.yml"]);
}

/// The proof itself can fail: with a threshold out of reach an alert does not fire, with none it does not stay quiet.
#[test]
fn an_alert_that_never_or_always_fires_is_found() {
    let alerts = text("rules/alerts.yml");
    for (right, wrong) in [("> 300", "> 300000"), ("for: 10m", "for: 99m"), ("> 0) > 0.01", "> 0) > 0")] {
        assert!(alerts.contains(right), "{right}");
        let scratch = Scratch::new("rules").unwrap();
        fs::create_dir_all(scratch.path().join("tests")).unwrap();
        fs::write(scratch.path().join("alerts.yml"), alerts.replace(right, wrong)).unwrap();
        for file in ["recording.yml", "tests/alerts.yml"] {
            fs::copy(path("rules").join(file), scratch.path().join(file)).unwrap();
        }
        // Found by promtool, that is: that it is not installed would be no proof.
        let told = promtool(&scratch.path().join("tests"), &["test", "rules", "alerts.yml"]).unwrap_err();
        assert!(matches!(&told, Error::Tool { output, .. } if output.contains("FAILED")), "{wrong}: {told}");
    }
}
