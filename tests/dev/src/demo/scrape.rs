//! A Prometheus of the demo's own, where one is installed: it scrapes the applications with the configuration and the rules
//! that the repository ships.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use millpond_harness::Prometheus;
use millpond_support::Stop;
use serde::Serialize;
use serde_json::Value;

use super::applications::Applications;
use super::screen::Screen;

const CONFIGURATION: &str = include_str!("../../../../grafana/prometheus.yml");
const RULES: [(&str, &str); 2] = [
    ("alerts.yml", include_str!("../../../../grafana/rules/alerts.yml")),
    ("recording.yml", include_str!("../../../../grafana/rules/recording.yml")),
];

/// Some rounds of scraping and of evaluating rules: each is every five seconds.
const SCRAPED_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// What the server has seen of the run.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Watched {
    /// Applications that were scraped.
    pub(crate) applications: usize,
    /// Rules that were evaluated without a complaint.
    pub(crate) rules: usize,
}

/// The server, with the directory that it finds its targets in.
#[derive(Debug)]
pub(crate) struct Scrape {
    prometheus: Prometheus,
    directory: PathBuf,
}

/// Starts a server beside everything else; nothing when there is none on this machine.
pub(crate) fn in_background(directory: PathBuf) -> Option<JoinHandle<anyhow::Result<Scrape>>> {
    Prometheus::is_installed().then(|| std::thread::spawn(move || Scrape::start(&directory)))
}

/// Gives the server its targets and says where it is. The demo does without it when it does not start.
pub(crate) fn join(
    started: Option<JoinHandle<anyhow::Result<Scrape>>>,
    applications: &Applications,
    screen: &mut Screen,
) -> anyhow::Result<Option<Scrape>> {
    let Some(started) = started else {
        screen
            .say("    no Prometheus: it is not installed (Debian: prometheus); metrics are on each page, /metrics")?;
        return Ok(None);
    };
    let started = started.join().unwrap_or_else(|_| Err(anyhow!("the start panicked; see above")));
    let targets: Vec<String> = applications.pages().map(|(_, page)| page.address()).collect();
    match started.and_then(|scrape| scrape.follow(&targets).map(|()| scrape)) {
        Ok(scrape) => {
            screen.say(&format!("    {:<12} {}", "prometheus", scrape.prometheus.url()))?;
            Ok(Some(scrape))
        }
        Err(error) => {
            screen.say(&format!("    no Prometheus: {error:#}"))?;
            Ok(None)
        }
    }
}

impl Scrape {
    /// Starts the server, which has nothing to scrape yet.
    fn start(directory: &Path) -> anyhow::Result<Self> {
        for part in ["rules", "targets"] {
            fs::create_dir_all(directory.join(part)).context("make Prometheus's directory")?;
        }
        for (name, rules) in RULES {
            fs::write(directory.join("rules").join(name), rules).context("write Prometheus's rules")?;
        }
        let prometheus = Prometheus::start(directory, CONFIGURATION)?;
        Ok(Self { prometheus, directory: directory.to_owned() })
    }

    /// Scrapes these from now on: `host:port` of each.
    fn follow(&self, targets: &[String]) -> anyhow::Result<()> {
        let list = serde_json::json!([{ "targets": targets }]).to_string();
        // Renamed, because Prometheus may look at any moment.
        let new = self.directory.join("targets.json");
        fs::write(&new, list).context("write Prometheus's targets")?;
        fs::rename(&new, self.directory.join("targets/demo.json")).context("write Prometheus's targets")
    }

    /// Waits until so many applications were scraped, and all rules evaluated; tells what is wrong if they never are.
    pub(crate) fn watched(&self, applications: usize, stop: &Stop) -> Result<Watched, String> {
        let began = Instant::now();
        loop {
            let seen = self.look();
            match &seen {
                Ok(watched) if watched.applications == applications && watched.rules > 0 => return seen,
                _ if began.elapsed() < SCRAPED_MAX && !stop.is_requested() => {
                    stop.wait(LOOK);
                }
                Ok(watched) => {
                    let Watched { applications: up, rules } = watched;
                    return Err(format!(
                        "Prometheus has scraped {up} of {applications} applications, with {rules} rules"
                    ));
                }
                Err(_) => return seen,
            }
        }
    }

    fn look(&self) -> Result<Watched, String> {
        let asked = |endpoint, parameters: &[(&str, &str)]| {
            self.prometheus.api(endpoint, parameters).map_err(|error| format!("Prometheus: {error}"))
        };
        let up = asked("query", &[("query", "up == 1")])?;
        let applications = up.pointer("/result").and_then(Value::as_array).map_or(0, Vec::len);
        let groups = asked("rules", &[])?;
        let rules = groups.pointer("/groups").and_then(Value::as_array).into_iter().flatten();
        let rules: Vec<&Value> = rules.filter_map(|group| group.get("rules")?.as_array()).flatten().collect();
        let text = |rule: &Value, name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match rules.iter().find(|rule| text(rule, "health") != "ok") {
            None => Ok(Watched { applications, rules: rules.len() }),
            Some(rule) => {
                let (name, health, error) = (text(rule, "name"), text(rule, "health"), text(rule, "lastError"));
                Err(format!("the rule {name} is {health} in Prometheus {error}"))
            }
        }
    }
}
