//! The programs that are measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use millpond_harness::Launch;

use super::options::{Options, Work};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Millpond,
    Streams,
    /// librdkafka alone, copying.
    Bare,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Millpond => "millpond",
            Self::Streams => "kafka-streams",
            Self::Bare => "bare-copy",
        }
    }
}

/// Everything that can be started.
#[derive(Debug)]
pub(crate) struct Programs {
    release: PathBuf,
    java: PathBuf,
    classpath: Option<String>,
}

/// One run: names of its own, so that it begins with nothing.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) bootstrap_servers: String,
    pub(crate) application_id: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// How a program is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) threads: u32,
    pub(crate) commit_ms: u32,
    /// Stores that each record is counted in.
    pub(crate) stores: u32,
    /// Whether the peer keeps its place in the group over a restart (`group.instance.id`), as ours always does.
    pub(crate) static_member: bool,
    /// The most that the peer's heap may grow to; a quarter of the machine's memory if not said.
    pub(crate) heap_mib: Option<u32>,
    /// Where the page of ours is; zero is any port.
    pub(crate) page: u16,
}

impl Setting {
    pub(crate) fn of(options: &Options) -> Self {
        let (threads, commit_ms) = (options.threads.get(), options.commit_ms.get());
        Self { threads, commit_ms, stores: 1, static_member: false, heap_mib: None, page: 0 }
    }
}

impl Programs {
    /// Builds ours with the release profile, and the peer with its compiler.
    pub(crate) fn build(options: &Options, dir: &Path) -> anyhow::Result<Self> {
        let packages = ["redaction", "fraud", "attribution", "loader", "millpond-bench"];
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--bins", "--message-format=json-render-diagnostics"]);
        cargo.args(packages.iter().flat_map(|name| ["-p", name]));
        let output = cargo.stderr(Stdio::inherit()).output().context("start cargo")?;
        if !output.status.success() {
            bail!("the release build failed, see above");
        }
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        let executables = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut executables = executables.filter_map(|m| m.get("executable")?.as_str().map(PathBuf::from));
        let release = executables.next().and_then(|path| path.parent().map(Path::to_owned));
        let release = release.context("cargo names no executable")?;
        let java = PathBuf::from(std::env::var("MILLPOND_JAVA").context("MILLPOND_JAVA: run ./dev bench")?);
        let classpath = match &options.streams_lib {
            Some(lib) if !options.alone => Some(compile(&java, lib, dir)?),
            _ => None,
        };
        Ok(Self { release, java, classpath })
    }

    /// The two sides, or ours alone.
    pub(crate) fn sides(&self) -> Vec<Side> {
        if self.classpath.is_some() { vec![Side::Millpond, Side::Streams] } else { vec![Side::Millpond] }
    }

    /// A program of ours that is none of the works.
    pub(crate) fn tool(&self, name: &str, place: &Place) -> Launch {
        Launch::new(self.release.join(name), place.dir.join(format!("{name}.log"))).env("RUST_LOG", "warn")
    }

    pub(crate) fn launch(&self, side: Side, work: Work, place: &Place, setting: Setting) -> Launch {
        let state = place.state().display().to_string();
        let (threads, commit) = (setting.threads.to_string(), setting.commit_ms.to_string());
        let Place { bootstrap_servers, application_id, input, output, dir } = place;
        match (side, &self.classpath) {
            (Side::Streams, Some(classpath)) => {
                let launch = Launch::new(&self.java, dir.join("peer.log")).args(["-cp", classpath]);
                let launch = launch.arg(format!("-Dstores={}", setting.stores));
                let instance = setting.static_member.then(|| format!("-Dinstance={application_id}"));
                let heap = setting.heap_mib.map(|mib| format!("-Xmx{mib}m"));
                let launch = launch.args(instance).args(heap).args(["Peer", work.name(), bootstrap_servers]);
                launch.args([application_id, &state, &threads, &commit, input, output])
            }
            (Side::Bare, _) => {
                self.tool("bench-copy", place).args([bootstrap_servers, application_id, input, output, &commit])
            }
            _ => {
                let name = match work {
                    Work::Count => "bench-count",
                    Work::Table => "bench-table",
                    _ => work.name(),
                };
                let stores = (work == Work::Count).then(|| format!("--set=app.stores={}", setting.stores));
                self.tool(name, place).args(stores).args([
                    format!("--bootstrap-servers={bootstrap_servers}"),
                    format!("--application-id={application_id}"),
                    format!("--state-dir={state}"),
                    format!("--input={input}"),
                    format!("--output={output}"),
                    format!("--threads={threads}"),
                    format!("--set=commit.interval.ms={commit}"),
                    // A name that does not go with the disk, as a pod's ordinal.
                    "--set=instance=0".to_owned(),
                    format!("--http=127.0.0.1:{}", setting.page),
                ])
            }
        }
    }
}

/// Compiles the peer; yields its class path.
fn compile(java: &Path, lib: &Path, dir: &Path) -> anyhow::Result<String> {
    let (javac, classes) = (java.with_file_name("javac"), dir.join("classes"));
    let jars = format!("{}/*", lib.display());
    let source = "tests/bench/peer/Peer.java";
    let output = Command::new(&javac).args(["-cp", &jars, "-d"]).arg(&classes).arg(source).output();
    let output = output.with_context(|| format!("start {}", javac.display()))?;
    if !output.status.success() {
        bail!("the peer does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(format!("{}:{jars}", classes.display()))
}
