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

impl Programs {
    /// Builds ours with the release profile, and the peer with its compiler.
    pub(crate) fn build(options: &Options, dir: &Path) -> anyhow::Result<Self> {
        let packages = ["redaction", "fraud", "attribution", "millpond-bench"].iter().flat_map(|name| ["-p", name]);
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--bins", "--message-format=json-render-diagnostics"]).args(packages);
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

    /// Who can do this work.
    pub(crate) fn sides(&self, work: Work) -> Vec<Side> {
        let mut sides = vec![Side::Millpond];
        if self.classpath.is_some() {
            sides.push(Side::Streams);
        }
        if work == Work::Redaction {
            sides.push(Side::Bare);
        }
        sides
    }

    pub(crate) fn launch(&self, side: Side, work: Work, place: &Place, options: &Options) -> Launch {
        let log = place.dir.join(format!("{}.log", place.application_id));
        let state = place.dir.join("state").display().to_string();
        let (threads, commit) = (options.threads.to_string(), options.commit_ms.to_string());
        let Place { bootstrap_servers, application_id, input, output, .. } = place;
        match (side, &self.classpath) {
            (Side::Streams, Some(classpath)) => Launch::new(&self.java, log)
                .args(["-cp", classpath, "Peer", work.name()])
                .args([bootstrap_servers, application_id, &state, &threads, &commit, input, output]),
            (Side::Bare, _) => Launch::new(self.release.join("bench-copy"), log).args([
                bootstrap_servers,
                application_id,
                input,
                output,
                &commit,
            ]),
            _ => {
                let binary = if work == Work::Count { "bench-count" } else { work.name() };
                let launch = Launch::new(self.release.join(binary), log).env("RUST_LOG", "warn");
                launch.args([
                    format!("--bootstrap-servers={bootstrap_servers}"),
                    format!("--application-id={application_id}"),
                    format!("--state-dir={state}"),
                    format!("--input={input}"),
                    format!("--output={output}"),
                    format!("--threads={threads}"),
                    format!("--set=commit.interval.ms={commit}"),
                    "--http=127.0.0.1:0".to_owned(),
                ])
            }
        }
    }
}

/// Compiles the peer; yields its class path.
fn compile(java: &Path, lib: &Path, dir: &Path) -> anyhow::Result<String> {
    let (javac, classes) = (java.with_file_name("javac"), dir.join("classes"));
    let jars = format!("{}/*", lib.display());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/peer/Peer.java");
    let output = Command::new(&javac).args(["-cp", &jars, "-d"]).arg(&classes).arg(source).output();
    let output = output.with_context(|| format!("start {}", javac.display()))?;
    if !output.status.success() {
        bail!("the peer does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(format!("{}:{jars}", classes.display()))
}
