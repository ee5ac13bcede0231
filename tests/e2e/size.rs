//! What a large state costs.

use std::time::{Duration, Instant};

use millpond_harness::Outgoing;
use serde_json::json;

use millpond_scene::{BEGIN_MS, Scene, carts};

const MEMORY_MAX_MIB: u64 = 250;
const RESTART_MAX: Duration = Duration::from_secs(10);

/// A visit of each user, and an order of every second one.
fn customers(users: u32) -> impl Iterator<Item = Outgoing> {
    (0..users).flat_map(|user| {
        let visit = json!({ "user_id": format!("user-{user}"), "event_name": "visit", "channel": "mail" });
        let order = json!({
            "user_id": format!("user-{user}"), "event_name": "order_confirmed", "order_id": format!("order-{user}"),
        });
        let events = if user % 2 == 0 { vec![visit, order] } else { vec![visit] };
        events.into_iter().map(move |event| Outgoing::value(event.to_string()).at(BEGIN_MS + i64::from(user)))
    })
}

/// Kills and starts. The shortest time is the program's, the others also hold what else the machine did, and the first
/// what RocksDB replays of its log (bounded, whatever the number of rows).
const RESTARTS: u32 = 3;

/// The shortest time from start to first commit after a kill, and the resident memory before it.
fn measure(name: &'static str, users: u32) -> (Duration, u64) {
    let scene = Scene::new(name).unwrap();
    let mut application = scene.application("attribution", "attribution").started().unwrap();
    scene.feed(customers(users)).unwrap();
    scene.drain("attribution").unwrap();
    let memory = application.resident_mib().unwrap();
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        application.kill().unwrap();
        let before = scene.committed("attribution").unwrap();
        scene.feed(carts(["user-0".to_owned()], BEGIN_MS)).unwrap();
        let began = Instant::now();
        application.start().unwrap();
        scene.wait_until_committed("attribution", before + 1).unwrap();
        times.push(began.elapsed());
        application.assert_sound().unwrap();
    }
    let all: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    let time = times.into_iter().min().unwrap();
    println!(
        "{}",
        json!({ "figure": "state_size", "users": users, "rows": users + users / 2,
        "restart_ms": all, "resident_mib": memory, "replayed": application.replayed().last() })
    );
    scene.verify("attribution").unwrap().assert_clean();
    (time, memory)
}

#[test]
fn a_state_of_three_hundred_thousand_rows_costs_little_memory_and_no_time() {
    let (small, _) = measure("small", 10_000);
    let (large, memory) = measure("large", 200_000);
    assert!(memory <= MEMORY_MAX_MIB, "{memory} MiB for 200,000 users");
    assert!(large <= RESTART_MAX && large <= small * 3, "{small:?} with 15,000 rows, {large:?} with 300,000");
}
