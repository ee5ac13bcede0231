//! Messages to and from the browser: JSON objects, each with a zero byte behind it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Error;

#[derive(Debug)]
pub(super) struct Pipe {
    requests: (PathBuf, File),
    answers: (PathBuf, File),
    heard: Receiver<Value>,
    reader: Option<JoinHandle<()>>,
    /// What was told while an answer was waited for.
    kept: VecDeque<Value>,
    asked: u64,
}

impl Pipe {
    pub(super) fn new(dir: &Path) -> Result<Self, Error> {
        let (requests, answers) = (fifo(dir, "requests")?, fifo(dir, "answers")?);
        let file = answers.1.try_clone().map_err(Error::io("open the pipe", &answers.0))?;
        let (tell, heard) = channel();
        let read = move || {
            let mut reader = BufReader::new(file);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok() {
                message.pop();
                // An empty message is ours: it says that nobody listens any more.
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if tell.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        };
        let reader = std::thread::Builder::new().name("browser".into()).spawn(read);
        let reader = reader.map_err(Error::io("start a thread for", &answers.0))?;
        Ok(Self { requests, answers, heard, reader: Some(reader), kept: VecDeque::new(), asked: 0 })
    }

    pub(super) fn requests(&self) -> &Path {
        &self.requests.0
    }

    pub(super) fn answers(&self) -> &Path {
        &self.answers.0
    }

    /// Sends a request and returns its number.
    pub(super) fn ask(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<u64, Error> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let (Some(session), Some(message)) = (session, message.as_object_mut()) {
            message.insert("sessionId".to_owned(), session.into());
        }
        let sent = self.requests.1.write_all(format!("{message}\0").as_bytes());
        sent.map_err(Error::io("write to the browser", &self.requests.0))?;
        Ok(self.asked)
    }

    /// The next message; `None` when there is none in time.
    pub(super) fn next(&mut self, limit: Duration) -> Result<Option<Value>, Error> {
        match self.heard.recv_timeout(limit) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Tool { tool: "Chromium", output: "it said something that is not JSON".to_owned() })
            }
        }
    }

    pub(super) fn keep(&mut self, message: Value) {
        self.kept.push_back(message);
    }

    /// What a session tells by that name.
    pub(super) fn told(&mut self, session: &str, method: &str, limit: Duration) -> Result<Option<Value>, Error> {
        let until = Instant::now() + limit;
        let text = |message: &Value, key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
        let fits = |message: &Value| {
            text(message, "method").as_deref() == Some(method) && text(message, "sessionId").as_deref() == Some(session)
        };
        let params = |mut message: Value| message.get_mut("params").map(Value::take).unwrap_or_default();
        if let Some(place) = self.kept.iter().position(fits) {
            return Ok(self.kept.remove(place).map(params));
        }
        while let Some(message) = self.next(until.saturating_duration_since(Instant::now()))? {
            if fits(&message) {
                return Ok(Some(params(message)));
            }
            self.kept.push_back(message);
        }
        Ok(None)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The reader holds both ends of its pipe, so it meets no end: it is told.
        let told = self.answers.1.write_all(b"\0");
        if let (Ok(()), Some(reader)) = (told, self.reader.take()) {
            let _ = reader.join();
        }
    }
}

/// A named pipe, open for both: opening it for one alone would wait for the other side.
fn fifo(dir: &Path, name: &str) -> Result<(PathBuf, File), Error> {
    let path = dir.join(name);
    let made = Command::new("mkfifo").arg(&path).status().map_err(Error::io("run mkfifo for", &path))?;
    if !made.success() {
        return Err(Error::Tool { tool: "mkfifo", output: format!("{made}") });
    }
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open the pipe", &path))?;
    Ok((path, file))
}
