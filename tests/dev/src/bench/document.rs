//! The figures for people: tables in Markdown, and the document with its plots.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::figures::{Figure, Line, Spread, thousands};
use super::goals::{outcomes, show_ratio};
use super::options::Part;
use super::results::{Measured, Results};
use super::{growth, limits, plot};

/// What stands below this line is written by hand, and stays.
const BY_HAND: &str = "<!-- Below this line the document is written by hand; `./dev bench` keeps it. -->";

const HEAD: &str = "# Benchmarks

`./dev bench` runs the same work by millpond and by Kafka Streams 4.3.1, on the same loaded topics and the same broker,
alternating, and writes this document; `./dev bench --quick` takes at most five minutes. Each output is read back and compared
with the input. Exactly-once on both sides, the same commit interval. The peer is `tests/bench/peer/Peer.java`, with Kafka
Streams' defaults. Broker, programs and measurement share the machine. Rate and CPU time are those between the first commit and
the last; memory is the peak of the process. A figure is the median, with least and most in parentheses when there was more than
one run. A ratio is ours to Kafka Streams. A part's table is that of its last run; `bench/results` has the figures.
";

const QUICK: &str = "
This is a quick run: one round, fewer events; of rows the smallest table, of latency one work and rate, of other
shapes two threads for two works, of growth keys and partitions at their ends, without record bytes, stores and
threads.
";

const LIMITS: &str = "\
What bare libraries do is a part of the work, so the two compare only so far. The copy loop reads and writes each
record in transactions and keeps nothing; the consumer only reads. The bare RocksDB writer draws its keys at random in
its own process: it reads no topic and writes neither an output nor a changelog. Two programs count as one after the
other on one thread: their CPU times are added up, and so are their times for a record.";

const GROWTH: &str = "\
A cost is flat when no point is more than 1.5 times the first. Longer records are set against their bytes, more stores
against their number. Where a cost is not flat, the reason is written below, by hand.";

