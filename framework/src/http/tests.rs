//! Real requests over loopback.

mod admin;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::error::Recovery;
use crate::record::{Offset, Partition, TaskId, TopicPartition};
use crate::runtime::config::{Flag, Sources};
use crate::runtime::process::{Budget, ProcessSnapshot};
use crate::runtime::stats::{
    DeadLetter, InputSnapshot, RestoreSnapshot, StoreSnapshot, TableStats, TaskSnapshot, TaskState, ThreadBoard,
    ThreadSnapshot, ThreadState,
};
use crate::time::Timestamp;

use super::listen::{CONNECTION_TIMEOUT, CONNECTIONS_MAX, REQUEST_TIMEOUT};
use super::live::STREAMS_MAX;

/// An application that tells of itself what could be taken for markup.
#[derive(Debug)]
struct Parcels;

impl Story for Parcels {
    fn tell(&self, _now: Timestamp, _traffic: &Traffic) -> Section {
        Section::new("Parcels <b>").with(Block::facts([("Sent", "3".to_owned())]))
    }
}

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
    let mut graph = Graph::new();
    let (from, to) = (graph.topic("events"), graph.table("carts"));
    graph.flow(from, to);
    let topology =
        TopologyText { text: "Topologies: <a>".into(), mermaid: "graph TD".into(), json: "{}".into(), graph };
    let board = StatusBoard::new();
    let mut source = StatusSource::new(&config, "1.2.3", board.clone(), topology).telling(Arc::new(Parcels));
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
                lag_records: Some(42),
                lag: Some(Duration::from_millis(1500)),
            }],
            stores: vec![StoreSnapshot { name: "carts".into(), rows: 7, bytes: 2048, table: None }],
            database: None,
            restore: (state == TaskState::Restoring).then_some(RestoreSnapshot { done: 1, total: 4 }),
            start: None,
        }],
        ..ThreadSnapshot::default()
    }
}

