//! Reading what is deployed, and asking the applications what they would make of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Parser;
use millpond::runtime::config::StreamsConfig;
use millpond_support::App;
use millpond_support::args::Args;
use serde_json::Value;

/// The four, by the names of their binaries.
pub(crate) const APPLICATIONS: [&str; 4] = ["attribution", "fraud", "loader", "redaction"];

/// A path from the top of the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// A file below `apps/deploy`.
pub(crate) fn deployed(name: &str) -> PathBuf {
    path("apps/deploy").join(name)
}

pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file below `apps/deploy`.
pub(crate) fn documents(name: &str) -> Vec<Value> {
    let text = text(deployed(name));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The only document of a YAML file below `apps/deploy`.
pub(crate) fn document(name: &str) -> Value {
    let mut all = documents(name);
    assert_eq!(all.len(), 1, "{name} is one document");
    all.remove(0)
}

/// `NAME=value` lines of a file below `apps/deploy`.
pub(crate) fn variables(name: &str) -> BTreeMap<String, String> {
    let text = text(deployed(name));
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"))).map(owned).collect()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The texts of a list; none of what is no list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("a text: {text}")).to_owned()).collect()
}

/// The configuration that an application makes of this environment and these arguments, its own section included.
pub(crate) fn configured(
    application: &'static str,
    environment: &BTreeMap<String, String>,
    args: &[String],
) -> StreamsConfig {
    let line = std::iter::once(application.to_owned()).chain(args.iter().cloned());
    let args = Args::try_parse_from(line).unwrap_or_else(|error| panic!("{application}: {error}"));
    let mut defaults = vec![("application.id", application)];
    if application != "loader" {
        defaults.extend([("app.input", "in"), ("app.output", "out")]);
    }
    let app = App { name: application, about: "", version: "", defaults: &defaults, placeholders: &[] };
    let config = app.configure(&args, environment.clone()).unwrap_or_else(|error| panic!("{application}: {error}"));
    match application {
        "attribution" => drop(config.app.get::<attribution::Settings>().unwrap()),
        "fraud" => drop(config.app.get::<fraud::Settings>().unwrap()),
        "loader" => drop(config.app.get::<loader::Settings>().unwrap()),
        _ => drop(config.app.get::<redaction::Settings>().unwrap()),
    }
    config
}

#[test]
#[should_panic(expected = "did you mean `MILLPOND_SESSION_TIMEOUT_MS`?")]
fn a_variable_that_is_misspelt_is_found() {
    let wrong = [("MILLPOND_BOOTSTRAP_SERVERS", "b:1"), ("MILLPOND_SESSION_TIMEOUT", "1")].map(owned);
    configured("fraud", &wrong.into(), &[]);
}