/// Writes `BENCHMARKS.md` and the plots into the directory.
pub(crate) fn write(dir: &Path, results: &Results) -> anyhow::Result<()> {
    let (path, plots) = (dir.join("BENCHMARKS.md"), dir.join("bench/plots"));
    fs::create_dir_all(&plots).with_context(|| format!("make the directory {}", plots.display()))?;
    let before = fs::read_to_string(&path).unwrap_or_default();
    let by_hand = before.split_once(BY_HAND).map_or("\n", |(_, by_hand)| by_hand);
    let plots = plot::write(&plots, results)?;
    let pictures = plots.iter().map(|plot| format!("\n![{}](bench/plots/{})\n", plot.title, plot.file));
    let pictures = pictures.collect::<Vec<_>>().concat();
    let head = format!("{HEAD}{}", if results.is_quick() { QUICK } else { "" });
    let text = format!("{head}\n{}\n{}{pictures}\n{BY_HAND}{by_hand}", summaries(results), tables(results));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// All parts.
pub(crate) fn tables(results: &Results) -> String {
    results.parts.iter().map(part).collect::<Vec<_>>().join("\n")
}

/// What follows from the figures of all parts that are kept.
fn summaries(results: &Results) -> String {
    let mut sections = vec![format!("## Goals\n\n{}", goals(results))];
    let mut section = |title: &str, note: &str, titles: &[&str], rows: &[Vec<String>]| {
        if !rows.is_empty() {
            let titles = titles.iter().map(|&title| title.to_owned()).collect();
            sections.push(format!("## {title}\n\n{note}\n\n{}", table(titles, rows)));
        }
    };
    let (cpu, rate) = (Figure::CpuMicrosPerRecord.title(), Figure::RecordsPerSecond.title());
    let beside = ["Work", "Case", "Limit", cpu, "Limit's", "Ratio", rate, "Limit's", "Ratio"];
    section("Beside the limits", LIMITS, &beside, &limits::rows(results));
    let flat = ["Against", "From, to", "Cost", "At the first", "At the last", "Last to first", "Most to first", "Flat"];
    section("Whether the cost stays flat", GROWTH, &flat, &growth::rows(results));
    sections.join("\n")
}

fn goals(results: &Results) -> String {
    let titles = ["Goal", "Wanted", "Ours", "Other", "Ratio", "Met"].map(str::to_owned);
    let rows = outcomes(results).into_iter().map(|outcome| {
        let measured = |figure: Option<String>| figure.unwrap_or_else(|| "not measured".to_owned());
        let (ratio, met) = match outcome.ratio {
            Some((ratio, true)) => (ratio, "yes"),
            Some((ratio, false)) => (ratio, "**no**"),
            None => (String::new(), "not measured"),
        };
        vec![outcome.what, outcome.wanted, measured(outcome.ours), measured(outcome.other), ratio, met.to_owned()]
    });
    table(titles.to_vec(), &rows.collect::<Vec<_>>())
}

fn part(measured: &Measured) -> String {
    let Measured { title, commit, day, machine, command, rounds, seconds, .. } = measured;
    let (events, runs) = (thousands(measured.events), if *rounds == 1 { "run" } else { "runs" });
    let note = Part::named(&measured.part).and_then(Part::note).map_or_else(String::new, |note| format!("{note}\n\n"));
    let broke_off = measured.broke_off.as_ref().and_then(|error| error.lines().next());
    let broke_off = broke_off.map_or_else(String::new, |error| format!("**This run broke off: {error}.**\n\n"));
    let what = format!("{events} events, {rounds} {runs} of each, {seconds} s, on {machine}");
    let lines = lines(&measured.lines);
    format!("## {title}\n\n`{command}`, commit {commit}, {day}, {what}.\n\n{note}{broke_off}{lines}")
}

fn lines(lines: &[Line]) -> String {
    let mut figures: Vec<Figure> = lines.iter().flat_map(|line| line.figures.keys().copied()).collect();
    figures.sort_unstable();
    figures.dedup();
    let has_peer = lines.iter().any(|line| PEERS.iter().any(|(_, peer)| line.program == *peer));
    let mut titles = vec!["Work".to_owned(), "Case".to_owned(), "Program".to_owned()];
    titles.extend(figures.iter().map(|figure| figure.title().to_owned()));
    if has_peer {
        titles.push("Ratio".to_owned());
    }
    let rows = lines.iter().map(|line| {
        let mut row = vec![line.work.clone(), line.case.clone(), line.program.clone()];
        row.extend(figures.iter().map(|&figure| line.spread(figure).map_or_else(String::new, |s| show(figure, s))));
        if has_peer {
            row.push(ratios(line, lines));
        }
        row
    });
    table(titles, &rows.collect::<Vec<_>>())
}

/// Programs of ours, and what each is compared with.
const PEERS: [(&str, &str); 2] = [("millpond", "kafka-streams"), ("loader", "plain COPY")];

/// Ours to the peer's, of the figures that matter; and to the limit, where there is one.
fn ratios(line: &Line, lines: &[Line]) -> String {
    let Some((_, peer)) = PEERS.iter().find(|(ours, _)| line.program == *ours) else { return String::new() };
    let of = |program: &str, wanted: &[(Figure, &str)]| {
        let same = |other: &&Line| other.work == line.work && other.case == line.case && other.program == program;
        let other = lines.iter().find(same)?;
        let ratio = |&(figure, name): &(Figure, &str)| {
            Some(format!("{name} {}", show_ratio(line.median(figure)? / other.median(figure)?.max(1e-9))))
        };
        Some(wanted.iter().filter_map(ratio).collect::<Vec<_>>().join(", "))
    };
    let work = [(Figure::RecordsPerSecond, "rate"), (Figure::CpuMicrosPerRecord, "CPU")];
    let more = [
        (Figure::PeakResidentMib, "memory"),
        (Figure::FirstCommitMs, "first commit"),
        (Figure::RestartMs, "restart"),
        (Figure::RestoreMs, "restore"),
        (Figure::LatencyP50Ms, "p50"),
        (Figure::LatencyP99Ms, "p99"),
    ];
    let peer = of(peer, &[&work[..], &more[..]].concat()).unwrap_or_default();
    let limit = of("bare-copy", &work).map(|limit| format!("; to bare-copy: {limit}"));
    format!("{peer}{}", limit.unwrap_or_default())
}

fn show(figure: Figure, spread: &Spread) -> String {
    let number = |value: f64| figure.show(value);
    let Spread { min, median, max } = *spread;
    if max > min { format!("{} ({}–{})", number(median), number(min), number(max)) } else { number(median) }
}

fn table(titles: Vec<String>, rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = titles.iter().map(|_| "---".to_owned()).collect();
    [titles, rule].iter().chain(rows).map(|cells| line(cells)).collect()
}
