//! The four applications as child processes.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millpond_harness::{Launch, Process, beside_this_program};
use millpond_support::Stop;

use super::Interrupted;
use super::names::{APPLICATIONS, Application, Names};
use super::options::Options;
use super::page::Page;
use super::servers::{Place, Servers};

const READY: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

/// A running application.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) application: Application,
    process: Process,
    page: Option<Page>,
}

/// All of them, in the order of [`APPLICATIONS`]. They are killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Applications(Vec<Running>);

impl Applications {
    /// Starts them; [`Applications::wait_until_ready`] comes next.
    pub(crate) fn start(options: &Options, place: &Place, servers: &Servers, names: &Names) -> anyhow::Result<Self> {
        let start = |application: Application| {
            let launch = launch(application, options, place, servers, names)?;
            let process = launch.start().with_context(|| format!("start {}", application.name()))?;
            Ok(Running { application, process, page: None })
        };
        APPLICATIONS.into_iter().map(start).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Waits until each says that all its tasks run.
    pub(crate) fn wait_until_ready(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.check()?;
            let mut late = self.0.iter_mut().filter_map(|running| (!running.is_ready()).then_some(&running.process));
            let Some(late) = late.next() else { return Ok(()) };
            if began.elapsed() > READY {
                bail!("{} is not ready after {} s:\n{}", late.name(), READY.as_secs(), late.log_tail());
            }
            if stop.wait(LOOK) {
                return Err(Interrupted.into());
            }
        }
    }

    /// An error when one has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for Running { process, .. } in &mut self.0 {
            if let Some(status) = process.ended()? {
                bail!("{} has ended by itself ({status}):\n{}", process.name(), process.log_tail());
            }
        }
        Ok(())
    }

    /// The applications with the addresses of their pages.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (Application, &Page)> {
        self.0.iter().filter_map(|running| Some((running.application, running.page.as_ref()?)))
    }

    /// Asks all at once to stop; an error when one does not end in good order.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let stop = |mut running: Running| {
            std::thread::spawn(move || {
                let status = running.process.stop()?;
                if !status.success() {
                    bail!("{} stopped with {status}:\n{}", running.process.name(), running.process.log_tail());
                }
                Ok(())
            })
        };
        let stopping: Vec<_> = self.0.into_iter().map(stop).collect();
        let stopped = stopping.into_iter().map(|thread| match thread.join() {
            Ok(stopped) => stopped,
            Err(_) => bail!("stopping an application panicked; see above"),
        });
        stopped.collect::<Vec<_>>().into_iter().collect()
    }
}

impl Running {
    fn is_ready(&mut self) -> bool {
        if self.page.is_none() {
            self.page = Page::announced_in(&self.process.log());
        }
        self.page.as_ref().is_some_and(|page| page.get("/readyz").is_ok())
    }
}

fn launch(
    application: Application,
    options: &Options,
    place: &Place,
    servers: &Servers,
    names: &Names,
) -> anyhow::Result<Launch> {
    let log = place.join(&format!("{}.log", application.name()));
    let launch = Launch::new(beside_this_program(application.name())?, log)
        .args(["--bootstrap-servers", &servers.bootstrap_servers])
        .args(["--application-id", &names.id(application)])
        .arg("--state-dir")
        .arg(place.join("state"))
        .args(["--threads", &options.threads.to_string()])
        // Any free port: the page's address is read from the log.
        .args(["--http", "127.0.0.1:0", "--log-format", "json"])
        .arg("--set")
        .arg(format!("errors.dead.letter.queue.topic.name={}", names.dead_letters(application)));
    let topics = |output: &str| ["--input".to_owned(), names.events.clone(), "--output".to_owned(), output.to_owned()];
    Ok(match application {
        Application::Redaction => launch.args(topics(&names.processed)),
        Application::Fraud => launch.args(topics(&names.alerts)),
        Application::Attribution => launch.args(topics(&names.attributions)),
        Application::Loader => loader(launch, servers, names),
    })
}

fn loader(launch: Launch, servers: &Servers, names: &Names) -> Launch {
    let inputs = format!("{},{}", names.processed, names.attributions);
    // In the environment, not among the arguments, which everybody on the machine can read.
    launch.args(["--input", &inputs]).env("MILLPOND_APP_DATABASE_URL", &servers.database_url)
}
