//! One run: everything is started, events are produced, everything comes through, is compared and stopped.

use std::time::{Duration, Instant};

use millpond_support::Stop;

use super::Interrupted;
use super::applications::Applications;
use super::database::Database;
use super::drain::{Groups, told, total};
use super::feed::{Counts, Feed, FeedConfig};
use super::names::Names;
use super::options::Options;
use super::picture::Viewer;
use super::report::Report;
use super::samples::SharedSamples;
use super::scrape::{self, Scrape};
use super::screen::Screen;
use super::servers::{Place, Servers};
use super::shop::Plan;
use super::verify::Verification;

const SECOND: Duration = Duration::from_secs(1);
/// How often the run looks whether the feed or the lag has come to its end.
const LOOK: Duration = Duration::from_millis(100);
/// How long the applications may take to come to the end of their inputs.
const DRAIN_MAX: Duration = Duration::from_mins(3);

/// A run with everything that it has started.
pub(super) struct Run<'r> {
    options: &'r Options,
    stop: &'r Stop,
    names: Names,
    // Applications are dropped, and so killed, before the services that they talk to.
    applications: Applications,
    viewer: Viewer,
    drawn: Instant,
    servers: Servers,
    /// Scrapes for as long as the run lasts.
    scrape: Option<Scrape>,
}

impl<'r> Run<'r> {
    /// Starts everything but the shop, and waits until it is ready.
    pub(super) fn start(
        options: &'r Options,
        stop: &'r Stop,
        screen: &mut Screen,
        place: &Place,
    ) -> anyhow::Result<Self> {
        let names = if options.has_own_services() { Names::of_this_run() } else { Names::plain() };
        screen.say("==> Kafka and PostgreSQL")?;
        let scrape = scrape::in_background(place.join("prometheus"));
        let servers = Servers::start(options, place, stop)?;
        screen.say(&format!("    Kafka {}, PostgreSQL {}", servers.bootstrap_servers, servers.shown_database()))?;
        servers.client().create_topics(&names.topics(), options.partitions(), &[])?;
        screen.say("==> redaction, fraud, attribution, loader")?;
        let mut applications = Applications::start(options, place, &servers, &names)?;
        applications.wait_until_ready(stop)?;
        for (application, page) in applications.pages() {
            screen.say(&format!("    {:<12} {page}", application.name()))?;
        }
        let scrape = scrape::join(scrape, &applications, screen)?;
        let samples = SharedSamples::follow(&servers.bootstrap_servers, &names, stop)?;
        let viewer = Viewer::new(samples, Database::connect(&servers.database_url)?);
        Ok(Self { options, stop, names, applications, viewer, drawn: Instant::now(), servers, scrape })
    }

    /// Opens the shop, and stops everything when it is over; `began` is when the demo did.
    pub(super) fn play(mut self, screen: &mut Screen, began: Instant) -> anyhow::Result<Report> {
        screen.say("==> the shop is open; Ctrl-C ends it")?;
        let mut report = Report { seed: self.options.seed, wanted_rate: self.options.rate.get(), ..Report::default() };
        let opened = Instant::now();
        let feed = Feed::start(self.feed(), self.stop)?;
        let counts = feed.counts().clone();
        while !feed.is_done() {
            self.tick(screen, &counts)?;
        }
        let (events, closed) = feed.join()?;
        report.produced(events, closed.duration_since(opened));
        if !self.stop.is_requested() {
            self.drain(screen, &counts, closed, &mut report)?;
        }
        let first = self.viewer.samples.get().first;
        report.first_result_after = first.map(|first| first.duration_since(began).as_secs_f64());
        report.applications = self.viewer.totals(&self.applications);
        report.rows = self.viewer.database().count(&self.names.processed, &self.names.attributions)?;
        if self.options.verify && report.lag_zero_after.is_some() {
            self.verify(screen, &mut report)?;
        }
        screen.say("==> stopping")?;
        self.applications.stop()?;
        self.servers.stop()?;
        Ok(report)
    }

    fn feed(&self) -> FeedConfig {
        let Options { seed, rate, users, .. } = self.options;
        let plan = Plan { seed: *seed, rate: rate.get(), users: users.get(), partitions: self.options.partitions() };
        FeedConfig {
            bootstrap_servers: self.servers.bootstrap_servers.clone(),
            topic: self.names.events.clone(),
            plan,
            events: self.options.seconds().map(|seconds| seconds.saturating_mul(u64::from(rate.get()))),
        }
    }

    /// Waits a moment and draws when it is time.
    fn tick(&mut self, screen: &mut Screen, counts: &Counts) -> anyhow::Result<()> {
        self.stop.wait(LOOK);
        self.applications.check()?;
        if self.drawn.elapsed() >= SECOND {
            self.drawn = Instant::now();
            let picture = self.viewer.look(&self.applications, counts);
            screen.draw(&if screen.is_terminal() { picture.lines(screen.width()) } else { vec![picture.line()] })?;
        }
        Ok(())
    }

    /// Waits until every group has committed everything, and notes how long that took.
    fn drain(
        &mut self,
        screen: &mut Screen,
        counts: &Counts,
        closed: Instant,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let groups = Groups::of(&self.servers, &self.names)?;
        let mut left = groups.left()?;
        report.lag_at_end = Some(total(&left));
        while !left.is_empty() {
            if self.stop.is_requested() {
                return Err(Interrupted.into());
            }
            if closed.elapsed() > DRAIN_MAX {
                report.differ(format!("lag is not zero after {} s: {}", DRAIN_MAX.as_secs(), told(&left)));
                return Ok(());
            }
            self.tick(screen, counts)?;
            left = groups.left()?;
        }
        report.lag_zero_after = Some(closed.elapsed().as_secs_f64());
        Ok(())
    }

    fn verify(&mut self, screen: &mut Screen, report: &mut Report) -> anyhow::Result<()> {
        screen.say("==> comparing every output with what the input asks for")?;
        let began = Instant::now();
        let verification = Verification {
            bootstrap_servers: &self.servers.bootstrap_servers,
            names: &self.names,
            partitions: self.options.partitions(),
            database: self.viewer.database(),
            stop: self.stop,
        };
        let findings = verification.run()?;
        if findings.events != report.events {
            report.differ(format!("events in the topic: {}, acknowledged: {}", findings.events, report.events));
        }
        report.found(findings, began.elapsed());
        if let Some(scrape) = &self.scrape {
            screen.say("==> asking Prometheus what it has seen")?;
            match scrape.watched(self.applications.pages().count(), self.stop) {
                Ok(watched) => report.watched = Some(watched),
                Err(_) if self.stop.is_requested() => return Err(Interrupted.into()),
                Err(fault) => report.differ(fault),
            }
        }
        Ok(())
    }
}
