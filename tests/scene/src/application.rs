//! One process of an application, started and ended over and over.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use millpond_harness::{Error, Launch, Process, built, try_wait_for};
use serde_json::Value;

use crate::journal::Journal;
use crate::page;

/// How long anything may take that should take a moment.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Log lines that no run of an application may have: state was thrown away.
const WIPED: [&str; 3] = ["the state is removed", "set aside", "the group's offsets are gone"];

/// A process of an application, or the place where one was. Each start has a log and a journal of its own.
#[derive(Debug)]
pub struct Application {
    binary: &'static str,
    label: String,
    dir: PathBuf,
    state_dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    starts: usize,
    process: Option<Process>,
}

impl Application {
    /// `label` names its logs in `dir`, and its state directory.
    pub(crate) fn new(binary: &'static str, label: &str, dir: &Path, bootstrap_servers: &str) -> Self {
        Self {
            binary,
            label: label.to_owned(),
            dir: dir.to_owned(),
            state_dir: dir.join(format!("{label}.state")),
            args: vec![format!("--bootstrap-servers={bootstrap_servers}"), "--http=0".to_owned()],
            env: Vec::new(),
            starts: 0,
            process: None,
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The same with the state directory of another.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        self.state_dir.clone_from(&other.state_dir);
        self
    }

    /// The same with its state in this directory.
    #[must_use]
    pub fn state_in(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.state_dir);
        self
    }

