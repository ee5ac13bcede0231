//! Requests that arrive late, twice or never: a proxy that understands Kafka's frames stands between the applications and
//! the broker.

use std::time::Duration;

use millpond_harness::proxy::{Action, Api, Rule};
use millpond_harness::{Error, Kafka, KafkaOptions, Postgres, Proxy, Scratch, try_wait_for};
use millpond_scene::{BINARIES, LIMIT, Place, Scene, wire_faults};

use super::verify_and_stop;

/// A broker that is reached through a proxy alone.
struct Wire {
    proxy: Proxy,
    scene: Scene,
    _kafka: Kafka,
    _postgres: Postgres,
}

impl Wire {
    fn new(name: &str) -> Result<Self, Error> {
        let (scratch, proxy) = (Scratch::new(name)?, Proxy::start()?);
        let options = KafkaOptions { proxied: Some(proxy.address().to_owned()), ..KafkaOptions::default() };
        let kafka = Kafka::start_with(scratch.path().join("kafka"), options)?;
        proxy.forward_to(kafka.behind_proxy());
        let postgres = Postgres::start(scratch.path().join("postgres"))?;
        let place = Place {
            bootstrap_servers: proxy.address().to_owned(),
            replicas: 1,
            database: postgres.create_database()?,
            dir: scratch.path().to_owned(),
        };
        let scene = Scene::at(name, place)?;
        Ok(Self { proxy, scene, _kafka: kafka, _postgres: postgres })
    }

    /// Delivers what the proxy holds, again and again, until `over`.
    fn deliver_late(&self, limit: Duration, mut over: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
        try_wait_for(limit, "the late requests have done what they can", || {
            self.proxy.release()?;
            Ok(over()?.then_some(()))
        })
    }
}

#[test]
fn requests_that_are_cut_repeated_and_late_change_nothing() {
    let wire = Wire::new("wire").unwrap();
    let scene = &wire.scene;
    let mut applications = BINARIES.map(|binary| scene.application(binary, binary).started().unwrap());
    for (application, binary) in applications.iter_mut().zip(BINARIES) {
        application.wait_for_tasks(if binary == "redaction" { 4 } else { 8 }).unwrap();
    }
    wire.proxy.set_rules(wire_faults("wire"));
    let loaded = scene.under_load(8, || {
        wire.deliver_late(LIMIT * 2, || Ok(wire.proxy.hits().iter().all(|hits| *hits >= 3))).unwrap();
    });
    loaded.unwrap();
    println!("{}", serde_json::json!({ "figure": "wire_faults", "hits": wire.proxy.hits() }));
    wire.proxy.set_rules([]);
    verify_and_stop(scene, &mut applications);
}

/// The client has seen no time-out, no retry and no broken connection: there is nothing that a guard could have noticed.
#[test]
fn a_tear_that_nobody_could_notice_stops_the_application_by_name() {
    let wire = Wire::new("tear").unwrap();
    let scene = &wire.scene;
    let mut fraud = scene.application("fraud", "fraud").started().unwrap();
    fraud.wait_for_tasks(8).unwrap();
    wire.proxy.set_rules([Rule::every(2, Api::EndTxn, Action::Copy)]);
    let loaded = scene.under_load(9, || {
        wire.deliver_late(LIMIT * 2, || Ok(fraud.ended()?.is_some())).unwrap();
    });
    loaded.unwrap();
    assert_eq!(fraud.wait().unwrap().code(), Some(1));
    let names = ["was committed only in part", "the last commit recorded"];
    assert!(names.iter().any(|name| fraud.log().contains(name)), "{}", fraud.log());
    // It does not go on by being started again.
    fraud.start().unwrap();
    assert_eq!(fraud.wait().unwrap().code(), Some(1));
}
