//! One application under torment: its instance `a`, a second member `b` that comes and goes, and what they tell.

mod failpoint;
mod ordeals;
#[cfg(test)]
mod tests;

use std::time::Duration;

use millpond_harness::{Error, try_wait_for};
use millpond_scene::{Application, Scene};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fault::Fault;
use crate::points::Point;
use crate::stuck;
use crate::tally::Tally;

/// So many ends in a row that nobody asked for, without a commit between them, are a standstill.
const EXITS_MAX: u32 = 20;
/// What is done to an application.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Injection {
    Failpoint(&'static str),
    Other(Fault),
}

/// What a wait has ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Committed,
    Died,
}

/// The error that an application has ended with, and its causes, in one line.
fn last_error(log: &str) -> String {
    let Some((_, told)) = log.rsplit_once("\nerror[") else { return "nothing".to_owned() };
    let lines = told.lines().take_while(|line| !line.starts_with("  fix: ")).map(str::trim);
    format!("error[{}", lines.collect::<Vec<_>>().join("; "))
}

/// What is to be entered into the counts.
#[derive(Debug, Default)]
struct Notes {
    /// When `a` was killed last, in milliseconds since 1970.
    killed_at_ms: Option<u64>,
    /// Its state was taken away since.
    lost_disk: bool,
    /// The newest process is not in the counts yet.
    open: bool,
}

/// An application and its tormentor's notes.
pub(crate) struct Victim<'r> {
    scene: &'r Scene,
    tally: &'r Tally,
    rng: ChaCha8Rng,
    pub(crate) a: Application,
    b: Application,
    b_runs: bool,
    notes: Notes,
    /// Servers fail, too.
    pub(crate) with_servers: bool,
    patience: Duration,
}

impl<'r> Victim<'r> {
    pub(crate) fn new(scene: &'r Scene, tally: &'r Tally, binary: &'static str, seed: u64, with_servers: bool) -> Self {
        let member = |instance: &str| {
            let application = scene.application(binary, &format!("{binary}-{instance}"));
            application.arg(format!("--set=instance={instance}"))
        };
        Self {
            scene,
            tally,
            rng: ChaCha8Rng::seed_from_u64(seed),
            a: member("a"),
            b: member("b").arg("--set=on.shutdown=leave"),
            b_runs: false,
            notes: Notes::default(),
            with_servers,
            patience: Duration::from_secs(if with_servers { 180 } else { 90 }),
        }
    }

    /// Does it; afterwards `a` may run or not. False when it did not strike.
    pub(crate) fn suffer(&mut self, injection: Injection) -> Result<bool, Error> {
        let done = match injection {
            Injection::Failpoint(name) => return self.failpoint(Point::of(name)),
            Injection::Other(Fault::Kill) => self.random_kill(),
            Injection::Other(Fault::Zombie) => return self.zombie(),
            Injection::Other(Fault::Twice) => self.twice(),
            Injection::Other(Fault::Fence) => return self.fence(),
            Injection::Other(Fault::Timeout) => return self.timeout(),
            Injection::Other(Fault::Storm) => self.storm(),
            Injection::Other(_) => Ok(()),
        };
        done.map(|()| true)
    }

