//! The pages of the four applications at work, on a real Kafka and a real PostgreSQL.

use std::path::Path;
use std::thread;
use std::time::SystemTime;

use millpond_harness::{Client, Kafka, Launch, Outgoing, Postgres, Process, Screen, Tab, built, try_wait_for};
use serde_json::{Value, json};

use crate::{DESK, LIMIT, PHONE, browser, is_fine, picture, text};

const TOPICS: [&str; 4] = ["events", "processed_events", "fraud-detection", "attributions"];
/// In every user's id and address: nothing that holds it belongs on a page.
const PERSONAL: &str = "erika";

/// An application with what its page has to tell of it after some events.
struct Told {
    name: &'static str,
    facts: &'static [&'static str],
}

const TOLD: [Told; 4] = [
    Told {
        name: "fraud",
        facts: &[
            "document.querySelectorAll('#story .timelines > li').length > 2",
            "document.querySelector('#story .marks').childElementCount === 5",
            "document.querySelector('#story .timelines strong').textContent.startsWith('user ')",
            "document.querySelectorAll('#stores tbody tr').length > 3",
        ],
    },
    Told {
        name: "attribution",
        facts: &[
            "[...document.querySelectorAll('#story tbody th')].some(({ textContent }) => textContent === 'mail')",
            "[...document.querySelectorAll('#story .shares .chart rect')].some((bar) => bar.getAttribute('width') > 50)",
        ],
    },
    Told {
        name: "redaction",
        facts: &[
            "document.querySelector('#story .facts dd').textContent > 2",
            "document.querySelector('#story .change').textContent.includes('[redacted]')",
            "document.querySelector('#errors .facts').textContent.includes('not_json')",
        ],
    },
    Told {
        name: "loader",
        facts: &[
            "document.querySelector('#story .facts dd').textContent === 'connected'",
            "[...document.querySelectorAll('#story table')].at(0).tBodies[0].rows[0].cells[2].textContent > 2",
            // In PostgreSQL, in the group, the end in Kafka, and how far behind.
            "[...[...document.querySelectorAll('#story table')].at(1).tBodies[0].rows[0].cells].slice(2) \
             .every(({ textContent }) => textContent >= 0)",
            "document.querySelectorAll('#topology .rightward .table').length === 2",
        ],
    },
];

/// Where applications are started.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) kafka: &'a Kafka,
    pub(crate) database_url: &'a str,
}

impl Place<'_> {
    pub(crate) fn launch(&self, name: &str, application_id: &str) -> Launch {
        let launch = Launch::new(built(name).unwrap(), self.dir.join(format!("{application_id}.log")))
            .args(["--bootstrap-servers", self.kafka.bootstrap_servers(), "--application-id", application_id])
            .args(["--http", "127.0.0.1:0", "--log-format", "json", "--state-dir"])
            .arg(self.dir.join("state"));
        // The others would refuse a setting that they do not know.
        if name == "loader" { launch.env("MILLPOND_APP_DATABASE_URL", self.database_url) } else { launch }
    }
}

/// The address of its page, once it has told it.
pub(crate) fn page(process: &mut Process) -> String {
    let url = try_wait_for(LIMIT, format!("{} tells its page", process.name()), || {
        let log = process.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(lines.find_map(|line| line.get("url")?.as_str().map(str::to_owned)))
    });
    url.unwrap_or_else(|error| panic!("{error}\n{}", process.log_tail()))
}

/// What users do who visit, fill a cart too fast and order; and a record that is none.
fn produce(client: &Client, round: u64) {
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let (user, order) = (format!("{PERSONAL}-{round}"), format!("o{round}"));
    let channel = ["mail", "mail", "mail", "ads"][usize::try_from(round % 4).unwrap()];
    let email = format!("{PERSONAL}.{round}@example.com");
    let mut events = vec![json!({ "user_id": user, "event_name": "visit", "page": "/", "channel": channel })];
    let item =
        |n| json!({ "user_id": user, "event_name": "add_to_cart", "item_url": format!("/{PERSONAL}/{}", n % 4) });
    events.extend((0..5).map(item));
    events.push(json!({ "user_id": user, "event_name": "order_confirmed", "order_id": order, "order_email": email }));
    let at = |n: i64| now - 4_000 + n * 600;
    let records = events.into_iter().zip(0..).map(|(event, n)| Outgoing::value(event.to_string()).at(at(n)));
    client.produce("events", records.chain([Outgoing::value("{\"user_id\":").at(now)])).unwrap();
}

/// Events go on until the page tells what it has to.
fn wait_until(tab: &mut Tab<'_>, client: &Client, round: &mut u64, told: &Told, process: &Process) {
    for fact in told.facts {
        let waited = try_wait_for(LIMIT, *fact, || {
            produce(client, *round);
            *round += 1;
            // A section that is not there yet is no reason to give up.
            Ok(tab
                .value(&format!("(() => {{ try {{ return {fact} }} catch {{ return false }} }})()"))?
                .as_bool()
                .filter(|is_so| *is_so))
        });
        if let Err(error) = waited {
            let story = text(tab, "document.getElementById('story').textContent");
            panic!("{}: {error}\n{story}\n{}", told.name, process.log_tail());
        }
    }
}

#[test]
fn each_application_tells_its_own_story_and_nothing_of_a_person() {
    let Some((mut browser, scratch)) = browser() else { return };
    let (kafka, database_url) = thread::scope(|scope| {
        let database_url = scope.spawn(|| Postgres::shared()?.create_database());
        (Kafka::shared().unwrap(), database_url.join().unwrap().unwrap())
    });
    let client = kafka.client();
    client.create_topics(&TOPICS, 4, &[]).unwrap();
    let place = Place { dir: scratch.path(), kafka, database_url: &database_url };
    let mut processes = TOLD.map(|told| place.launch(told.name, told.name).start().unwrap());
    let mut round = 0;
    for (told, process) in TOLD.iter().zip(&mut processes) {
        let url = page(process);
        for (look, screen) in [("desk-light", DESK), ("phone-dark", Screen { dark: true, ..PHONE })] {
            let name = format!("{}-{look}", told.name);
            let mut tab = browser.tab(screen).unwrap();
            tab.go(&url).unwrap();
            wait_until(&mut tab, &client, &mut round, told, process);
            tab.wait_until("document.getElementById('link').textContent === 'live'", LIMIT).unwrap();
            is_fine(&mut tab, &url, &name);
            picture(&mut tab, &name);
            let page = text(&mut tab, "document.documentElement.outerHTML");
            assert!(!page.contains(PERSONAL), "{name} tells who it is about");
            let status = text(&mut tab, "fetch('api/status').then((answer) => answer.text())");
            assert!(!status.contains(PERSONAL), "the status of {name} tells who it is about");
        }
    }
}
