//! What it costs a program that its metrics are read: the same work, read by nobody, as Prometheus does, and ten times a second.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use crate::bench::figures::{Figure, Lines};
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::say;
use crate::bench::shape::Shape;
use crate::bench::stand::Bench;

/// Series grow with partitions: as many as a large topic has.
const PARTITIONS: i32 = 64;
const READERS: [(&str, Option<Duration>); 3] = [
    ("metrics read by nobody", None),
    ("metrics read every second", Some(Duration::from_secs(1))),
    ("metrics read every 100 ms", Some(Duration::from_millis(100))),
];
/// No answer takes so long.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let plain = bench.options.shape();
    let events = plain.events.min(bench.options.pick(1_000_000, 200_000));
    let input = bench.input("bench-metrics", Shape { events, partitions: PARTITIONS, ..plain })?;
    let mut readers = READERS.to_vec();
    for _ in 0..bench.options.rounds() {
        for &(case, every) in &readers {
            let page = free_port()?;
            let setting = Setting { page, ..Setting::of(bench.options) };
            let reader = every.map(|every| Reader::start(page, every));
            let done = bench.run((Side::Millpond, Work::Count), setting, &input)?;
            let line = lines.line(Work::Count.name(), case, Side::Millpond.name());
            if let Some(reader) = reader {
                reader.end()?.put_into(case, line);
            }
            bench.end(done)?.put_into(line);
        }
        readers.reverse();
    }
    Ok(bench.client.delete_topics(&[&input.topic])?)
}

/// A port that is free now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).context("find a port")?.port())
}

/// Reads the metrics of a program from its start on, again and again.
struct Reader {
    stop: Sender<()>,
    thread: JoinHandle<Readings>,
}

/// What a reader has met.
#[derive(Default)]
struct Readings {
    times: Vec<Duration>,
    series: usize,
    bytes: usize,
}

impl Reader {
    fn start(port: u16, every: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            let mut readings = Readings::default();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                // Before the program listens there is nothing to read.
                if let Ok(text) = read(port) {
                    readings.times.push(began.elapsed());
                    readings.bytes = text.len();
                    readings.series = text.lines().filter(|line| line.starts_with("millpond_")).count();
                }
            }
            readings
        });
        Self { stop, thread }
    }

    fn end(self) -> anyhow::Result<Readings> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the reader of metrics has panicked"))
    }
}

impl Readings {
    fn put_into(&self, case: &str, line: &mut crate::bench::figures::Line) {
        for time in &self.times {
            line.push(Figure::ReadMetricsMs, time.as_secs_f64() * 1e3);
        }
        say(&format!("    {case}: {} times, {} series, {} KiB", self.times.len(), self.series, self.bytes >> 10));
    }
}

fn read(port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "metrics were refused");
    Ok(text)
}
