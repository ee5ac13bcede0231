//! What all parts share: the broker, the programs, and a run of one of them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use millpond_harness::{Client, Kafka, Process};
use millpond_support::Stop;

use super::check;
use super::expected::Expected;
use super::load;
use super::measure::{Run, Watch, settle};
use super::options::{Options, Work};
use super::program::{Place, Programs, Setting, Side};
use super::say;
use super::shape::Shape;

/// The broker and the programs.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) programs: Programs,
    pub(crate) kafka: Kafka,
    pub(crate) client: Client,
    pub(crate) stop: Stop,
    pub(crate) dir: PathBuf,
    pub(crate) number: u32,
}

/// A loaded topic.
pub(crate) struct Input {
    pub(crate) topic: String,
    pub(crate) shape: Shape,
    pub(crate) expected: Expected,
}

impl Input {
    /// Another record was written into the topic.
    pub(crate) fn one_more(&mut self, user: u32, amount: i64) {
        self.shape.events += 1;
        self.expected.amount(user, amount);
    }
}

/// A program that is through its input and runs on.
pub(crate) struct Done {
    pub(crate) run: Run,
    pub(crate) place: Place,
    pub(crate) process: Process,
}

impl Bench<'_> {
    /// A run that nobody sees: the broker compiles what transactions need in its first one.
    pub(crate) fn warm_up(&mut self) -> anyhow::Result<()> {
        let shape = Shape { events: 300_000, ..self.options.shape() };
        let input = self.input("bench-warm-up", shape)?;
        let done = self.run((Side::Bare, Work::Redaction), Setting::of(self.options), &input)?;
        self.end(done)?;
        Ok(self.client.delete_topics(&[&input.topic])?)
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        self.kafka.bootstrap_servers()
    }

    /// Makes a topic and fills it.
    pub(crate) fn input(&self, topic: &str, shape: Shape) -> anyhow::Result<Input> {
        self.topic(topic, shape.partitions)?;
        let expected = load::load(self.bootstrap_servers(), topic, &shape)?;
        Ok(Input { topic: topic.to_owned(), shape, expected })
    }

    pub(crate) fn topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        Ok(self.client.create_topics(&[name], partitions, &[("retention.ms", "-1")])?)
    }

    /// Names and a directory for the next run.
    pub(crate) fn place(&mut self, what: &str, input: &str) -> anyhow::Result<Place> {
        self.number += 1;
        let application_id = format!("bench-{}-{what}", self.number);
        let place = Place {
            bootstrap_servers: self.bootstrap_servers().to_owned(),
            output: format!("{application_id}-output"),
            input: input.to_owned(),
            dir: self.dir.join(&application_id),
            application_id,
        };
        fs::create_dir_all(&place.dir).context("make a directory")?;
        Ok(place)
    }

    /// Runs a program over the whole input and checks its output.
    pub(crate) fn run(&mut self, sides: (Side, Work), setting: Setting, input: &Input) -> anyhow::Result<Done> {
        let done = self.fill(sides, setting, input)?;
        check::output(&done.place, sides, &input.expected)?;
        Ok(done)
    }

    /// Runs a program over the whole input; its output is still to be checked.
    pub(crate) fn fill(&mut self, (side, work): (Side, Work), setting: Setting, input: &Input) -> anyhow::Result<Done> {
        let place = self.place(&format!("{}-{}", work.name(), side.name()), &input.topic)?;
        self.topic(&place.output, input.shape.partitions)?;
        let launch = self.programs.launch(side, work, &place, setting);
        let repartition = work.is_rekeyed().then(|| format!("{}-by-user-repartition", place.application_id));
        let (run, process) =
            self.watch(&place, input.shape.partitions, repartition)?.run(launch, input.shape.events)?;
        show(side, work, &run);
        Ok(Done { run, place, process })
    }

    /// Ends a program and removes what it has left: the next one has the disk and the broker for itself.
    pub(crate) fn end(&self, mut done: Done) -> anyhow::Result<Run> {
        done.process.stop()?;
        self.forget(&done.place)?;
        Ok(done.run)
    }

    pub(crate) fn forget(&self, place: &Place) -> anyhow::Result<()> {
        let topics = self.client.topics()?;
        let own = topics.iter().map(String::as_str).filter(|topic| topic.starts_with(&place.application_id));
        let own: Vec<&str> = own.collect();
        if !own.is_empty() {
            self.client.delete_topics(&own)?;
        }
        let _ = fs::remove_dir_all(place.state());
        settle();
        Ok(())
    }

    pub(crate) fn watch<'w>(
        &'w self,
        place: &'w Place,
        partitions: i32,
        repartition: Option<String>,
    ) -> anyhow::Result<Watch<'w>> {
        Ok(Watch {
            bootstrap_servers: &place.bootstrap_servers,
            application_id: &place.application_id,
            input: &place.input,
            partitions,
            repartition,
            broker: self.broker()?,
            stop: &self.stop,
        })
    }

    fn broker(&self) -> anyhow::Result<(u32, PathBuf)> {
        let process = self.kafka.process().context("the broker is gone")?;
        Ok((process.pid(), self.dir.join("kafka/data")))
    }
}

fn show(side: Side, work: Work, run: &Run) {
    let (rate, cpu, mib) = (run.rate(), run.cpu_us(), run.peak_mib());
    let (work, side, first) = (work.name(), side.name(), run.first_commit.as_millis());
    say(&format!("    {work:12} {side:14} {rate:>9.0}/s {cpu:>6.2} µs {mib:>5.0} MiB, first commit {first} ms"));
}
