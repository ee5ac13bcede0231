//! What every request must fulfil, and what every answer says to a browser.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refused::{Refusals, Refused};

/// Nothing but this server's own files and its stream of events; nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// No copy is kept, no other page may show, read or guess at what is here.
const HEADERS: [(HeaderName, &str); 7] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the guard knows.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Names of this server, beside those that are nobody's.
    pub(super) hosts: Arc<[String]>,
    pub(super) refusals: Refusals,
}

/// Answers what may be asked, and puts the headers on every answer, on those of mistakes too. Counts what is refused, here or
/// behind.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut answer = match refusal(&request, &guard.hosts) {
        Some((status, refused, text)) => (status, Extension(refused), text).into_response(),
        None => next.run(request).await,
    };
    if let Some(refused) = answer.extensions().get::<Refused>() {
        guard.refusals.count(*refused);
    }
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refusal(request: &Request, hosts: &[String]) -> Option<(StatusCode, Refused, &'static str)> {
    let headers = request.headers();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if has_body {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, Refused::Body, "requests here have no body\n"));
    }
    let mut said = headers.get_all(HOST).iter();
    match (said.next(), said.next()) {
        // A browser always says it; only old programs do not.
        (None, _) if request.version() == Version::HTTP_10 => None,
        (None, _) | (Some(_), Some(_)) => Some((StatusCode::BAD_REQUEST, Refused::Host, "say one Host\n")),
        (Some(host), None) if host.to_str().is_ok_and(|host| is_ours(host, hosts)) => None,
        (Some(_), None) => Some((
            StatusCode::MISDIRECTED_REQUEST,
            Refused::Host,
            "this is not a name of this server; say it as http.hosts if it is\n",
        )),
    }
}

/// A page from elsewhere can let its own name lead to this address (DNS rebinding), and would then read what is here as its
/// own. Addresses, `localhost` and names without a dot belong to nobody elsewhere; other names must be said.
pub(super) fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_said = |said: &String| match said.strip_prefix("*.") {
        Some(parent) => name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => *said == name,
    };
    let is_nobodys = !name.contains('.') || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok();
    !name.is_empty() && (is_nobodys || hosts.iter().any(is_said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_belong_to_somebody_else_must_be_said() {
        let hosts = ["status.example.com".to_owned(), "*.millpond.svc.cluster.local".to_owned()];
        for ours in [
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "[fd00::1]",
            "localhost:1",
            "fraud:8080",
            "STATUS.example.com.",
            "fraud-0.fraud.millpond.svc.cluster.local:8080",
        ] {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        for foreign in [
            "",
            ":8080",
            "[",
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "example.com",
            "evil.status.example.com",
            "millpond.svc.cluster.local",
            "evilmillpond.svc.cluster.local",
        ] {
            assert!(!is_ours(foreign, &hosts), "{foreign}");
        }
    }
}
