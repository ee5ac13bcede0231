//! One application under torment: its instance `a`, a second member `b` that comes and goes, and what they tell.

use std::time::Duration;

use millpond_harness::{Error, try_wait_for};
use millpond_scene::{Application, Scene};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fault::Fault;
use crate::points::{Point, Trigger};
use crate::stuck;
use crate::tally::Tally;

/// How long a failpoint may take to be reached; then another is tried.
const REACHED_MAX: Duration = Duration::from_secs(20);
/// So many ends in a row that nobody asked for, without a commit between them, are a standstill.
const EXITS_MAX: u32 = 20;
/// Longer than the session: its member is given up.
const BEYOND_SESSION: Duration = Duration::from_secs(13);
/// The transaction's time-out for [`Fault::Timeout`], a long session, and a time between them: the broker looks for
/// transactions that have timed out every ten seconds.
const TRANSACTION_TIMEOUT: [&str; 2] = ["--set=transaction.timeout.ms=2000", "--set=session.timeout.ms=30000"];
const BEYOND_TRANSACTION: Duration = Duration::from_secs(13);

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
            Injection::Other(Fault::Zombie) => self.zombie(),
            Injection::Other(Fault::Twice) => self.twice(),
            Injection::Other(Fault::Fence) => self.fence(),
            Injection::Other(Fault::Timeout) => self.timeout(),
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

    /// Waits until `a` has died of its failpoint. False when it lives on, or has died of something else.
    fn await_death(&mut self) -> Result<bool, Error> {
        let a = &mut self.a;
        let dead = try_wait_for(REACHED_MAX, "it dies", || Ok(a.ended()?.map(drop)));
        if dead.is_ok() { self.note_exit() } else { Ok(false) }
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

    /// False when it was not reached.
    fn failpoint(&mut self, point: Point) -> Result<bool, Error> {
        if point.trigger == Trigger::LostDisk {
            // So that there is something to restore.
            self.random_kill()?;
        }
        if !self.is_dead()? {
            self.kill()?;
        }
        if point.trigger == Trigger::LostDisk && self.a.state_dir().exists() {
            let removed = std::fs::remove_dir_all(self.a.state_dir());
            removed.map_err(|error| Error::Tool { tool: "remove a state", output: error.to_string() })?;
        }
        let armed = point.armed(&mut self.rng);
        self.start(Some(&armed), &[])?;
        self.notes.lost_disk |= point.trigger == Trigger::LostDisk;
        let alive = |seen| seen == Seen::Committed;
        match point.trigger {
            Trigger::Load | Trigger::LostDisk => {}
            Trigger::Stop => {
                if alive(self.await_commit()?) {
                    self.a.process()?.terminate();
                }
            }
            Trigger::Fence => {
                if alive(self.await_commit()?) {
                    self.fence_off()?;
                }
            }
            Trigger::Join => {
                if alive(self.await_commit()?) {
                    if self.b_runs {
                        self.part();
                    } else {
                        self.join()?;
                    }
                }
            }
        }
        let done = self.is_dead()? && self.a.journal().killed.is_some() && !self.notes.open;
        let died = done || self.await_death()?;
        if !died {
            *self.tally.counts().missed.entry(point.name).or_default() += 1;
        }
        Ok(died)
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

    /// Frozen until another member has its tasks; then it wakes up.
    fn zombie(&mut self) -> Result<(), Error> {
        self.start(None, &[])?;
        self.await_commit()?;
        if !self.b_runs {
            self.join()?;
        }
        self.b_commits()?;
        self.a.process()?.pause();
        std::thread::park_timeout(BEYOND_SESSION);
        self.a.process()?.resume();
        self.tally.injected(Fault::Zombie);
        self.pause(Duration::from_secs(2));
        self.part();
        Ok(())
    }

    fn b_commits(&mut self) -> Result<(), Error> {
        let b = &mut self.b;
        try_wait_for(self.patience, "the second member commits", || {
            Ok((b.journal().first_commit_ms().is_some() || b.ended()?.is_some()).then_some(()))
        })
    }

    /// The same instance beside itself, which is refused, and elsewhere, which throws the older one out.
    fn twice(&mut self) -> Result<(), Error> {
        self.recover()?;
        self.await_commit()?;
        let binary = self.a.binary();
        let process = |label: &str| {
            let label = format!("{binary}-{label}-{}", now_ms());
            self.scene.application(binary, &label).arg("--set=instance=a")
        };
        let (mut beside, mut elsewhere) = (process("beside").beside(&self.a), process("elsewhere"));
        beside.start()?;
        let refused = beside.wait()?;
        if refused.code() != Some(1) || !beside.log().contains("already running here") {
            self.tally.complain(format!("{binary}: a second process of the name was not refused: {refused}"));
        }
        elsewhere.start()?;
        // The group decides which one stays: whoever joined last. The older one hears of it, and says why it ends.
        let ended = try_wait_for(self.patience, "the older of two instances ends", || self.a.ended());
        let told = self.a.log().contains("same instance name");
        if !told || ended.as_ref().ok().and_then(std::process::ExitStatus::code) != Some(1) {
            self.tally.complain(format!("{binary}: two instances of one name: {ended:?}"));
        }
        if let Some(status) = elsewhere.ended()? {
            self.tally.complain(format!("{binary}: the newer of two instances has ended, too: {status}"));
        }
        self.account();
        self.notes.killed_at_ms = None;
        elsewhere.process()?.kill()?;
        self.tally.injected(Fault::Twice);
        self.tally.counts().kills += 1;
        // The tasks moved to another disk and came back: there may be much to replay.
        self.start(None, &[])?;
        self.notes.lost_disk = true;
        self.await_commit().map(drop)
    }

    fn fence_off(&self) -> Result<(), Error> {
        self.scene.client().fence(&format!("{}-a-0", self.scene.topic(self.a.binary())))
    }

    fn fence(&mut self) -> Result<(), Error> {
        self.recover()?;
        self.await_commit()?;
        self.fence_off()?;
        self.tally.injected(Fault::Fence);
        self.pause(Duration::from_secs(1));
        Ok(())
    }

    fn timeout(&mut self) -> Result<(), Error> {
        self.start(None, &TRANSACTION_TIMEOUT)?;
        self.await_commit()?;
        self.pause(Duration::from_millis(200));
        self.a.process()?.pause();
        std::thread::park_timeout(BEYOND_TRANSACTION);
        self.a.process()?.resume();
        self.tally.injected(Fault::Timeout);
        self.pause(Duration::from_secs(1));
        self.start(None, &[])
    }

    /// A second member joins and leaves; neither waits for the other.
    fn storm(&mut self) -> Result<(), Error> {
        self.recover()?;
        self.await_commit()?;
        for _ in 0..4 {
            self.join()?;
            self.pause(Duration::from_secs(4));
            self.part();
            self.pause(Duration::from_secs(2));
            self.tally.injected(Fault::Storm);
        }
        Ok(())
    }
}

/// The wall clock, as the journals have it.
#[allow(clippy::disallowed_methods, reason = "journals have wall-clock times")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
