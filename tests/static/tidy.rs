//! What the compiler does not check about the source: who may use whom, which driver stays in which edge, how long a file
//! may be, and that the core needs no C. Lengths and arguments of functions are clippy's part, see `clippy.toml`.
#![allow(clippy::unwrap_used, reason = "a test: what reads the files fails it where it stands")]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use source::{File, files, root, words};

/// Each module of the framework with those it may use. Dependencies point down only; a line may become shorter.
const LAYERS: &[(&str, &[&str])] = &[
    ("arena", &[]),
    ("secret", &[]),
    ("time", &[]),
    ("record", &["time"]),
    ("error", &["record"]),
    ("trace", &["record", "time"]),
    ("failpoint", &[]),
    ("partitioner", &["record"]),
    ("serde", &["time"]),
    ("formats", &["partitioner", "record", "serde"]),
    ("broker", &["error", "record", "time"]),
    ("state", &["arena", "broker", "error", "record", "serde", "time"]),
    ("topology", &["broker", "processor", "record", "state"]),
    ("processor", &["arena", "error", "record", "serde", "state", "time", "topology"]),
    ("dsl", &["partitioner", "processor", "record", "serde", "state", "time", "topology"]),
    ("task", &["broker", "error", "processor", "record", "serde", "state", "time", "topology", "trace"]),
    (
        "runtime",
        &["broker", "error", "failpoint", "record", "secret", "serde", "state", "task", "time", "topology", "trace"],
    ),
    ("metrics", &["error", "record", "runtime", "time"]),
    // The edges.
    ("aws", &["error", "secret"]),
    ("otel", &["time", "trace"]),
    ("broker::kafka", &["arena", "aws", "broker", "error", "failpoint", "record", "runtime", "secret", "time"]),
    ("broker::sim", &["broker", "error", "record", "time"]),
    ("state::rocksdb", &["broker", "error", "failpoint", "record", "serde", "state", "time"]),
    ("http", &["error", "formats", "metrics", "record", "runtime", "serde", "state", "time", "topology"]),
    (
        "testing",
        &[
            "broker",
            "broker::sim",
            "dsl",
            "error",
            "partitioner",
            "processor",
            "record",
            "runtime",
            "serde",
            "state",
            "task",
            "time",
            "topology",
            "trace",
        ],
    ),
];

/// What the core may know of brokers: plain values. The traits are the runtime's.
const BROKER_VALUES: &[&str] =
    &["CommitReceipt", "CommittedOffset", "LogRange", "NewTopic", "TopicDescription", "TopicId"];

/// Modules that see only [`BROKER_VALUES`].
const WITHOUT_BROKER_TRAITS: &[&str] = &["state", "topology", "task", "state::rocksdb"];

/// Crates that talk to the world outside, each with the only places of the framework that may name it.
const DRIVERS: &[(&str, &[&str])] = &[
    ("rdkafka", &["broker/kafka/"]),
    ("rdkafka_sys", &["broker/kafka/"]),
    ("libc", &["broker/kafka/ffi"]),
    ("rocksdb", &["state/rocksdb/"]),
    ("axum", &["http/"]),
    ("hyper", &["http/"]),
    ("hyper_util", &["http/"]),
    ("tokio", &["http/"]),
    ("ureq", &["aws/http.rs", "otel/client.rs"]),
    ("opentelemetry", &["otel/"]),
    ("opentelemetry_sdk", &["otel/"]),
    ("opentelemetry_otlp", &["otel/"]),
    ("opentelemetry_http", &["otel/client.rs"]),
    ("askama", &["http/"]),
    ("futures_util", &["http/"]),
    ("jiff", &["http/format.rs"]),
    ("prometheus", &["metrics/"]),
    ("rustix", &["failpoint.rs"]),
];

/// Files that may hold `unsafe`.
const UNSAFE: &[&str] = &["framework/src/broker/kafka/ffi.rs", "framework/src/broker/kafka/ffi/"];

/// Lines of a file without its tests.
const LINES_MAX: usize = 600;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils", "Impl", "Misc"];

fn framework() -> Vec<File> {
    files("framework/src")
}

/// The line of [`LAYERS`] that a path belongs to: `broker::kafka` before `broker`.
fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("framework/src/").trim_end_matches(".rs");
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let deep = parts.next().map(|second| format!("{first}::{second}"));
    deep.filter(|deep| LAYERS.iter().any(|(module, _)| module == deep)).unwrap_or_else(|| first.to_owned())
}

