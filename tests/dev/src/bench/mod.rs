//! `./dev bench`: the same work by millpond and by Kafka Streams, on the same topics and the same broker, alternating.

mod check;
mod document;
mod expected;
mod figures;
mod goals;
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
use std::time::Instant;

use anyhow::Context;
use millpond_harness::{Kafka, KafkaOptions};
use millpond_support::Stop;

pub(crate) use options::Options;

use program::Programs;
use results::{Measured, Results};
use stand::Bench;

/// Measures everything that was asked for. What each part has shown is kept, and the document tells the last of each.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let dir = Path::new(".millpond/bench");
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).context("make the directory .millpond/bench")?;
    let dir = dir.canonicalize().context("find the directory .millpond/bench")?;
    say("==> release build of the programs");
    let programs = Programs::build(options, &dir)?;
    say("==> Kafka");
    let broker = KafkaOptions { heap_mib: 1024, long_running: true, ..KafkaOptions::default() };
    let kafka = Kafka::start_with(dir.join("kafka"), broker)?;
    let (client, stop) = (kafka.client(), Stop::on_signals()?);
    let mut bench = Bench { options, programs, kafka, client, stop, dir, number: 0 };
    bench.warm_up()?;
    let (mut events, mut done) = (None, Vec::new());
    for part in options.parts() {
        say(&format!("==> {}", part.title()));
        let began = Instant::now();
        let lines = parts::measure(part, &mut bench, &mut events)?;
        let measured = Measured::now(part, options, lines, began.elapsed());
        say(&format!("    {} s", measured.seconds));
        results::keep(&measured)?;
        done.push(measured);
    }
    let results = Results { parts: done };
    let document = options.document();
    document::write(&document, &results::kept(results.is_quick()))?;
    say(&format!("==> {}", document.join("BENCHMARKS.md").display()));
    let text = if options.json { serde_json::to_string_pretty(&results)? } else { document::tables(&results) };
    out(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn out(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
