//! The figures for people: tables in Markdown, and the document with its plots.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::figures::{Figure, Line, Spread, thousands};
use super::goals::{outcomes, show_ratio};
use super::plot;
use super::results::{Measured, Results};

/// What stands below this line is written by hand, and stays.
const BY_HAND: &str = "<!-- Below this line the document is written by hand; `./dev bench` keeps it. -->";

const HEAD: &str = "# Benchmarks

`./dev bench` runs the same work by millpond and by Kafka Streams 4.3.1, on the same loaded topics and the same broker,
alternating, and writes this document; `./dev bench --quick` takes at most five minutes. Each output is read back and compared
with the input. Exactly-once on both sides, the same commit interval. The peer is `tests/bench/peer/Peer.java`, with Kafka
Streams' defaults. Broker, programs and measurement share the machine. Rate and CPU time are those between the first commit and
the last; memory is the peak of the process. A figure is the median, with least and most in parentheses when there was more than
one run. A ratio is ours to Kafka Streams.
";

/// Writes `BENCHMARKS.md` and the plots into the directory.
pub(crate) fn write(dir: &Path, results: &Results) -> anyhow::Result<()> {
    let (path, plots) = (dir.join("BENCHMARKS.md"), dir.join("bench/plots"));
    fs::create_dir_all(&plots).with_context(|| format!("make the directory {}", plots.display()))?;
    let before = fs::read_to_string(&path).unwrap_or_default();
    let by_hand = before.split_once(BY_HAND).map_or("\n", |(_, by_hand)| by_hand);
    let plots = plot::write(&plots, results)?;
    let pictures = plots.iter().map(|plot| format!("\n![{}](bench/plots/{})\n", plot.title, plot.file));
    let pictures = pictures.collect::<Vec<_>>().concat();
    let text = format!("{HEAD}\n{}\n{}{pictures}\n{BY_HAND}{by_hand}", goals(results), tables(results));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// All parts.
pub(crate) fn tables(results: &Results) -> String {
    results.parts.iter().map(part).collect::<Vec<_>>().join("\n")
}

fn goals(results: &Results) -> String {
    let outcomes = outcomes(results);
    if outcomes.is_empty() {
        return String::new();
    }
    let titles = ["Goal", "Wanted", "Ours", "Other", "Ratio", "Met"].map(str::to_owned);
    let rows = outcomes.into_iter().map(|outcome| {
        let met = if outcome.is_met { "yes" } else { "**no**" }.to_owned();
        vec![outcome.what, outcome.wanted, outcome.ours, outcome.other, outcome.ratio, met]
    });
    format!("## Goals\n\n{}", table(titles.to_vec(), &rows.collect::<Vec<_>>()))
}

fn part(measured: &Measured) -> String {
    let Measured { title, commit, day, machine, command, rounds, seconds, .. } = measured;
    let (events, runs) = (thousands(measured.events), if *rounds == 1 { "run" } else { "runs" });
    format!(
        "## {title}\n\n`{command}`, commit {commit}, {day}, {events} events, {rounds} {runs} of each, {seconds} s, on {machine}.\n\n{}",
        lines(&measured.lines)
    )
}

fn lines(lines: &[Line]) -> String {
    let mut figures: Vec<Figure> = lines.iter().flat_map(|line| line.figures.keys().copied()).collect();
    figures.sort_unstable();
    figures.dedup();
    let has_peer = lines.iter().any(|line| line.program == "kafka-streams");
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

/// Ours to the peer's, of the figures that matter; and to the limit, where there is one.
fn ratios(line: &Line, lines: &[Line]) -> String {
    if line.program != "millpond" {
        return String::new();
    }
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
        (Figure::RestartMs, "restart"),
        (Figure::RestoreMs, "restore"),
        (Figure::LatencyP50Ms, "p50"),
        (Figure::LatencyP99Ms, "p99"),
    ];
    let peer = of("kafka-streams", &[&work[..], &more[..]].concat()).unwrap_or_default();
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
