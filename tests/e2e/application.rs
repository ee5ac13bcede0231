//! One process of an application, started and ended over and over.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use millpond_harness::{Error, Launch, Process, built, try_wait_for};
use serde_json::Value;

use crate::page;

/// How long anything may take that should take a moment.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Log lines that no run of an application may have: state was thrown away.
const WIPED: [&str; 3] = ["the state is removed", "set aside", "the group's offsets are gone"];

/// A process of an application, or the place where one was. Each start has a log of its own.
pub(crate) struct Application {
    binary: &'static str,
    label: String,
    dir: PathBuf,
    state_dir: PathBuf,
    args: Vec<String>,
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
            starts: 0,
            process: None,
        }
    }

    /// The same with one more argument.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same with the state directory of another.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.state_dir.clone_from(&other.state_dir);
        self
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    pub(crate) fn start(&mut self) -> Result<(), Error> {
        self.starts += 1;
        let launch = Launch::new(built(self.binary)?, self.log_path(self.starts));
        let launch = launch.args(&self.args).arg(format!("--state-dir={}", self.state_dir.display()));
        self.process = Some(launch.env("RUST_LOG", "info").start()?);
        Ok(())
    }

    pub(crate) fn started(mut self) -> Result<Self, Error> {
        self.start()?;
        Ok(self)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.refuse_dead();
        self.process().kill().map(drop)
    }

    /// Asks it to stop, and expects that it does so in good order.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.refuse_dead();
        let status = self.process().stop()?;
        assert!(status.success(), "{} stopped with {status}: {}", self.label, self.log());
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.process().wait(LIMIT)
    }

    fn refuse_dead(&mut self) {
        let ended = self.process().ended().unwrap();
        assert!(ended.is_none(), "{} ended by itself with {ended:?}:\n{}", self.label, self.log());
    }

    fn log_path(&self, start: usize) -> PathBuf {
        self.dir.join(format!("{}.{start}.log", self.label))
    }

    /// What the newest process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path(self.starts)).unwrap_or_default()
    }

    /// What all processes have logged.
    pub(crate) fn logs(&self) -> String {
        let logs = (1..=self.starts).map(|start| std::fs::read_to_string(self.log_path(start)).unwrap_or_default());
        logs.collect()
    }

    fn events(&self, start: usize, message: &str) -> Vec<Value> {
        let lines = std::fs::read_to_string(self.log_path(start)).unwrap_or_default();
        let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event.get("message").and_then(Value::as_str) == Some(message)).collect()
    }

    /// How many changelog records each process has replayed, by start.
    pub(crate) fn replayed(&self) -> Vec<u64> {
        let replayed = |start| {
            let events = self.events(start, "restored");
            events.iter().filter_map(|event| event.get("replayed")?.as_u64()).sum()
        };
        (1..=self.starts).map(replayed).collect()
    }

    /// The page's address.
    pub(crate) fn page(&mut self) -> Result<String, Error> {
        try_wait_for(LIMIT, format!("{} tells its page", self.label), || {
            let events = self.events(self.starts, "page");
            let url = events.first().and_then(|event| event.get("url")?.as_str());
            Ok(url.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()))
        })
    }

    /// The sum of a metric over the samples with that label.
    pub(crate) fn metric(&mut self, name: &str, label: &str) -> Result<f64, Error> {
        let address = self.page()?;
        try_wait_for(LIMIT, format!("{} has the metric {name}", self.label), || {
            Ok(page::get(&address, "/metrics").and_then(|metrics| page::sum(&metrics, name, label)))
        })
    }

    /// Tasks that run in this process.
    pub(crate) fn running_tasks(&mut self) -> Result<usize, Error> {
        let tasks = self.metric("millpond_tasks", "state=\"running\"")?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        let tasks = tasks as usize;
        Ok(tasks)
    }

    /// Waits until that many tasks run here.
    pub(crate) fn wait_for_tasks(&mut self, count: usize) -> Result<(), Error> {
        let what = format!("{} runs {count} tasks", self.label);
        try_wait_for(LIMIT, what, || Ok((self.running_tasks()? == count).then_some(())))
    }

    /// Bytes of memory that it occupies, in MiB.
    pub(crate) fn resident_mib(&mut self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process().pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// No process of this has thrown state away, nor shown what it has read.
    pub(crate) fn assert_sound(&mut self) -> Result<(), Error> {
        let logs = self.logs();
        for line in logs.lines() {
            assert!(WIPED.iter().all(|wiped| !line.contains(wiped)), "{}: {line}", self.label);
            assert!(!line.contains(crate::shop::CANARY), "{} logs payloads: {line}", self.label);
        }
        self.refuse_dead();
        assert_eq!(self.metric("millpond_state_wipes_total", "")?.to_bits(), 0.0_f64.to_bits(), "{}", self.label);
        Ok(())
    }
}
