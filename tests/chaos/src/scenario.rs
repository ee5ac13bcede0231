//! Faults with a script of their own: one application, some events, something damaged, and what must come of it.

mod changelog;
mod clock;
mod damage;
mod disk;
mod offsets;

use millpond_harness::{Error, Scratch, try_wait_for};
use millpond_scene::{Application, LIMIT, Place, Scene, Shop};

use crate::fault::Fault;
use crate::round::nothing_is_open;
use crate::servers::Servers;
use crate::tally::{Tally, eprint};

/// Events between two deeds of a script.
const EVENTS: usize = 5_000;

/// The faults that have a script.
pub(crate) const SCRIPTED: [Fault; 7] =
    [Fault::Damage, Fault::Offsets, Fault::Recreated, Fault::Truncated, Fault::Garbage, Fault::DiskFull, Fault::Clock];

/// Plays the script of a fault. What is not as it must be is in the tally.
pub(crate) fn play(servers: &Servers, tally: &Tally, fault: Fault, seed: u64) -> Result<(), Error> {
    let mut stage = Stage::new(servers, tally, fault, seed)?;
    match fault {
        Fault::Damage => damage::play(&mut stage, seed),
        Fault::Offsets => offsets::play(&mut stage),
        Fault::Recreated => changelog::recreated(&mut stage),
        Fault::Truncated => changelog::truncated(&mut stage),
        Fault::Garbage => changelog::garbage(&mut stage),
        Fault::DiskFull => disk::play(&mut stage),
        Fault::Clock => clock::play(&mut stage),
        _ => Ok(()),
    }?;
    drop(stage);
    nothing_is_open(fault.name(), servers, tally);
    eprint(&format!("scenario {fault} is over"));
    Ok(())
}

/// The scene of a script: attribution, which has two stores.
struct Stage<'r> {
    scene: Scene,
    tally: &'r Tally,
    fault: Fault,
    shop: Shop,
    events: u64,
    app: Application,
}

const BINARY: &str = "attribution";

impl<'r> Stage<'r> {
    fn new(servers: &Servers, tally: &'r Tally, fault: Fault, seed: u64) -> Result<Self, Error> {
        let name = format!("script-{fault}");
        let place = Place {
            bootstrap_servers: servers.brokers.clone(),
            replicas: servers.replicas,
            database: servers.database()?,
            dir: Scratch::new(&name)?.path().to_owned(),
        };
        let scene = Scene::at(&name, place)?;
        let app = scene.application(BINARY, BINARY).arg("--set=instance=a").arg("--set=on.shutdown=leave");
        Ok(Self { scene, tally, fault, shop: Shop::new(seed), events: 0, app })
    }

    /// Writes some events.
    fn feed(&mut self) -> Result<(), Error> {
        self.events += EVENTS as u64;
        self.scene.feed(self.shop.by_ref().take(EVENTS))
    }

    /// Writes some events and waits until they have come through.
    fn flow(&mut self) -> Result<(), Error> {
        self.feed()?;
        self.drain()
    }

    fn drain(&self) -> Result<(), Error> {
        self.scene.drain(BINARY)
    }

    /// The fault has struck.
    fn struck(&self) {
        self.tally.injected(self.fault);
    }

    /// The application must refuse to start, in these words.
    fn refuses(&mut self, words: &str) -> Result<(), Error> {
        self.app.start()?;
        let app = &mut self.app;
        match try_wait_for(LIMIT, "it refuses", || app.ended()) {
            Ok(status) if status.code() == Some(1) && self.app.log().contains(words) => {}
            other => {
                let log = self.app.log();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                self.tally.complain(format!("{}: `{words}` was not said: {other:?} {tail:?}", self.fault));
            }
        }
        Ok(())
    }

    /// Compares everything, and stops the application. State may have been thrown away, as this fault demands.
    fn judge(&mut self) -> Result<(), Error> {
        self.drain()?;
        self.app.stop()?;
        let mut findings = self.scene.verify(BINARY)?;
        findings.absorb(self.scene.oracle().verify_stores(BINARY, self.app.state_dir(), "a")?);
        self.enter(findings);
        Ok(())
    }

    /// Compares the outputs alone, for an application that must not start again.
    fn judge_outputs(&mut self) -> Result<(), Error> {
        let findings = self.scene.verify(BINARY)?;
        self.enter(findings);
        Ok(())
    }

    fn enter(&self, findings: millpond_scene::Findings) {
        if !findings.is_clean() {
            self.tally.complain(format!("{}: {:#?}", self.fault, findings.first));
        }
        let mut counts = self.tally.counts();
        counts.findings.absorb(findings);
        counts.events += self.events;
        counts.records_in += self.events;
    }
}

/// What the operating system refuses.
fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Tool { tool: action, output: error.to_string() }
}