    /// The name of the binary.
    pub const fn binary(&self) -> &'static str {
        self.binary
    }

    /// Where its state is.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// How often it was started.
    pub const fn starts(&self) -> usize {
        self.starts
    }

    /// Starts a process.
    ///
    /// # Errors
    /// [`Error`] when the binary cannot be built or started.
    pub fn start(&mut self) -> Result<(), Error> {
        self.start_armed(None, &[])
    }

    /// Starts a process that dies at a failpoint, `name:pass[:micros]`, or has more arguments than the others.
    ///
    /// # Errors
    /// As [`Application::start`].
    pub fn start_armed(&mut self, failpoint: Option<&str>, extra: &[&str]) -> Result<(), Error> {
        self.starts += 1;
        let launch = Launch::new(built(self.binary)?, self.log_path(self.starts));
        let launch = launch.args(&self.args).args(extra).arg(format!("--state-dir={}", self.state_dir.display()));
        let launch = launch.env("RUST_LOG", "info").env("FAILPOINT_JOURNAL", self.journal_path(self.starts));
        let launch = self.env.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let launch = failpoint.into_iter().fold(launch, |launch, failpoint| launch.env("FAILPOINT", failpoint));
        self.process = Some(launch.start()?);
        Ok(())
    }

    /// The same, started.
    ///
    /// # Errors
    /// As [`Application::start`].
    pub fn started(mut self) -> Result<Self, Error> {
        self.start()?;
        Ok(self)
    }

    /// The newest process.
    ///
    /// # Errors
    /// [`Error::Ended`] when none was started.
    pub fn process(&mut self) -> Result<&mut Process, Error> {
        let never = || Error::Ended { name: self.label.clone(), log: "it was never started".into() };
        self.process.as_mut().ok_or_else(never)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// [`Error::Ended`] when it has ended by itself.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.refuse_dead()?;
        self.process()?.kill().map(drop)
    }

    /// Asks it to stop, and expects that it does so in good order.
    ///
    /// # Errors
    /// [`Error::Ended`] when it does not.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.refuse_dead()?;
        let status = self.process()?.stop()?;
        if status.success() { Ok(()) } else { Err(self.ended_with(status)) }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// [`Error::Late`] when it still runs.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.process()?.wait(LIMIT)
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// [`Error`] when the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process()?.ended()
    }

    fn ended_with(&self, status: ExitStatus) -> Error {
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Error::Ended { name: format!("{} ended with {status} and so", self.label), log: tail.join("\n") }
    }

    fn refuse_dead(&mut self) -> Result<(), Error> {
        match self.process()?.ended()? {
            Some(status) => Err(self.ended_with(status)),
            None => Ok(()),
        }
    }

    fn log_path(&self, start: usize) -> PathBuf {
        self.dir.join(format!("{}.{start}.log", self.label))
    }

    fn journal_path(&self, start: usize) -> PathBuf {
        self.dir.join(format!("{}.{start}.journal", self.label))
    }

    /// What the newest process has logged.
    pub fn log(&self) -> String {
        self.log_of(self.starts)
    }

    fn log_of(&self, start: usize) -> String {
        std::fs::read_to_string(self.log_path(start)).unwrap_or_default()
    }

    /// What all processes have logged.
    pub fn logs(&self) -> String {
        (1..=self.starts).map(|start| self.log_of(start)).collect()
    }

    /// What the newest process has passed.
    pub fn journal(&self) -> Journal {
        Journal::read(&self.journal_path(self.starts))
    }

    fn events(&self, start: usize, message: &str) -> Vec<Value> {
        let lines = self.log_of(start);
        let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event.get("message").and_then(Value::as_str) == Some(message)).collect()
    }

    /// How many changelog records each process has replayed, by start.
    pub fn replayed(&self) -> Vec<u64> {
        (1..=self.starts).map(|start| self.replayed_by(start)).collect()
    }

    /// How many changelog records that process has replayed.
    pub fn replayed_by(&self, start: usize) -> u64 {
        let events = self.events(start, "restored");
        events.iter().filter_map(|event| event.get("replayed")?.as_u64()).sum()
    }

    /// The page's address.
    ///
    /// # Errors
    /// [`Error::Late`] when it does not tell one.
    pub fn page(&mut self) -> Result<String, Error> {
        try_wait_for(LIMIT, format!("{} tells its page", self.label), || {
            let events = self.events(self.starts, "page");
            let url = events.first().and_then(|event| event.get("url")?.as_str());
            Ok(url.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()))
        })
    }

    /// The sum of a metric over the samples with that label.
    ///
    /// # Errors
    /// [`Error::Late`] when it is not there.
    pub fn metric(&mut self, name: &str, label: &str) -> Result<f64, Error> {
        let address = self.page()?;
        try_wait_for(LIMIT, format!("{} has the metric {name}", self.label), || {
            Ok(page::get(&address, "/metrics").and_then(|metrics| page::sum(&metrics, name, label)))
        })
    }

    /// Tasks that run in this process.
    ///
    /// # Errors
    /// As [`Application::metric`].
    pub fn running_tasks(&mut self) -> Result<usize, Error> {
        let tasks = self.metric("millpond_tasks", "state=\"running\"")?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        let tasks = tasks as usize;
        Ok(tasks)
    }

    /// Waits until that many tasks run here.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub fn wait_for_tasks(&mut self, count: usize) -> Result<(), Error> {
        let what = format!("{} runs {count} tasks", self.label);
        try_wait_for(LIMIT, what, || Ok((self.running_tasks()? == count).then_some(())))
    }

    /// Bytes of memory that it occupies, in MiB; 0 when the system does not tell.
    ///
    /// # Errors
    /// [`Error::Ended`] when it was never started.
    pub fn resident_mib(&mut self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()?.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024)
    }

    /// Lines of its logs that say that state was thrown away.
    pub fn wipes(&self) -> Vec<String> {
        let logs = self.logs();
        let wiped = logs.lines().filter(|line| WIPED.iter().any(|wiped| line.contains(wiped)));
        wiped.map(|line| format!("{}: {line}", self.label)).collect()
    }

    /// No process of this has thrown state away, nor shown what it has read, and the last one runs.
    ///
    /// # Errors
    /// [`Error::Tool`] with the line that is not sound.
    pub fn assert_sound(&mut self) -> Result<(), Error> {
        let unsound = |output: String| Err(Error::Tool { tool: "an application", output });
        if let Some(line) = self.wipes().into_iter().next() {
            return unsound(line);
        }
        if let Some(line) = self.logs().lines().find(|line| line.contains(crate::shop::CANARY)) {
            return unsound(format!("{} logs payloads: {line}", self.label));
        }
        self.refuse_dead()?;
        let wipes = self.metric("millpond_state_wipes_total", "")?;
        if wipes > 0.0 { unsound(format!("{} has wiped {wipes} states", self.label)) } else { Ok(()) }
    }
}
