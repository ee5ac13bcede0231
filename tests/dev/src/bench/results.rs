//! What was measured when, where and of which commit; kept in files, so that parts may be measured one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::figures::{Line, Lines};
use super::options::{Options, Part};

/// Beside the document that tells them.
const DIR: &str = "bench/results";

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
    /// Why the part did not come to its end: what it had measured until then was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broke_off: Option<String>,
    pub(crate) lines: Vec<Line>,
}

/// Parts in the order in which they are shown.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) parts: Vec<Measured>,
}

impl Results {
    /// The lines of one part.
    pub(crate) fn lines(&self, part: Part) -> &[Line] {
        let measured = self.parts.iter().find(|measured| measured.part == part.name());
        measured.map_or(&[], |measured| measured.lines.as_slice())
    }

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
            broke_off: None,
            lines: lines.0,
        }
    }

    /// Whether it may stand where another is kept: what broke off does not replace what is whole.
    fn replaces(&self, kept: &Self) -> bool {
        self.broke_off.is_none() || kept.broke_off.is_some()
    }
}

/// Writes a part to its file beside the document; says whether it is kept.
pub(crate) fn keep(document: &Path, measured: &Measured) -> anyhow::Result<bool> {
    let dir = document.join(DIR);
    fs::create_dir_all(&dir).with_context(|| format!("make the directory {}", dir.display()))?;
    let path = file(document, &measured.part, measured.quick);
    if read(&path).is_some_and(|kept| !measured.replaces(&kept)) {
        return Ok(false);
    }
    fs::write(&path, serde_json::to_string_pretty(measured)?).with_context(|| format!("write {}", path.display()))?;
    Ok(true)
}

/// The last of each part, of quick runs or of full ones. Files of another version are passed over.
pub(crate) fn kept(document: &Path, quick: bool) -> Results {
    let parts = <Part as clap::ValueEnum>::value_variants().iter();
    Results { parts: parts.filter_map(|part| read(&file(document, part.name(), quick))).collect() }
}

fn read(path: &Path) -> Option<Measured> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn file(document: &Path, part: &str, quick: bool) -> PathBuf {
    document.join(DIR).join(format!("{part}{}.json", if quick { "-quick" } else { "" }))
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

#[cfg(test)]
impl Measured {
    /// Of nowhere and no time.
    pub(crate) fn of(part: Part, lines: Lines) -> Self {
        let none = String::new;
        let (part, title, lines) = (part.name().to_owned(), part.title().to_owned(), lines.0);
        let (commit, day, machine, command) = (none(), none(), none(), none());
        let (quick, rounds, events, seconds, broke_off) = (false, 1, 1, 0, None);
        Self { part, title, quick, commit, day, machine, command, rounds, events, seconds, broke_off, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(part: Part, seconds: u64, broke_off: Option<&str>) -> Measured {
        Measured { seconds, broke_off: broke_off.map(str::to_owned), ..Measured::of(part, Lines::default()) }
    }

    #[test]
    fn a_run_replaces_its_own_parts_and_no_others_and_what_broke_off_replaces_nothing_whole() {
        let dir = millpond_harness::Scratch::new("bench-results").unwrap();
        let kept =
            || kept(dir.path(), false).parts.into_iter().map(|part| (part.part, part.seconds)).collect::<Vec<_>>();
        keep(dir.path(), &measured(Part::Rows, 1, Some("killed"))).unwrap();
        keep(dir.path(), &measured(Part::Works, 2, None)).unwrap();
        assert_eq!(kept(), [("works".to_owned(), 2), ("rows".to_owned(), 1)]);
        keep(dir.path(), &measured(Part::Rows, 3, None)).unwrap();
        assert!(!keep(dir.path(), &measured(Part::Rows, 4, Some("killed"))).unwrap());
        assert_eq!(kept(), [("works".to_owned(), 2), ("rows".to_owned(), 3)]);
    }
}
