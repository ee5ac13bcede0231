//! The bill of materials of what is shipped: the applications' crates, and what those compile or link from C and C++.
//!
//! CycloneDX 1.5, of what cargo resolves for this machine. Tools of developers, tests and build scripts are not in it. Features
//! are those of the whole workspace, so it may name a crate that one application alone would not have.

mod native;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use native::native_of;

/// The programs that are shipped, by their crates.
const SHIPPED: [&str; 5] = ["attribution", "fraud", "loader", "millpond-cli", "redaction"];

/// Where to write the bill.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The file; standard output when absent
    file: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let text = format!("{:#}\n", bill()?);
    match &options.file {
        Some(file) => std::fs::write(file, text).with_context(|| format!("write {}", file.display())),
        None => Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?),
    }
}

/// A crate of the graph.
struct Package<'a> {
    value: &'a Value,
    /// What it uses in the running program.
    uses: Vec<&'a str>,
}

impl Package<'_> {
    fn text(&self, field: &str) -> &str {
        self.value.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The package's own name for itself in the bill.
    fn reference(&self) -> String {
        format!("pkg:cargo/{}@{}", self.text("name"), self.text("version").replace('+', "%2B"))
    }
}

fn bill() -> anyhow::Result<Value> {
    let metadata = metadata()?;
    let (mut packages, compiled) = (shipped(&metadata)?, compiled()?);
    packages.retain(|_, package| compiled.contains(&(package.text("name").into(), package.text("version").into())));
    let sums = checksums(&std::fs::read_to_string(workspace(&metadata)?.join("Cargo.lock"))?)?;
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    for package in packages.values() {
        let native = native_of(package.text("name"), package.text("version"), package.text("links"))?;
        components.push(component(package, &sums));
        let mut on: BTreeSet<String> =
            package.uses.iter().filter_map(|id| Some(packages.get(id)?.reference())).collect();
        if let Some(native) = native {
            on.insert(native.reference());
            dependencies.push(json!({ "ref": native.reference(), "dependsOn": [] }));
            components.push(native.component());
        }
        dependencies.push(json!({ "ref": package.reference(), "dependsOn": on }));
    }
    let roots: Vec<String> = packages.values().filter(|one| is_root(one.value)).map(Package::reference).collect();
    let version = env!("CARGO_PKG_VERSION");
    dependencies.push(json!({ "ref": "millpond", "dependsOn": roots }));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": { "type": "application", "bom-ref": "millpond", "name": "millpond", "version": version },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Package<'_>, sums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (package.text("name"), package.text("version"));
    let kind = if is_root(package.value) { "application" } else { "library" };
    let mut component = json!({
        "type": kind, "bom-ref": package.reference(), "name": name, "version": version, "purl": package.reference(),
        "scope": "required",
    });
    let Value::Object(fields) = &mut component else { return component };
    // Old crates write a slash for OR.
    let licence = package.text("license").replace('/', " OR ");
    if !licence.is_empty() {
        fields.insert("licenses".into(), json!([{ "expression": licence }]));
    }
    if let Some(sum) = sums.get(&(name.to_owned(), version.to_owned())) {
        fields.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": sum }]));
    }
    component
}

fn is_root(package: &Value) -> bool {
    package.get("name").and_then(Value::as_str).is_some_and(|name| SHIPPED.contains(&name))
}

/// What cargo resolves for this machine.
fn metadata() -> anyhow::Result<Value> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let rustc = Command::new("rustc").arg("-vV").output().context("start rustc")?;
    let told = String::from_utf8(rustc.stdout)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let line = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    let output = Command::new(cargo).args(line).output().context("start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Name and version of what is compiled for the shipped programs. `cargo metadata` also follows optional dependencies that no
/// feature has asked for, as `SQLite` below sqlx.
fn compiled() -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut line = vec!["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    line.extend(SHIPPED.iter().flat_map(|name| ["--package", *name]));
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo")).args(line).output().context("start cargo")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

fn workspace(metadata: &Value) -> anyhow::Result<PathBuf> {
    let root = metadata.get("workspace_root").and_then(Value::as_str).context("the workspace's directory")?;
    Ok(PathBuf::from(root))
}

/// The shipped programs with everything that they use when they run.
fn shipped(metadata: &Value) -> anyhow::Result<BTreeMap<&str, Package<'_>>> {
    let list = |value: Option<&'_ Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let id = |value: &'_ Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let nodes = list(metadata.pointer("/resolve/nodes"));
    let is_run = |dependency: &&Value| {
        list(dependency.get("dep_kinds")).iter().any(|kind| kind.get("kind").is_none_or(Value::is_null))
    };
    let uses: BTreeMap<String, Vec<String>> = nodes
        .iter()
        .filter_map(|node| {
            let dependencies = list(node.get("deps"));
            let used = dependencies.iter().filter(is_run).filter_map(|dependency| id(dependency, "pkg"));
            Some((id(node, "id")?, used.collect()))
        })
        .collect();
    let all: Vec<&Value> = metadata.get("packages").and_then(Value::as_array).context("packages")?.iter().collect();
    let mut todo: Vec<String> = all.iter().filter(|one| is_root(one)).filter_map(|one| id(one, "id")).collect();
    if todo.len() != SHIPPED.len() {
        bail!("some of {SHIPPED:?} are no crates of this workspace");
    }
    let mut found = BTreeSet::new();
    while let Some(next) = todo.pop() {
        if found.insert(next.clone()) {
            todo.extend(uses.get(&next).into_iter().flatten().cloned());
        }
    }
    let packages = all.into_iter().filter_map(|value| {
        let id = value.get("id").and_then(Value::as_str).filter(|id| found.contains(*id))?;
        Some((id, value))
    });
    let packages: BTreeMap<&str, &Value> = packages.collect();
    let known = |used: &String| packages.keys().find(|id| *id == used).copied();
    Ok(packages
        .iter()
        .map(|(id, value)| {
            let uses = uses.get(*id).into_iter().flatten().filter_map(known).collect();
            (*id, Package { value, uses })
        })
        .collect())
}

/// SHA-256 of each crate as it was downloaded, from `Cargo.lock`.
fn checksums(lock: &str) -> anyhow::Result<BTreeMap<(String, String), String>> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
    };
    let blocks = lock.split("[[package]]").skip(1);
    let sums: BTreeMap<_, _> = blocks
        .filter_map(|block| Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?)))
        .collect();
    if sums.is_empty() {
        bail!("Cargo.lock has no checksums");
    }
    Ok(sums)
}

#[cfg(test)]
mod tests;
