//! A real application with 64 partitions, all of them in one process.

use millpond_harness::{Kafka, Outgoing, try_wait_for};
use serde_json::json;

use crate::applications::{Place, page};
use crate::paint::is_soon_painted;
use crate::{DESK, LIMIT, PHONE, browser, is_fine, picture};

const PARTITIONS: i32 = 64;
const INPUT: &str = "events-64";

/// Two tasks a partition: `fraud` keys its events anew.
#[test]
fn fraud_shows_its_128_tasks_and_is_painted_within_the_fifth_of_a_second() {
    let Some((mut browser, scratch)) = browser() else { return };
    let kafka = Kafka::shared().unwrap();
    let client = kafka.client();
    client.create_topics(&[INPUT, "alerts-64"], PARTITIONS, &[]).unwrap();
    let events = (0..640).map(|n| {
        let event = json!({ "user_id": format!("u{n}"), "event_name": "add_to_cart", "item_url": "/items/1" });
        Outgoing::value(event.to_string()).partition(n % PARTITIONS)
    });
    client.produce(INPUT, events).unwrap();
    let place = Place { dir: scratch.path(), kafka, database_url: "" };
    let mut process =
        place.launch("fraud", "fraud-64").args(["--input", INPUT, "--output", "alerts-64"]).start().unwrap();
    let url = page(&mut process);
    for (look, screen) in [("desk", DESK), ("phone", PHONE)] {
        let name = format!("fraud-64-{look}");
        let mut tab = browser.tab(screen).unwrap();
        tab.go(&url).unwrap();
        // Each of them runs, and those that read the events have read theirs.
        let facts = [
            "document.querySelectorAll('#tasks tbody tr').length === 128",
            "[...document.querySelectorAll('#tasks tbody tr')].every((row) => row.textContent.includes('running'))",
            "document.getElementById('link').textContent === 'live'",
        ];
        for fact in facts {
            let waited = try_wait_for(LIMIT, fact, || Ok(tab.value(fact)?.as_bool().filter(|is_so| *is_so)));
            waited.unwrap_or_else(|error| panic!("{name}: {error}\n{}", process.log_tail()));
        }
        is_fine(&mut tab, &url, &name);
        picture(&mut tab, &name);
    }
    is_soon_painted(&mut browser, &url, "fraud at work with 64 partitions");
}
