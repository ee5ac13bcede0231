//! Queries over HTTP, of two processes of one application.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use millpond_harness::{Outgoing, wait_for};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use millpond_scene::{Application, BEGIN_MS, LIMIT, Scene};

const USERS: usize = 60;
/// Two sub-topologies of four partitions.
const TASKS: usize = 8;

struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn ask(address: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn found(address: &str, path: &str) -> Value {
    let answer = ask(address, path);
    assert_eq!(answer.code, 200, "{path}: {}", answer.body);
    answer.json()
}

fn instance(scene: &Scene, name: &str) -> Application {
    let application = scene.application("attribution", name).arg(format!("--set=instance={name}"));
    // The row of an order is nobody's business; the first visits of these made-up users are shown.
    application.arg("--set=queries=on").arg("--set=queries.unmasked.stores=first-visits")
}

fn user(number: usize) -> String {
    format!("u{number:02}")
}

fn channel(number: usize) -> String {
    format!("channel-{number}")
}

/// A first visit of each user, and an order of each.
fn events() -> Vec<Outgoing> {
    let event = |number: usize| {
        let (user, at_ms) = (user(number), BEGIN_MS + i64::try_from(number).unwrap());
        let visit = json!({ "user_id": user, "event_name": "visit", "channel": channel(number) });
        let order = json!({ "user_id": user, "event_name": "order_confirmed", "order_id": format!("o-{user}") });
        [visit, order].map(|event| Outgoing::value(event.to_string()).at(at_ms))
    };
    (0..USERS).flat_map(event).collect()
}

fn get_visit(address: &str, number: usize) -> Answer {
    ask(address, &format!("/stores/first-visits/get?key={}", user(number)))
}

fn assert_visit(answer: &Answer, number: usize) {
    assert_eq!(answer.code, 200, "{}", answer.body);
    let json = answer.json();
    let expected = json!({ "at_ms": BEGIN_MS + i64::try_from(number).unwrap(), "channel": channel(number) });
    assert_eq!((&json["found"], &json["value"], &json["masked"]), (&json!(true), &expected, &json!(false)));
}

fn owner(answer: &Answer) -> String {
    answer.json()["partitions"][0]["instance"].as_str().unwrap().to_owned()
}

/// Both instances answer everything; what one of them has not it asks of the other.
fn assert_both_know_everything(addresses: &[String]) {
    let mut owners = BTreeSet::new();
    for number in 0..USERS {
        let answers: Vec<Answer> = addresses.iter().map(|address| get_visit(address, number)).collect();
        for answer in &answers {
            assert_visit(answer, number);
        }
        owners.extend(answers.iter().map(owner));
    }
    assert_eq!(owners, addresses.iter().cloned().collect(), "both own some");
    for address in addresses {
        let fresh = "max_lag=0&max_age_ms=0";
        let all = found(address, &format!("/stores/first-visits/range?{fresh}"));
        let users: Vec<&str> = all["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
        assert_eq!(users, (0..USERS).map(user).collect::<Vec<_>>());
        let between = found(address, "/stores/first-visits/range?from=u07&to=u09");
        assert_eq!(between["rows"].as_array().unwrap().len(), 3);
        let some = found(address, "/stores/first-visits/prefix?prefix=u1&limit=4");
        assert_eq!((some["rows"].as_array().unwrap().len(), &some["rows"][3]["key"]), (4, &json!("u13")));
        let next = some["next"].as_str().unwrap();
        let rest = found(address, &format!("/stores/first-visits/prefix?prefix=u1&after={next}"));
        assert_eq!((rest["rows"].as_array().unwrap().len(), &rest["next"]), (6, &Value::Null));
        let count = found(address, "/stores/first-visits/count?prefix=u");
        assert_eq!((&count["count"], &count["exact"]), (&json!(USERS), &json!(true)));
        assert_orders_are_masked(address);
    }
}

fn assert_orders_are_masked(address: &str) {
    // ["u05","o-u05"]
    let order = ask(address, "/stores/orders/get?key=%5B%22u05%22%2C%22o-u05%22%5D");
    let json = order.json();
    assert_eq!((&json["found"], &json["value"], &json["masked"]), (&json!(true), &Value::Null, &json!(true)));
    assert!(!order.body.contains("u05"), "{}", order.body);
    for path in ["range", "prefix?prefix=u05", "count?prefix=u05"] {
        let refused = ask(address, &format!("/stores/orders/{path}"));
        assert!(refused.code == 403 && !refused.body.contains("u05"), "{path}: {}", refused.body);
    }
    assert!(found(address, "/stores/orders/count")["count"].as_u64().unwrap() > 0);
}

/// A transaction of somebody else in a changelog keeps its restore waiting until it is ended.
fn open_transaction(scene: &Scene, partition: i32) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", scene.bootstrap_servers())
        .set("transactional.id", scene.topic("somebody-else"))
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let topic = format!("{}-first-visits-changelog", scene.topic("attribution"));
    // With a key: a compacted topic refuses a record without one.
    let record = BaseRecord::<str, str>::to(&topic).partition(partition).key("nobody").payload("nothing");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
    producer
}

#[test]
fn queries_find_their_owner_through_kills_and_restores() {
    let scene = Scene::new("queries").unwrap();
    let [mut one, mut two] = ["one", "two"].map(|name| instance(&scene, name));
    one.start().unwrap();
    one.wait_for_tasks(TASKS).unwrap();
    scene.feed(events()).unwrap();
    scene.drain("attribution").unwrap();
    two.start().unwrap();
    two.wait_for_tasks(TASKS / 2).unwrap();
    one.wait_for_tasks(TASKS / 2).unwrap();
    let addresses = [one.page().unwrap(), two.page().unwrap()];
    wait_for(LIMIT, "both say where they answer", || {
        let stores = found(&addresses[0], "/stores");
        let owners = stores["stores"][0]["partitions"].as_array().unwrap().iter();
        let owners: BTreeSet<String> = owners.map(|partition| partition["owner"].to_string()).collect();
        owners == addresses.iter().map(|address| json!(address).to_string()).collect()
    })
    .unwrap();
    assert_both_know_everything(&addresses);

    // Killed: what it owned is unavailable, with the reason, until the other one has taken it over.
    let lost = (0..USERS).find(|&number| owner(&get_visit(&addresses[1], number)) == addresses[0]).unwrap();
    one.kill().unwrap();
    let killed = Instant::now();
    let refused = get_visit(&addresses[1], lost);
    assert!(refused.code == 503 && refused.head.contains("retry-after: "), "{}", refused.body);
    let reason = refused.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&addresses[0]), "{reason}");
    wait_for(LIMIT, "the other one has taken over", || {
        let answer = get_visit(&addresses[1], lost);
        assert!([200, 503].contains(&answer.code), "never wrong: {} {}", answer.code, answer.body);
        answer.code == 200
    })
    .unwrap();
    println!("{}", json!({ "figure": "queries_unavailable_after_kill", "ms": killed.elapsed().as_millis() }));
    for number in 0..USERS {
        let answer = get_visit(&addresses[1], number);
        assert_visit(&answer, number);
        assert_eq!(owner(&answer), addresses[1]);
    }

    // A machine without its disk: nothing is told before everything is restored.
    two.stop().unwrap();
    fs::remove_dir_all(two.state_dir()).unwrap();
    let partition = 0;
    let open = open_transaction(&scene, partition);
    two.start().unwrap();
    let address = two.page().unwrap();
    let path = format!("/stores/first-visits/range?partition={partition}");
    wait_for(LIMIT, "the restore is told", || {
        let refused = ask(&address, &path);
        assert_eq!(refused.code, 503, "{}", refused.body);
        refused.body.contains("restoring its state, ")
    })
    .unwrap();
    open.abort_transaction(LIMIT).unwrap();
    wait_for(LIMIT, "the partition is restored", || ask(&address, &path).code == 200).unwrap();
    two.wait_for_tasks(TASKS).unwrap();
    for number in 0..USERS {
        assert_visit(&get_visit(&address, number), number);
    }
    two.assert_sound().unwrap();
    two.stop().unwrap();
}

#[test]
fn queries_are_off_unless_somebody_turns_them_on() {
    let scene = Scene::new("no-queries").unwrap();
    let mut application = scene.application("fraud", "fraud").started().unwrap();
    application.wait_for_tasks(TASKS).unwrap();
    let answer = ask(&application.page().unwrap(), "/stores/carts/count");
    assert!(answer.code == 404 && answer.body.contains("queries = on"), "{} {}", answer.code, answer.body);
    application.stop().unwrap();
}
