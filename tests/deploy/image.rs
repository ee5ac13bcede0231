//! The image: what is in it, who runs it, and what its health check asks.

use std::collections::BTreeSet;

use super::files::{APPLICATIONS, configured, deployed, path, text};

/// Instructions with their continuation lines joined, comments left out.
fn instructions() -> Vec<String> {
    let dockerfile = text(deployed("docker/Dockerfile"));
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn after<'a>(lines: &'a [String], word: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(word)).map(str::trim).collect()
}

#[test]
fn it_holds_the_binaries_of_the_workspace_that_are_applications() {
    let lines = instructions();
    let command = lines.iter().find(|line| line.contains("cargo build")).unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let built: BTreeSet<&str> = words.windows(2).filter(|pair| pair[0] == "--package").map(|pair| pair[1]).collect();
    assert_eq!(built, BTreeSet::from(APPLICATIONS));
    assert!(words.contains(&"--locked") && words.contains(&"--release"), "{command}");
    for application in APPLICATIONS {
        assert!(words.contains(&format!("target/release/{application}").as_str()), "{application} is copied");
        assert!(path(&format!("apps/{application}/src/main.rs")).is_file());
        let runs = format!("RUN [\"/usr/local/bin/{application}\", \"--version\"]");
        assert!(lines.contains(&runs), "it is tried whether {application} has all its libraries");
    }
    // Whatever has a binary below apps/ is deployed; but not the tool for people.
    let crates = std::fs::read_dir(path("apps")).unwrap().map(|entry| entry.unwrap());
    let binaries = crates.filter(|entry| entry.path().join("src/main.rs").is_file());
    let names = binaries.map(|entry| entry.file_name().into_string().unwrap());
    let binaries: BTreeSet<String> = names.filter(|name| name != "millpond").collect();
    assert_eq!(binaries, APPLICATIONS.map(str::to_owned).into());
}

/// The build itself looks: it fails when a binary needs a library that is not there, or RocksDB as a library at all.
#[test]
fn the_build_proves_that_rocksdb_is_linked_statically() {
    let lines = instructions();
    let build = lines.iter().find(|line| line.contains("cargo build")).unwrap();
    let steps: Vec<String> =
        build.split("&&").map(|step| step.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let at = |step: &str| {
        let found = steps.iter().position(|known| known == step);
        found.unwrap_or_else(|| panic!("no step {step} in {steps:#?}"))
    };
    let (listed, looked_at) =
        (at("ldd /out/bin/* > /out/libraries"), at("! grep -E 'not found|librocksdb' /out/libraries"));
    let copied = steps.iter().position(|step| step.starts_with("cp ") && step.ends_with(" /out/bin/")).unwrap();
    assert!(copied < listed && listed < looked_at, "what is looked at is what is copied: {steps:#?}");
    assert_eq!(looked_at, steps.len() - 1, "its failure is that of the step");
    let elsewhere = lines.iter().find(|line| line.contains("ROCKSDB_LIB_DIR"));
    assert_eq!(elsewhere, None, "it would be linked from there");
}

#[test]
fn it_is_built_with_the_rust_of_the_workspace_from_all_that_cargo_reads() {
    let lines = instructions();
    let manifest = text(path("Cargo.toml"));
    let field = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))).unwrap();
        line.trim_end_matches('"').to_owned()
    };
    let base = format!("FROM rust:{}-", field("rust-version"));
    assert!(lines.iter().any(|line| line.starts_with(&base)), "{base}");
    let copied: BTreeSet<&str> = after(&lines, "COPY ")
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|word| !word.starts_with("--"))
        .collect();
    let ignored = text(deployed("docker/Dockerfile.dockerignore"));
    let (_, members) = manifest.split_once("members = [").unwrap();
    let members = members.split_once(']').unwrap().0.split('"').skip(1).step_by(2);
    // And what is read at compile time: the loader has the migrations in it.
    for member in members.chain(["migrations"]) {
        let top = member.split('/').next().unwrap();
        assert!(copied.contains(top), "{top} is copied");
        assert!(ignored.lines().any(|line| line == format!("!{top}")), "{top} is not ignored");
    }
    // .cargo/config.toml would link the prebuilt library of this machine.
    assert!(!copied.iter().any(|word| word.contains(".cargo")) && ignored.lines().any(|line| line == "*"));
}

#[test]
fn it_runs_as_nobody_and_its_health_check_asks_where_the_application_listens() {
    let lines = instructions();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    assert!(lines[last].contains("distroless"), "no shell: {}", lines[last]);
    let users = after(&lines[last..], "USER ");
    let numbers: Vec<u32> = users.iter().flat_map(|user| user.split(':')).map(|id| id.parse().unwrap()).collect();
    assert!(numbers.len() == 2 && !numbers.contains(&0), "{users:?}");
    let (name, values) = ("MILLPOND_BOOTSTRAP_SERVERS".to_owned(), after(&lines[last..], "ENV "));
    let set = values.iter().flat_map(|line| line.split_whitespace()).map(|pair| pair.split_once('=').unwrap());
    let mut environment: std::collections::BTreeMap<String, String> =
        set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.insert(name, "b:1".to_owned());
    let config = configured("fraud", &environment, &[]);
    let port = config.http_listen.unwrap().port();
    assert_eq!(after(&lines, "EXPOSE "), [port.to_string()]);
    let check = lines.iter().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
    assert!(check.contains(&format!("\"http://127.0.0.1:{port}/livez\"")), "{check}");
    let state = config.state_dir.display().to_string();
    assert!(
        lines.iter().any(|line| line.contains("--chown=65532:65532") && line.ends_with(&state)),
        "{state} is writable"
    );
}
