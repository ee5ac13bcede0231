//! Child processes: started, signalled, waited for, and never left behind.

mod detached;
pub(crate) mod watcher;

pub use detached::Detached;

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process, kill_process_group};

pub use rustix::process::Signal;

use crate::{Error, try_wait_for};

/// How long a process may take to end after SIGTERM before it is killed, unless told otherwise.
const GRACE: Duration = Duration::from_secs(20);

/// A program with its arguments, not yet started.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    log: PathBuf,
    user: Option<(u32, u32)>,
}

impl Launch {
    /// A launch of `program` whose standard output and error are appended to the file `log`.
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (args, env) = (Vec::new(), Vec::new());
        Self { name, program, args, env, log: log.into(), user: None }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// The same with more arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The same with an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The same under another user and group id; only root may do this.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Starts the program, in its own process group and without input.
    ///
    /// # Errors
    /// [`Error::Io`] when the program or the log file cannot be opened, [`Error::WatcherGone`] when nothing would end the
    /// program after this process.
    pub fn start(self) -> Result<Process, Error> {
        let append = || OpenOptions::new().create(true).append(true).open(&self.log);
        let log = append().map_err(Error::io("open the log", &self.log))?;
        let errors = log.try_clone().map_err(Error::io("open the log", &self.log))?;
        // The shell waits for a word from us before it becomes the program: only a process that the watcher knows may
        // run. If this process dies first, the word never comes and the shell ends.
        let mut command = Command::new("sh");
        command.args(["-c", r#"read -r go && exec "$@" </dev/null"#, "sh"]).arg(&self.program).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
        if let Some((uid, gid)) = self.user {
            // The directory of this process may be out of reach for the other user.
            command.uid(uid).gid(gid).current_dir("/");
        }
        if !self.program.is_file() {
            let missing = std::io::ErrorKind::NotFound.into();
            return Err(Error::io("start the program", &self.program)(missing));
        }
        let mut child = command.spawn().map_err(Error::io("start the program", &self.program))?;
        let gate = child.stdin.take();
        let process = Process { launch: self, child, ended: None, detached: false };
        watcher::watch(process.pid())?; // before the word: see above
        if let Some(mut gate) = gate {
            gate.write_all(b"go\n").map_err(Error::io("start the program", &process.launch.program))?;
        }
        Ok(process)
    }
}

/// A started process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    ended: Option<ExitStatus>,
    detached: bool,
}

impl Process {
    /// The process id, which is also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program's file name.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// The file that holds the process's standard output and error.
    pub fn log_path(&self) -> &Path {
        &self.launch.log
    }

    /// What the process has printed so far; bytes that are not UTF-8 are replaced.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.launch.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of the log, for an error message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// [`Error::Io`] when the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().map_err(Error::io("wait for the process", &self.launch.program))?;
            if self.ended.is_some() && !self.detached {
                // Children of the process die with it; only then may the watcher forget the group.
                self.signal_group(Signal::KILL);
                watcher::forget(self.pid())?;
            }
        }
        Ok(self.ended)
    }

    /// Waits at most `limit` for the process to end by itself.
    ///
    /// # Errors
    /// [`Error::Late`] when it still runs.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let what = format!("{} ends", self.launch.name);
        try_wait_for(limit, what, || self.ended())
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Io`] when the system cannot tell whether it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        if self.ended()?.is_none() {
            self.signal(Signal::KILL);
        }
        self.wait(GRACE)
    }

    /// Asks the process with SIGTERM to end and kills it when it has not done so within 20 seconds.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn stop(&mut self) -> Result<ExitStatus, Error> {
        self.stop_with(Signal::TERM, GRACE)
    }

    /// Like [`Process::stop`], with the signal and the time it has.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn stop_with(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus, Error> {
        if self.ended()?.is_none() {
            self.signal(signal);
        }
        match self.wait(limit) {
            Err(Error::Late { .. }) => self.kill(),
            done => done,
        }
    }

    /// Lets the process outlive this one; `pid_file` is where [`Detached::find`] finds it again.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; the process then still ends with this one.
    pub fn detach(mut self, pid_file: &Path) -> Result<(), Error> {
        // The file comes first: a process that nobody could find again must not stay.
        fs::write(pid_file, self.pid().to_string()).map_err(Error::io("write the process id", pid_file))?;
        watcher::forget(self.pid())?;
        self.detached = true;
        Ok(())
    }

    /// Asks the process with SIGTERM to end, and does not wait.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops the process in its tracks (SIGSTOP), until [`Process::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // A process that has ended but was not waited for still has its number: the signal cannot go astray.
        if self.ended.is_none()
            && let Some(pid) = self.raw_pid()
        {
            let _ = kill_process(pid, signal);
        }
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(pid) = self.raw_pid() {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn raw_pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid()).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached {
            let _ = self.kill();
        }
    }
}

/// Whether a process with this id exists, also as a zombie.
pub fn exists(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}
