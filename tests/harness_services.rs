//! The harness itself: what the other suites take for granted.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millpond_harness::{Kafka, KafkaOptions, Launch, Outgoing, Postgres, Scratch, Security, built, process, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_broker_killed_and_restarted_keeps_its_address_and_its_records() {
    let scratch = Scratch::new("restart").unwrap();
    let mut kafka = Kafka::start_with(scratch.path(), KafkaOptions::default()).unwrap();
    let client = kafka.client();
    client.create_topics(&["events"], 2, &[("cleanup.policy", "compact")]).unwrap();
    let record = Outgoing::value("one").key("k").at(1_000).partition(1).header("h", "v");
    client.produce("events", [record]).unwrap();
    let before = client.read_committed("events").unwrap();
    let (pid, address) = (kafka.process().unwrap().pid(), kafka.bootstrap_servers().to_owned());

    kafka.kill().unwrap();
    assert!(!process::exists(pid));
    kafka.restart().unwrap();

    assert_eq!(kafka.bootstrap_servers(), address);
    assert_eq!(kafka.client().read_committed("events").unwrap(), before);
    let [only] = &before[..] else { panic!("one record expected, found {before:?}") };
    assert_eq!((only.partition, only.offset, only.timestamp_ms), (1, 0, 1_000));
    assert_eq!((only.key_text(), only.text()), ("k".to_owned(), "one".to_owned()));
    assert_eq!(only.header("h"), Some(&b"v"[..]));
}

#[test]
fn a_committed_read_sees_no_aborted_record() {
    let client = Kafka::shared().unwrap().client();
    client.create_topics(&["transactions"], 1, &[]).unwrap();
    client.transact("t", "transactions", [Outgoing::value("aborted")], false).unwrap();
    client.transact("t", "transactions", [Outgoing::value("committed")], true).unwrap();
    let text = |records: Vec<millpond_harness::Received>| {
        records.iter().map(millpond_harness::Received::text).collect::<Vec<_>>()
    };
    assert_eq!(text(client.read_committed("transactions").unwrap()), ["committed"]);
    assert_eq!(text(client.read_uncommitted("transactions").unwrap()), ["aborted", "committed"]);
    // Two records, two markers, and nobody has consumed them.
    assert_eq!(client.group("nobody").unwrap().total_lag(&["transactions"]).unwrap(), 4);
}

#[test]
fn secured_listeners_take_the_right_credentials_and_refuse_the_wrong_ones() {
    let scratch = Scratch::new("secured").unwrap();
    let security = Security { users: vec![("mill".to_owned(), "pond".to_owned())] };
    let options = KafkaOptions { security: Some(security), ..KafkaOptions::default() };
    let kafka = Kafka::start_with(scratch.path(), options).unwrap();
    let secured = kafka.secured().unwrap();
    kafka.client().create_topics(&["secrets"], 1, &[]).unwrap();

    let accepted = [
        secured.ssl_client(),
        secured.scram_client("SCRAM-SHA-256", "mill", "pond"),
        secured.scram_client("SCRAM-SHA-512", "mill", "pond"),
        secured.oauthbearer_client("mill"),
    ];
    for client in accepted {
        client.produce("secrets", [Outgoing::value("x")]).unwrap();
    }
    assert_eq!(kafka.client().read_committed("secrets").unwrap().len(), 4);

    assert!(secured.scram_client("SCRAM-SHA-512", "mill", "wrong").broker_count().is_err());
    let stranger = millpond_harness::Client::new(&secured.ssl).property("security.protocol", "SSL");
    assert!(stranger.broker_count().is_err(), "the authority is nobody's but the test's");
}

#[test]
fn a_server_killed_and_restarted_keeps_its_rows() {
    let scratch = Scratch::new("rows").unwrap();
    let mut postgres = Postgres::start(scratch.path()).unwrap();
    let database = postgres.create_database().unwrap();
    postgres.query(&database, "create table t (a int, b text); insert into t values (1, 'x'), (2, null)").unwrap();

    postgres.kill().unwrap();
    assert!(postgres.query(&database, "select 1").is_err());
    postgres.restart().unwrap();

    assert_eq!(postgres.query(&database, "select a, b from t order by a").unwrap(), [["1", "x"], ["2", ""]]);
}

#[test]
fn a_paused_process_stands_still_and_a_stopped_one_ends() {
    let scratch = Scratch::new("process").unwrap();
    let log = scratch.path().join("log");
    let script = "trap 'echo bye; exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done";
    let mut counter = Launch::new("/bin/sh", &log).args(["-c", script]).start().unwrap();
    wait_for(LIMIT, "it counts", || counter.log().lines().count() > 3).unwrap();
    counter.pause();
    wait_for(LIMIT, "it is stopped", || state(counter.pid()) == Some('T')).unwrap();
    let paused = counter.log();
    counter.resume();
    wait_for(LIMIT, "it counts on", || counter.log().len() > paused.len()).unwrap();
    assert_eq!(counter.stop().unwrap().code(), Some(7));
    assert!(counter.log().ends_with("bye\n"));
}

#[test]
fn no_process_and_no_directory_outlives_a_parent_killed_with_sigkill() {
    let mut parent = Command::new(built("hold-services").unwrap());
    let mut parent = parent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let directory = lines.next().unwrap().unwrap();
    let pids: Vec<u32> = lines.next().unwrap().unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| process::exists(*pid)) && Path::new(&directory).is_dir());

    parent.kill().unwrap(); // SIGKILL: nothing in the parent runs any more
    parent.wait().unwrap();

    // The command line of every process of a service names its directory.
    wait_for(LIMIT, "the services are gone", || commands_naming(&directory).is_empty()).unwrap();
    wait_for(LIMIT, "no child is left", || !pids.iter().any(|pid| process::exists(*pid))).unwrap();
    wait_for(LIMIT, "the directory is gone", || !Path::new(&directory).exists()).unwrap();
}

/// The state letter of a process, as `ps` prints it.
fn state(pid: u32) -> Option<char> {
    let output = Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().chars().next()
}

/// The command lines of running processes that contain `text`.
fn commands_naming(text: &str) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "args="]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
