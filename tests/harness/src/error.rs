use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a service, a process or a request to one did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program or library of the set-up is not there.
    #[error("{what} not found: install it, run ./dev setup as root, or set {variable}")]
    NotInstalled {
        /// What was looked for.
        what: &'static str,
        /// The environment variable that names its place.
        variable: &'static str,
    },
    /// An application's binary could not be built or found.
    #[error("no binary of this name: cargo build --workspace --bins must succeed first, name={name}")]
    NoBinary {
        /// The binary's name.
        name: String,
    },
    /// A file or process operation failed.
    #[error("{action} failed: {source}, path={}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file, directory or program.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A tool ended with an error; its output is in the message.
    #[error("{tool} failed:\n{output}")]
    Tool {
        /// The tool's name.
        tool: &'static str,
        /// What it printed.
        output: String,
    },
    /// A process ended before it was ready; the end of its log is in the message.
    #[error("{name} ended before it was ready:\n{log}")]
    Ended {
        /// The process's name.
        name: String,
        /// The last lines of its log.
        log: String,
    },
    /// A fact did not come true in time.
    #[error("not within {limit:?}: {what}")]
    Late {
        /// The fact.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The Kafka client reported an error.
    #[error("kafka: {action}: {source}")]
    Kafka {
        /// What was attempted.
        action: String,
        /// The client's answer.
        source: rdkafka::error::KafkaError,
    },
    /// A certificate could not be made.
    #[error("making a certificate failed")]
    Certificate(#[from] rcgen::Error),
    /// The watcher that ends child processes cannot be reached.
    #[error("the process watcher is gone: nothing may be started without it")]
    WatcherGone,
    /// No free port was found.
    #[error("no free port between 20000 and 32000 on 127.0.0.1")]
    NoPort,
    /// The service in this directory has its ports, and somebody else listens on one of them.
    #[error(
        "a port of this service is in use: end what listens there, or remove the service's data, ports={numbers:?}"
    )]
    PortTaken {
        /// The service's ports.
        numbers: Vec<u16>,
    },
    /// PostgreSQL refuses to run as root and the data directory cannot be reached by another user.
    #[error(
        "PostgreSQL cannot run as root: make a user 'postgres' that can reach the directory, or install setpriv, path={}",
        path.display()
    )]
    NoUser {
        /// The data directory.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn kafka(action: impl Into<String>) -> impl FnOnce(rdkafka::error::KafkaError) -> Self {
        let action = action.into();
        move |source| Self::Kafka { action, source }
    }
}
