//! A service on loopback that answers as it is told, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::aws::sign::date_and_time;

const LIMIT: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter_map(|line| line.split_once(": "));
        headers.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Status, headers (`Name: value\r\n` each) and body.
pub(super) type Answer = (u16, String, String);

pub(super) struct Fake {
    pub(super) address: SocketAddr,
    asked: Receiver<Asked>,
}

impl Fake {
    /// Answers each request by `answer`, which is told its number from 0 on. `None` leaves it without an answer.
    pub(super) fn start(answer: impl Fn(usize, &Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = channel();
        let answer = Arc::new(answer);
        // Both threads end with the process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (tell, answer) = (tell.clone(), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), number, &tell, &*answer));
            }
        });
        Self { address, asked }
    }

    /// The same answer to everything.
    pub(super) fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_, _| Some((status, String::new(), body.clone())))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request, when it comes.
    pub(super) fn asked(&self) -> Asked {
        self.asked.recv_timeout(LIMIT).unwrap()
    }

    /// What has come and was not looked at.
    pub(super) fn asked_so_far(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn serve(mut stream: TcpStream, number: usize, tell: &Sender<Asked>, answer: &dyn Fn(usize, &Asked) -> Option<Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // Whoever gave up is not answered.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut asked = Asked { line: lines.remove(0), headers: lines, body: String::new() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    asked.body = String::from_utf8(body).unwrap();
    tell.send(asked.clone()).ok();
    match answer(number, &asked) {
        Some((status, headers, body)) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
            stream.write_all((head + &body).as_bytes()).ok();
        }
        // Until the other side gives up.
        None => drop(reader.read(&mut [0])),
    }
}

/// `2026-01-02T03:04:05Z`.
pub(super) fn iso(seconds: i64) -> String {
    let (date, time) = date_and_time(seconds);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    format!("{year}-{month}-{day}T{}:{}:{}Z", &time[9..11], &time[11..13], &time[13..15])
}

/// The `Date` header of that second.
pub(super) fn date(seconds: i64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    format!("Date: {}\r\n", httpdate::fmt_http_date(at))
}
