//! `./dev coverage`: which lines of the library the tests reach, by module.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

/// Where exactly-once is decided: at least [`FLOOR`] percent of the lines of each.
const GUARDED: [&str; 4] = ["broker", "runtime", "state", "task"];
const FLOOR: f64 = 90.0;
/// The suites that run parts of the library on real services in their own process.
const SUITES: [&str; 4] = ["contract", "kafka_edge", "kafka_proxy", "kafka_security"];
const OWN_SUITES: [&str; 8] = ["describe", "driver", "dsl", "mishaps", "queries", "readme", "simulation", "start_line"];

/// Options of `./dev coverage`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Print one JSON object in the end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Report {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    path: Vec<String>,
    covered: u32,
    coverable: u32,
}

/// Covered and coverable lines.
type Lines = (u32, u32);

fn percent((covered, coverable): Lines) -> f64 {
    f64::from(covered) * 100.0 / f64::from(coverable.max(1))
}

/// Runs the suites under cargo-tarpaulin and shows the lines by module; fails where a guarded one is below the floor.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let dir = Path::new(".millpond/coverage");
    fs::create_dir_all(dir).context("make the directory .millpond/coverage")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["tarpaulin", "--engine", "llvm", "--skip-clean", "--no-fail-fast", "--timeout", "600"]);
    cargo.args(["--out", "Json", "--output-dir"]).arg(dir).args(["--target-dir"]).arg(dir.join("target"));
    cargo.args(["-p", "millpond", "-p", "millpond-tests", "--features", "millpond/testing", "--lib"]);
    cargo.args(SUITES.iter().chain(&OWN_SUITES).flat_map(|suite| ["--test", suite]));
    // Its report of each line goes to standard output; ours is the one that counts.
    let status = cargo.stdout(std::io::stderr()).status().context("start cargo tarpaulin")?;
    if !status.success() {
        bail!("a suite failed under coverage, see above");
    }
    let text = fs::read(dir.join("tarpaulin-report.json")).context("read the report")?;
    let report: Report = serde_json::from_slice(&text).context("read the report")?;
    let modules = modules(&report);
    let low: Vec<&str> = GUARDED
        .into_iter()
        .filter(|guarded| modules.get(*guarded).is_none_or(|lines| percent(*lines) < FLOOR))
        .collect();
    show(options, &modules)?;
    if !low.is_empty() {
        bail!("below {FLOOR} %: {}", low.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines by the first name below `framework/src`.
fn modules(report: &Report) -> BTreeMap<String, Lines> {
    let mut modules = BTreeMap::new();
    for file in &report.files {
        let mut names = file.path.iter().skip_while(|name| *name != "framework").skip(1);
        if names.next().is_none_or(|name| name != "src") {
            continue;
        }
        let Some(module) = names.next() else { continue };
        let lines: &mut Lines = modules.entry(module.trim_end_matches(".rs").to_owned()).or_default();
        *lines = (lines.0 + file.covered, lines.1 + file.coverable);
    }
    modules
}

fn show(options: &Options, modules: &BTreeMap<String, Lines>) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if options.json {
        let modules: BTreeMap<_, _> = modules
            .iter()
            .map(|(name, lines)| (name, json!({ "covered": lines.0, "lines": lines.1, "percent": percent(*lines) })))
            .collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "modules": modules, "floor": FLOOR }))?)?);
    }
    for (name, lines) in modules {
        let guarded = if GUARDED.contains(&name.as_str()) { "  at least 90" } else { "" };
        writeln!(out, "{name:12} {:>6} of {:>6} lines  {:>5.1} %{guarded}", lines.0, lines.1, percent(*lines))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, covered: u32, coverable: u32) -> File {
        File { path: path.split('/').map(str::to_owned).collect(), covered, coverable }
    }

    #[test]
    fn lines_are_summed_by_module_and_other_crates_left_out() {
        let report = Report {
            files: vec![
                file("/home/framework/src/task/mod.rs", 8, 10),
                file("/home/framework/src/task/queue.rs", 1, 10),
                file("/home/framework/src/time.rs", 3, 3),
                file("/home/framework/tests/driver.rs", 5, 5),
                file("/home/tests/harness/src/lib.rs", 5, 5),
            ],
        };
        let expected = [("task".to_owned(), (9, 20)), ("time".to_owned(), (3, 3))];
        assert_eq!(modules(&report), BTreeMap::from(expected));
        assert!((percent((9, 20)) - 45.0).abs() < 1e-9);
    }
}
