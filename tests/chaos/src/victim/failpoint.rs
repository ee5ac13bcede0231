//! A kill at a named step.

use std::time::Duration;

use millpond_harness::{Error, try_wait_for};

use super::{Seen, Victim};
use crate::points::{Point, Trigger};

/// How long a failpoint may take to be reached; then another is tried.
const REACHED_MAX: Duration = Duration::from_secs(20);

impl Victim<'_> {
    /// False when it was not reached.
    pub(super) fn failpoint(&mut self, point: Point) -> Result<bool, Error> {
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
            self.tally.missed(point.name);
        }
        Ok(died)
    }

    /// Waits until `a` has died of its failpoint. False when it lives on, or has died of something else.
    fn await_death(&mut self) -> Result<bool, Error> {
        let a = &mut self.a;
        let dead = try_wait_for(REACHED_MAX, "it dies", || Ok(a.ended()?.map(drop)));
        if dead.is_ok() { self.note_exit() } else { Ok(false) }
    }
}
