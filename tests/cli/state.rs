//! State of an instance that runs, and the pages that go with it.

use bytes::Bytes;
use millpond::record::{Partition, TaskId};
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{CommitBatch, Direction, KeyRange, StateDirectory, StoreIndex, StoreKind, StoreSpec};

use super::*;

#[test]
fn the_state_of_a_running_instance_is_read_beside_it() {
    let shop = Shop::new("cli-state");
    shop.bursts(0..20);
    let mut process = shop.start();
    shop.alerts(&mut process, 20);

    let scanned = shop.fraud(&["state", "scan", "carts", "--json"]);
    let rows: Vec<Value> = scanned.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 20, "{scanned:?}");
    let got = shop.fraud(&["state", "get", "carts", "u7", "--json"]).json();
    assert_eq!(got["rows"][0]["key"], "u7");
    assert_eq!(got["rows"][0]["value"]["adds"].as_array().unwrap().len(), 5, "{got}");
    let listed = shop.fraud(&["state", "ls", "--json"]).json();
    // Null where the system does not tell.
    let told = cfg!(target_os = "linux");
    assert!(listed["tasks"].as_array().unwrap().iter().all(|task| !told || task["in_use"] == true), "{listed}");
    let verified = shop.fraud(&["state", "verify", "--json"]);
    assert_eq!(verified.err, "", "a bar is for those who look at a terminal");
    let verified = verified.json();
    assert!(verified["ok"] == true && verified["not_decoded"].as_array().unwrap().is_empty(), "{verified}");
    // The tool decodes nothing, and finds the same rows.
    let by_tool = shop.ask("millpond", &["state", "get", "carts", "u7", "--json"]).json();
    assert!(by_tool["rows"][0]["value"].as_str().unwrap().starts_with("0x"), "{by_tool}");

    // New rows show at the next look, and the application has noticed nothing.
    shop.bursts(20..30);
    shop.alerts(&mut process, 30);
    let counted = shop.fraud(&["state", "scan", "carts", "--limit=0", "--json"]);
    assert_eq!(counted.out.lines().count(), 30, "{counted:?}");
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let stopped = shop.fraud(&["state", "ls", "--json"]).json();
    assert!(stopped["tasks"].as_array().unwrap().iter().all(|task| !told || task["in_use"] == false), "{stopped}");
}

#[test]
fn the_tool_asks_a_running_process_for_its_topology() {
    let shop = Shop::new("cli-topology");
    let mut process = shop.start();
    let mut page = String::new();
    wait_for(LIMIT, "the page", || {
        assert_eq!(process.ended().unwrap(), None, "{}", process.log_tail());
        let log = process.log();
        let url = log.split("\"url\":\"http://").nth(1).and_then(|rest| rest.split('/').next());
        url.is_some_and(|url| {
            page = url.to_owned();
            true
        })
    })
    .unwrap();
    for form in [&["topology"][..], &["topology", "--format=mermaid"], &["topology", "--json"]] {
        let asked = shop.ask("millpond", &[form, &[&format!("--from={page}")]].concat());
        assert_eq!(asked.code, 0, "{asked:?}");
        assert_eq!(asked.out, shop.fraud(form).out);
    }
}

#[test]
fn a_store_is_compared_with_its_changelog_and_rows_that_differ_are_named_without_their_values() {
    let shop = Shop::new("cli-compare");
    shop.bursts(0..20);
    let mut process = shop.start();
    shop.alerts(&mut process, 20);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let verify = ["state", "verify", "--changelog", "--json"];
    let same = shop.fraud(&verify).json();
    let equal = |answer: &Value, store: &str| {
        let of = answer["changelogs"].as_array().unwrap().iter().filter(|compared| compared["store"] == store);
        of.map(|compared| compared["equal"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((&same["ok"], equal(&same, "carts")), (&true.into(), 20), "{same}");
    assert_eq!(shop.ask("millpond", &verify).json()["changelogs"], same["changelogs"], "the tool finds the same");

    // One row is changed, one is lost, one is added.
    let state = RocksDirectory::new(&shop.dir.join("state"), &shop.name, &instance(&same), Options::default());
    let spec = |name: &str| StoreSpec { name: name.to_owned(), kind: StoreKind::Persistent, changelog: None };
    let task = TaskId { subtopology: 1, partition: Partition(0) };
    let mut backend = state.open(task, &[spec("carts"), spec("wake-ups")]).unwrap();
    let keys: Vec<Bytes> = backend
        .scan(StoreIndex(0), &KeyRange::all(), Direction::Forward)
        .unwrap()
        .take(2)
        .map(|row| row.unwrap().0)
        .collect();
    let secret = Some(Bytes::from_static(b"joe@example.com"));
    let mut rows = vec![(keys[0].clone(), secret.clone()), (keys[1].clone(), None), (Bytes::from_static(b"~"), secret)];
    rows.sort();
    let checkpoint = backend.checkpoint().unwrap();
    backend.apply(&CommitBatch { rows: [(StoreIndex(0), rows)].into(), checkpoint }).unwrap();
    backend.close().unwrap();

    let tool = shop.ask("millpond", &verify);
    assert_eq!((tool.code, tool.error().as_str()), (1, "state-damaged"));
    let told: Value = serde_json::from_str(&tool.out).unwrap();
    let differing = |kind: &str| {
        let all = told["changelogs"].as_array().unwrap();
        let of: Vec<&Value> = all.iter().filter(|compared| compared[kind]["rows"] != 0).collect();
        assert_eq!((of.len(), &of[0]["task"], &of[0][kind]["rows"]), (1, &"1_0".into(), &1.into()), "{told}");
        of[0][kind]["keys"][0].as_str().unwrap().to_owned()
    };
    let hex = |key: &[u8]| key.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!((differing("different"), differing("missing")), (hex(&keys[0]), hex(&keys[1])));
    assert_eq!(differing("extra"), "0x7e");
    assert!(!format!("{tool:?}").contains("joe@example.com"), "{tool:?}");
    // What the application does about it: the task is restored from its changelog.
    std::fs::remove_dir_all(shop.dir.join("state").join(&shop.name).join(instance(&same)).join("1_0")).unwrap();
    let mut process = shop.start();
    wait_for(LIMIT, "the rows are there again", || {
        let answer = shop.fraud(&verify);
        answer.code == 0 && equal(&serde_json::from_str(&answer.out).unwrap(), "carts") == 20
    })
    .unwrap();
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    assert_eq!(equal(&shop.fraud(&verify).json(), "carts"), 20);
}

/// The one instance that was compared.
fn instance(answer: &Value) -> String {
    answer["changelogs"][0]["instance"].as_str().unwrap().to_owned()
}