/// How many requests were refused for that reason, as the metrics tell.
fn refused_by(address: SocketAddr, reason: &str) -> u64 {
    let metrics = get(address, "/metrics").body;
    let begin = format!("millpond_http_refused_total{{reason=\"{reason}\",");
    let line = metrics.lines().find(|line| line.starts_with(&begin)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
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
    snapshot.dead_letters.insert("null_value", 1);
    snapshot.last_dead_letters.push(DeadLetter {
        at: status::now(),
        source: TopicPartition::new("events", Partition(3)),
        offset: Offset(17),
        reason: "null_value",
        node: "reader".into(),
    });
    board.publish(&snapshot);
    let answer = get(server.address(), "/");
    assert_eq!(answer.code, 200);
    for text in [
        "0_3",
        "events 3",
        ">142<",
        ">42<",
        "1.5 s",
        "carts",
        "2.0 KiB",
        "1 of 4 records",
        "abort the transaction",
        "--set",
        "shop&#60;script&#62;",
        "Topologies: &#60;a&#62;",
        "null_value",
        "events 3 @ 17",
        "Parcels &#60;b&#62;",
    ] {
        assert!(answer.body.contains(text), "{text} is missing from\n{}", answer.body);
    }
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    // Its own script, and nothing inline: the policy of every answer would forbid it.
    let scripts: Vec<&str> = answer.body.split("<script").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert_eq!(scripts, [" src=\"live.js\" defer"]);
    assert!(!answer.body.contains(" style=") && !answer.body.contains("javascript:"), "{}", answer.body);
    for (path, kind) in [("style.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let file = get(server.address(), &format!("/{path}"));
        assert!(answer.body.contains(&format!("\"{path}\"")) && file.code == 200, "{path}");
        assert!(file.head.contains(&format!("content-type: {kind}")), "{}", file.head);
        for body in [&answer.body, &file.body] {
            let elsewhere = body.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
        }
    }
}

/// Where a store's bytes are; a store in memory has none of it.
#[test]
fn the_page_shows_where_the_bytes_of_a_store_are() {
    let used = |bytes, bytes_max| Some(Budget { bytes, bytes_max });
    let process = ProcessSnapshot {
        block_cache: used(5 << 20, 64 << 20),
        write_buffers: used(6 << 20, 32 << 20),
        ..ProcessSnapshot::default()
    };
    let config = StreamsConfig::new("shop", "h:1", "/s");
    let board = StatusBoard::new();
    let source = StatusSource::new(&config, "1", board.clone(), TopologyText::default());
    let source = StatusSource { probe: Probe::new(move || process.clone()), ..source };
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), source).unwrap();
    let mut snapshot = thread(TaskState::Running);
    let table = TableStats {
        live_bytes: 10 << 10,
        memtable_bytes: 20 << 10,
        row_cache_bytes: 30 << 10,
        ..TableStats::default()
    };
    let carts = StoreSnapshot { name: "carts".into(), rows: 7, bytes: 60 << 10, table: Some(table) };
    snapshot.tasks[0].stores = vec![carts, StoreSnapshot { name: "seen".into(), rows: 1, bytes: 512, table: None }];
    let mut other = snapshot.tasks[0].clone();
    other.id.partition = Partition(4);
    snapshot.tasks.push(other);
    board.thread("0").publish(&snapshot);

    let body = get(server.address(), "/").body;
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split("<td").skip(1).map(|cell| cell.split('>').nth(1).unwrap().split('<').next().unwrap());
        cells.map(str::to_owned).collect()
    };
    let stores = body.split("id=\"stores-heading\"").nth(1).unwrap().split("</details>").next().unwrap();
    let rows: Vec<Vec<String>> = stores.split("<tr>").map(cells).filter(|cells| !cells.is_empty()).collect();
    let carts = ["7", "60.0 KiB", "10.0 KiB", "20.0 KiB", "30.0 KiB"];
    let seen = ["1", "512 B", "–", "–", "–"];
    let expected: [&[&str]; 6] = [
        &["2", "14", "120 KiB", "20.0 KiB", "40.0 KiB", "60.0 KiB"],
        &["2", "2", "1.0 KiB", "–", "–", "–"],
        &[&["carts"], &carts[..]].concat(),
        &[&["seen"], &seen[..]].concat(),
        &[&["carts"], &carts[..]].concat(),
        &[&["seen"], &seen[..]].concat(),
    ];
    assert_eq!(rows, expected);
    assert!(stores.contains("block cache of all stores 5.0 MiB of 64.0 MiB"), "{stores}");
    assert!(stores.contains("memtables of all stores 6.0 MiB of 32.0 MiB"), "{stores}");
    let json: serde_json::Value = serde_json::from_str(&get(server.address(), "/api/status").body).unwrap();
    let [carts, seen] = [0, 1].map(|store| &json["tasks"][0]["stores"][store]["table"]);
    assert_eq!((&carts["disk_bytes"], seen), (&(10 << 10).into(), &serde_json::Value::Null));
    assert_eq!(json["block_cache"]["bytes_max"], 64 << 20);
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
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
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
    assert!(refused_by(server.address(), "connections") >= 1);
}

/// Asks for the stream of changes on a connection that stays.
fn listen(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    stream
}

