//! What may be changed, and by whom.

use std::sync::Mutex;

use super::*;

const TOKEN: &str = "canary-0123456789abcdef";

/// Logs that are only remembered.
#[derive(Debug)]
struct Remembered(Mutex<String>);

impl LogFilter for Remembered {
    fn filter(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn change(&self, filter: &str) -> Result<(), String> {
        if filter == "loud" {
            return Err("loud is no level".to_owned());
        }
        filter.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

fn serving(admin: Option<Admin>) -> HttpServer {
    let config = StreamsConfig::new("shop", "h:1", "/s");
    let source = StatusSource::new(&config, "1.2.3", StatusBoard::new(), TopologyText::default());
    HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), StatusSource { admin, ..source }).unwrap()
}

fn asked(server: &HttpServer, line: &str, token: Option<&str>) -> Answer {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let address = server.address();
    ask(address, &format!("{line} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n"))
}

#[test]
fn without_a_token_set_there_is_nothing_to_change() {
    let server = serving(None);
    for line in ["GET /admin/log-level", "PUT /admin/log-level?filter=debug"] {
        assert_eq!(asked(&server, line, Some(TOKEN)).code, 404, "{line}");
    }
}

#[test]
fn the_filter_of_the_logs_changes_for_whoever_shows_the_token() {
    let logs = Arc::new(Remembered(Mutex::new("info".to_owned())));
    let server = serving(Some(Admin::new(TOKEN.into(), logs.clone())));
    for token in [None, Some("canary-0123456789abcdeg"), Some("")] {
        for line in ["GET /admin/log-level", "PUT /admin/log-level?filter=debug", "POST /admin/log-level"] {
            let answer = asked(&server, line, token);
            assert_eq!(answer.code, 401, "{line} {token:?}");
            assert!(answer.head.contains("www-authenticate: bearer") && !answer.body.contains("canary"), "{line}");
        }
    }
    assert_eq!(logs.filter(), "info");
    assert_eq!(asked(&server, "GET /admin/log-level", Some(TOKEN)).body, r#"{"filter":"info"}"#);
    let changed = asked(&server, "PUT /admin/log-level?filter=info,millpond%3Ddebug", Some(TOKEN));
    assert_eq!((changed.code, changed.body.as_str()), (200, r#"{"filter":"info,millpond=debug"}"#));
    assert_eq!(logs.filter(), "info,millpond=debug");
    let refused = asked(&server, "PUT /admin/log-level?filter=loud", Some(TOKEN));
    assert_eq!((refused.code, refused.body.as_str()), (400, "loud is no level\n"));
    assert_eq!(asked(&server, "PUT /admin/log-level", Some(TOKEN)).code, 400, "no filter is said");
    assert_eq!(asked(&server, "POST /admin/log-level", Some(TOKEN)).code, 405);
    assert_eq!(logs.filter(), "info,millpond=debug");
}

#[test]
fn guesses_are_answered_with_a_time_to_wait_before_long() {
    let server = serving(Some(Admin::new(TOKEN.into(), Arc::new(Remembered(Mutex::new("info".to_owned()))))));
    let codes: Vec<u16> = (0..25).map(|_| asked(&server, "GET /admin/log-level", Some("guess")).code).collect();
    assert_eq!(codes, [[401; 20].as_slice(), &[429; 5]].concat());
    let answer = asked(&server, "GET /admin/log-level", Some(TOKEN));
    assert_eq!(answer.code, 429, "the right token is no way to learn that it is right");
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    let refused = |reason: &str| refused_by(server.address(), reason);
    assert_eq!((refused("token"), refused("guesses"), refused("host")), (20, 6, 0));
}

/// The token opens nothing else, and limits hold for whoever has it.
#[test]
fn what_every_request_must_fulfil_holds_with_the_token_too() {
    let server = serving(Some(Admin::new(TOKEN.into(), Arc::new(Remembered(Mutex::new("info".to_owned()))))));
    let address = server.address();
    let request = |host: &str, more: &str| {
        format!(
            "PUT /admin/log-level?filter=debug HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n{more}"
        )
    };
    assert_eq!(ask(address, &request("evil.example", "\r\n")).code, 421);
    assert_eq!(ask(address, &request(&address.to_string(), "Content-Length: 1\r\n\r\nx")).code, 413);
    let endless = format!("A: {}\r\n\r\n", "x".repeat(20 << 10));
    assert_eq!(ask(address, &request(&address.to_string(), &endless)).code, 431);
    let answer = ask(address, &request(&address.to_string(), "\r\n"));
    assert!(answer.code == 200 && answer.head.contains("cache-control: no-store"), "{}", answer.head);
    assert_eq!((refused_by(address, "host"), refused_by(address, "body"), refused_by(address, "token")), (1, 1, 0));
    // Open to all, as before.
    assert_eq!(asked(&server, "GET /api/status", None).code, 200);
}
