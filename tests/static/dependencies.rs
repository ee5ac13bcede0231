//! What `cargo deny check bans licenses sources` checks of licences, sources and wildcards, by its own list in `deny.toml`,
//! where cargo-deny is not installed: on a bare machine it takes longer to compile than the tests that need no Kafka.
#![allow(clippy::unwrap_used, reason = "a test: what reads the files fails it where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, LicenseReq};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `deny.toml` allows.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Sources {
    #[serde(rename = "allow-registry")]
    registries: Vec<String>,
}

/// What cargo knows of all packages, of every platform and with every feature.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

impl Rules {
    fn read() -> Self {
        toml::from_str(&fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap()).unwrap()
    }

    /// What is wrong with a package.
    fn faults(&self, package: &Package) -> Vec<String> {
        let Package { name, version, license, source, dependencies } = package;
        let mut faults = Vec::new();
        if !self.allow(name, license.as_deref()) {
            faults.push(format!("{name} {version}: the licence {license:?} is not in the list `allow` of deny.toml"));
        }
        let registries = self.sources.registries.iter().map(|registry| format!("registry+{registry}"));
        if source.as_ref().is_some_and(|source| !registries.into_iter().any(|registry| registry == *source)) {
            faults.push(format!("{name} {version} comes from {source:?}: only crates.io is allowed"));
        }
        // Of our own packages: what others ask for is theirs to say.
        let wild = dependencies.iter().filter(|of| source.is_none() && of.path.is_none() && of.req == "*");
        faults.extend(wild.map(|of| format!("{name} asks for any version of {}: say one", of.name)));
        faults
    }

    fn allow(&self, name: &str, license: Option<&str>) -> bool {
        let Some(license) = license else { return false };
        // Old packages write a slash for "or".
        let Ok(expression) = Expression::parse(&license.replace('/', " OR ")) else { return false };
        let exceptions = self.licenses.exceptions.iter().filter(|exception| exception.name == name);
        let allowed: BTreeSet<&String> =
            self.licenses.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow)).collect();
        expression.evaluate(|wanted: &LicenseReq| allowed.contains(&wanted.to_string()))
    }
}

fn package(license: &str, source: Option<&str>, req: &str) -> Package {
    let dependency = Dependency { name: "wild".to_owned(), req: req.to_owned(), path: None };
    Package {
        name: "one".to_owned(),
        version: "1.0.0".to_owned(),
        license: Some(license.to_owned()).filter(|license| !license.is_empty()),
        source: source.map(str::to_owned),
        dependencies: vec![dependency],
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_crates_io() {
    let rules = Rules::read();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let faults: Vec<String> = metadata.packages.iter().flat_map(|package| rules.faults(package)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(metadata.packages.len() > 100, "cargo has told of {} packages", metadata.packages.len());
    // An exception for a package that is gone would wait for another of its name.
    let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
    let stale = rules.licenses.exceptions.iter().filter(|exception| !names.contains_key(exception.name.as_str()));
    assert_eq!(stale.map(|exception| &exception.name).collect::<Vec<_>>(), [""; 0], "exceptions of deny.toml");
}

#[test]
fn what_deny_toml_does_not_allow_is_found() {
    const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let rules = Rules::read();
    let faults = |license, source, req| rules.faults(&package(license, source, req)).len();
    assert_eq!(faults("MIT OR Apache-2.0", Some(CRATES), "*"), 0);
    assert_eq!(faults("MIT/Apache-2.0", Some(CRATES), "1"), 0);
    assert_eq!(faults("GPL-3.0-only OR MIT", Some(CRATES), "1"), 0, "one of two is enough");
    assert_eq!(faults("GPL-3.0-only AND MIT", Some(CRATES), "1"), 1, "both are asked for");
    assert_eq!(faults("", Some(CRATES), "1"), 1, "no licence is no permission");
    assert_eq!(faults("MIT", Some("git+https://example.com/one"), "1"), 1);
    assert_eq!(faults("MIT", None, "*"), 1, "ours, with a wildcard");
    assert_eq!(faults("NCSA", Some(CRATES), "1"), 1, "an exception is of one package alone");
}
