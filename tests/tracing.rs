//! Spans of the applications at work, on a real Kafka and a real PostgreSQL: a collector of the test's own takes them by OTLP,
//! and what they say is compared with what stands in the records' headers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test panics where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use millpond_harness::{CollectedSpan, Collector, Outgoing, Received, wait_for};
use millpond_scene::{Application, BINARIES, LIMIT, Scene};

/// Trace and span.
type Named = (String, String);

const EVENTS: u32 = 40;

fn traceparent(n: u32) -> String {
    format!("00-{:032x}-{:016x}-01", 0x1000 + n, 0x2000 + n)
}

/// Five carts of a user in a second, or visits and orders: all four applications have something to do. Every second event
/// carries a context.
fn events() -> Vec<Outgoing> {
    let event = |n: u32| {
        let (user, at) = (format!("u{}", n % 4), 1_700_000_000_000 + i64::from(n) * 20);
        let name = ["add_to_cart", "order_confirmed"][usize::from(n % 8 == 6)];
        let value = format!(
            r#"{{"user_id":"{user}","event_name":"{name}","page":"/","item_url":"/i{n}","channel":"mail","order_id":"o{n}"}}"#
        );
        let event = Outgoing::value(value).key(user).at(at);
        if n.is_multiple_of(2) {
            event.header("traceparent", traceparent(n)).header("tracestate", "shop=1")
        } else {
            event
        }
    };
    (0..EVENTS).map(event).collect()
}

/// What a record's header names; the version and the flags are checked on the way.
fn carried(record: &Received) -> Option<Named> {
    let value = String::from_utf8(record.header("traceparent")?.to_vec()).unwrap();
    let parts: Vec<&str> = value.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { panic!("{value}") };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16), "{value}");
    assert!(["01", "03"].contains(&flags), "{value}");
    Some((trace.to_owned(), span.to_owned()))
}

fn fed() -> BTreeSet<Named> {
    let of = |n: u32| (format!("{:032x}", 0x1000 + n), format!("{:016x}", 0x2000 + n));
    (0..EVENTS).filter(|n| n.is_multiple_of(2)).map(of).collect()
}

/// Spans by what they are called, of one application.
fn spans_of<'a>(spans: &'a [CollectedSpan], application: &str) -> BTreeMap<&'a str, &'a CollectedSpan> {
    let own = spans.iter().filter(|span| span.resource["service.name"] == application);
    own.map(|span| (span.context.1.as_str(), span)).collect()
}

fn links<'a>(spans: &BTreeMap<&'a str, &'a CollectedSpan>) -> BTreeSet<Named> {
    spans.values().flat_map(|span| span.links.iter().cloned()).collect()
}

fn application(scene: &Scene, binary: &'static str, endpoint: SocketAddr) -> Application {
    scene.application(binary, binary).arg(format!("--set=otlp.endpoint=http://{endpoint}/"))
}

/// What the outputs of an application carry. Each is below a span of it, in a trace that was fed and that the span links to; or
/// in the span's own.
fn outputs(scene: &Scene, topic: &str, spans: &BTreeMap<&str, &CollectedSpan>) -> BTreeSet<Named> {
    let records = scene.client().read_committed(&scene.topic(topic)).unwrap();
    let fed = fed();
    // A record that came without a context is in the trace of the batch that has sent it on.
    let own = spans.values().map(|span| span.context.0.as_str());
    let traces: BTreeSet<&str> = fed.iter().map(|(trace, _)| trace.as_str()).chain(own).collect();
    let mut named = BTreeSet::new();
    for record in &records {
        let (trace, span) = carried(record).unwrap_or_else(|| panic!("{topic}: {record:?} carries nothing"));
        let batch = spans.get(span.as_str()).unwrap_or_else(|| panic!("{topic}: nobody has told of {span}"));
        // Otherwise the record had no context.
        if batch.context.0 != trace {
            assert!(traces.contains(trace.as_str()), "{topic}: {trace} is nobody's");
            assert!(
                batch.links.iter().any(|(linked, _)| *linked == trace),
                "{topic}: {batch:?} has no link to {trace}"
            );
        }
        named.insert((trace, span));
    }
    named
}