/// What comes until `text` has come, or the end.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut all, mut part) = (Vec::new(), vec![0; 65_536]);
    while !String::from_utf8_lossy(&all).contains(text) {
        match stream.read(&mut part).unwrap() {
            0 => break,
            read => all.extend_from_slice(&part[..read]),
        }
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn what_changes_is_told_and_what_does_not_is_not_told_again() {
    let (server, board) = start();
    board.publish(&thread(TaskState::Restoring));
    let mut stream = listen(server.address());
    let first = read_until(&mut stream, "\n\n");
    assert!(first.starts_with("HTTP/1.1 200") && first.contains("text/event-stream"), "{first}");
    assert!(first.contains(r#""config":"#) && first.contains(r#""tasks":"#), "{first}");
    board.publish(&thread(TaskState::Running));
    let next = read_until(&mut stream, r#""tasks":"#);
    assert!(next.contains("1 running") && !next.contains(r#""config":"#), "{next}");
}

#[test]
fn there_are_only_so_many_streams_and_others_get_their_answers() {
    let (server, _board) = start();
    let address = server.address();
    let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| listen(address)).collect();
    for stream in &mut open {
        assert!(read_until(stream, "\r\n\r\n").starts_with("HTTP/1.1 200"));
    }
    let refused = get(address, "/events");
    assert!(refused.code == 503 && refused.head.contains("retry-after: 5"), "{}", refused.head);
    assert_eq!(refused_by(address, "pages"), 1);
    assert_eq!((get(address, "/livez").code, get(address, "/").code), (200, 200));
    // A place is free again when the server sees that its stream is gone, which is at the next change.
    drop(open);
    let begun = std::time::Instant::now();
    while !read_until(&mut listen(address), "\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_stream_ends_in_order_before_its_connection_does() {
    let (server, _board) = start();
    let begun = std::time::Instant::now();
    // The end of a chunked answer: a browser that meets none complains, and so would a person.
    let all = read_until(&mut listen(server.address()), "\r\n0\r\n\r\n");
    assert!(all.ends_with("\r\n0\r\n\r\n") && all.contains("retry: 500"), "{all}");
    assert!(begun.elapsed() < CONNECTION_TIMEOUT, "{:?}", begun.elapsed());
}

#[test]
fn a_stream_does_not_hold_the_server_up() {
    let (server, _board) = start();
    let mut stream = listen(server.address());
    read_until(&mut stream, "\n\n");
    let begun = std::time::Instant::now();
    drop(server);
    // Requests that are under way would get two seconds.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let rest = read_until(&mut stream, "\r\n0\r\n\r\n");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn the_tasks_come_in_the_order_that_is_asked_for() {
    let (server, board) = start();
    let mut snapshot = thread(TaskState::Running);
    for (partition, lag_records, seconds) in [(10, 99, 1), (2, 7, 2)] {
        let mut task = snapshot.tasks[0].clone();
        task.id.partition = Partition(partition);
        task.inputs[0].lag_records = Some(lag_records);
        task.inputs[0].lag = Some(Duration::from_secs(seconds));
        snapshot.tasks.push(task);
    }
    board.publish(&snapshot);
    let order = |query: &str| -> Vec<String> {
        let body = get(server.address(), &format!("/{query}")).body;
        let rows = body.split("<tr><th scope=\"row\">").skip(1).map(|row| row.split('<').next().unwrap().to_owned());
        rows.filter(|id| id.starts_with("0_")).take(3).collect()
    };
    assert_eq!(order(""), ["0_2", "0_3", "0_10"]);
    assert_eq!(order("?sort=lag"), ["0_10", "0_3", "0_2"]);
    assert_eq!(order("?sort=age"), ["0_2", "0_3", "0_10"]); // 2 s, 1.5 s, 1 s
    assert_eq!(order("?sort=nonsense"), ["0_2", "0_3", "0_10"]);
}

/// As while a task restores: before the first answer to a fetch nobody knows how much waits.
#[test]
fn a_lag_that_is_not_known_is_not_shown_as_none() {
    let (server, board) = start();
    let mut snapshot = thread(TaskState::Restoring);
    let input = &mut snapshot.tasks[0].inputs[0];
    (input.end, input.lag_records, input.lag) = (None, None, None);
    board.publish(&snapshot);
    let json: serde_json::Value = serde_json::from_str(&get(server.address(), "/api/status").body).unwrap();
    assert_eq!((&json["lag_records"], &json["lag_seconds"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let page = get(server.address(), "/").body;
    assert!(page.contains("<dt>Lag</dt><dd>–</dd>") && page.contains("<dt>Oldest waits</dt><dd>–</dd>"), "{page}");
}
