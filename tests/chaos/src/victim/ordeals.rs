//! What takes an application longer than a kill: it stands still, meets another one of its name, or has members come and go.

use std::time::Duration;

use millpond_harness::{Error, try_wait_for};

use super::{Victim, now_ms};
use crate::evidence;
use crate::fault::Fault;

/// The transaction's time-out for [`Fault::Timeout`], a long session, and a time between them: the broker looks for
/// transactions that have timed out every ten seconds.
const TRANSACTION_TIMEOUT: [&str; 2] = ["--set=transaction.timeout.ms=2000", "--set=session.timeout.ms=30000"];
const BEYOND_TRANSACTION: Duration = Duration::from_secs(13);

impl Victim<'_> {
    /// Frozen until the group has given its tasks to another member; then it wakes up.
    pub(super) fn zombie(&mut self) -> Result<bool, Error> {
        self.start(None, &[])?;
        self.await_commit()?;
        if !self.b_runs {
            self.join()?;
        }
        self.b_commits()?;
        let group = self.scene.topic(self.a.binary());
        self.a.process()?.pause();
        let replaced = evidence::is_replaced(self.scene.client(), &group, &format!("{group}-a-0"));
        self.a.process()?.resume();
        let struck = self.tally.strikes(Fault::Zombie, replaced?);
        self.pause(Duration::from_secs(2));
        self.part();
        Ok(struck)
    }

    fn b_commits(&mut self) -> Result<(), Error> {
        let b = &mut self.b;
        try_wait_for(self.patience, "the second member commits", || {
            Ok((b.journal().first_commit_ms().is_some() || b.ended()?.is_some()).then_some(()))
        })
    }

    /// The same instance beside itself, which is refused, and elsewhere, which throws the older one out.
    pub(super) fn twice(&mut self) -> Result<(), Error> {
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

    /// Another producer of its name: it counts when the application says that it was told.
    pub(super) fn fence(&mut self) -> Result<bool, Error> {
        self.recover()?;
        self.await_commit()?;
        let seen = self.a.log().len();
        self.fence_off()?;
        let told = evidence::shows(seen, || self.a.log(), evidence::tells_of_a_fencing);
        self.pause(Duration::from_secs(1));
        Ok(self.tally.strikes(Fault::Fence, told))
    }

    /// Frozen in the middle of a transaction, until the coordinator has ended that: it counts when the application says so.
    pub(super) fn timeout(&mut self) -> Result<bool, Error> {
        self.start(None, &TRANSACTION_TIMEOUT)?;
        self.await_commit()?;
        self.pause(Duration::from_millis(200));
        let seen = self.a.log().len();
        self.a.process()?.pause();
        std::thread::park_timeout(BEYOND_TRANSACTION);
        self.a.process()?.resume();
        let told = evidence::shows(seen, || self.a.log(), evidence::tells_of_a_time_out);
        self.pause(Duration::from_secs(1));
        self.start(None, &[])?;
        Ok(self.tally.strikes(Fault::Timeout, told))
    }

    /// A second member joins and leaves; neither waits for the other.
    pub(super) fn storm(&mut self) -> Result<(), Error> {
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
