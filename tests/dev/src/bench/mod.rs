//! `./dev bench`: the same work by millpond and by Kafka Streams, on the same topics and the same broker, alternating.

mod check;
mod load;
mod measure;
mod options;
mod program;
mod report;
mod usage;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use millpond_harness::{Client, Kafka, KafkaOptions, Outgoing};
use millpond_support::Stop;
use serde_json::json;

pub(crate) use options::Options;

use load::Input;
use measure::{Run, Watch, settle};
use options::Work;
use program::{Place, Programs, Side};
use report::Runs;

const INPUT: &str = "bench-events";

/// The broker with the loaded topic, and the programs.
struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    kafka: Kafka,
    client: Client,
    input: Input,
    stop: Stop,
    number: u32,
}

/// Measures everything that was asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let dir = Path::new(".millpond/bench");
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).context("make the directory .millpond/bench")?;
    let dir = dir.canonicalize().context("find the directory .millpond/bench")?;
    say("==> release build of the programs");
    let programs = Programs::build(options, &dir)?;
    say("==> Kafka");
    let broker = KafkaOptions { heap_mib: 1024, long_running: true, ..KafkaOptions::default() };
    let kafka = Kafka::start_with(dir.join("kafka"), broker)?;
    let client = kafka.client();
    say(&format!("==> {} events of {} users into {INPUT}", options.events(), options.users));
    client.create_topics(&[INPUT], options.partitions(), &[("retention.ms", "-1")])?;
    let input = load::load(kafka.bootstrap_servers(), INPUT, options)?;
    let stop = Stop::on_signals()?;
    let mut bench = Bench { options, programs, kafka, client, input, stop, number: 0 };
    let mut all = Vec::new();
    for work in options.works() {
        all.extend(bench.work(work, &dir)?);
    }
    let lines = report::lines(&all, bench.input.events);
    if options.json {
        let text = json!({
            "events": bench.input.events, "users": options.users, "record_bytes": options.record_bytes,
            "partitions": options.partitions, "threads": options.threads, "commit_ms": options.commit_ms,
            "rounds": options.rounds(), "seconds": began.elapsed().as_secs(), "lines": lines,
        });
        out(&serde_json::to_string_pretty(&text)?)?;
    } else {
        out(&report::table(&lines))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench<'_> {
    /// All rounds of one work; who begins changes with the round.
    fn work(&mut self, work: Work, dir: &Path) -> anyhow::Result<Vec<Runs>> {
        let mut sides = self.programs.sides(work);
        let empty = |&side: &Side| Runs {
            work,
            side,
            done: Vec::new(),
            output_records: 0,
            restart_ms: Vec::new(),
            restore_ms: Vec::new(),
        };
        let mut all: Vec<Runs> = sides.iter().map(empty).collect();
        for _ in 0..self.options.rounds() {
            for side in &sides {
                if let Some(runs) = all.iter_mut().find(|runs| runs.side == *side) {
                    self.one(*side, runs, dir)?;
                }
            }
            sides.reverse();
        }
        Ok(all)
    }

    fn one(&mut self, side: Side, runs: &mut Runs, dir: &Path) -> anyhow::Result<()> {
        let (work, options) = (runs.work, self.options);
        self.number += 1;
        let application_id = format!("bench-{}-{}-{}", work.name(), side.name(), self.number);
        let place = Place {
            bootstrap_servers: self.kafka.bootstrap_servers().to_owned(),
            output: format!("{application_id}-output"),
            input: INPUT.to_owned(),
            dir: dir.join(&application_id),
            application_id,
        };
        fs::create_dir_all(&place.dir).context("make a directory")?;
        self.client.create_topics(&[&place.output], options.partitions(), &[("retention.ms", "-1")])?;
        let watch = Watch {
            client: &self.client,
            application_id: &place.application_id,
            input: INPUT,
            repartition: work.is_rekeyed().then(|| format!("{}-by-user-repartition", place.application_id)),
            stop: &self.stop,
        };
        let launch = || self.programs.launch(side, work, &place, options);
        let (run, process) = watch.run(launch(), self.input.events)?;
        show(side, work, &run, self.input.events);
        runs.output_records = check::output(&place.bootstrap_servers, &place.output, (side, work), &self.input)?;
        runs.done.push(run);
        let (mut process, mut events_more) = (process, 0);
        if work.has_state() && !options.quick {
            process.kill()?;
            self.one_more_event()?;
            let (time, again) = watch.resume(launch())?;
            runs.restart_ms.push(time.as_secs_f64() * 1e3);
            process = again;
            process.kill()?;
            fs::remove_dir_all(place.dir.join("state")).context("lose the state")?;
            self.one_more_event()?;
            let (time, again) = watch.resume(launch())?;
            runs.restore_ms.push(time.as_secs_f64() * 1e3);
            process = again;
            events_more = 2;
        }
        process.stop()?;
        self.input.events += events_more;
        self.forget(&place)
    }

    /// So that there is something to commit.
    fn one_more_event(&self) -> anyhow::Result<()> {
        self.client.produce(INPUT, [Outgoing::value(r#"{"user_id":"u1","event_name":"page_view"}"#).key("u1")])?;
        Ok(())
    }

    /// Removes the topics of a run: the next one has the disk and the broker for itself.
    fn forget(&self, place: &Place) -> anyhow::Result<()> {
        let topics = self.client.topics()?;
        let own: Vec<&str> =
            topics.iter().map(String::as_str).filter(|topic| topic.starts_with(&place.application_id)).collect();
        self.client.delete_topics(&own)?;
        let _ = fs::remove_dir_all(place.dir.join("state"));
        settle();
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn show(side: Side, work: Work, run: &Run, events: u64) {
    let (cpu, mib) = (run.usage.cpu.as_secs_f64() * 1e6 / events as f64, run.usage.peak_resident_bytes >> 20);
    let (name, first) = (side.name(), run.first_commit.as_millis());
    say(&format!(
        "    {:12} {name:14} {:>9.0}/s {cpu:>6.2} µs {mib:>5} MiB, first commit {first} ms",
        work.name(),
        run.rate
    ));
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn out(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