/// Everything that code names as `crate::…`, grouped imports resolved: `crate::broker::{sim, Broker}` is two.
fn uses(file: &File) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in file.code.split("crate::").skip(1) {
        let path: String = part.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        match part.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix('{')) {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default();
                let names = group.split(',').map(str::trim).filter(|name| !name.is_empty());
                found.extend(names.map(|name| format!("{path}{name}")));
            }
            None => {
                found.insert(path);
            }
        }
    }
    found
}

#[test]
fn dependencies_point_down_only() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in framework() {
        let from = module_of(&file.path);
        if from == "lib" {
            continue;
        }
        let Some(allowed) = layers.get(from.as_str()) else {
            wrong.push(format!("{}: module={from} is in no layer; add it to LAYERS", file.path));
            continue;
        };
        for path in uses(&file) {
            let to = module_of(&path.replace("::", "/"));
            let own = to == from || from.strip_prefix(to.as_str()).is_some_and(|rest| rest.starts_with("::"));
            if !own && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: {from} must not use crate::{path}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_values_of_brokers_and_not_their_traits() {
    let mut wrong = Vec::new();
    for file in framework() {
        if !WITHOUT_BROKER_TRAITS.contains(&module_of(&file.path).as_str()) {
            continue;
        }
        for path in uses(&file) {
            let Some(name) = path.strip_prefix("broker::") else { continue };
            if !BROKER_VALUES.contains(&name.split("::").next().unwrap_or_default()) {
                wrong.push(format!("{}: crate::{path} is the runtime's", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_driver_stays_in_its_edge() {
    let mut wrong = Vec::new();
    for file in framework() {
        let path = file.path.trim_start_matches("framework/src/");
        for &(driver, places) in DRIVERS {
            if names_crate(&file.code, driver) && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{}: only {} may name {driver}", file.path, places.join(", ")));
            }
        }
    }
    for app in files("apps") {
        for driver in ["rdkafka", "rdkafka_sys", "rocksdb"] {
            if names_crate(&app.code, driver) {
                wrong.push(format!("{}: applications go through the framework, not through {driver}", app.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// True for `name::…` that is not the tail of a longer path or word.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    })
}

#[test]
fn unsafe_code_is_in_one_place_and_every_block_says_why_it_is_sound() {
    let mut wrong = Vec::new();
    for file in ["framework", "apps", "tests"].into_iter().flat_map(files) {
        let allowed = UNSAFE.iter().any(|place| file.path.starts_with(place));
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in file.code.lines().enumerate() {
            if !words(line).any(|word| word == "unsafe") {
                continue;
            }
            // The comment stands above the statement, a few lines up at most.
            let above = lines.get(number.saturating_sub(8)..=number).unwrap_or_default();
            if !allowed {
                wrong.push(format!("{}:{}: no unsafe here", file.path, number + 1));
            } else if !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                wrong.push(format!("{}:{}: unsafe without a SAFETY comment", file.path, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = ["framework", "apps", "tests/harness", "tests/dev"]
        .into_iter()
        .flat_map(files)
        .map(|file| (file.path, file.lines))
        .filter(|&(_, lines)| lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines without tests, {LINES_MAX} at most; one concept per file"))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn names_say_what_a_thing_is() {
    let mut wrong = Vec::new();
    for file in ["framework", "apps", "tests"].into_iter().flat_map(files) {
        let mut previous = "";
        let declared = words(&file.code).filter(|&word| {
            let declares = matches!(previous, "struct" | "enum" | "trait" | "type" | "mod" | "fn");
            previous = word;
            declares
        });
        for name in declared {
            let mut parts = parts_of(name);
            if parts.any(|part| EMPTY_WORDS.iter().any(|empty| empty.eq_ignore_ascii_case(&part))) {
                wrong.push(format!("{}: {name}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "these names say nothing:\n{}", wrong.join("\n"));
}

/// `StateManager` and `state_manager` are `state` and `manager`.
fn parts_of(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| c != '_') {
            last.extend(c.to_lowercase());
        }
    }
    parts.into_iter().filter(|part| !part.is_empty())
}

/// The tests of the core are to be fast on any machine: nothing in their graph compiles C or C++, or looks for it.
#[test]
fn the_core_and_its_tests_compile_no_c() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "millpond", "--no-default-features", "--features", "testing"])
        .args(["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains("millpond") && packages.contains("proptest"), "{packages:?}");
    // linux-raw-sys is declarations in Rust.
    let declarations = BTreeSet::from(["linux-raw-sys"]);
    let is_c = |name: &str| matches!(name, "cc" | "cmake" | "bindgen" | "pkg-config") || name.ends_with("-sys");
    let found: Vec<_> = packages.difference(&declarations).filter(|name| is_c(name)).collect();
    assert!(found.is_empty(), "the core's graph has {found:?}");
}
