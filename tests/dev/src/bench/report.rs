//! The figures, as a table for people and an object for programs.

use serde::Serialize;

use super::measure::Run;
use super::options::Work;
use super::program::Side;

const MIB: f64 = 1024.0 * 1024.0;

/// All runs of one program at one work.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) work: Work,
    pub(crate) side: Side,
    pub(crate) done: Vec<Run>,
    pub(crate) output_records: u64,
    /// After `kill -9`, and after the loss of the state, until the next commit.
    pub(crate) restart_ms: Vec<f64>,
    pub(crate) restore_ms: Vec<f64>,
}

/// Least, median and most.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: *values.get(values.len() / 2)?, max })
    }
}

/// The figures of one program at one work.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    work: &'static str,
    program: &'static str,
    runs: usize,
    records_per_second: Option<Spread>,
    cpu_us_per_record: Option<Spread>,
    peak_resident_mib: Option<Spread>,
    disk_bytes_per_record: Option<Spread>,
    first_commit_ms: Option<Spread>,
    restart_ms: Option<Spread>,
    restore_ms: Option<Spread>,
    output_records: u64,
    /// Kafka Streams' median by ours: how many times as fast, as frugal, as small.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_better: Option<Better>,
}

/// Ratios of medians to the peer's in the same run; above one is better.
#[derive(Debug, Serialize)]
struct Better {
    rate: f64,
    cpu: f64,
    memory: f64,
    restart: Option<f64>,
    restore: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn line(runs: &Runs, events: u64) -> Line {
    let of = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.done.iter().map(value));
    let events = events as f64;
    Line {
        work: runs.work.name(),
        program: runs.side.name(),
        runs: runs.done.len(),
        records_per_second: of(&|run| run.rate.round()),
        cpu_us_per_record: of(&|run| run.usage.cpu.as_secs_f64() * 1e6 / events),
        peak_resident_mib: of(&|run| run.usage.peak_resident_bytes as f64 / MIB),
        disk_bytes_per_record: of(&|run| run.usage.written_bytes as f64 / events),
        first_commit_ms: of(&|run| run.first_commit.as_secs_f64() * 1e3),
        restart_ms: Spread::of(runs.restart_ms.iter().copied()),
        restore_ms: Spread::of(runs.restore_ms.iter().copied()),
        output_records: runs.output_records,
        times_better: None,
    }
}

/// One line for each program and work, with ratios where there is a peer.
pub(crate) fn lines(all: &[Runs], events: u64) -> Vec<Line> {
    let mut lines: Vec<Line> = all.iter().map(|runs| line(runs, events)).collect();
    let median = |spread: &Option<Spread>| spread.map(|spread| spread.median);
    let ratio = |over: Option<f64>, under: Option<f64>| Some(over? / under?.max(1e-9));
    let of = |lines: &[Line], work, side: Side| {
        let line = lines.iter().find(|line| line.work == work && line.program == side.name())?;
        let figures = [&line.records_per_second, &line.cpu_us_per_record, &line.peak_resident_mib];
        Some((figures.map(median), median(&line.restart_ms), median(&line.restore_ms)))
    };
    for work in Work::ALL.map(Work::name) {
        let (Some(ours), Some(peer)) = (of(&lines, work, Side::Millpond), of(&lines, work, Side::Streams)) else {
            continue;
        };
        let ([rate, cpu, memory], [peer_rate, peer_cpu, peer_memory]) = (ours.0, peer.0);
        let better = (|| {
            Some(Better {
                rate: ratio(rate, peer_rate)?,
                cpu: ratio(peer_cpu, cpu)?,
                memory: ratio(peer_memory, memory)?,
                restart: ratio(peer.1, ours.1),
                restore: ratio(peer.2, ours.2),
            })
        })();
        let place = lines.iter_mut().find(|line| line.work == work && line.program == Side::Millpond.name());
        if let Some(line) = place {
            line.times_better = better;
        }
    }
    lines
}

/// A table in Markdown.
pub(crate) fn table(lines: &[Line]) -> String {
    let show = |spread: &Option<Spread>, digits: usize| match spread {
        Some(spread) if spread.max > spread.min => {
            format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.min, spread.max)
        }
        Some(spread) => format!("{:.digits$}", spread.median),
        None => String::new(),
    };
    let row = |cells: [String; 10]| format!("| {} |", cells.join(" | "));
    let titles = [
        "Work",
        "Program",
        "Records/s",
        "CPU µs/record",
        "Peak MiB",
        "Disk B/record",
        "First commit ms",
        "Restart ms",
        "Restore ms",
        "Times better: rate, CPU, memory",
    ];
    let mut rows = vec![row(titles.map(str::to_owned)), row(titles.map(|_| "---".to_owned()))];
    rows.extend(lines.iter().map(|line| {
        let better = line
            .times_better
            .as_ref()
            .map_or_else(String::new, |better| format!("{:.1}, {:.1}, {:.1}", better.rate, better.cpu, better.memory));
        row([
            line.work.to_owned(),
            line.program.to_owned(),
            show(&line.records_per_second, 0),
            show(&line.cpu_us_per_record, 2),
            show(&line.peak_resident_mib, 0),
            show(&line.disk_bytes_per_record, 0),
            show(&line.first_commit_ms, 0),
            show(&line.restart_ms, 0),
            show(&line.restore_ms, 0),
            better,
        ])
    }));
    rows.join("\n")
}
