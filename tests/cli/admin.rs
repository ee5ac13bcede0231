//! The level of logs, changed while an application runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

const TOKEN: &str = "0123456789abcdef-canary";

fn ask(address: &str, line: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head =
        format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn address(process: &Process) -> Option<String> {
    let log = process.log();
    let (_, rest) = log.split_once(r#""url":"http://"#)?;
    Some(rest.split_once("/\"")?.0.to_owned())
}

/// The filter is that of `RUST_LOG`; lines of librdkafka at debug, which were held back before, come with it.
#[test]
fn the_level_of_logs_changes_with_the_token_while_the_application_runs() {
    let shop = Shop::new("cli-admin");
    let launch = Launch::new(built("fraud").unwrap(), shop.dir.join("log")).args(shop.flags());
    let launch = launch.args(["--http=0", "--log-format=json", "--set=kafka.debug=broker,protocol"]);
    let launch = launch.env("MILLPOND_HTTP_ADMIN_TOKEN", TOKEN).env("RUST_LOG", "info");
    let mut process = launch.start().unwrap();
    wait_for(LIMIT, "the page is told", || address(&process).is_some()).unwrap();
    let page = address(&process).unwrap();
    let debug = |process: &Process| process.log().matches(r#""level":"DEBUG""#).count();
    assert!(ask(&page, "PUT /admin/log-level?filter=debug", "0123456789abcdef").starts_with("HTTP/1.1 401 "));
    assert!(ask(&page, "GET /admin/log-level", TOKEN).ends_with(r#"{"filter":"info"}"#));
    assert_eq!(debug(&process), 0);
    assert!(ask(&page, "PUT /admin/log-level?filter=info,millpond=debug", TOKEN).starts_with("HTTP/1.1 200 "));
    wait_for(LIMIT, "lines at debug", || debug(&process) > 10).unwrap();
    assert!(ask(&page, "PUT /admin/log-level?filter=info", TOKEN).starts_with("HTTP/1.1 200 "));
    assert!(process.log().contains("the filter of the logs was changed over HTTP"), "{}", process.log_tail());
    assert!(!process.log().contains("canary"));
    let shown = shop.ask("fraud", &["config", "show", "--set=http.admin.token=0123456789abcdef-canary"]);
    assert!(shown.out.contains("http.admin.token = \"***\"") && !shown.out.contains("canary"), "{shown:?}");
    let short = shop.ask("fraud", &["config", "check", "--set=http.admin.token=canary"]);
    assert!(short.code == 2 && short.err.contains("at least 16") && !short.err.contains("= canary"), "{short:?}");
    process.stop().unwrap();
}
