//! Real requests over loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::error::Recovery;
use crate::record::{Offset, Partition, TaskId};
use crate::runtime::config::{Flag, Sources};
use crate::runtime::stats::{
    InputSnapshot, RestoreSnapshot, StoreSnapshot, TaskSnapshot, TaskState, ThreadBoard, ThreadSnapshot, ThreadState,
};
use crate::time::Timestamp;

use super::listen::{CONNECTIONS_MAX, REQUEST_TIMEOUT};

struct Answer {
    code: u16,
    head: String,
    body: String,
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn start() -> (HttpServer, ThreadBoard) {
    let flag = |key: &str, value: &str| Flag { flag: "--set".into(), key: key.into(), value: value.into() };
    let sources = Sources {
        flags: vec![
            flag("application.id", "shop<script>"),
            flag("bootstrap.servers", "h:1"),
            flag("state.dir", "/s"),
            flag("app.database.password", "hunter2"),
        ],
        ..Sources::default()
    };
    // The id is refused, which is right; the page must escape it all the same.
    assert!(StreamsConfig::load(&sources).is_err());
    let mut sources = sources;
    sources.flags[0].value = "shop".into();
    let config = StreamsConfig::load(&sources).unwrap();
    let topology = TopologyText { text: "Topologies: <a>".into(), mermaid: "graph TD".into(), json: "{}".into() };
    let board = StatusBoard::new();
    let mut source = StatusSource::new(&config, "1.2.3", board.clone(), topology);
    source.application_id = "shop<script>".into();
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), source).unwrap();
    (server, board.thread("0"))
}

fn thread(state: TaskState) -> ThreadSnapshot {
    ThreadSnapshot {
        thread: "0".into(),
        state: ThreadState::Running,
        heartbeat: status::now(),
        tasks: vec![TaskSnapshot {
            id: TaskId { subtopology: 0, partition: Partition(3) },
            state,
            processed: 41,
            stream_time: Timestamp::from_millis(5),
            inputs: vec![InputSnapshot {
                topic: "events".into(),
                partition: Partition(3),
                committed: Some(Offset(100)),
                position: Some(Offset(120)),
                end: Some(Offset(142)),
                lag_records: 42,
                lag: Duration::from_millis(1500),
            }],
            stores: vec![StoreSnapshot { name: "carts".into(), rows: 7, bytes: 2048 }],
            restore: (state == TaskState::Restoring).then_some(RestoreSnapshot { done: 1, total: 4 }),
            start: None,
        }],
        ..ThreadSnapshot::default()
    }
}

#[test]
fn health_follows_the_threads() {
    let (server, board) = start();
    let address = server.address();
    assert!(address.ip().is_loopback());
    assert_eq!(get(address, "/livez").code, 200);
    let before = get(address, "/readyz");
    assert_eq!((before.code, before.body.contains("has not joined the group yet")), (503, true), "{}", before.body);

    board.publish(&thread(TaskState::Restoring));
    let restoring = get(address, "/readyz");
    assert_eq!(restoring.code, 503);
    assert_eq!(restoring.body, r#"{"status":"not ready","reasons":["task 0_3 is restoring, 3 of 4 records to go"]}"#);

    board.publish(&thread(TaskState::Running));
    assert_eq!(get(address, "/readyz").body, r#"{"status":"ready","reasons":[]}"#);

    board.publish(&ThreadSnapshot { state: ThreadState::Failed, ..thread(TaskState::Running) });
    assert_eq!((get(address, "/livez").code, get(address, "/readyz").code), (503, 503));
}

#[test]
fn metrics_show_what_was_published_last() {
    let (server, board) = start();
    board.publish(&thread(TaskState::Running));
    let answer = get(server.address(), "/metrics");
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let lag = answer.body.lines().find(|line| line.starts_with("millpond_consumer_lag_records{")).unwrap();
    assert!(lag.ends_with(" 42"), "{lag}");
}

#[test]
fn the_page_shows_everything_escaped_and_asks_nobody_else() {
    let (server, board) = start();
    let mut snapshot = thread(TaskState::Restoring);
    snapshot.errors.push(status::now(), None, &std::fmt::Error, Recovery::AbortTransaction);
    board.publish(&snapshot);
    let answer = get(server.address(), "/");
    assert_eq!(answer.code, 200);
    for text in
        ["0_3", "events-3", ">142<", ">42<", "1.5", "carts", "2 KiB", "1 of 4", "abort the transaction", "--set"]
    {
        assert!(answer.body.contains(text), "{text} is missing from\n{}", answer.body);
    }
    assert!(!answer.body.contains("<script") && !answer.body.contains("hunter2"), "{}", answer.body);
    assert!(!answer.body.contains("http://") && !answer.body.contains("https://"));
    assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{}", answer.head);
    let style = get(server.address(), "/style.css");
    assert!(style.head.contains("text/css") && style.body.contains("prefers-color-scheme: dark"));
}

#[test]
fn the_status_is_json_without_secrets() {
    let (server, board) = start();
    board.publish(&thread(TaskState::Running));
    let body = get(server.address(), "/api/status").body;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&json["ready"], &json["lag_records"]), (&true.into(), &42.into()));
    assert_eq!(json["tasks"][0]["inputs"][0]["lag_seconds"], 1.5);
    let config = json["config"].as_array().unwrap();
    let password = config.iter().find(|setting| setting["key"] == "app.database.password").unwrap();
    assert_eq!((&password["value"], &password["origin"]), (&"***".into(), &"--set".into()));
    assert!(!body.contains("hunter2"));
}

