mod config;
mod security;
mod tools;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

pub use security::{KEY_PASSWORD, Secured, Security};

use crate::port::Port;
use crate::{Client, Detached, Error, Launch, Process, Scratch, install, try_wait_for};

/// How long a broker may take from start to its first answer.
const READY: Duration = Duration::from_mins(1);

/// How a broker is started. `KafkaOptions::default()` suits tests.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The JVM's heap, in MiB; 512 unless told otherwise.
    pub heap_mib: u32,
    /// Whether the JVM compiles for hours under load instead of for a quick start; off unless told otherwise.
    pub long_running: bool,
    /// Broker properties that override or complete the harness's own.
    pub properties: Vec<(String, String)>,
    /// Listeners with encryption and authentication beside the plain one; none unless told otherwise.
    pub security: Option<Security>,
    /// The address of a [`Proxy`](crate::Proxy), which is told to the clients of a further plaintext listener as its own;
    /// none unless told otherwise.
    pub proxied: Option<String>,
    /// What the node is in its cluster; a broker that is its own controller unless told otherwise.
    pub role: Role,
}

/// What a node is in its cluster.
#[derive(Debug, Clone, Default)]
pub enum Role {
    /// Broker and controller in one process: a cluster of its own.
    #[default]
    Both,
    /// The controller alone, for brokers that join it.
    Controller,
    /// A broker alone.
    Broker {
        /// Its id; 1 is the controller's.
        id: u32,
        /// `host:port` of the controller that it joins.
        controller: String,
    },
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            heap_mib: 512,
            long_running: false,
            properties: Vec::new(),
            security: None,
            proxied: None,
            role: Role::Both,
        }
    }
}

/// A Kafka broker of one node (`KRaft`), with its data in one directory and its ports kept over restarts.
#[derive(Debug)]
pub struct Kafka {
    dir: PathBuf,
    options: KafkaOptions,
    bootstrap_servers: String,
    controller: String,
    behind_proxy: String,
    secured: Option<Secured>,
    process: Option<Process>,
    _ports: [Port; 5],
}

impl Kafka {
    /// The broker that all tests of this process share; started by the first call, ended with the process.
    ///
    /// # Errors
    /// As [`Kafka::start`]; every later call repeats the first one's failure as [`Error::Tool`].
    pub fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceLock<Result<Kafka, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let scratch = Scratch::new("kafka").map_err(|error| error.to_string())?;
            Self::start(scratch.path()).map_err(|error| error.to_string())
        });
        shared.as_ref().map_err(|output| Error::Tool { tool: "the shared Kafka", output: output.clone() })
    }

    /// Starts a broker with its data under `dir`, on free ports, and waits until it answers.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] before `./dev setup`, [`Error::Ended`] with the broker's log when it does not come up.
    pub fn start(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::start_with(dir, KafkaOptions::default())
    }

    /// Like [`Kafka::start`], with options.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(dir: impl Into<PathBuf>, options: KafkaOptions) -> Result<Self, Error> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::io("make the directory", &dir))?;
        let dir = dir.canonicalize().map_err(Error::io("find the directory", dir))?;
        let ports = Port::kept(&dir.join("ports"))?;
        let [broker, controller, ssl, sasl_ssl, proxied] = &ports;
        let controller_address = controller.address();
        let secured = options.security.as_ref();
        let secured = secured.map(|_| Secured::listen(&dir.join("tls"), ssl.address(), sasl_ssl.address()));
        let secured = secured.transpose()?;
        let text = config::properties(&dir, [broker, controller, proxied], secured.as_ref(), &options);
        let file = dir.join("server.properties");
        fs::write(&file, text).map_err(Error::io("write the configuration", &file))?;
        if !dir.join("data/meta.properties").is_file() {
            config::format_storage(&dir, &options)?;
        }
        let (bootstrap_servers, behind_proxy) = (broker.address(), proxied.address());
        let mut kafka = Self {
            dir,
            options,
            bootstrap_servers,
            controller: controller_address,
            behind_proxy,
            secured,
            process: None,
            _ports: ports,
        };
        kafka.restart()?;
        Ok(kafka)
    }

    /// Starts a stopped or killed broker again, on its data and ports; a running one is left alone.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        let mut process = self.launch()?.start()?;
        let client = self.client();
        try_wait_for(READY, "Kafka answers", || {
            if process.ended()?.is_some() {
                return Err(Error::Ended { name: "Kafka".into(), log: process.log_tail() });
            }
            if matches!(self.options.role, Role::Controller) {
                return Ok(TcpStream::connect(&self.controller).ok().map(drop));
            }
            // A listening port is not yet a broker: the answer must name one.
            Ok(client.broker_count().ok().filter(|count| *count > 0).map(drop))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// `host:port` of the plaintext listener.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// `host:port` of the controller, for nodes that join.
    pub fn controller(&self) -> &str {
        &self.controller
    }

    /// `host:port` that a proxy forwards to, if the options named one.
    pub fn behind_proxy(&self) -> &str {
        &self.behind_proxy
    }

    /// Partitions of this broker with a transaction that its coordinator holds for ended: one that stays open for ever. As
    /// `kafka-transactions.sh find-hanging` prints them.
    ///
    /// # Errors
    /// [`Error::Tool`] with what the tool said.
    pub fn hanging_transactions(&self) -> Result<Vec<String>, Error> {
        let broker = if let Role::Broker { id, .. } = self.options.role { id } else { 1 };
        tools::hanging_transactions(&self.dir, &self.bootstrap_servers, broker)
    }

    /// A client of the plaintext listener.
    pub fn client(&self) -> Client {
        Client::new(&self.bootstrap_servers)
    }

    /// The secured listeners, if the options asked for them.
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// Kills the broker with SIGKILL.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.as_mut().map_or(Ok(()), |process| process.kill().map(drop))
    }

    /// Stops the broker with SIGTERM, and with SIGKILL when it takes over 20 seconds.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn stop(&mut self) -> Result<(), Error> {
        self.process.as_mut().map_or(Ok(()), |process| process.stop().map(drop))
    }

    /// Lets the broker outlive this process; [`Kafka::detached`] finds it again.
    ///
    /// # Errors
    /// As [`Process::detach`].
    pub fn detach(mut self) -> Result<(), Error> {
        let pid_file = self.dir.join("pid");
        self.process.take().map_or(Ok(()), |process| process.detach(&pid_file))
    }

    /// The detached broker that runs on the data in `dir`. SIGTERM ends it in good order.
    pub fn detached(dir: &Path) -> Option<Detached> {
        Detached::find(&dir.join("pid"), dir)
    }

    /// The broker's process, while there is one.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The file with everything that the broker has printed.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    fn launch(&self) -> Result<Launch, Error> {
        let java = Launch::new(install::java()?, self.log_path()).arg(format!("-Xmx{}m", self.options.heap_mib));
        let java = java.args(["-Xms128m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]);
        // Half of a short run is JIT work otherwise, on the cores that the tests need.
        let java = if self.options.long_running { java } else { java.arg("-XX:TieredStopAtLevel=1") };
        let java = java.args([
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        ]);
        let broker = java.args(["-cp", &config::classpath()?, "kafka.Kafka"]);
        Ok(broker.arg(self.dir.join("server.properties")))
    }
}
