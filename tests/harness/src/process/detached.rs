use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::exists;
use crate::{Error, wait_for};

/// A process that an earlier run has detached.
#[derive(Debug)]
pub struct Detached {
    pid: u32,
}

impl Detached {
    /// The running process whose id stands in `pid_file` and whose command line contains `place`. Numbers are used again:
    /// one without the other proves nothing.
    pub fn find(pid_file: &Path, place: &Path) -> Option<Self> {
        let pid = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
        let ps = Command::new("ps").args(["-ww", "-o", "args=", "-p", &format!("{pid}")]).output().ok()?;
        String::from_utf8_lossy(&ps.stdout).contains(place.to_str()?).then_some(Self { pid })
    }

    /// Asks the process with `signal` to end and kills it when it has not done so within `limit`.
    ///
    /// # Errors
    /// [`Error::Late`] when even SIGKILL does not end it within `limit`.
    pub fn stop(self, signal: Signal, limit: Duration) -> Result<(), Error> {
        let send = |signal| {
            if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        };
        let gone = || !exists(self.pid);
        send(signal);
        wait_for(limit, "the process ends", gone).or_else(|_| {
            send(Signal::KILL);
            wait_for(limit, "the killed process ends", gone)
        })
    }
}
