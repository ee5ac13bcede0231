use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::port::Port;
use crate::{Detached, Error, Launch, Process, Scratch, install, try_wait_for};

const READY: Duration = Duration::from_mins(1);
const INITDB: Duration = Duration::from_mins(2);

/// How a server is started. `PostgresOptions::default()` suits tests.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Whether commits wait for the disk. Off by default: a killed process loses nothing without it, only a machine does.
    pub fsync: bool,
    /// Server settings, such as `max_connections`.
    pub settings: Vec<(String, String)>,
}

/// A private PostgreSQL server on 127.0.0.1, with its data in one directory and its port kept over restarts.
/// Everyone on this machine may connect as `postgres`, without a password.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    options: PostgresOptions,
    port: Port,
    process: Option<Process>,
}

impl Postgres {
    /// The server that all tests of this process share; started by the first call, ended with the process.
    ///
    /// # Errors
    /// As [`Postgres::start`]; every later call repeats the first one's failure as [`Error::Tool`].
    pub fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let scratch = Scratch::new("postgres").map_err(|error| error.to_string())?;
            Self::start(scratch.path()).map_err(|error| error.to_string())
        });
        shared.as_ref().map_err(|output| Error::Tool { tool: "the shared PostgreSQL", output: output.clone() })
    }

    /// Starts a server with its data under `dir`, on a free port, and waits until it answers a query.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] before `./dev setup`, [`Error::Ended`] with the server's log when it does not come up.
    pub fn start(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::start_with(dir, PostgresOptions::default())
    }

    /// Like [`Postgres::start`], with options.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(dir: impl Into<PathBuf>, options: PostgresOptions) -> Result<Self, Error> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::io("make the directory", &dir))?;
        let dir = dir.canonicalize().map_err(Error::io("find the directory", dir))?;
        let [port] = Port::kept(&dir.join("ports"))?;
        let mut postgres = Self { dir, options, port, process: None };
        if !postgres.data().join("PG_VERSION").is_file() {
            postgres.init()?;
        }
        postgres.restart()?;
        Ok(postgres)
    }

    /// Starts a stopped or killed server again, on its data and port; a running one is left alone.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        // The backends of a killed server end by themselves, but not at once; until then a new one refuses to start.
        let process = try_wait_for(READY, "PostgreSQL answers", || {
            let mut process = match self.process.take() {
                Some(process) => process,
                None => self.launch()?.start()?,
            };
            let ended = process.ended()?.is_some();
            if ended && !process.log_tail().contains("shared memory block") && !process.log_tail().contains("lock file")
            {
                return Err(Error::Ended { name: "PostgreSQL".into(), log: process.log_tail() });
            }
            if ended {
                return Ok(None);
            }
            if self.query("postgres", "select 1").is_ok() {
                return Ok(Some(process));
            }
            self.process = Some(process);
            Ok(None)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// The URL of the database `postgres`.
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of a database of this server, whether it exists or not.
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.number)
    }

    /// Creates an empty database with a name of its own and returns its URL.
    ///
    /// # Errors
    /// [`Error::Tool`] when the server refuses.
    pub fn create_database(&self) -> Result<String, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("create database {name}"))?;
        Ok(self.database_url(&name))
    }

    /// Runs SQL in a database, given by name or URL, with `psql`, and returns its rows as text; null is an empty string.
    ///
    /// # Errors
    /// [`Error::Tool`] with the server's message.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        if database.contains("://") { query(database, sql) } else { query(&self.database_url(database), sql) }
    }

    /// Kills the server with SIGKILL; its backends notice and end.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.take().map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Stops the server: connections are cut, data is written (PostgreSQL's fast shutdown).
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn stop(&mut self) -> Result<(), Error> {
        let limit = Duration::from_secs(20);
        self.process.take().map_or(Ok(()), |mut process| process.stop_with(Signal::INT, limit).map(drop))
    }

    /// Lets the server outlive this process; [`Postgres::detached`] finds it again.
    ///
    /// # Errors
    /// As [`Process::detach`].
    pub fn detach(mut self) -> Result<(), Error> {
        let pid_file = self.dir.join("pid");
        self.process.take().map_or(Ok(()), |process| process.detach(&pid_file))
    }

    /// The detached server that runs on the data in `dir`. SIGINT ends it in good order, without waiting for clients.
    pub fn detached(dir: &Path) -> Option<Detached> {
        Detached::find(&dir.join("pid"), dir)
    }

    /// The server's process, while there is one.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    fn init(&self) -> Result<(), Error> {
        let data = self.data();
        fs::create_dir_all(&data).map_err(Error::io("make the directory", &data))?;
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = service_user().ok_or_else(|| Error::NoUser { path: data.clone() })?;
            std::os::unix::fs::chown(&data, Some(uid), Some(gid))
                .map_err(Error::io("give away the directory", &data))?;
        }
        let launch = unprivileged(install::postgres("initdb")?, self.log_path(), &data)?.arg("-D").arg(&data);
        let args = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        let mut initdb = launch.args(args).start()?;
        if initdb.wait(INITDB)?.success() {
            return Ok(());
        }
        // Half a cluster would be taken for a whole one by the next start.
        let log = initdb.log_tail();
        fs::remove_dir_all(&data).map_err(Error::io("remove the directory", &data))?;
        Err(Error::Ended { name: "initdb".into(), log })
    }

    fn launch(&self) -> Result<Launch, Error> {
        let log = self.log_path();
        // Only what this start prints may decide whether it is tried again.
        let _ = fs::remove_file(&log);
        let launch = unprivileged(install::postgres("postgres")?, log, &self.data())?.arg("-D").arg(self.data());
        let port = self.port.number.to_string();
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", port.as_str()),
            // No socket: its path would have to be short, and two ways in are one too many.
            ("unix_socket_directories", ""),
            ("fsync", if self.options.fsync { "on" } else { "off" }),
            ("shared_buffers", "64MB"),
        ];
        let settings = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all = own.into_iter().chain(settings);
        Ok(all.fold(launch, |launch, (name, value)| launch.arg("-c").arg(format!("{name}={value}"))))
    }
}

/// Runs SQL in the database with this URL, as [`Postgres::query`] does.
///
/// # Errors
/// [`Error::Tool`] with the server's message.
pub fn query(url: &str, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let psql = install::postgres("psql")?;
    let mut command = std::process::Command::new(&psql);
    command.args(["-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    let output = command.env("PGCONNECT_TIMEOUT", "5").output().map_err(Error::io("run psql", psql))?;
    if !output.status.success() {
        return Err(Error::Tool { tool: "psql", output: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// A launch of one of PostgreSQL's programs, which refuse to run as root, as a user that can reach `data`.
fn unprivileged(program: PathBuf, log: PathBuf, data: &Path) -> Result<Launch, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Launch::new(program, log));
    }
    let refused = || Error::NoUser { path: data.to_owned() };
    let (uid, gid) = service_user().ok_or_else(refused)?;
    let reachable = |dir: &Path| fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    if data.ancestors().skip(1).all(reachable) {
        return Ok(Launch::new(program, log).user(uid, gid));
    }
    // A clone below root's home: the user may pass through directories that are closed to others, and nothing else of
    // root's is left to it.
    let setpriv = install::on_path("setpriv").ok_or_else(refused)?;
    let user = [format!("--reuid={uid}"), format!("--regid={gid}")];
    let through = ["--clear-groups", "--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override", "--"];
    Ok(Launch::new(setpriv, log).args(user).args(through).arg(program))
}

/// User and group id of `postgres`, or else of `nobody`.
fn service_user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
