//! The four applications at work, and users who keep them busy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use millpond_harness::{Client, Error, Kafka, Launch, Outgoing, Process, built, try_wait_for};
use serde_json::{Value, json};

use crate::LIMIT;

pub(crate) const APPLICATIONS: [&str; 4] = ["attribution", "fraud", "loader", "redaction"];
const TOPICS: [&str; 4] = ["events", "processed_events", "fraud-detection", "attributions"];

/// What runs, and where.
pub(crate) struct Shop<'k> {
    dir: PathBuf,
    kafka: &'k Kafka,
    pub(crate) client: Client,
    pub(crate) database_url: String,
    applications: Vec<Application>,
    rounds: u64,
}

struct Application {
    name: &'static str,
    process: Process,
    page: String,
}

impl<'k> Shop<'k> {
    /// Makes the topics and starts all applications.
    pub(crate) fn open(dir: &Path, kafka: &'k Kafka, database_url: String) -> Self {
        let client = kafka.client();
        client.create_topics(&TOPICS, 2, &[]).unwrap();
        let mut shop = Self { dir: dir.to_owned(), kafka, client, database_url, applications: Vec::new(), rounds: 0 };
        let started: Vec<_> = APPLICATIONS.map(|name| (name, shop.launch(name).start().unwrap())).into();
        for (name, mut process) in started {
            let page = page(&mut process).unwrap();
            shop.applications.push(Application { name, process, page });
        }
        shop
    }

    /// An application, on a port of its own choice.
    fn launch(&self, name: &str) -> Launch {
        let launch = Launch::new(built(name).unwrap(), self.dir.join(format!("{name}.log")))
            .args(["--bootstrap-servers", self.kafka.bootstrap_servers(), "--application-id", name])
            // By a name that it keeps, so that nobody waits for the one that was killed.
            .args(["--set", "instance=0"])
            .args(["--http", "127.0.0.1:0", "--log-format", "json", "--state-dir"])
            .arg(self.dir.join("state"));
        // The others would refuse a setting that they do not know.
        if name == "loader" { launch.env("MILLPOND_APP_DATABASE_URL", &self.database_url) } else { launch }
    }

    /// Tells Prometheus whom to scrape. Renamed, because it may look at any moment.
    pub(crate) fn announce(&self) {
        let pages: Vec<&str> = self.applications.iter().map(|application| application.page.as_str()).collect();
        let new = self.dir.join("targets.json");
        fs::write(&new, json!([{ "targets": pages }]).to_string()).unwrap();
        fs::rename(&new, self.dir.join("targets/demo.json")).unwrap();
    }

    /// Kills one without a word.
    pub(crate) fn kill(&mut self, name: &str) {
        self.find(name).process.kill().unwrap();
    }

    /// Starts one again, on another port.
    pub(crate) fn restart(&mut self, name: &'static str) {
        let log = self.find(name).process.log_path().to_owned();
        fs::rename(&log, log.with_extension("before.log")).unwrap();
        let mut process = self.launch(name).start().unwrap();
        let page = page(&mut process).unwrap();
        *self.find(name) = Application { name, process, page };
        self.announce();
    }

    /// Removes everything that an application has on disk.
    pub(crate) fn lose_state(&self, name: &str) {
        fs::remove_dir_all(self.dir.join("state").join(name)).unwrap();
    }

    fn find(&mut self, name: &str) -> &mut Application {
        self.applications.iter_mut().find(|application| application.name == name).unwrap()
    }

    /// None has ended by itself.
    pub(crate) fn check(&mut self) {
        for Application { process, .. } in &mut self.applications {
            assert!(process.ended().unwrap().is_none(), "{} ended:\n{}", process.name(), process.log_tail());
        }
    }

    /// What a user does who visits, fills a cart too fast and orders.
    pub(crate) fn work(&mut self) {
        self.rounds += 1;
        let round = self.rounds;
        let user = format!("u{round}");
        let mut events = vec![json!({ "user_id": user, "event_name": "visit", "page": "/", "channel": "mail" })];
        let item = |n| json!({ "user_id": user, "event_name": "add_to_cart", "item_url": format!("/item/{n}") });
        events.extend((0..6).map(item));
        let (order, email) = (format!("o{round}"), format!("{user}@example.com"));
        events
            .push(json!({ "user_id": user, "event_name": "order_confirmed", "order_id": order, "order_email": email }));
        let now = now_ms();
        let events = events.into_iter().map(|event| Outgoing::value(event.to_string()).at(now));
        self.client.produce("events", events).unwrap();
    }

    /// Records that are no events.
    pub(crate) fn disturb(&self) {
        let malformed = ["{\"user_id\":", "{\"event_name\":\"visit\"}"].map(Outgoing::value);
        let records = malformed.into_iter().chain([Outgoing::default()]).map(|record| record.at(now_ms()));
        self.client.produce("events", records).unwrap();
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

/// The address of its page, once it has told it.
fn page(process: &mut Process) -> Result<String, Error> {
    let limit: Duration = LIMIT;
    try_wait_for(limit, format!("{} tells its page", process.name()), || {
        if process.ended()?.is_some() {
            return Err(Error::Ended { name: process.name().to_owned(), log: process.log_tail() });
        }
        let log = process.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let url = lines.find_map(|line| line.get("url")?.as_str().map(str::to_owned));
        Ok(url.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()))
    })
}
