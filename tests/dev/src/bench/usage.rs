//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Clock ticks a second: the same on every Linux that runs today.
const TICKS: u64 = 100;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) peak_resident_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let stat = read("stat")?;
        // The name in parentheses may hold anything.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS),
            peak_resident_bytes: number(&read("status")?, "VmHWM:") * 1024,
            written_bytes: number(&read("io")?, "write_bytes:"),
        })
    }
}

impl Usage {
    /// What was used after an earlier look; the peak stays the whole one.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            peak_resident_bytes: self.peak_resident_bytes,
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