#[test]
fn spans_link_to_their_records_and_outputs_go_on_in_their_traces() {
    let (scene, collector) = (Scene::new("tracing").unwrap(), Collector::start().unwrap());
    let mut applications = BINARIES.map(|binary| application(&scene, binary, collector.address()).started().unwrap());
    scene.feed(events()).unwrap();
    scene.close_bursts().unwrap();
    for binary in BINARIES {
        scene.drain(binary).unwrap();
    }
    for application in &mut applications {
        // What is left is sent before the end.
        application.stop().unwrap();
    }
    let spans = collector.spans();
    let of = |binary: &str| spans_of(&spans, &scene.topic(binary));
    for span in &spans {
        assert_eq!((span.parent.as_str(), &span.error, span.links_left_out), ("", &None, 0), "{span:?}");
        assert!(span.time.0 > 0 && span.time.0 <= span.time.1, "{span:?}");
        let application = &span.resource["service.name"];
        assert_eq!(span.attributes["messaging.system"], "kafka");
        assert_eq!(&span.attributes["messaging.consumer.group.name"], application);
        assert!(span.attributes["messaging.client.id"].starts_with(application.as_str()), "{span:?}");
        assert!(span.attributes["messaging.batch.message_count"].parse::<u64>().is_ok(), "{span:?}");
    }
    let fed = fed();
    let redaction = of("redaction");
    assert_eq!(links(&redaction), fed, "each context is linked to, and no other");
    let name = format!("process {}", scene.topic("events"));
    assert!(redaction.values().all(|span| span.name == name), "{redaction:?}");
    let in_traces = |named: &BTreeSet<Named>| named.iter().any(|(trace, _)| fed.iter().any(|(fed, _)| fed == trace));
    let processed = outputs(&scene, "processed", &redaction);
    let attribution = of("attribution");
    // What is committed is deleted from it now and then.
    let repartitioned = outputs(&scene, "attribution-by-user-repartition", &attribution);
    let attributed = outputs(&scene, "attributions", &attribution);
    let links_of_attribution = links(&attribution);
    assert!(links_of_attribution.is_superset(&fed) && links_of_attribution.is_superset(&repartitioned));
    let links_of_loader = links(&of("loader"));
    assert!(links_of_loader.is_superset(&processed) && links_of_loader.is_superset(&attributed), "the last hop");
    let alerted = outputs(&scene, "alerts", &of("fraud"));
    assert!([&processed, &attributed, &alerted].into_iter().all(in_traces), "{alerted:?} {attributed:?}");
    for internal in ["fraud-carts-changelog", "attribution-first-visits-changelog", "redaction-commits"] {
        let records = scene.client().read_committed(&scene.topic(internal)).unwrap();
        assert!(!records.is_empty() && records.iter().all(|record| record.headers.is_empty()), "{internal}");
    }
}

#[test]
fn a_collector_that_is_away_stops_nothing_and_is_named_once() {
    let scene = Scene::new("away").unwrap();
    // Nobody listens there, until later.
    let address = Collector::start().unwrap().address();
    let mut redaction = application(&scene, "redaction", address);
    redaction = redaction.env("RUST_LOG", "info,millpond::otel=debug").started().unwrap();
    let feed = || {
        scene.feed(events()).unwrap();
        scene.drain("redaction").unwrap();
    };
    let failures = |log: &str| log.matches("spans were not taken").count();
    wait_for(LIMIT, "three exports fail", || {
        feed();
        failures(&redaction.log()) >= 3
    })
    .unwrap();
    assert_eq!(redaction.log().matches("spans are dropped").count(), 1, "{}", redaction.log());
    let collector = Collector::start_at(address).unwrap();
    wait_for(LIMIT, "spans arrive", || {
        feed();
        !collector.spans().is_empty()
    })
    .unwrap();
    wait_for(LIMIT, "and the log says so", || redaction.log().contains("takes spans again")).unwrap();
    redaction.stop().unwrap();
    assert_eq!(redaction.log().matches("spans are dropped").count(), 1, "{}", redaction.log());
}

#[test]
fn a_collector_that_never_answers_holds_up_neither_records_nor_the_end() {
    let scene = Scene::new("silent").unwrap();
    // It takes connections, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut redaction = application(&scene, "redaction", silent.local_addr().unwrap()).started().unwrap();
    wait_for(LIMIT, "an export has timed out", || {
        scene.feed(events()).unwrap();
        scene.drain("redaction").unwrap();
        redaction.log().contains("spans are dropped")
    })
    .unwrap();
    scene.feed(events()).unwrap();
    scene.drain("redaction").unwrap();
    let began = Instant::now();
    redaction.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "the end waits for at most 3 s: {:?}", began.elapsed());
}
