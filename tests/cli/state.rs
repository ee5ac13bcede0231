//! State of an instance that runs, and the pages that go with it.

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
    let verified = shop.fraud(&["state", "verify", "--json"]).json();
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
