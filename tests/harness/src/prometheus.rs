use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::port::Port;
use crate::{Error, Launch, Process, install, try_wait_for};

const READY: Duration = Duration::from_mins(1);
const ANSWER: Duration = Duration::from_secs(10);

/// A private Prometheus server on 127.0.0.1, with its data in one directory. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    port: Port,
}

impl Prometheus {
    /// Starts a server with its data and this configuration under `dir`, on a free port, and waits until it answers a
    /// query. Relative paths in the configuration begin at `dir`.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] without a `prometheus` program, [`Error::Ended`] with the server's log when it does not
    /// come up.
    pub fn start(dir: &Path, configuration: &str) -> Result<Self, Error> {
        let program = install::prometheus()?;
        fs::create_dir_all(dir).map_err(Error::io("make the directory", dir))?;
        let [port] = Port::kept(&dir.join("ports"))?;
        let file = dir.join("prometheus.yml");
        fs::write(&file, configuration).map_err(Error::io("write the configuration", &file))?;
        let launch = Launch::new(program, dir.join("prometheus.log"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={}", port.address()))
            .arg("--log.level=warn");
        let mut prometheus = Self { process: launch.start()?, port };
        try_wait_for(READY, "Prometheus answers", || {
            if prometheus.process.ended()?.is_some() {
                return Err(Error::Ended { name: "Prometheus".into(), log: prometheus.process.log_tail() });
            }
            Ok(prometheus.api("query", &[("query", "vector(1)")]).is_ok().then_some(()))
        })?;
        Ok(prometheus)
    }

    /// True when there is a `prometheus` program on this machine.
    pub fn is_installed() -> bool {
        install::prometheus().is_ok()
    }

    /// Where its pages are.
    pub fn url(&self) -> String {
        format!("http://{}/", self.port.address())
    }

    /// The `data` of an answer of the HTTP API, `/api/v1/<endpoint>`.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no answer, [`Error::Tool`] with the server's words when it refuses.
    pub fn api(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<Value, Error> {
        let encoded = parameters.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value)));
        let path = format!("/api/v1/{endpoint}?{}", encoded.collect::<Vec<_>>().join("&"));
        let answer = self.get(&path).map_err(Error::io("ask Prometheus", endpoint))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut body: Value = serde_json::from_str(body).unwrap_or_default();
        if body.get("status").and_then(Value::as_str) != Some("success") {
            return Err(Error::Tool { tool: "Prometheus", output: answer });
        }
        Ok(body.get_mut("data").map(Value::take).unwrap_or_default())
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number)))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        // HTTP/1.0: the answer ends with the connection and comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.port.address())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// What `promtool` says in a directory.
///
/// # Errors
/// [`Error::NotInstalled`] without the program, [`Error::Tool`] with what it said when it found a mistake.
pub fn promtool(dir: &Path, args: &[&str]) -> Result<String, Error> {
    let program = install::promtool()?;
    let run = Command::new(&program).args(args).current_dir(dir).output();
    let run = run.map_err(Error::io("start the program", &program))?;
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if run.status.success() { Ok(said) } else { Err(Error::Tool { tool: "promtool", output: said }) }
}

/// A text as it may stand in a query of a URL.
fn percent(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
