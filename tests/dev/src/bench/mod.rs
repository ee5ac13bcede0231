//! `./dev bench`: the same work by millpond and by Kafka Streams, on the same topics and the same broker, alternating.

mod check;
mod document;
mod expected;
mod figures;
mod goals;
mod growth;
mod limits;
mod load;
mod measure;
mod options;
mod parts;
mod plot;
mod program;
mod results;
mod shape;
mod stand;
mod tail;
mod usage;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use millpond_harness::{Kafka, KafkaOptions};
use millpond_support::Stop;

pub(crate) use options::Options;

use figures::Lines;
use program::Programs;
use results::{Measured, Results};
use stand::Bench;

/// What a quick run may take, its build left aside.
const QUICK: Duration = Duration::from_mins(5);

/// Measures everything that was asked for. What each part has shown is kept, and the document tells the last of each.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let dir = Path::new(".millpond/bench");
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).context("make the directory .millpond/bench")?;
    let dir = dir.canonicalize().context("find the directory .millpond/bench")?;
    say("==> release build of the programs");
    let programs = Programs::build(options, &dir)?;
    let began = Instant::now();
    say("==> Kafka");
    let broker = KafkaOptions { heap_mib: 1024, long_running: true, ..KafkaOptions::default() };
    let kafka = Kafka::start_with(dir.join("kafka"), broker)?;
    let (client, stop) = (kafka.client(), Stop::on_signals()?);
    let mut bench = Bench { options, programs, kafka, client, stop, dir, number: 0 };
    bench.warm_up()?;
    let results = measure(&mut bench)?;
    say(&format!("==> {}", options.document().join("BENCHMARKS.md").display()));
    say(&total(began.elapsed(), options.quick));
    let text = if options.json { serde_json::to_string_pretty(&results)? } else { document::tables(&results) };
    out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// All parts. Each is in the document before the next one begins; one that breaks off with what it has shown until then.
fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Results> {
    let (options, mut events, mut results) = (bench.options, None, Results::default());
    let document = options.document();
    for part in options.parts() {
        say(&format!("==> {}", part.title()));
        let (began, mut lines) = (Instant::now(), Lines::default());
        let ended = parts::measure(part, bench, &mut events, &mut lines);
        let mut measured = Measured::now(part, options, lines, began.elapsed());
        measured.broke_off = ended.as_ref().err().map(|error| format!("{error:#}"));
        say(&format!("    {} s", measured.seconds));
        if !measured.lines.is_empty() {
            if !results::keep(&document, &measured)? {
                say("    broke off: what an earlier run has shown of this part stays");
            }
            document::write(&document, &results::kept(&document, options.quick))?;
        }
        ended.context(part.title())?;
        results.parts.push(measured);
    }
    Ok(results)
}

fn total(took: Duration, quick: bool) -> String {
    let (seconds, most) = (took.as_secs(), QUICK.as_secs());
    let over =
        if quick && took > QUICK { format!(": more than {most} s, which a quick run may take") } else { String::new() };
    format!("==> {seconds} s in all, after the build{over}")
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn out(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_says_when_it_was_too_long() {
        assert_eq!(total(QUICK, true), "==> 300 s in all, after the build");
        assert_eq!(total(QUICK * 2, false), "==> 600 s in all, after the build");
        assert_eq!(
            total(QUICK * 2, true),
            "==> 600 s in all, after the build: more than 300 s, which a quick run may take"
        );
    }
}
