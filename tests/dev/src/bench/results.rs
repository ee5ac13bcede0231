//! What was measured when, where and of which commit; kept in files, so that parts may be measured one by one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::figures::{Line, Lines};
use super::options::{Options, Part};

/// Beside the directory that every run removes.
const DIR: &str = ".millpond/bench-results";

/// One part as it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) part: String,
    pub(crate) title: String,
    pub(crate) quick: bool,
    pub(crate) commit: String,
    pub(crate) day: String,
    pub(crate) machine: String,
    pub(crate) command: String,
    pub(crate) rounds: u32,
    pub(crate) events: u64,
    pub(crate) seconds: u64,
    pub(crate) lines: Vec<Line>,
}

/// Parts in the order in which they are shown.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) parts: Vec<Measured>,
}

impl Results {
    pub(crate) fn is_quick(&self) -> bool {
        self.parts.iter().any(|part| part.quick)
    }
}

impl Measured {
    pub(crate) fn now(part: Part, options: &Options, lines: Lines, took: Duration) -> Self {
        // `./dev` has put the peer's jars in front.
        let own = if options.streams_lib.is_some() { 4 } else { 2 };
        let arguments = std::env::args().skip(own).filter(|argument| argument != "--json");
        Self {
            part: part.name().to_owned(),
            title: part.title().to_owned(),
            quick: options.quick,
            commit: commit(),
            day: said_by("date", &["-u", "+%Y-%m-%d"]),
            machine: machine(),
            command: ["./dev bench".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" "),
            rounds: options.rounds(),
            events: options.events(),
            seconds: took.as_secs(),
            lines: lines.0,
        }
    }
}

/// Writes a part to its file.
pub(crate) fn keep(measured: &Measured) -> anyhow::Result<()> {
    fs::create_dir_all(DIR).with_context(|| format!("make the directory {DIR}"))?;
    let path = file(&measured.part, measured.quick);
    fs::write(&path, serde_json::to_string_pretty(measured)?).with_context(|| format!("write {}", path.display()))
}

/// The last of each part, of quick runs or of full ones. Files of another version are passed over.
pub(crate) fn kept(quick: bool) -> Results {
    let parts = <Part as clap::ValueEnum>::value_variants().iter();
    let texts = parts.filter_map(|part| fs::read_to_string(file(part.name(), quick)).ok());
    Results { parts: texts.filter_map(|text| serde_json::from_str(&text).ok()).collect() }
}

fn file(part: &str, quick: bool) -> PathBuf {
    PathBuf::from(DIR).join(format!("{part}{}.json", if quick { "-quick" } else { "" }))
}

fn commit() -> String {
    let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no", "--", "framework", "apps"]);
    let commit = said_by("git", &["rev-parse", "--short", "HEAD"]);
    if changed.is_empty() { commit } else { format!("{commit} with changes") }
}

/// Processor, cores, memory, kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kib = field(&memory, "MemTotal").split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field(&cpu, "model name");
    format!("{cores} cores of {model}, {} GiB, Linux {}", kib >> 20, read("/proc/sys/kernel/osrelease").trim())
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
