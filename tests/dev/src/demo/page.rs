//! What an application tells over HTTP: its pages and its metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

const CONNECT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(2);

/// The address of an application's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page(SocketAddr);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/", self.0)
    }
}

impl Page {
    /// The page whose address is announced in a log of JSON lines.
    pub(crate) fn announced_in(log: &str) -> Option<Self> {
        let urls = log.lines().filter(|line| line.contains("\"url\""));
        let mut urls =
            urls.filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?.get("url")?.as_str()?.to_owned()));
        let url = urls.next()?;
        url.strip_prefix("http://")?.trim_end_matches('/').parse().ok().map(Self)
    }

    /// `host:port`, as Prometheus wants it.
    pub(crate) fn address(self) -> String {
        self.0.to_string()
    }

    /// The body of an answer that says 200.
    pub(crate) fn get(self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.0, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        // HTTP/1.0: the answer ends with the connection and comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.0)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        if head.split(' ').nth(1) != Some("200") {
            bail!("{path}: {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }

    pub(crate) fn numbers(self) -> anyhow::Result<Numbers> {
        self.get("/metrics").map(|text| Numbers::read(&text))
    }
}

/// An application's numbers at one moment, summed over threads, tasks and partitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) records_in: f64,
    pub(crate) records_out: f64,
    pub(crate) dead_letters: f64,
    pub(crate) commits: f64,
    pub(crate) lag: f64,
    pub(crate) rows: f64,
    pub(crate) resident_bytes: f64,
    /// Latencies counted so far by upper bound, in microseconds; each bound's count holds those of the smaller ones.
    pub(crate) latencies: BTreeMap<u64, f64>,
}

impl Numbers {
    /// Reads Prometheus's text format.
    pub(crate) fn read(text: &str) -> Self {
        let mut numbers = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "millpond_records_consumed_total" => numbers.records_in += value,
                "millpond_records_produced_total" => numbers.records_out += value,
                "millpond_dead_letters_total" => numbers.dead_letters += value,
                "millpond_commits_total" if labels.contains("result=\"ok\"") => numbers.commits += value,
                "millpond_consumer_lag_records" => numbers.lag += value,
                "millpond_store_rows" => numbers.rows += value,
                "process_resident_memory_bytes" => numbers.resident_bytes += value,
                "millpond_end_to_end_latency_seconds_bucket" => {
                    if let Some(bound) = bound_micros(labels) {
                        *numbers.latencies.entry(bound).or_default() += value;
                    }
                }
                _ => {}
            }
        }
        numbers
    }

    /// An upper bound of that quantile of the latencies counted since `before`, in milliseconds.
    pub(crate) fn latency_ms(&self, before: &Self, quantile: f64) -> Option<f64> {
        let since =
            |(bound, count): (&u64, &f64)| (*bound, count - before.latencies.get(bound).copied().unwrap_or(0.0));
        let counts: Vec<_> = self.latencies.iter().map(since).collect();
        let all = counts.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let (bound, _) = counts.into_iter().find(|(_, count)| *count >= all * quantile)?;
        (bound < u64::MAX).then(|| std::time::Duration::from_micros(bound).as_secs_f64() * 1000.0)
    }
}

fn bound_micros(labels: &str) -> Option<u64> {
    let (_, bound) = labels.split_once("le=\"")?;
    let (bound, _) = bound.split_once('"')?;
    if bound == "+Inf" {
        return Some(u64::MAX);
    }
    let seconds = Duration::try_from_secs_f64(bound.parse().ok()?).ok()?;
    u64::try_from(seconds.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# HELP millpond_records_consumed_total Records taken in, by topic
millpond_records_consumed_total{application_id="fraud",thread="1",topic="events"} 100
millpond_records_consumed_total{application_id="fraud",thread="1",topic="by-user"} 20
millpond_commits_total{application_id="fraud",result="aborted",thread="1"} 2
millpond_commits_total{application_id="fraud",result="ok",thread="1"} 7
millpond_consumer_lag_records{partition="0",task="0_0",topic="events"} 3
millpond_consumer_lag_records{partition="1",task="0_1",topic="events"} 4
millpond_end_to_end_latency_seconds_bucket{thread="1",le="0.1"} 90
millpond_end_to_end_latency_seconds_bucket{thread="1",le="0.25"} 99
millpond_end_to_end_latency_seconds_bucket{thread="1",le="+Inf"} 100
process_resident_memory_bytes 1048576
"#;

    #[test]
    fn numbers_are_summed_over_labels() {
        let numbers = Numbers::read(METRICS);
        assert_eq!(
            (numbers.records_in, numbers.commits, numbers.lag, numbers.resident_bytes),
            (120.0, 7.0, 7.0, 1_048_576.0)
        );
    }

    #[test]
    fn a_quantile_is_that_of_the_latencies_since_the_last_look() {
        let (none, first) = (Numbers::default(), Numbers::read(METRICS));
        assert_eq!(first.latency_ms(&none, 0.5), Some(100.0));
        assert_eq!(first.latency_ms(&none, 0.99), Some(250.0));
        assert_eq!(first.latency_ms(&none, 1.0), None, "above the last bound");
        assert_eq!(first.latency_ms(&first, 0.5), None, "nothing new");
        let slow = METRICS.replace("\"0.25\"} 99", "\"0.25\"} 109").replace("+Inf\"} 100", "+Inf\"} 110");
        assert_eq!(Numbers::read(&slow).latency_ms(&first, 0.5), Some(250.0));
    }

    #[test]
    fn the_page_is_found_in_the_log() {
        let log = "{\"message\":\"starting\"}\n{\"message\":\"page\",\"url\":\"http://127.0.0.1:8080/\"}\n";
        assert_eq!(Page::announced_in(log).unwrap().to_string(), "http://127.0.0.1:8080/");
        assert_eq!(Page::announced_in("no url"), None);
    }
}
