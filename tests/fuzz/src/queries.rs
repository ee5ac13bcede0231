//! Queries: what anybody may ask over HTTP, and what another instance may answer.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use millpond::formats::{StoreFormat, StoreFormats};
use millpond::http::outside::{read_answer, read_question};
use millpond::serde::{Bincode, Ordered, Utf8};

use super::rows::{HIDDEN, Kept, TOKEN, served};

/// An answer comes long before it.
const LIMIT: Duration = Duration::from_secs(20);

/// An answer of the server.
struct Answer {
    code: u16,
    head: String,
    body: String,
}

/// What stands behind `/stores/`: as parameters for stores of two formats, and as a whole request to a real server with rows.
/// What follows a zero is shown as the token of `/admin`.
pub(crate) fn query(bytes: &[u8]) {
    let (asked, token) = super::split(bytes);
    let tail = written(asked);
    let parameters = tail.split_once('?').map_or("", |(_, parameters)| parameters);
    for store in ["goods", "pairs"] {
        read_question(format(store), parameters);
    }
    is_answered(&tail);
    let token = written(token);
    if !token.is_empty() && token != TOKEN {
        let answer = ask("PUT", "/admin/log-level?filter=trace", &format!("Authorization: Bearer {token}\r\n"));
        let code = answer.map(|answer| answer.code);
        // A head that is too long is not looked at.
        assert!(code.is_none_or(|code| [401, 429, 431].contains(&code)), "{token}: {code:?}");
    }
}

pub(crate) fn query_answer(bytes: &[u8]) {
    read_answer(bytes);
}

/// As it may stand in the head of a request: what has no place there is encoded, and what is encoded already stays.
fn written(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_graphic() && !br#"#"<>`{}\^|"#.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// What a server reads in it.
fn read(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer says what it is, is no failure of the server, and has nothing of a row that may not be shown.
fn is_answered(tail: &str) {
    // None is one that was cut off: the head of the request was too long.
    let Some(Answer { code, head, body }) = ask("GET", &format!("/stores/{tail}"), "") else { return };
    assert!(code == 200 || code == 503 || (400..500).contains(&code), "{tail}: {code} {body}");
    if head.contains("content-type: application/json") {
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON is JSON");
        let reason = json.get("reason").and_then(serde_json::Value::as_str);
        assert_eq!(reason.is_some_and(|reason| !reason.is_empty()), code != 200, "{tail}: {code} {body}");
    } else {
        assert_ne!(code, 200, "{tail}: {body}");
    }
    // Whoever has said it may read it in the reason.
    assert!(!body.contains(HIDDEN) || read(tail).contains(HIDDEN), "{tail}: {body}");
}

/// `None` when the server has closed before it has answered.
fn ask(method: &str, path: &str, headers: &str) -> Option<Answer> {
    let address = served();
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit for reading");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    // The server may have closed before it has heard all.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        let is_slow = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!is_slow, "{method} {path} has no answer in time");
    }
    let text = String::from_utf8(bytes).expect("an answer in UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).expect("a code");
    Some(Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

fn format(store: &str) -> &'static StoreFormat {
    static FORMATS: OnceLock<StoreFormats> = OnceLock::new();
    let formats = FORMATS.get_or_init(|| {
        StoreFormats::new()
            .store::<String, String>("goods", &Utf8, &Kept)
            .store::<(String, i64), Vec<u8>>("pairs", &Ordered, &Bincode)
            .keyed_within::<(String, i64), String>("pairs", &Ordered, |(user, _)| user.clone(), &Utf8)
            .prefixed::<String>("pairs", &Ordered, Some(&Utf8))
    });
    formats.of(store).expect("a store of that name")
}