    /// `a` runs alone.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        self.part();
        if self.is_dead()? { self.start(None, &[]) } else { Ok(()) }
    }

    /// Stops `a` in good order.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.account();
        self.a.stop()
    }

    /// The logs of all processes that say that state was thrown away.
    pub(crate) fn wipes(&self) -> Vec<String> {
        [self.a.wipes(), self.b.wipes()].concat()
    }

    /// All logs.
    pub(crate) fn logs(&self) -> String {
        self.a.logs() + &self.b.logs()
    }

    fn is_dead(&mut self) -> Result<bool, Error> {
        Ok(self.a.starts() == 0 || self.a.ended()?.is_some())
    }

    /// Starts `a` in the place of the process before, which is killed if it runs.
    fn start(&mut self, failpoint: Option<&str>, extra: &[&str]) -> Result<(), Error> {
        if !self.is_dead()? {
            self.kill()?;
        }
        self.account();
        self.a.start_armed(failpoint, extra)?;
        self.notes.open = true;
        Ok(())
    }

    /// Kills `a` now.
    fn kill(&mut self) -> Result<(), Error> {
        // It may end by itself just now; then that is told.
        if self.a.kill().is_err() {
            return self.note_exit().map(drop);
        }
        self.account();
        self.notes.killed_at_ms = Some(now_ms());
        self.tally.injected(Fault::Kill);
        self.tally.counts().kills += 1;
        Ok(())
    }

    /// Enters the newest process into the counts, once.
    fn account(&mut self) {
        if !std::mem::take(&mut self.notes.open) {
            return;
        }
        let journal = self.a.journal();
        let mut counts = self.tally.counts();
        if let (Some(first), Some(killed)) = (journal.first_commit_ms(), self.notes.killed_at_ms) {
            let resume = first.saturating_sub(killed);
            counts.resumes_ms.push(resume);
            if !self.with_servers && !self.notes.lost_disk && !self.b_runs {
                counts.resumes_without_servers_ms.push(resume);
            }
            if !self.notes.lost_disk {
                counts.restored.push(self.a.replayed_by(self.a.starts()));
            }
            self.notes.killed_at_ms = None;
            self.notes.lost_disk = false;
        }
    }

    /// `a` has ended; notes how. True when a failpoint killed it.
    fn note_exit(&mut self) -> Result<bool, Error> {
        let status = self.a.ended()?;
        if let Some(kill) = self.a.journal().killed {
            self.account();
            self.notes.killed_at_ms = Some(kill.at_ms);
            let mut counts = self.tally.counts();
            if let Some(name) = millpond::failpoint::NAMES.iter().find(|name| **name == kill.name) {
                *counts.failpoints.entry(name).or_default() += 1;
            }
            *counts.injections.entry(Fault::Failpoint.name()).or_default() += 1;
            counts.kills += 1;
            return Ok(true);
        }
        self.account();
        let said = last_error(&self.a.log());
        let code = status.and_then(|status| status.code());
        let exit = format!("{} code={code:?} {}", self.a.binary(), said.chars().take(300).collect::<String>());
        *self.tally.counts().exits.entry(exit).or_default() += 1;
        Ok(false)
    }

    /// Waits until `a` has committed or died; starts it again when it ends by itself.
    fn await_commit(&mut self) -> Result<Seen, Error> {
        let mut exits = 0;
        loop {
            let (a, what) = (&mut self.a, format!("{} commits", self.scene.topic(self.b.binary())));
            let seen = try_wait_for(self.patience, what, || {
                if a.journal().first_commit_ms().is_some() {
                    return Ok(Some(Seen::Committed));
                }
                Ok(a.ended()?.is_some().then_some(Seen::Died))
            });
            match seen {
                Ok(Seen::Committed) => return Ok(Seen::Committed),
                Ok(Seen::Died) if self.note_exit()? => return Ok(Seen::Died),
                Ok(Seen::Died) if exits < EXITS_MAX => {
                    exits += 1;
                    self.start(None, &[])?;
                }
                Ok(Seen::Died) => return Err(self.stuck("ends again and again")),
                Err(error) => return Err(self.stuck(&error.to_string())),
            }
        }
    }

    /// It stands still: what it does, and what it said last.
    pub(crate) fn stuck(&mut self, what: &str) -> Error {
        self.tally.counts().stuck += 1;
        let (binary, log) = (self.a.binary(), self.a.log());
        let stacks = self.a.process().map(|process| stuck::dump(process.pid(), binary, &log));
        let tail: Vec<String> = log.lines().rev().take(15).map(str::to_owned).collect();
        let tail: Vec<String> = tail.into_iter().rev().collect();
        let output = format!("{binary}: {what}; stacks are in {stacks:?}; its log ends\n{}", tail.join("\n"));
        Error::Tool { tool: "an application that stands still", output }
    }

    fn join(&mut self) -> Result<(), Error> {
        self.b.start()?;
        self.b_runs = true;
        Ok(())
    }

    /// `b` leaves the group; one that has ended by itself is told.
    fn part(&mut self) {
        if std::mem::take(&mut self.b_runs) && self.b.stop().is_err() {
            let said = last_error(&self.b.log());
            *self.tally.counts().exits.entry(format!("{} b: {said}", self.b.binary())).or_default() += 1;
        }
    }

    /// A while in which nothing waits for anything: the pace of the torment.
    fn pause(&mut self, longest: Duration) {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        std::thread::park_timeout(Duration::from_micros(self.rng.random_range(0..micros.max(1))));
    }

    fn random_kill(&mut self) -> Result<(), Error> {
        self.start(None, &[])?;
        if self.await_commit()? == Seen::Committed {
            let longest = if self.with_servers { 6_000 } else { 800 };
            self.pause(Duration::from_millis(longest));
            if self.is_dead()? {
                self.note_exit()?
            } else {
                return self.kill();
            };
        }
        Ok(())
    }

    fn fence_off(&self) -> Result<(), Error> {
        self.scene.client().fence(&format!("{}-a-0", self.scene.topic(self.a.binary())))
    }
}

/// The wall clock, as the journals have it.
#[allow(clippy::disallowed_methods, reason = "journals have wall-clock times")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