#[test]
fn the_topology_comes_in_three_forms() {
    let (server, _board) = start();
    let body = |path: &str| get(server.address(), path).body;
    assert_eq!(body("/topology"), "Topologies: <a>");
    assert_eq!(body("/topology?format=mermaid"), "graph TD");
    assert_eq!(body("/topology?format=json"), "{}");
    assert_eq!(get(server.address(), "/topology?format=png").code, 400);
    assert_eq!(get(server.address(), "/nothing").code, 404);
}

#[test]
fn a_dropped_server_listens_no_longer_even_with_a_connection_open() {
    let (server, _board) = start();
    let address = server.address();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_that_is_taken_is_an_error_that_says_so() {
    let (server, _board) = start();
    let config = StreamsConfig::new("a", "b:1", "/s");
    let source = StatusSource::new(&config, "1", StatusBoard::new(), TopologyText::default());
    let error = HttpServer::start(server.address(), source).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on address={}; say another http.listen, or none", server.address())
    );
}

#[test]
fn a_page_from_elsewhere_cannot_read_by_a_name_of_its_own() {
    let (server, _board) = start();
    let named = |host: &str| {
        ask(server.address(), &format!("GET /api/status HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).code
    };
    assert_eq!(named("Host: evil.example\r\n"), 421);
    assert_eq!(named(&format!("Host: evil.example:{}\r\n", server.address().port())), 421);
    assert_eq!(named("Host: localhost\r\n"), 200);
    assert_eq!((named(""), named("Host: localhost\r\nHost: evil.example\r\n")), (400, 400));
    let old = ask(server.address(), "GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(old.code, 200, "a probe without a name");
}

#[test]
fn every_answer_tells_the_browser_to_keep_to_itself() {
    let (server, _board) = start();
    let address = server.address();
    let foreign = ask(address, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    let post = ask(address, &format!("POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    assert_eq!(post.code, 405);
    for answer in [get(address, "/"), get(address, "/metrics"), get(address, "/nothing"), foreign, post] {
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{header} is missing from {}", answer.head);
        }
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
}

#[test]
fn a_request_has_no_body_and_no_endless_headers() {
    let (server, _board) = start();
    let address = server.address();
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    assert_eq!(ask(address, &format!("{head}Content-Length: 3\r\n\r\nabc")).code, 413);
    assert_eq!(ask(address, &format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")).code, 413);
    // Just over the limit, so that all of it is read before the answer.
    assert_eq!(ask(address, &format!("{head}X: {}\r\n\r\n", "x".repeat(17_000))).code, 431);
    let many = (0..100).map(|n| format!("X-{n}: x\r\n")).collect::<Vec<_>>().concat();
    assert_eq!(ask(address, &format!("{head}{many}\r\n")).code, 431);
}

#[test]
fn a_request_that_does_not_arrive_is_not_waited_for() {
    let (server, _board) = start();
    let begun = std::time::Instant::now();
    let mut half = connect(server.address());
    half.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut silent = connect(server.address());
    // The end of the connection, or its reset; both within the time limit of the socket.
    for stream in [&mut half, &mut silent] {
        let mut text = String::new();
        let ended = stream.read_to_string(&mut text);
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it is still open");
    }
    assert!(begun.elapsed() < 4 * REQUEST_TIMEOUT, "{:?}", begun.elapsed());
}

#[test]
fn there_are_only_so_many_connections_and_the_next_one_is_closed() {
    let (server, _board) = start();
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(server.address())).collect();
    // An answer on the last one shows that all of them were taken.
    let last = open.last_mut().unwrap();
    last.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(last.read(&mut [0; 12]).unwrap(), 12);
    let mut refused = connect(server.address());
    assert!(!refused.read(&mut [0]).is_ok_and(|bytes| bytes > 0));
    drop(open);
    let begun = std::time::Instant::now();
    loop {
        let mut again = connect(server.address());
        again.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok();
        let mut text = String::new();
        if again.read_to_string(&mut text).is_ok_and(|_| text.starts_with("HTTP/1.1 200")) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
