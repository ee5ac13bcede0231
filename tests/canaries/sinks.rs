//! Everything that was told, with where.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::canary;

/// What a page is asked for.
const PATHS: [&str; 17] = [
    "/",
    "/?sort=lag",
    "/api/status",
    "/livez",
    "/readyz",
    "/metrics",
    "/topology",
    "/topology?format=json",
    "/topology?format=mermaid",
    "/admin/log-level",
    "/nowhere",
    "/stores",
    "/stores/carts/range",
    "/stores/carts/count",
    "/stores/carts/partitions/0?application=fraud&ask=rows",
    "/stores/first-visits/prefix?prefix=",
    "/stores/orders/count?from=a",
];
/// How long the stream of changes is followed.
const FOLLOWED: Duration = Duration::from_secs(3);

/// Texts by where they were told, as far as they are of interest: how many bytes, and lines with a canary.
#[derive(Debug, Default)]
pub(crate) struct Sinks {
    bytes: BTreeMap<String, usize>,
    leaks: Vec<String>,
}

impl Sinks {
    /// A text, and where it was told.
    pub(crate) fn add(&mut self, sink: impl Into<String>, text: &str) {
        let sink = sink.into();
        self.leaks.extend(canary::found_in(text).into_iter().map(|line| format!("{sink}: {line}")));
        *self.bytes.entry(sink).or_default() += text.len();
    }

    /// How many places were looked at.
    pub(crate) fn count(&self) -> usize {
        self.bytes.values().filter(|bytes| **bytes > 0).count()
    }

    /// Fails with what was found.
    pub(crate) fn report(&self) {
        let (count, bytes) = (self.count(), self.bytes.values().sum::<usize>());
        let some: Vec<&String> = self.leaks.iter().take(40).collect();
        assert!(some.is_empty(), "{} lines with a canary, among them:\n{some:#?}", self.leaks.len());
        eprintln!("0 canaries in {count} sinks, {} MiB", bytes >> 20);
    }

    /// A file, as text.
    pub(crate) fn file(&mut self, sink: impl Into<String>, path: &Path) {
        self.add(sink, &String::from_utf8_lossy(&fs::read(path).unwrap()));
    }

    /// RocksDB's own logs below a directory.
    pub(crate) fn logs_of_stores(&mut self, name: &str, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.logs_of_stores(name, &path);
            } else if path.file_name().is_some_and(|file| file.to_string_lossy().starts_with("LOG")) {
                self.file(format!("{name}: RocksDB's LOG"), &path);
            }
        }
    }

    /// What a command answers, on both of its streams.
    pub(crate) fn command(&mut self, sink: impl Into<String>, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        self.answer(sink, &output);
        output
    }

    /// What a command has answered.
    pub(crate) fn answer(&mut self, sink: impl Into<String>, output: &Output) {
        let sink = sink.into();
        self.add(format!("{sink}: answer"), &String::from_utf8_lossy(&output.stdout));
        self.add(format!("{sink}: errors"), &String::from_utf8_lossy(&output.stderr));
    }

    /// Everything that an application's page answers.
    pub(crate) fn page(&mut self, name: &str, address: &str) {
        for path in PATHS {
            let answer = ask(address, path, Duration::from_secs(10));
            assert!(answer.starts_with("HTTP/1.1 "), "{name}{path}: {answer}");
            self.add(format!("{name}: {path}"), &answer);
        }
        self.add(format!("{name}: PUT /admin/log-level"), &administered(address));
        let events = ask(address, "/events", FOLLOWED);
        assert!(events.contains("event-stream"), "{name}: {events}");
        self.add(format!("{name}: /events"), &events);
    }
}

/// With the right token: nothing is changed, but all that looks at requests has seen it.
fn administered(address: &str) -> String {
    let token = canary::secret("admin");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let line = "PUT /admin/log-level?filter=trace HTTP/1.1";
    write!(stream, "{line}\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// The answer of an application's page.
pub(crate) fn answer(address: &str, path: &str) -> String {
    ask(address, path, Duration::from_secs(10))
}

/// The whole answer with its head, or as much as comes within `limit`.
fn ask(address: &str, path: &str, limit: Duration) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let (mut answer, mut buffer, began) = (Vec::new(), [0; 16 << 10], Instant::now());
    while began.elapsed() < limit {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // Nothing for a tenth of a second.
            Err(_) => {}
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
