//! The command line against a real Kafka: what an operator sees of a running application, and what a reset does to it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test panics where it fails")]

mod admin;
mod commands;
mod configuration;
mod dead_letters;
mod doctor;
mod loading;
mod passwords;
mod progress;
mod reset;
mod starting;
mod state;
mod terminal;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use millpond_harness::{Client, Kafka, Launch, Outgoing, Process, Received, Scratch, built, wait_for};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);
const PARTITIONS: i32 = 2;

/// An application on topics of its own; `fraud` unless told otherwise.
struct Shop {
    binary: &'static str,
    name: String,
    dir: PathBuf,
    client: Client,
}

/// How a command ended.
#[derive(Debug)]
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the error, from standard error as JSON.
    fn error(&self) -> String {
        assert_ne!(self.code, 0, "{self:?}");
        let error: Value = serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(error["error"]["fix"].as_str().unwrap().len() > 10, "{self:?}");
        error["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Shop {
    fn new(name: &str) -> Self {
        Self::of("fraud", name)
    }

    fn of(binary: &'static str, name: &str) -> Self {
        let client = Kafka::shared().unwrap().client();
        let shop = Self { binary, name: name.to_owned(), dir: Scratch::new(name).unwrap().path().to_owned(), client };
        let topics = [shop.topic("events"), shop.topic("alerts")];
        shop.client.create_topics(&topics.each_ref().map(String::as_str), PARTITIONS, &[]).unwrap();
        shop
    }

    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    fn flags(&self) -> Vec<String> {
        let servers = Kafka::shared().unwrap().bootstrap_servers();
        vec![
            format!("--bootstrap-servers={servers}"),
            format!("--application-id={}", self.name),
            format!("--state-dir={}", self.dir.join("state").display()),
            format!("--input={}", self.topic("events")),
            format!("--output={}", self.topic("alerts")),
        ]
    }

    fn start(&self) -> Process {
        self.start_with(&[])
    }

    fn start_with(&self, flags: &[&str]) -> Process {
        let launch = Launch::new(built(self.binary).unwrap(), self.dir.join("log")).args(self.flags());
        // The group is to be empty as soon as the process has ended.
        let more = ["--set=on.shutdown=leave", "--set=replication.factor=1", "--http=0"];
        // However the partitions are read, no event is late.
        let grace = (self.binary == "fraud").then_some("--set=app.grace_ms=7200000");
        launch.args(more).args(grace).args(flags).start().unwrap()
    }

    fn command(&self, binary: &str, line: &[&str]) -> Command {
        let flags = self.flags();
        let own = |flag: &&String| flag.starts_with("--input") || flag.starts_with("--output");
        let flags = flags.iter().filter(|flag| binary != "millpond" || !own(flag));
        let mut command = Command::new(built(binary).unwrap());
        command.args(line).args(flags);
        command
    }

    fn ask(&self, binary: &str, line: &[&str]) -> Answer {
        let output = self.command(binary, line).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn fraud(&self, line: &[&str]) -> Answer {
        self.ask("fraud", line)
    }

    /// The application's own binary.
    fn own(&self, line: &[&str]) -> Answer {
        self.ask(self.binary, line)
    }

    /// Each user puts five items into the cart within a second: one alert each.
    fn bursts(&self, users: std::ops::Range<i64>) {
        let events = users.flat_map(|user| (0..5).map(move |item| (user, item)));
        let records = events.map(|(user, item)| {
            let event = format!(r#"{{"user_id":"u{user}","event_name":"add_to_cart","item_url":"/i/{item}"}}"#);
            let partition = i32::try_from(user).unwrap() % PARTITIONS;
            Outgoing::value(event).partition(partition).at(1_700_000_000_000 + user * 1_000 + item * 100)
        });
        self.client.produce(&self.topic("events"), records).unwrap();
    }

    /// Waits for so many alerts.
    fn alerts(&self, process: &mut Process, count: usize) -> Vec<Received> {
        let topic = self.topic("alerts");
        let waited = wait_for(LIMIT, format!("{count} alerts"), || {
            assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
            self.client.read_committed(&topic).unwrap().len() >= count
        });
        let alerts = self.client.read_committed(&topic).unwrap();
        assert!(waited.is_ok(), "{} alerts\n{}", alerts.len(), process.log_tail());
        assert_eq!(alerts.len(), count);
        alerts
    }

    /// Next offsets of the input that the group has committed.
    fn committed(&self) -> Vec<Option<i64>> {
        let lags = self.client.group(&self.name).unwrap().lag(&[&self.topic("events")]).unwrap();
        lags.into_iter().map(|lag| lag.committed).collect()
    }

    fn internal_topics(&self) -> Vec<String> {
        let own = [self.topic("events"), self.topic("alerts"), self.topic("dead-letters")];
        let topics = self.client.topics().unwrap().into_iter();
        topics.filter(|topic| topic.starts_with(&format!("{}-", self.name)) && !own.contains(topic)).collect()
    }
}
